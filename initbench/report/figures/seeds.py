"""Every run as a point."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from initbench.analysis import stats
from initbench.analysis.axes import value_text
from initbench.report.figures.drawing import Drawing
from initbench.report.figures.panels import panels
from initbench.report.figures.sheet import label_rows, row_sheet
from initbench.report.figures.style import INK, MUTED, RULE, Style
from initbench.report.figures.styled import StyledContests
from initbench.text import percent, plural


def seeds(contests: StyledContests) -> Drawing | None:
    """One point per run: test accuracy, with diverged runs in a lane of their own."""
    runs = contests.runs.dropna(subset="score")
    if runs.empty:
        return None
    arranged = panels(contests.runs, contests.axes)
    labels = list(contests.styles)
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
        strip(runs[runs["run_id"].isin(panel.runs["run_id"])], panel.ax, contests.styles, lane=lane)
    return Drawing(
        name="seeds",
        title="Test accuracy of every run",
        caption="One point per seed. Vertical stroke: median; a diverged run ranks below every finite one. Diverged "
        "runs have no accuracy: each is a cross in the shaded lane at the left, off the scale. Each panel has its own "
        f"scale.{arranged.left_out}",
        alt=f"Strip plots of test accuracy, one point per run, one panel per contest. {_spread_fact(runs, contests)}",
        figure=sheet.figure,
    )


def strip(runs: pd.DataFrame, ax: Axes, styles: dict[str, Style], *, lane: bool = True) -> None:
    """One panel of runs, one row per initializer. runs: label, seed, score (-inf: diverged).

    lane: whether there is a lane for diverged runs, as any panel of the figure needs one.
    """
    label_rows(ax, styles)
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
    rows = {label: row for row, label in enumerate(styles)}
    y = runs["label"].map(rows).to_numpy("float64") + _jitter(runs)
    colours = np.array([styles[label].color for label in runs["label"]], object)
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


def _spread_fact(runs: pd.DataFrame, contests: StyledContests) -> str:
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
