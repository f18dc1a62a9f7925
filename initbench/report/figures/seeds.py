"""Every run as a point."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from initbench.analysis import stats
from initbench.analysis.axes import value_text
from initbench.analysis.measure import ACCURACY, Measure
from initbench.outcomes import DIVERGED
from initbench.report.figures.drawing import Drawing
from initbench.report.figures.lines import marker_handle
from initbench.report.figures.percent_ticks import score_ticks
from initbench.report.figures.sheet import panels, row_sheet
from initbench.report.figures.style import INK, RULE, Style
from initbench.report.figures.styled import StyledContests
from initbench.text import capitalized, plural


def seeds(contests: StyledContests) -> Drawing | None:
    """One point per run: its score, with diverged runs in a lane of their own."""
    runs, scored = contests.runs.dropna(subset="score"), contests.measure
    if len(runs) < 2:
        return None
    runs = runs.assign(score=runs["score"].where(runs["score"] >= scored.least, -np.inf))
    arranged = panels(contests.runs, contests.axes)
    handles = [
        marker_handle("o", "a run", size=4),
        marker_handle("|", "median", size=10, color=INK, markeredgewidth=1.6),
    ]
    lane = bool(np.isneginf(runs["score"]).any())
    if lane:
        handles += [marker_handle("x", "a diverged run"), Patch(facecolor=RULE, label=_lane(scored))]
    sheet = row_sheet(
        arranged,
        contests.styles,
        handles,
        narrowest=2.2,
        grid="y",
        title=f"{capitalized(scored.name)} of every run",
        xlabel=scored.axis,
    )
    for panel in arranged:
        strip(runs[runs["run_id"].isin(panel.runs["run_id"])], panel.ax, contests.styles, scored, lane=lane)
    return sheet.drawing(
        name="seeds",
        caption="One point per seed, the better the farther right. Vertical stroke: median; a diverged run ranks below "
        f"every finite one. Diverged runs have no {scored.name}: each is a cross in the shaded lane at the left, off "
        f"the scale{_too_bad(scored)}. Each panel has its own scale.{arranged.left_out}",
        alt=f"Strip plots of {scored.name}, one point per run, one panel per contest. {_spread_fact(runs, contests)}",
    )


def _lane(scored: Measure) -> str:
    return f"diverged:\nno {scored.name.removeprefix('test ')}" if scored.share else "diverged, or\noff the scale"


def _too_bad(scored: Measure) -> str:
    """What else is in the lane of diverged runs."""
    return "" if scored.share else f"; so are runs with an error above {scored.text(scored.least)}"


def strip(
    runs: pd.DataFrame, ax: Axes, styles: dict[str, Style], scored: Measure = ACCURACY, *, lane: bool = True
) -> None:
    """One panel of runs, one row per initializer. runs: label, seed, score (-inf: in the lane).

    lane: whether there is a lane for diverged runs, as any panel of the figure needs one.
    """
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
    ax.xaxis.set_major_formatter(score_ticks(scored))
    rows = {label: row for row, label in enumerate(styles)}
    y = runs["label"].map(rows).to_numpy("float64") + 0.5 * (_evenly(runs, 0.618) - 0.5)
    colours = np.array([styles[label].color for label in runs["label"]], object)
    shown = np.isfinite(score)
    ax.scatter(score[shown], y[shown], s=14, c=list(colours[shown]), alpha=0.75, linewidths=0, clip_on=False)
    lost = low - width / 2 + width / 4 * (2 * _evenly(runs[~shown], 0.382) - 1)
    ax.scatter(lost, y[~shown], s=18, c=list(colours[~shown]), marker="x", linewidths=1.2)
    medians = runs.groupby("label", sort=False)["score"].agg(lambda scores: stats.median(scores).value)
    at = np.where(np.isfinite(medians), medians, low - width / 2)
    row = medians.index.map(rows).to_numpy("float64")
    ax.vlines(at, row - 0.4, row + 0.4, color=INK, linewidth=1.4, zorder=1)


def _evenly(runs: pd.DataFrame, ratio: float) -> np.ndarray:
    """Places from 0 to 1 that part the runs of an initializer: the same of a seed everywhere. ratio: a golden one."""
    number = runs.groupby("label", sort=False).cumcount().to_numpy("float64")
    return np.mod(0.5 + number * ratio, 1)


def _spread_fact(runs: pd.DataFrame, contests: StyledContests) -> str:
    diverged, scored = int((runs["outcome"] == DIVERGED).sum()), contests.measure
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
        f"{scored.text(widest['min'])} to {scored.text(widest['max'])}."
    )
