"""What trying several learning rates showed: validation loss by rate, and the rates that work."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from initbench.analysis.axes import loss_unit
from initbench.analysis.contests import Contests, by_contest
from initbench.analysis.tuning import Tuning
from initbench.config.ranges import LOG
from initbench.report.figures.drawing import Drawing
from initbench.report.figures.hover import tell_axes
from initbench.report.figures.landscape import landscape
from initbench.report.figures.lines import log_loss_axis, loss_range, mark, marker_handle, rate_axis
from initbench.report.figures.sheet import curve_sheet, panels, row_sheet
from initbench.report.figures.style import MUTED, STAR, Style
from initbench.report.figures.styled import StyledContests
from initbench.text import plural

CEILING = 2  # losses above so many times the best constant prediction's are drawn at the edge
ROOM = 4.0  # the panel of a workable range ends at so many times the greatest rate, so that its width can be written


def drawings(tuning: Tuning | None) -> list[Drawing]:
    """The figures of tuned results; none where nothing was tuned or is finished."""
    if tuning is None or not tuning.rates["finished"].any():
        return []
    contests = StyledContests.of(tuning.contests)
    if (drawing := landscape(contests, tuning)) is not None:
        return [drawing]
    return [validation_loss(contests, tuning), workable_rates(contests, tuning)]


def _name(tuning: Tuning) -> str:
    """The tuned key, as an axis is labelled: "learning rate"."""
    return "learning rate" if tuning.keys == ["lr"] else tuning.keys[0]


def _the(tuning: Tuning) -> str:
    return "the learning rate" if tuning.keys == ["lr"] else tuning.keys[0]


def _axis(ax: Axes, tested: list[float], tuning: Tuning, room: float = 1.35) -> None:
    """An axis with a tick at each value that was tried, as many as have room."""
    if tuning.scales[tuning.keys[0]] == LOG and not tuning.searched:
        rate_axis(ax, tested, room)
    elif tuning.scales[tuning.keys[0]] == LOG:
        ax.set_xscale("log")
        ax.set_xlim(tested[0] / 1.35, tested[-1] * room)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
    else:
        margin = 0.05 * (tested[-1] - tested[0])
        ax.set_xlim(tested[0] - margin, tested[-1] + margin)


def _by_panel(table: pd.DataFrame, contests: Contests) -> dict[tuple[str, ...], pd.DataFrame]:
    """A table's rows by their contest, with the label of their initializer."""
    labels = [contests.label(row) for row in table.to_dict("records")]
    return by_contest(table.assign(label=labels), contests.axes)


def validation_loss(contests: StyledContests, tuning: Tuning) -> Drawing:
    """Median validation loss over the learning rate: one line per initializer, one panel per contest."""
    arranged, tested = panels(contests.runs, contests.axes), sorted(tuning.rates[tuning.keys[0]].dropna().unique())
    groups = _by_panel(tuning.rates, contests)
    data = {panel.key: panel.runs["data"].iloc[0] for panel in arranged}
    scales = {
        name: _limits([groups[key] for key in data if data[key] == name], contests.runs) for name in data.values()
    }
    handles = [
        *contests.handles,
        Line2D([], [], **STAR, markerfacecolor=MUTED, label="best value"),
        marker_handle("x", "diverged, or\noff the scale", size=6),
        Line2D([], [], color=MUTED, linestyle=":", linewidth=1.1, label="best constant\nprediction"),
    ]
    sheet = curve_sheet(
        arranged,
        handles,
        contests.styles,
        title=f"Validation loss over {_the(tuning)}",
        xlabel=_name(tuning),
        ylabel=f"median validation loss ({loss_unit(contests.runs)})",
        shared_x=arranged.grid,
        shared_y=len(scales) == 1,
    )
    for panel in arranged:
        limits = scales[data[panel.key]]
        _axis(panel.ax, tested, tuning)
        tell_axes(panel.ax, tuning.keys[0], "validation loss")
        log_loss_axis(panel.ax, limits)
        panel.ax.set_ylim(limits)
        panel.ax.axhline(panel.runs["constant_loss"].median(), color=MUTED, linestyle=":", linewidth=1.1)
        by_label = dict(iter(groups[panel.key].groupby("label", sort=False)))
        for label, style in contests.styles.items():
            if label in by_label:
                _line(panel.ax, by_label[label], style, limits[1], tuning.keys[0])
    return sheet.drawing(
        name="validation_loss",
        caption="Validation loss at the end of training, median over the seeds, at each value that was tried. ★: the "
        "value with the lowest loss, at which the initializer is compared with others by "
        f"{contests.measure.name}. × at the top edge: at least half of the runs diverged, or the loss is off the scale."
        f"{arranged.left_out}",
        alt=f"Line charts of validation loss over {_name(tuning)}, one panel per contest. {_best_fact(tuning)}",
    )


def _limits(tables: list[pd.DataFrame], runs: pd.DataFrame) -> tuple[float, float]:
    """The range of one dataset's losses, with its best constant prediction's."""
    losses, constant = pd.concat(tables)["val_loss"].to_numpy(), runs["constant_loss"].median()
    low, high = loss_range(losses, constant, CEILING) or (0.5, max(1.0, constant))
    return low / 1.3, high * 1.3


def _line(ax: Axes, rates: pd.DataFrame, style: Style, top: float, key: str) -> None:
    """One initializer's losses. rates: the values of the tuned key in order, val_loss, best."""
    lr, loss, best = (rates[name].to_numpy() for name in (key, "val_loss", "best"))
    inside = loss <= top  # of NaN and inf not
    style.line(ax, lr, np.where(inside, loss, np.nan))
    beyond = lr[loss > top]
    mark(ax, beyond, np.full(len(beyond), top), "x", style.color, size=6, zorder=4)
    ax.plot(lr[best], np.minimum(loss[best], top), markerfacecolor=style.color, zorder=5, **STAR)


def _best_fact(tuning: Tuning) -> str:
    (key,) = tuning.keys
    found = tuning.cells.dropna(subset=f"best_{key}")
    if found.empty:
        return f"There is no {tuning.noun} at which most runs of a cell stay finite."
    best = found.loc[found["val_loss"].idxmin()]
    edges = int((found["edge"] != "").sum())
    at = f"{'rate' if key == 'lr' else key} {best[f'best_{key}']:g}"
    return (
        f"The lowest is {best['val_loss']:.3g}, by {tuning.contests.label(best)} at {at}. In {edges} of "
        f"{plural(len(tuning.cells), 'cell')} the best value is the lowest or highest that was tried."
    )


def workable_rates(contests: StyledContests, tuning: Tuning) -> Drawing:
    """The best rate and the workable range of each cell: one row per initializer, one panel per contest."""
    labels, arranged = list(contests.styles), panels(contests.runs, contests.axes, columns=3)
    tested = sorted(tuning.rates[tuning.keys[0]].dropna().unique())
    handles = [
        Line2D([], [], color=MUTED, linewidth=5, alpha=0.5, solid_capstyle="butt", label="workable range"),
        marker_handle("o", "a value that works", size=3.5),
        Line2D([], [], **STAR, markerfacecolor=MUTED, label="best value"),
    ]
    sheet = row_sheet(
        arranged,
        contests.styles,
        handles,
        narrowest=2.4,
        title=f"Best {tuning.noun} and workable range",
        xlabel=_name(tuning),
        shared_x=arranged.grid,
    )
    rates, cells = (_by_panel(table, contests) for table in (tuning.rates, tuning.cells))
    for panel in arranged:
        if "decades" in tuning.cells:
            panel.ax.set_title("decades", fontsize=7.5, color=MUTED, loc="right", pad=7)
        _axis(panel.ax, tested, tuning, ROOM)
        works = dict(iter(rates[panel.key].groupby("label", sort=False)))
        for cell in cells[panel.key].to_dict("records"):
            row, style = labels.index(cell["label"]), contests.styles[cell["label"]]
            here = works[cell["label"]]
            _range(panel.ax, row, cell, here.loc[here["works"], tuning.keys[0]].to_numpy(), style, tuning.keys[0])
    return sheet.drawing(
        name="workable_rates",
        caption="Dots: values that work, at which more than half of the finished seeds learned. Bar and number: the "
        "longest unbroken row of them, and its width in decades (powers of ten), 0 where one value works. ≥: it "
        "reaches the lowest or highest value tried. ★: the best value by validation loss, where it works. ← and →: it "
        f"is the lowest or highest value tried, so a better one may lie beyond.{arranged.left_out}",
        alt=f"Bars of workable values of {_name(tuning)}, one row per initializer, one panel per contest. "
        f"{_width_fact(tuning)}",
    )


def _range(ax: Axes, row: int, cell: dict[str, Any], works: np.ndarray, style: Style, key: str) -> None:
    low, high, best = (cell[f"{name}_{key}"] for name in ("low", "high", "best"))
    ax.plot([low, high], [row, row], color=style.color, linewidth=5, alpha=0.5, solid_capstyle="butt")
    mark(ax, works, np.full(len(works), row), "o", style.color, size=3.5)
    if best in works:
        ax.plot(best, row, markerfacecolor=style.color, zorder=4, **STAR)
    if cell["edge"]:
        arrow, side, shift = ("←", "right", -6) if cell["edge"] == "low" else ("→", "left", 6)
        spot: dict[str, Any] = {"xytext": (shift, 0), "textcoords": "offset points", "annotation_clip": False}
        ax.annotate(arrow, (best, row), ha=side, va="center", fontsize=8, **spot)
    if "decades" in cell:
        ax.text(ax.get_xlim()[1] / 1.1, row, width_text(cell, key), ha="right", va="center", fontsize=8)


def width_text(cell: dict[str, Any], key: str = "lr") -> str:
    """ "1.5", "≥ 1.5" where the range reaches the edge of what was tried, "none" or, with no best rate, "diverged"."""
    if math.isnan(cell["decades"]):
        return "diverged" if math.isnan(cell[f"best_{key}"]) and cell["rates"] else "none"
    open_ = cell[f"low_{key}"] == cell[f"least_{key}"] or cell[f"high_{key}"] == cell[f"greatest_{key}"]
    return f"{'≥ ' if open_ else ''}{cell['decades']:.1f}"


def _width_fact(tuning: Tuning) -> str:
    if "decades" not in tuning.cells:
        return ""
    wide = tuning.cells.dropna(subset="decades")
    if wide.empty:
        return f"There is no {tuning.noun} at which most runs of a cell learn."
    best = wide.loc[wide["decades"].idxmax()]
    none = len(tuning.cells) - len(wide)
    return (
        f"The widest range is {best['decades']:.1f} decades, of {tuning.contests.label(best)}; "
        f"{none} of {plural(len(tuning.cells), 'cell')} have no value that works."
    )
