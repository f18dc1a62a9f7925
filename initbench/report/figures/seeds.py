"""Every run as a point, paired differences to the winner, and how often each accuracy is reached."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from initbench.analysis import stats
from initbench.analysis.axes import value_text
from initbench.report.figures.layout import (
    Drawing,
    FigurePanel,
    FigureSheet,
    Styled,
    label_rows,
    legend_size,
    panels,
    row_sheet,
)
from initbench.report.figures.style import INK, MUTED, RULE, Style
from initbench.text import percent, plural

FAR = 0.2  # differences of accuracy beyond it are named at the edge, not drawn to scale


# ---------------------------------------------------------------- every run


def seeds(contests: Styled) -> Drawing | None:
    """A point a run: test accuracy, with diverged runs in a lane of their own."""
    runs = contests.runs.dropna(subset="score")
    if runs.empty:
        return None
    arranged = panels(contests.runs, contests.axes)
    labels = list(contests.look)
    handles = [
        Line2D([], [], color=MUTED, marker="o", markersize=4, linestyle="none", label="a run"),
        Line2D([], [], color=INK, marker="|", markersize=10, markeredgewidth=1.6, linestyle="none", label="median"),
    ]
    lane = bool(np.isneginf(runs["score"]).any())
    if lane:
        handles += [
            Line2D([], [], color=MUTED, marker="x", markersize=5, linestyle="none", label="a diverged run"),
            Patch(facecolor=RULE, label="diverged:\nno accuracy"),
        ]
    sheet = row_sheet(
        arranged, labels, handles, narrowest=2.2, title="Test accuracy of every run", xlabel="test accuracy"
    )
    for panel in arranged:
        strip(runs[runs["run_id"].isin(panel.runs["run_id"])], panel.ax, contests.look, lane=lane)
    return Drawing(
        name="seeds",
        title="Test accuracy of every run",
        caption="A point a seed. Vertical stroke: median, where a diverged run ranks below every finite one. Runs that "
        "diverged have no accuracy: each is a cross in the shaded lane at the left, outside the scale. Each panel has "
        f"its own scale.{arranged.left_out}",
        alt=f"Strip plots of test accuracy, a point a run, a panel a contest. {_spread_fact(runs, contests)}",
        section="seeds",
        figure=sheet.figure,
    )


def strip(runs: pd.DataFrame, ax: Axes, look: dict[str, Style], *, lane: bool = True) -> None:
    """One panel of runs, a row an initializer. runs: label, seed, score (-inf: diverged).

    lane: whether there is a lane for diverged runs, as any panel of the figure needs one.
    """
    label_rows(ax, look)
    ax.grid(axis="x", visible=False)
    score = runs["score"].to_numpy("float64")
    finite = score[np.isfinite(score)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    margin = max(0.04 * (high - low), 0.0025)
    low, high = low - margin, high + margin
    width = 0.2 * (high - low) if lane else 0.0
    ax.set_xlim(low - width, high)
    ax.axvspan(low - width, low, color=RULE, linewidth=0, zorder=0)
    ticks = [tick for tick in MaxNLocator(nbins=4).tick_values(low, high) if low <= tick <= high]
    ax.set_xticks(ticks if len(finite) else [])
    digits = 0 if high - low > 0.05 else 1
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=digits, symbol=" %"))
    rows = {label: row for row, label in enumerate(look)}
    y = runs["label"].map(rows).to_numpy("float64") + _jitter(runs)
    colours = np.array([look[label].color for label in runs["label"]], object)
    shown = np.isfinite(score)
    ax.scatter(score[shown], y[shown], s=14, c=list(colours[shown]), alpha=0.75, linewidths=0, clip_on=False)
    ax.scatter(
        low - width / 2 + width / 4 * _sideways(runs[~shown]),
        y[~shown],
        s=18,
        c=list(colours[~shown]),
        marker="x",
        linewidths=1.2,
    )
    medians = runs.groupby("label", sort=False)["score"].agg(lambda scores: stats.median(scores).value)
    at = np.where(np.isfinite(medians), medians, low - width / 2)
    row = medians.index.map(rows).to_numpy("float64")
    ax.vlines(at, row - 0.4, row + 0.4, color=INK, linewidth=1.4, zorder=1)


def _jitter(runs: pd.DataFrame) -> np.ndarray:
    """Heights within a row that part runs of equal accuracy: of each seed the same everywhere."""
    number = runs.groupby("label", sort=False).cumcount().to_numpy("float64")
    return 0.5 * (np.mod(0.5 + number * 0.618, 1) - 0.5)


def _sideways(runs: pd.DataFrame) -> np.ndarray:
    number = runs.groupby("label", sort=False).cumcount().to_numpy("float64")
    return 2 * np.mod(0.5 + number * 0.382, 1) - 1


def _spread_fact(runs: pd.DataFrame, contests: Styled) -> str:
    diverged = int(np.isneginf(runs["score"]).sum())
    fact = f"{plural(len(runs), 'run')}, of which {diverged} diverged."
    finite = runs[np.isfinite(runs["score"])]
    spread = finite.groupby([*contests.axes, "label"], dropna=False)["score"].agg(["min", "max", "size"]).reset_index()
    spread = spread[spread["size"] > 1]
    if spread.empty:
        return fact
    widest = spread.loc[(spread["max"] - spread["min"]).idxmax()]
    where = ", ".join(f"{axis} {value_text(widest[axis])}" for axis in contests.axes)
    return (
        f"{fact} Seeds differ most for {widest['label']} ({where}): "
        f"{percent(widest['min'])} to {percent(widest['max'])}."
    )


# ---------------------------------------------------------------- differences to the winner


def margins(contests: Styled, comparisons: pd.DataFrame | None) -> Drawing | None:
    """Paired differences of test accuracy to each contest's winner, with intervals; resolved ones are filled.

    comparisons: a row a pair, as `verdict.comparisons` has them.
    """
    if comparisons is None or comparisons.empty:
        return None
    groups = {
        tuple(map(value_text, key)): _against_winner(here)
        for key, here in comparisons.groupby(contests.axes, dropna=False, sort=False)
    }
    arranged = panels(contests.runs, contests.axes, columns=3)
    labels = list(contests.look)
    won = {panel.key: bool((panel.runs["outcome"] == "learned").any()) for panel in arranged}
    handles = [
        *([Line2D([], [], **_star(MUTED), label="winner")] if any(won.values()) else []),
        *([Line2D([], [], **_diamond(MUTED), label="first, where\nnone learned")] if not all(won.values()) else []),
        Line2D([], [], color=MUTED, marker="o", markersize=5, label="resolved"),
        Line2D([], [], color=MUTED, marker="o", markersize=5, markerfacecolor="none", label="not resolved"),
        Line2D([], [], color=MUTED, marker=">", markersize=5, linestyle="none", label="beyond the scale"),
        Line2D([], [], color=MUTED, marker="x", markersize=5, linestyle="none", label="runs diverged:\nno difference"),
    ]
    sheet = row_sheet(
        arranged,
        labels,
        handles,
        narrowest=2.6,
        title="How far behind the winner",
        xlabel="test accuracy behind the winner's, paired by seed (percentage points)",
    )
    for panel in arranged:
        label_rows(panel.ax, contests.look)
        panel.ax.grid(axis="y", visible=False)
        if panel.finished and panel.key in groups:
            forest(panel, groups[panel.key], contests.look, won=won[panel.key])
    against = pd.concat(groups.values())
    resolved = int(against["resolved"].sum())
    return Drawing(
        name="margins",
        title="How far behind the winner",
        caption="Mean paired difference of test accuracy to the contest's winner over the seeds, with its 95 % "
        "interval. Filled: resolved, that is, real at the 5 % level after correction for all pairs of the contest "
        "(Holm). Open: noise could do it. ◇: no initializer learned, so there is no winner, and the "
        "differences are to the first in rank. ▸: beyond the scale, with the number. ×: runs diverged, so there is no "
        "mean "
        f"difference; pairs are then compared by a sign test. Each panel has its own scale.{arranged.left_out}",
        alt="Forest plots of paired differences of test accuracy to the winner of each contest. "
        f"{resolved} of {plural(len(against), 'difference')} to a winner are resolved.{_closest_fact(against)}",
        section="seeds",
        figure=sheet.figure,
    )


def _star(colour: str) -> dict:
    return {
        "marker": "*",
        "markersize": 10,
        "linestyle": "none",
        "markerfacecolor": colour,
        "markeredgecolor": INK,
        "markeredgewidth": 0.6,
    }


def _diamond(colour: str) -> dict:
    return {
        "marker": "D",
        "markersize": 5,
        "linestyle": "none",
        "markerfacecolor": "white",
        "markeredgecolor": colour,
    }


def _against_winner(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs of a contest that the winner is in: the one that none is ranked above."""
    winner = next(iter(set(pairs["label_a"]) - set(pairs["label_b"])))
    return pairs[pairs["label_a"] == winner]


def forest(panel: FigurePanel, pairs: pd.DataFrame, look: dict[str, Style], *, won: bool = True) -> None:
    """One panel of differences (percentage points). pairs: label_a (the winner), label_b, difference, low, high
    (fractions, NaN where there is none), resolved, pairs. won: whether label_a has learned, and so is the winner.
    """
    ax, rows = panel.ax, {label: row for row, label in enumerate(look)}
    winner = pairs["label_a"].iloc[0]
    near = pairs[pairs["difference"].abs() <= FAR]
    bounds = 100 * near[["difference", "low", "high"]].to_numpy("float64").ravel()
    bounds = np.clip(np.r_[bounds[np.isfinite(bounds)], 0.0, 1.0 if len(near) else 10.0], -150 * FAR, 150 * FAR)
    span = bounds.max() - bounds.min()
    low, high = bounds.min() - 0.06 * span, bounds.max() + 0.3 * span
    ax.set_xlim(low, high)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
    ax.axvline(0, color=MUTED, linewidth=1)
    mark = _star if won else _diamond
    ax.plot(0, rows[winner], zorder=4, clip_on=False, **mark(look[winner].color))
    for pair in pairs[pairs["pairs"] > 0].itertuples():
        row, colour = rows[pair.label_b], look[pair.label_b].color
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


def _closest_fact(against: pd.DataFrame) -> str:
    known = against.dropna(subset="difference")
    if known.empty:
        return ""
    largest = known.loc[known["difference"].idxmax()]
    return (
        f" The largest is {100 * largest['difference']:.1f} percentage points, "
        f"of {largest['label_b']} behind {largest['label_a']}."
    )


# ---------------------------------------------------------------- all contests together


def profiles(contests: Styled) -> Drawing | None:
    """Performance profiles: which fraction of an initializer's runs is above each accuracy, over all contests."""
    runs = contests.runs.dropna(subset="score")
    if not np.isfinite(runs["score"]).any():
        return None
    scores = {label: here.to_numpy("float64") for label, here in runs.groupby("label", sort=False)["score"]}
    look = {label: style for label, style in contests.look.items() if label in scores}
    finite = runs.loc[np.isfinite(runs["score"]), "score"]
    low, high = finite.min(), finite.max()
    margin = max(0.02 * (high - low), 0.005)
    thresholds = np.unique(np.r_[max(low - margin, 0), finite, min(high + margin, 1)])  # it changes at scores only
    handles = []
    for label, style in look.items():
        handle = style.handle(f"{label} ({plural(len(scores[label]), 'run')})")
        handle.set_marker("None")
        handles.append(handle)
    key, least = legend_size(handles)
    panel = FigurePanel("all contests", (), 0, 0, runs)
    sheet = FigureSheet(
        [panel],
        title="Performance profiles",
        xlabel="test accuracy τ",
        ylabel="fraction of runs above τ",
        width=6.5,
        height=max(3.8, least - 0.6),
        key=key,
        least=least,
    )
    for label, style in look.items():
        above = stats.performance_profile(scores[label], thresholds)
        panel.ax.plot(
            thresholds, above, color=style.color, linestyle=style.linestyle, linewidth=1.6, drawstyle="steps-post"
        )
    panel.ax.set_ylim(-0.02, 1.02)
    panel.ax.set_xlim(thresholds[0], thresholds[-1])
    panel.ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    panel.ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    sheet.legend(handles)
    return Drawing(
        name="profiles",
        title="Performance profiles",
        caption="How many of an initializer's runs end above each test accuracy, over all contests and seeds; a "
        "diverged run is above none. A curve that lies above another everywhere is better at every level (Dolan & "
        "Moré 2002; Agarwal et al. 2021). Initializers with unequal numbers of runs did not meet the same contests.",
        alt=f"Line chart of the fraction of runs above each test accuracy, by initializer. {_profile_fact(scores)}",
        section="pooled",
        figure=sheet.figure,
    )


def _profile_fact(scores: dict[str, np.ndarray]) -> str:
    middle = {label: float(np.mean(values > 0.5)) for label, values in scores.items()}
    best, worst = max(middle, key=middle.__getitem__), min(middle, key=middle.__getitem__)
    return (
        f"Above 50 % accuracy end {percent(middle[best], 0)} of the runs of {best}, the most, "
        f"and {percent(middle[worst], 0)} of {worst}, the fewest."
    )
