"""Paired differences to the winner of each contest."""

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from initbench.analysis.contests import by_contest
from initbench.report.figures.drawing import Drawing
from initbench.report.figures.lines import mark, marker_handle
from initbench.report.figures.sheet import FigurePanel, panels, row_sheet
from initbench.report.figures.style import MUTED, STAR, Style
from initbench.report.figures.styled import StyledContests
from initbench.text import plural

FAR = 0.2  # differences of accuracy beyond it are named at the edge, not drawn to scale


def margins(contests: StyledContests) -> Drawing | None:
    """Paired differences of test accuracy to each contest's winner, with intervals; resolved ones are filled."""
    comparisons = contests.comparisons
    if comparisons.empty:
        return None
    groups = {key: _against_winner(here) for key, here in by_contest(comparisons, contests.axes).items()}
    arranged = panels(contests.runs, contests.axes, columns=3)
    won = {panel.key: bool((panel.runs["outcome"] == "learned").any()) for panel in arranged}
    handles = [
        *([Line2D([], [], **STAR, markerfacecolor=MUTED, label="winner")] if any(won.values()) else []),
        *([] if all(won.values()) else [marker_handle("D", "first, where\nnone learned", markerfacecolor="white")]),
        Line2D([], [], color=MUTED, marker="o", markersize=5, label="resolved"),
        Line2D([], [], color=MUTED, marker="o", markersize=5, markerfacecolor="none", label="not resolved"),
        marker_handle(">", "off the scale"),
        marker_handle("x", "runs diverged:\nno difference"),
    ]
    sheet = row_sheet(
        arranged,
        contests.styles,
        handles,
        narrowest=2.6,
        title="How far behind the winner",
        xlabel="test accuracy behind the winner's, paired by seed (percentage points)",
    )
    for panel in arranged:
        if panel.finished and panel.key in groups:
            forest(panel, groups[panel.key], contests.styles, won=won[panel.key])
    against = pd.concat(groups.values())
    fact = f"{against['resolved'].sum()} of {plural(len(against), 'difference')} to a winner are resolved."
    if len(known := against.dropna(subset="difference")):
        largest = known.loc[known["difference"].idxmax()]
        fact += f" The largest is {100 * largest['difference']:.1f} percentage points, "
        fact += f"of {largest['label_b']} behind {largest['label_a']}."
    return sheet.drawing(
        name="margins",
        caption="Difference of test accuracy to the contest's winner, mean over the seeds, with its 95 % interval. "
        "Filled: resolved, which means real at the 5 % level after correction for all pairs of the contest (Holm). "
        "Open: noise alone could explain it. ◇: no initializer learned, so there is no winner, and differences are to "
        "the first in rank. ▸: off the scale, with the number. ×: runs diverged, so there is no mean difference; such "
        f"pairs are compared by a sign test. Each panel has its own scale.{arranged.left_out}",
        alt=f"Forest plots of paired differences of test accuracy to the winner of each contest. {fact}",
    )


def _against_winner(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs of a contest that the winner is in: the one that none is ranked above."""
    winner = next(iter(set(pairs["label_a"]) - set(pairs["label_b"])))
    return pairs[pairs["label_a"] == winner]


def forest(panel: FigurePanel, pairs: pd.DataFrame, styles: dict[str, Style], *, won: bool = True) -> None:
    """One panel of differences (percentage points). pairs: label_a (the winner), label_b, difference, low, high
    (fractions, NaN where there is none), resolved, pairs. won: whether label_a has learned, and so is the winner.
    """
    ax, rows = panel.ax, {label: row for row, label in enumerate(styles)}
    winner = pairs["label_a"].iloc[0]
    near = pairs[pairs["difference"].abs() <= FAR]
    bounds = 100 * near[["difference", "low", "high"]].to_numpy("float64").ravel()
    bounds = np.clip(np.r_[bounds[np.isfinite(bounds)], 0.0, 1.0 if len(near) else 10.0], -150 * FAR, 150 * FAR)
    span = bounds.max() - bounds.min()
    low, high = bounds.min() - 0.06 * span, bounds.max() + 0.3 * span
    ax.set_xlim(low, high)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
    ax.axvline(0, color=MUTED, linewidth=1)
    if won:
        ax.plot(0, rows[winner], zorder=4, clip_on=False, markerfacecolor=styles[winner].color, **STAR)
    else:
        mark(ax, 0, rows[winner], "D", styles[winner].color, markerfacecolor="white", zorder=4)
    for pair in pairs[pairs["pairs"] > 0].itertuples():
        row, colour = rows[pair.label_b], styles[pair.label_b].color
        fill = colour if pair.resolved else "none"
        dot = {"color": colour, "markersize": 5, "markerfacecolor": fill, "zorder": 3}
        value = 100 * pair.difference
        if np.isnan(value):
            ax.plot(high - 0.05 * span, row, marker="x", markersize=5, color=colour)
            ax.text(high - 0.1 * span, row, "diverged", ha="right", va="center", fontsize=7)
        elif pair.difference > FAR:
            ax.plot(high - 0.05 * span, row, marker=">", **dot)
            ax.text(high - 0.1 * span, row, f"{value:.0f}", ha="right", va="center", fontsize=7.5)
        else:
            if np.isfinite(pair.low) and np.isfinite(pair.high):
                ax.hlines(row, 100 * pair.low, 100 * pair.high, color=colour, linewidth=1.5)
            ax.plot(value, row, marker="o", **dot)
