"""What trying several learning rates showed: validation loss by rate, and the rates that work."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from initbench.analysis.axes import loss_unit
from initbench.analysis.contests import Contests, by_contest
from initbench.analysis.tuning import Tuning
from initbench.report.figures.drawing import Drawing
from initbench.report.figures.hover import tell_axes
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
    return [validation_loss(contests, tuning), workable_rates(contests, tuning)]


def _by_panel(table: pd.DataFrame, contests: Contests) -> dict[tuple[str, ...], pd.DataFrame]:
    """A table's rows by their contest, with the label of their initializer."""
    labels = [contests.label(row) for row in table.to_dict("records")]
    return by_contest(table.assign(label=labels), contests.axes)


def validation_loss(contests: StyledContests, tuning: Tuning) -> Drawing:
    """Median validation loss over the learning rate: one line per initializer, one panel per contest."""
    arranged, tested = panels(contests.runs, contests.axes), sorted(tuning.rates["lr"].unique())
    groups = _by_panel(tuning.rates, contests)
    data = {panel.key: panel.runs["data"].iloc[0] for panel in arranged}
    scales = {
        name: _limits([groups[key] for key in data if data[key] == name], contests.runs) for name in data.values()
    }
    handles = [
        *contests.handles,
        Line2D([], [], **STAR, markerfacecolor=MUTED, label="best rate"),
        marker_handle("x", "diverged, or\noff the scale", size=6),
        Line2D([], [], color=MUTED, linestyle=":", linewidth=1.1, label="best constant\nprediction"),
    ]
    sheet = curve_sheet(
        arranged,
        handles,
        contests.styles,
        title="Validation loss over the learning rate",
        xlabel="learning rate",
        ylabel=f"median validation loss ({loss_unit(contests.runs)})",
        shared_x=arranged.grid,
        shared_y=len(scales) == 1,
    )
    for panel in arranged:
        limits = scales[data[panel.key]]
        rate_axis(panel.ax, tested)
        tell_axes(panel.ax, "lr", "validation loss")
        log_loss_axis(panel.ax, limits)
        panel.ax.set_ylim(limits)
        panel.ax.axhline(panel.runs["constant_loss"].median(), color=MUTED, linestyle=":", linewidth=1.1)
        by_label = dict(iter(groups[panel.key].groupby("label", sort=False)))
        for label, style in contests.styles.items():
            if label in by_label:
                _line(panel.ax, by_label[label], style, limits[1])
    return sheet.drawing(
        name="validation_loss",
        caption="Validation loss at the end of training, median over the seeds, at each rate that was tried. ★: the "
        f"rate with the lowest loss, at which the initializer is compared with others by {contests.measure.name}. × at "
        f"the top edge: at least half of the runs diverged, or the loss is off the scale.{arranged.left_out}",
        alt=f"Line charts of validation loss over learning rate, one panel per contest. {_best_fact(tuning)}",
    )


def _limits(tables: list[pd.DataFrame], runs: pd.DataFrame) -> tuple[float, float]:
    """The range of one dataset's losses, with its best constant prediction's."""
    losses, constant = pd.concat(tables)["val_loss"].to_numpy(), runs["constant_loss"].median()
    low, high = loss_range(losses, constant, CEILING) or (0.5, max(1.0, constant))
    return low / 1.3, high * 1.3


def _line(ax: Axes, rates: pd.DataFrame, style: Style, top: float) -> None:
    """One initializer's losses. rates: lr in order, val_loss, best."""
    lr, loss, best = (rates[name].to_numpy() for name in ("lr", "val_loss", "best"))
    inside = loss <= top  # of NaN and inf not
    style.line(ax, lr, np.where(inside, loss, np.nan))
    beyond = lr[loss > top]
    mark(ax, beyond, np.full(len(beyond), top), "x", style.color, size=6, zorder=4)
    ax.plot(lr[best], np.minimum(loss[best], top), markerfacecolor=style.color, zorder=5, **STAR)


def _best_fact(tuning: Tuning) -> str:
    found = tuning.cells.dropna(subset="best_lr")
    if found.empty:
        return "There is no rate at which most runs of a cell stay finite."
    best = found.loc[found["val_loss"].idxmin()]
    edges = int((found["edge"] != "").sum())
    return (
        f"The lowest is {best['val_loss']:.3g}, by {tuning.contests.label(best)} at rate {best['best_lr']:g}. In "
        f"{edges} of {plural(len(tuning.cells), 'cell')} the best rate is the lowest or highest that was tried."
    )


def workable_rates(contests: StyledContests, tuning: Tuning) -> Drawing:
    """The best rate and the workable range of each cell: one row per initializer, one panel per contest."""
    labels, arranged = list(contests.styles), panels(contests.runs, contests.axes, columns=3)
    tested = sorted(tuning.rates["lr"].unique())
    handles = [
        Line2D([], [], color=MUTED, linewidth=5, alpha=0.5, solid_capstyle="butt", label="workable range"),
        marker_handle("o", "a rate that works", size=3.5),
        Line2D([], [], **STAR, markerfacecolor=MUTED, label="best rate"),
    ]
    sheet = row_sheet(
        arranged,
        contests.styles,
        handles,
        narrowest=2.4,
        title="Best rate and workable range",
        xlabel="learning rate",
        shared_x=arranged.grid,
    )
    rates, cells = (_by_panel(table, contests) for table in (tuning.rates, tuning.cells))
    for panel in arranged:
        panel.ax.set_title("decades", fontsize=7.5, color=MUTED, loc="right", pad=7)
        rate_axis(panel.ax, tested, ROOM)
        works = dict(iter(rates[panel.key].groupby("label", sort=False)))
        for cell in cells[panel.key].to_dict("records"):
            row, style = labels.index(cell["label"]), contests.styles[cell["label"]]
            here = works[cell["label"]]
            _range(panel.ax, row, cell, here.loc[here["works"], "lr"].to_numpy(), style, tested[-1])
    return sheet.drawing(
        name="workable_rates",
        caption="Dots: rates that work, at which more than half of the finished seeds learned. Bar and number: the "
        "longest unbroken row of them, and its width in decades (powers of ten), 0 where one rate works. ≥: it reaches "
        "the lowest or highest rate tried. ★: the best rate by validation loss, where it works. ← and →: it is the "
        f"lowest or highest rate tried, so a better one may lie beyond.{arranged.left_out}",
        alt=f"Bars of workable learning rates, one row per initializer, one panel per contest. {_width_fact(tuning)}",
    )


def _range(ax: Axes, row: int, cell: dict[str, Any], works: np.ndarray, style: Style, greatest: float) -> None:
    low, high, best = cell["low_lr"], cell["high_lr"], cell["best_lr"]
    ax.plot([low, high], [row, row], color=style.color, linewidth=5, alpha=0.5, solid_capstyle="butt")
    mark(ax, works, np.full(len(works), row), "o", style.color, size=3.5)
    if best in works:
        ax.plot(best, row, markerfacecolor=style.color, zorder=4, **STAR)
    if cell["edge"]:
        arrow, side, shift = ("←", "right", -6) if cell["edge"] == "low" else ("→", "left", 6)
        spot: dict[str, Any] = {"xytext": (shift, 0), "textcoords": "offset points", "annotation_clip": False}
        ax.annotate(arrow, (best, row), ha=side, va="center", fontsize=8, **spot)
    ax.text(greatest * ROOM / 1.1, row, width_text(cell), ha="right", va="center", fontsize=8)


def width_text(cell: dict[str, Any]) -> str:
    """ "1.5", "≥ 1.5" where the range reaches the edge of what was tried, "none" or, with no best rate, "diverged"."""
    if math.isnan(cell["decades"]):
        return "diverged" if math.isnan(cell["best_lr"]) and cell["rates"] else "none"
    open_ = cell["low_lr"] == cell["least_lr"] or cell["high_lr"] == cell["greatest_lr"]
    return f"{'≥ ' if open_ else ''}{cell['decades']:.1f}"


def _width_fact(tuning: Tuning) -> str:
    wide = tuning.cells.dropna(subset="decades")
    if wide.empty:
        return "There is no rate at which most runs of a cell learn."
    best = wide.loc[wide["decades"].idxmax()]
    none = len(tuning.cells) - len(wide)
    return (
        f"The widest range is {best['decades']:.1f} decades, of {tuning.contests.label(best)}; "
        f"{none} of {plural(len(tuning.cells), 'cell')} have no rate that works."
    )
