"""Lines of figures: the points of each run, the median over seeds in a band, markers, and axes of rates and losses."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import (
    FixedFormatter,
    FixedLocator,
    FuncFormatter,
    LogLocator,
    NullFormatter,
    NullLocator,
)

from initbench.report.figures.hover import tell
from initbench.report.figures.sheet import text_width
from initbench.report.figures.style import MUTED, Style

Points: TypeAlias = tuple[np.ndarray, np.ndarray]  # where, and the values there


def by_run(rows: pd.DataFrame, x: str, y: str) -> dict[str, Points]:
    """Each run's points in order of `x`, from long rows (run_id, x, y) in any order."""
    codes, run_ids = pd.factorize(rows["run_id"])
    order = np.lexsort((rows[x], codes))
    starts = np.searchsorted(codes[order], np.arange(len(run_ids) + 1))
    at, values = rows[x].to_numpy()[order], rows[y].to_numpy("float64")[order]
    pieces = zip(run_ids, starts[:-1], starts[1:], strict=True)
    return {str(run_id): (at[first:last], values[first:last]) for run_id, first, last in pieces}


def by_label(
    runs: pd.DataFrame, points: dict[str, Points], styles: dict[str, Style]
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Each label in the legend's order, where its runs have points, and their values (points, runs), NaN where a run
    has none.
    """
    found: dict[str, list[Points]] = {}
    for run_id, label in zip(runs["run_id"], runs["label"], strict=True):
        if run_id in points:
            found.setdefault(label, []).append(points[run_id])
    for label in styles:
        if label in found:
            x = np.unique(np.concatenate([at for at, _ in found[label]]))
            values = np.full((len(x), len(found[label])), np.nan)
            for number, (at, value) in enumerate(found[label]):
                values[np.searchsorted(x, at), number] = value
            yield label, x, values


def median(values: np.ndarray, axis: int) -> np.ndarray:
    """The median in float64 of those that are not NaN, infinite where an infinite value decides; NaN where none is.

    (numpy's nanmedian is many times slower.)
    """
    ordered = np.sort(np.moveaxis(values, axis, 0), axis=0)
    count = (~np.isnan(ordered)).sum(axis=0)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(ordered) - 1)
    lower, upper = (np.take_along_axis(ordered, middle[None], axis=0)[0] for middle in (low, high))
    return (lower.astype("float64") + upper) / 2


LINE_AND_BAND = "Line: median over seeds. Band: lowest to highest seed."  # of captions
BAND = [  # of legends
    Line2D([], [], color=MUTED, linewidth=1.5, label="median over seeds"),
    Patch(facecolor=MUTED, alpha=0.25, label="lowest to highest"),
]


def several_seeds(runs: pd.DataFrame) -> bool:
    """Whether there are bands to draw."""
    return runs["seed"].nunique() > 1


def marker_handle(marker: str, label: str, *, size: float = 5, color: str = MUTED, **options: Any) -> Line2D:
    """A legend's entry for a marker without a line."""
    return Line2D([], [], color=color, marker=marker, markersize=size, linestyle="none", label=label, **options)


def mark(ax: Axes, x: Any, y: Any, marker: str, color: str, *, size: float = 5, **options: Any) -> None:
    """Markers without a line, on the edge of the axes in full."""
    ax.plot(x, y, color=color, marker=marker, markersize=size, linestyle="none", clip_on=False, **options)


def line_and_band(ax: Axes, x: np.ndarray, values: np.ndarray, style: Style, **line: Any) -> None:
    """The median of values (points, runs) as a line, from the lowest to the highest as a band; gaps where an infinite
    value decides.
    """
    middle = median(values, axis=1)
    finite = np.where(np.isfinite(values), values, np.nan)
    if values.shape[1] > 1:
        low, high = np.fmin.reduce(finite, axis=1), np.fmax.reduce(finite, axis=1)
        tell(ax.fill_between(x, low, high, color=style.color, alpha=0.15, linewidth=0), style.label)
    style.line(ax, x, np.where(np.isfinite(middle), middle, np.nan), **{"marker": style.marker, "zorder": 3} | line)


def power_of_ten(value: float, _: Any = None) -> str:
    """ "10⁻⁷", "0.1", "1" or "10": a label of a logarithmic axis, as text that needs no layout."""
    exponent = round(np.log10(value)) if value > 0 else 0
    if abs(exponent) <= 1:
        return f"{value:g}"
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def rate_axis(ax: Axes, rates: Sequence[float], room: float = 1.35) -> None:
    """A logarithmic axis with a tick at each tested learning rate, as many of them labelled as have room.

    room: where the axis ends, over the greatest rate.
    """
    ax.set_xscale("log")
    ax.set_xlim(rates[0] / 1.35, rates[-1] * room)
    width = ax.get_position().width * ax.figure.get_figwidth()
    every = 1 + int(len(rates) * (text_width([f"{rate:g}" for rate in rates], 8) + 0.08) / width)
    ax.xaxis.set_major_locator(FixedLocator(rates))
    ax.xaxis.set_major_formatter(FixedFormatter([f"{r:g}" if i % every == 0 else "" for i, r in enumerate(rates)]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())


def log_loss_axis(ax: Axes, limits: tuple[float, float]) -> None:
    """A logarithmic axis of losses, labelled at 1, 2 and 5 of each decade where there are few."""
    ax.set_yscale("log", nonpositive="clip")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if limits[1] < 500 * limits[0] else (1,)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))
    ax.yaxis.set_minor_locator(NullLocator())


def loss_range(losses: np.ndarray, constant: float, ceiling: float) -> tuple[float, float] | None:
    """The lowest and highest of the losses that are finite and above 0, with the best constant prediction's among them.

    ceiling: how many times the constant prediction's loss is shown at most. None where there are no such losses.
    """
    shown = losses[np.isfinite(losses) & (losses > 0)]
    if not len(shown):
        return None
    low, high = float(shown.min()), float(shown.max())
    if constant > 0:
        low, high = min(low, constant), max(min(high, ceiling * constant), constant)
    return low, high
