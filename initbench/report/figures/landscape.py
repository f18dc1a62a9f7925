"""The landscape of several tuned keys: validation loss over two of them, a small panel per initializer and contest."""

from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from initbench.analysis.axes import loss_unit
from initbench.analysis.contests import by_contest
from initbench.analysis.tuning import Tuning
from initbench.config.ranges import LOG
from initbench.report.figures.drawing import Drawing
from initbench.report.figures.hover import tell_axes
from initbench.report.figures.lines import loss_range, marker_handle
from initbench.report.figures.sheet import FigurePanel, FigureSheet, broken, deepest, legend_size
from initbench.report.figures.style import MUTED, STAR
from initbench.report.figures.styled import StyledContests
from initbench.text import join_words

CEILING = 1.2  # losses above so many times the best constant prediction's have the darkest colour
PANELS = 72  # at most, in one figure
SIZE = 1.15  # inches, of a panel


def landscape(contests: StyledContests, tuning: Tuning) -> Drawing | None:
    """Median validation loss over the two keys that it depends on most; None where one key was tuned."""
    if len(tuning.keys) < 2:
        return None
    x, y = shown_keys(tuning)
    tables = by_contest(tuning.rates.assign(label=_labels(tuning, contests)), contests.axes)
    labels = list(contests.styles)
    groups = list(contests.runs.groupby(contests.axes, dropna=False, sort=False))
    chosen, left_out = deepest(groups, max(1, PANELS // len(labels)))
    found: list[tuple[FigurePanel, pd.DataFrame]] = []
    titles = {}
    for row, (_, runs) in enumerate(chosen):
        key = next(each.key for each in contests.grouped(contests.axes) if each.runs.index[0] == runs.index[0])
        titles[row] = next(each.title for each in contests.grouped(contests.axes) if each.key == key)
        for column, label in enumerate(labels):
            here = tables[key][tables[key]["label"] == label]
            if here["finished"].any():
                panel = FigurePanel(label, (*key, label), row, column, runs[runs["label"] == label])
                found.append((panel, here))
    constant = contests.runs["constant_loss"].median()
    low, high = loss_range(tuning.rates["val_loss"].to_numpy(), constant, CEILING) or (0.5, 1.0)
    colours = matplotlib.colormaps["viridis_r"]
    norm = LogNorm(low, max(high, 1.05 * low))
    handles: list[Any] = [
        Line2D([], [], **STAR, markerfacecolor="white", label="best setting"),
        *([marker_handle("o", "default", size=7, fillstyle="none")] if tuning.rates["default"].any() else []),
        marker_handle("x", "diverged", size=5),
    ]
    key_width, least = legend_size(handles)
    sheet = FigureSheet(
        [panel for panel, _ in found],
        title=f"Validation loss over {x} and {y}",
        xlabel=x,
        ylabel=y,
        width=SIZE,
        height=SIZE,
        key=max(key_width, 1.5),
        least=least + 2.2,
        shared_x=True,
        shared_y=True,
    )
    for panel, here in found:
        _draw_panel(panel.ax, here, (x, y), tuning, norm, colours)
    last = {panel.row: panel.ax for panel, _ in found}
    for row, ax in last.items():
        text = broken(titles[row], SIZE, 8)
        ax.text(1.05, 0.5, text, transform=ax.transAxes, rotation=270, fontsize=8, va="center", ha="left", color=MUTED)
    sheet.legend(handles)
    box = sheet.axes(sheet.right + 0.4, sheet.top + least + 0.1, 0.14, 1.9)
    bar = sheet.figure.colorbar(ScalarMappable(norm, colours), cax=box, extend="max")
    bar.set_label(f"median validation loss ({loss_unit(contests.runs)})", fontsize=8.5)
    bar.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.tick_params(labelsize=8, length=3)
    others = [key for key in tuning.keys if key not in (x, y)]
    of_others = f" Where settings differ in {join_words(others)} alone, the lowest loss is on top." if others else ""
    return sheet.drawing(
        name="landscape",
        caption="Validation loss at the end of training, median over the seeds, at each setting that was tried: dark "
        f"is high, and no better than the best constant prediction.{of_others} ★: the setting with the lowest loss, at "
        "which the initializer is compared with others. Ring: the default setting. ×: at least half of the runs "
        f"diverged.{left_out}",
        alt=f"Maps of validation loss over {x} and {y}, one row of panels per contest, one panel per initializer. "
        f"{_best_fact(tuning)}",
    )


def _labels(tuning: Tuning, contests: StyledContests) -> list[str]:
    return [contests.label(row) for row in tuning.rates.to_dict("records")]


def shown_keys(tuning: Tuning) -> tuple[str, str]:
    """The two tuned keys on which validation loss depends most: across, and up."""
    if len(tuning.keys) == 2:
        first, second = tuning.keys
        return first, second
    strength = {key: dependence(tuning.rates, tuning.contests.cell_axes, key) for key in tuning.keys}
    most = sorted(sorted(tuning.keys, key=lambda key: -strength[key])[:2], key=tuning.keys.index)
    return most[0], most[1]


def dependence(rates: pd.DataFrame, axes: list[str], key: str) -> float:
    """The share of the variance of a cell's loss, by rank, between thirds of a key's values; the mean over cells."""
    found = []
    for _, here in rates[rates["finished"] > 0].groupby(axes, dropna=False):
        rank = here["val_loss"].rank()
        if here[key].notna().all() and here[key].nunique() > 2 and rank.var() > 0:
            third = pd.qcut(here[key].rank(method="dense"), 3, labels=False, duplicates="drop")
            found.append(float((rank.groupby(third).transform("mean")).var() / rank.var()))
    return float(np.mean(found)) if found else 0.0


def _draw_panel(
    ax: Axes, rates: pd.DataFrame, keys: tuple[str, str], tuning: Tuning, norm: LogNorm, colours: Any
) -> None:
    x, y = keys
    for key, axis, limits in ((x, ax.xaxis, ax.set_xlim), (y, ax.yaxis, ax.set_ylim)):
        _scale(ax, axis, limits, key, tuning)
    ax.grid(False)
    ax.set_title(ax.get_title(loc="left"), fontsize=8, loc="left", pad=4)
    tell_axes(ax, x, y)
    bottom = ax.get_ylim()[0] if rates[y].isna().all() else None  # the initializer has no such key
    at = rates.assign(**{y: bottom}) if bottom is not None else rates
    if bottom is not None:
        ax.text(0.5, 0.5, f"no {y}", transform=ax.transAxes, ha="center", va="center", fontsize=7.5, color=MUTED)
    at = at[at["finished"] > 0].sort_values("val_loss", ascending=False)
    finite = np.isfinite(at["val_loss"])
    top = at[finite].drop_duplicates([x, y], keep="last")
    across, up = (np.sort(tuning.rates[key].dropna().unique()) for key in keys)
    if not tuning.searched and bottom is None and min(len(across), len(up)) > 1:
        grid = top.pivot_table(index=y, columns=x, values="val_loss").reindex(index=up, columns=across)
        edges = [_edges(values, tuning.scales[key]) for key, values in ((x, across), (y, up))]
        ax.pcolormesh(*edges, grid.to_numpy(), norm=norm, cmap=colours, edgecolors="white", linewidth=0.4)
        ax.set(xlim=edges[0][[0, -1]], ylim=edges[1][[0, -1]])
    else:
        ax.scatter(top[x], top[y], c=top["val_loss"], norm=norm, cmap=colours, s=26, linewidths=0, clip_on=False)
    lost = at[~finite].drop_duplicates([x, y])
    lost = lost[~pd.MultiIndex.from_frame(lost[[x, y]]).isin(pd.MultiIndex.from_frame(top[[x, y]]))]
    ax.plot(lost[x], lost[y], "x", color=MUTED, markersize=4, clip_on=False)
    default, best = at[at["default"]], at[at["best"]]
    ax.plot(default[x], default[y], "o", color=MUTED, markersize=7.5, fillstyle="none", clip_on=False)
    ax.plot(best[x], best[y], **STAR, markerfacecolor="white", clip_on=False, zorder=5)


def _scale(ax: Axes, axis: Any, set_limits: Any, key: str, tuning: Tuning) -> None:
    """A scale of all values that were tried, with a margin, and few ticks."""
    values = tuning.rates[key].dropna()
    low, high = float(values.min()), float(values.max())
    if tuning.scales[key] == LOG:
        (ax.set_xscale if axis is ax.xaxis else ax.set_yscale)("log")
        margin = (high / low) ** 0.08
        set_limits(low / margin, high * margin)
        decades = np.log10(high / low)
        axis.set_major_locator(LogLocator(numticks=4) if decades > 2 else LogLocator(base=2, numticks=5))
    else:
        set_limits(low - 0.08 * (high - low), high + 0.08 * (high - low))
        axis.set_major_locator(MaxNLocator(3))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
    axis.set_tick_params(labelsize=7)


def _edges(values: np.ndarray, scale: str) -> np.ndarray:
    """The borders of tiles around these values, halfway between them on their scale."""
    places = np.log(values) if scale == LOG else values.astype(float)
    between = (places[1:] + places[:-1]) / 2
    edges = np.concatenate([[2 * places[0] - between[0]], between, [2 * places[-1] - between[-1]]])
    return np.exp(edges) if scale == LOG else edges


def _best_fact(tuning: Tuning) -> str:
    found = tuning.cells.dropna(subset="val_loss")
    if found.empty:
        return "There is no setting at which most runs of a cell stay finite."
    best = found.loc[found["val_loss"].idxmin()]
    at = join_words(f"{key} {best[f'best_{key}']:g}" for key in tuning.keys if pd.notna(best[f"best_{key}"]))
    return f"The lowest is {best['val_loss']:.3g}, by {tuning.contests.label(best)} at {at}."
