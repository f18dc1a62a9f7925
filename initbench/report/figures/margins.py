"""How far each initializer is behind the best of its contest."""

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from initbench.analysis.best_set import LEVEL
from initbench.analysis.contests import by_contest, contest_key
from initbench.report.figures.drawing import Drawing
from initbench.report.figures.hover import tell_axes
from initbench.report.figures.lines import marker_handle
from initbench.report.figures.sheet import FigurePanel, panels, row_sheet
from initbench.report.figures.style import MUTED, STAR, Style
from initbench.report.figures.styled import StyledContests
from initbench.text import percent, plural

FAR = 0.2  # differences of scores beyond it are named at the edge, not drawn to scale


def margins(contests: StyledContests) -> Drawing | None:
    """Differences of mean scores to the best of the others, with simultaneous bounds; filled: ruled out."""
    shown, ranking = {contest.key for contest in contests}, contests.ranking
    if ranking.empty:
        return None
    groups = by_contest(ranking[ranking["behind"].notna()], contests.axes)
    groups = {key: rows for key, rows in groups.items() if key in shown}
    if not groups:
        return None
    compared = pd.concat(groups.values())
    kept = [contest_key(run, contests.axes) in groups for run in contests.runs[contests.axes].to_dict("records")]
    arranged = panels(contests.runs[kept], contests.axes, columns=3)
    handles = [
        Line2D([], [], **STAR, markerfacecolor=MUTED, label="first"),
        Line2D([], [], color=MUTED, marker="o", markersize=5, label="cannot be\nthe best"),
        Line2D([], [], color=MUTED, marker="o", markersize=5, markerfacecolor="none", label="may be\nthe best"),
        marker_handle(">", "off the scale"),
    ]
    scored = contests.measure
    sheet = row_sheet(
        arranged,
        contests.styles,
        handles,
        narrowest=2.6,
        title="How far behind the best",
        xlabel=f"mean {scored.name} of the runs that learned, behind the best of the others ({scored.unit})",
    )
    for panel in arranged:
        tell_axes(panel.ax, f"{scored.unit} behind the best:", "", contests.styles)
        if panel.finished and panel.key in groups:
            forest(panel, groups[panel.key], contests.styles, scored.scale)
    ruled_out = int((~compared["may_be_best"]).sum())
    farthest = compared.loc[compared["behind"].idxmax()]
    gap = f"{farthest['label']}, by {scored.gap(farthest['behind'])}"
    return sheet.drawing(
        name="margins",
        caption=f"Difference of the mean {scored.name} to the best of the others that learn as often, over the runs "
        f"that learned, with {percent(LEVEL, 0)} bounds that hold for all of a contest at once. Left of 0: ahead. "
        "Filled: cannot be the best. Initializers that never learned have no dot, and contests in which fewer than two "
        "learned have no panel. ▸: off the scale, with the number. "
        f"Each panel has its own scale.{arranged.left_out}",
        alt=f"Forest plots of the differences of {scored.name} to the best of each contest. "
        f"{ruled_out} of {plural(len(compared), 'initializer')} that learned cannot be the best. The farthest behind "
        f"is {gap}.",
    )


def forest(panel: FigurePanel, rows: pd.DataFrame, styles: dict[str, Style], scale: float) -> None:
    """One panel. rows: label, rank, may_be_best, and behind, low, high in scores; scale: to the axis's unit."""
    ax, places = panel.ax, {label: place for place, label in enumerate(styles)}
    near = rows[rows["behind"] <= FAR]
    bounds = scale * near[["behind", "low", "high"]].to_numpy("float64").ravel()
    least = scale * (0.01 if len(near) else 0.1)
    bounds = np.clip(np.r_[bounds[np.isfinite(bounds)], 0.0, least], -1.5 * scale * FAR, 1.5 * scale * FAR)
    span = bounds.max() - bounds.min()
    low, high = bounds.min() - 0.06 * span, bounds.max() + 0.3 * span
    ax.set_xlim(low, high)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
    ax.axvline(0, color=MUTED, linewidth=1)
    for row in rows.itertuples():
        y, colour, value = places[row.label], styles[row.label].color, scale * row.behind
        dot = {"color": colour, "markersize": 5, "markerfacecolor": "none" if row.may_be_best else colour, "zorder": 3}
        if row.behind > FAR:
            ax.plot(high - 0.05 * span, y, marker=">", **dot)
            ax.text(high - 0.1 * span, y, f"{value:.2g}", ha="right", va="center", fontsize=7.5)
            continue
        if np.isfinite(row.low) and np.isfinite(row.high):
            ax.hlines(y, max(scale * row.low, low), min(scale * row.high, high), color=colour, linewidth=1.5)
        if row.rank == 1:
            ax.plot(value, y, zorder=4, clip_on=False, markerfacecolor=colour, **STAR)
        else:
            ax.plot(value, y, marker="o", **dot)
