"""How sensitive each initializer is to the learning rate."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from initbench.analysis.contests import by_contest
from initbench.analysis.measure import Measure
from initbench.report.figures.drawing import Drawing
from initbench.report.figures.hover import tell_axes
from initbench.report.figures.lines import mark, marker_handle, rate_axis
from initbench.report.figures.percent_ticks import score_ticks
from initbench.report.figures.sheet import (
    FigurePanel,
    FigureSheet,
    label_rows,
    legend_size,
    panels,
    rows_height,
    style_axes,
    text_width,
)
from initbench.report.figures.style import MUTED, STAR, Style
from initbench.report.figures.styled import StyledContests
from initbench.text import plural


def rates(contests: StyledContests) -> pd.DataFrame:
    """How each learning rate did, one row per contest, initializer and rate: the contest's axes (with lr), `label`,
    `median` score (-inf where it falls on a diverged run), `works` (more than half of the finished seeds
    learned), `best` (the highest median among the rates of the initializer that work; the lowest rate of equals).
    """
    table = contests.cells[contests.cells["finished"] > 0]
    table = table.rename(columns={"score": "median", "most_learned": "works"})
    table = table.sort_values("lr", kind="stable", ignore_index=True)
    working = table[table["works"]].sort_values("median", ascending=False, kind="stable")
    winners = working.groupby([*contests.without("lr"), "label"], dropna=False, sort=False).head(1)
    return table.assign(best=table.index.isin(winners.index))


def learning_rate(contests: StyledContests) -> Drawing | None:
    """Median score over the learning rate, and beneath it the rates that work for each initializer."""
    table = rates(contests) if "lr" in contests.axes else pd.DataFrame()
    if table.empty or table["lr"].nunique() < 2:
        return None
    labels, rest, scored = list(contests.styles), contests.without("lr"), contests.measure
    arranged = panels(contests.runs, rest, columns=3)
    handles = [
        *contests.handles,
        Line2D([], [], color=MUTED, linewidth=4, alpha=0.5, solid_capstyle="butt", label="rates that work"),
        Line2D([], [], **STAR, markerfacecolor=MUTED, label="best rate"),
        marker_handle("x", "median run\ndiverged", size=6),
    ]
    key, least = legend_size(handles)
    columns = 1 + max(p.column for p in arranged)
    sheet = FigureSheet(
        arranged.panels,
        title="Sensitivity to the learning rate",
        xlabel="learning rate",
        width=float(np.clip(8.5 / columns, 2.6, 4.5)),
        height=2.3 + rows_height(labels),
        left=max(0.85, 0.35 + text_width(labels)),
        key=key,
        least=least,
        shared_y=True,
    )
    groups = by_contest(table, rest)
    for panel in arranged:
        _rate_panel(sheet, panel, groups.get(panel.key, table.iloc[:0]), contests, sorted(table["lr"].unique()))
    sheet.legend(handles, {label: label for label in labels})
    return sheet.drawing(
        name="learning_rate",
        caption=f"Top: median {scored.name} over the seeds; a diverged run ranks below every finite one. Bottom: dots "
        "mark rates that work, at which more than half of the finished seeds learned; bars join neighbouring rates "
        "that work. ★: the best rate. ×: the median run diverged. The wider the bar, the less the exact rate matters."
        f"{arranged.left_out}",
        alt=f"Line charts of median {scored.name} over learning rate, with a bar of the rates that work for each "
        f"initializer. {_rate_fact(table, scored)}",
    )


def _rate_panel(
    sheet: FigureSheet, panel: FigurePanel, table: pd.DataFrame, contests: StyledContests, rates: list[float]
) -> None:
    upper = panel.ax
    box = upper.get_position()
    part = rows_height(contests.styles) / (box.height * sheet.height)
    upper.set_position((box.x0, box.y0 + box.height * (part + 0.03), box.width, box.height * (0.97 - part)))
    lower = sheet.figure.add_axes((box.x0, box.y0, box.width, box.height * part))
    below = FigurePanel("", (), 0, panel.column, panel.runs, ax=lower)
    style_axes(below)
    label_rows(lower, contests.styles, x="lr")
    lower.tick_params(labelleft=panel.column == 0)
    for ax in (upper, lower):
        rate_axis(ax, rates)
    upper.tick_params(labelbottom=False)
    scored = contests.measure
    tell_axes(upper, "lr", f"median {scored.name}")
    upper.set_ylim(*((-0.02, 1.03) if scored.share else (_lowest(contests), 0.05)))
    upper.yaxis.set_major_formatter(score_ticks(scored))
    if panel.column == 0:
        upper.set_ylabel(f"median {scored.axis}".replace(" (", "\n("), fontsize=8.5)
    by_label = dict(iter(table.groupby("label", sort=False)))
    for row, (label, style) in enumerate(contests.styles.items()):
        if label in by_label:
            _rate_line(upper, lower, row, by_label[label], style)


def _lowest(contests: StyledContests) -> float:
    """Where the axis of errors ends: below that of the best constant prediction, and not far below it."""
    medians = contests.cells["score"]
    lowest = medians[np.isfinite(medians)].min()
    return max(contests.measure.least, min(lowest, -1.0)) - 0.05


def _rate_line(upper: Axes, lower: Axes, row: int, cells: pd.DataFrame, style: Style) -> None:
    lr, median, works = (cells[name].to_numpy() for name in ("lr", "median", "works"))
    finite = np.isfinite(median)
    style.line(upper, lr, np.where(finite, median, np.nan))
    mark(lower, lr[~finite], np.full((~finite).sum(), row), "x", style.color)
    best = cells["best"].to_numpy(bool)
    for ax, height in ((upper, median[best]), (lower, np.full(best.sum(), row))):
        ax.plot(lr[best], height, markerfacecolor=style.color, zorder=4, **STAR)
    mark(lower, lr[works], np.full(works.sum(), row), "o", style.color, size=3.5)
    bar = np.where(works, row, np.nan)
    lower.plot(lr, bar, color=style.color, linewidth=5, alpha=0.5, solid_capstyle="butt")


def _rate_fact(table: pd.DataFrame, scored: Measure) -> str:
    working = table[table["works"]]
    if working.empty:
        return "There is no rate at which most seeds learn."
    counts = working.groupby("label", sort=False).size()
    best = table[table["best"]]
    top = best.loc[best["median"].idxmax()]
    return (
        f"The best is {top['label']} at rate {top['lr']:g}, with {scored.text(top['median'])} median {scored.name}. "
        f"Over all contests, {counts.idxmax()} works at {plural(int(counts.max()), 'rate')} and {counts.idxmin()} at "
        f"{counts.min()}."
    )
