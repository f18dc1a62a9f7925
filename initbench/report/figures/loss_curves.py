"""Training loss over the steps."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from initbench.analysis.axes import loss_unit
from initbench.outcomes import DIVERGED
from initbench.report.figures.drawing import Drawing
from initbench.report.figures.hover import tell_axes
from initbench.report.figures.lines import (
    BAND,
    Points,
    by_label,
    by_run,
    line_and_band,
    log_loss_axis,
    loss_range,
    mark,
    marker_handle,
    several_seeds,
)
from initbench.report.figures.sheet import curve_sheet, panels
from initbench.report.figures.style import MUTED, Style
from initbench.report.figures.styled import StyledContests
from initbench.text import percent, plural

POINTS = 150  # that a curve is drawn through
FEWER_POINTS = 60  # the same, where there are more than MANY curves
MANY = 200
WINDOW = 0.02  # the running mean that smooths the noise of minibatches, as a fraction of the steps
CEILING = 5  # losses above so many times the best constant prediction's are cut off


def loss_curves(contests: StyledContests) -> Drawing | None:
    """Training loss over the steps: the median over seeds in a band from the lowest to the highest."""
    runs, arranged = contests.runs, panels(contests.runs, contests.axes)
    curves = contests.done.groupby([*contests.axes, "label"], dropna=False).ngroups
    data = smoothed(contests.results.losses, runs, FEWER_POINTS if curves > MANY else POINTS)
    if not data:
        return None
    scales = {name: _loss_scale(here, data) for name, here in runs.groupby("data", sort=False)}
    mixed = contests.done["loss_unit"].nunique() > 1
    unit = {"nats": "cross-entropy, nats"}.get(loss_unit(contests.done), loss_unit(contests.done))
    for panel in arranged if mixed else ():
        panel.title += f", loss in {loss_unit(panel.runs)}"
    diverged = bool((contests.done["outcome"] == DIVERGED).any())
    handles = [
        *contests.handles,
        Line2D([], [], color=MUTED, linestyle=":", linewidth=1.1, label="best constant\nprediction"),
        *(BAND if several_seeds(contests.done) else ()),
        *([marker_handle("x", "a run diverged", size=6, markeredgewidth=1.6)] if diverged else ()),
    ]
    sheet = curve_sheet(
        arranged,
        handles,
        contests.styles,
        title="Training loss",
        xlabel="step",
        ylabel="training loss" if mixed else f"training loss ({unit})",
        shared_x=arranged.grid,
        shared_y=len(scales) == 1,
    )
    for panel in arranged:
        ax, (limits, log, _) = panel.ax, scales[panel.runs["data"].iloc[0]]
        if log:
            log_loss_axis(ax, limits)
        ax.set_xlim(-0.02 * runs["steps"].max(), 1.02 * runs["steps"].max())
        ax.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        ax.set_ylim(limits)
        ax.axhline(panel.runs["constant_loss"].median(), color=MUTED, linestyle=":", linewidth=1.1)
        tell_axes(ax, "step", "training loss")
        loss_curve(panel.runs, data, ax, contests.styles)
    return sheet.drawing(
        name="loss_curves",
        caption="Line: median over seeds; a diverged run counts as the highest. Band: lowest to highest seed. ×: a run "
        "diverged. Dotted: loss of the best constant prediction. Smoothed by a running mean over "
        f"{percent(WINDOW, 0)} of the steps."
        + (" Losses off the scale are cut off." if any(cut for *_, cut in scales.values()) else "")
        + (" Each dataset has its own scale." if len(scales) > 1 else "")
        + arranged.left_out,
        alt=f"Line charts of training loss over steps, one panel per contest. {_loss_fact(contests)}",
    )


def _loss_fact(contests: StyledContests) -> str:
    done = contests.done
    diverged = int((done["outcome"] == "diverged").sum())
    finite = done[done["train_loss"].notna()]
    if finite.empty:
        return f"All {plural(len(done), 'finished run')} diverged."
    facts = []
    for unit, here in finite.groupby("loss_unit", sort=False):
        medians = here.groupby("label")["train_loss"].median()
        low, high = (f"{medians[label]:.3g} ({unit}), by {label}" for label in (medians.idxmin(), medians.idxmax()))
        facts.append(f"Over all contests, the lowest median final loss is {low}, and the highest {high}.")
    return f"{' '.join(facts)} {diverged} of {len(done)} finished runs diverged."


def loss_curve(runs: pd.DataFrame, curves: dict[str, Points], ax: Axes, styles: dict[str, Style]) -> None:
    """One panel of training loss. runs: run_id, label; curves: of each run steps and losses (infinite once it has
    diverged).
    """
    top = ax.get_ylim()[1]
    for label, steps, losses in by_label(runs, curves, styles):
        line_and_band(ax, steps, losses, styles[label], markevery=0.2)
        diverged = losses[:, np.isinf(losses).any(axis=0)]
        if not diverged.size:
            continue
        last = np.maximum(np.isfinite(diverged).sum(axis=0) - 1, 0)
        loss = diverged[last, np.arange(diverged.shape[1])]  # infinite where not even the first is finite
        mark(ax, steps[last], np.minimum(loss, top), "x", styles[label].color, size=6, markeredgewidth=1.6, zorder=4)


def smoothed(losses: pd.DataFrame, runs: pd.DataFrame, points: int = POINTS) -> dict[str, Points]:
    """The curves of finished `runs` as running means at so many steps; infinite where a run had diverged.

    losses: run_id, step, train_loss. Returns each run's steps and losses.
    """
    curves, found = by_run(losses, "step", "train_loss"), {}
    done = runs[runs["status"] == "done"]
    for run_id, outcome, length in zip(done["run_id"], done["outcome"], done["steps"], strict=True):
        steps, loss = curves.get(run_id, (np.empty(0, int), np.empty(0)))
        if not len(steps) and outcome != "diverged":
            continue
        grid = np.unique(np.linspace(0, length - 1, points).round().astype(int))
        value = np.full(len(grid), np.inf if outcome == "diverged" else np.nan)
        if len(steps):
            seen = grid <= steps[-1]
            value[seen] = np.interp(grid[seen], steps, running_mean(loss, round(WINDOW * len(steps))))
        found[run_id] = (grid, value)
    return found


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """The mean over `window` values centred at each; fewer at the ends."""
    kernel = np.ones(min(max(window, 1), len(values)))
    total = np.convolve(values.astype("float64"), kernel, "same")
    return total / np.convolve(np.ones(len(values)), kernel, "same")


def _loss_scale(runs: pd.DataFrame, curves: dict[str, Points]) -> tuple[tuple[float, float], bool, bool]:
    """The range of the losses of one dataset's runs, whether it is better logarithmic, and whether it cuts some off."""
    losses = np.concatenate([np.empty(0), *(curves[run][1] for run in runs["run_id"] if run in curves)])
    constant = runs["constant_loss"].median()
    ends = loss_range(losses, constant, CEILING)
    if ends is None:
        return (0.0, 1.1 * constant if constant > 0 else 1.0), False, False
    (low, high), log = ends, ends[1] > 10 * ends[0]
    margin = 0.06 * (high - low) or 0.06 * high
    limits = (low / 1.3, high * 1.3) if log else (low - margin, high + margin)
    return limits, log, bool((losses[np.isfinite(losses)] > limits[1]).any())
