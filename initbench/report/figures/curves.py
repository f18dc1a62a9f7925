"""Training loss over the steps, and gradient norms by layer before the first."""

import math
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from initbench.analysis.axes import UNITS, loss_unit
from initbench.analysis.layer_names import kind, readable, stage
from initbench.report.figures.layout import (
    Drawing,
    FigurePanel,
    Styled,
    curve_sheet,
    median,
    panels,
    power_of_ten,
    text_width,
)
from initbench.report.figures.style import MUTED, Style

TICK = 7  # points, of a layer's name at the axis
POINTS = 150  # a curve is drawn through so many
FEWER_POINTS = 60  # where there are more than MANY curves
MANY = 200
WINDOW = 0.02  # of a training's steps: the running mean that takes out the noise of minibatches
CEILING = 5  # times the best constant prediction's loss: what lies above is cut off

Points: TypeAlias = tuple[np.ndarray, np.ndarray]  # where, and the values there

BAND = [
    Line2D([], [], color=MUTED, linewidth=1.5, label="median over seeds"),
    Patch(facecolor=MUTED, alpha=0.25, label="lowest to highest"),
]


# ---------------------------------------------------------------- training loss


def loss_curves(contests: Styled) -> Drawing | None:
    """Training loss over the steps: the median over seeds in a band from the lowest to the highest."""
    runs, arranged = contests.runs, panels(contests.runs, contests.axes)
    curves = contests.done.groupby([*contests.axes, "label"], dropna=False).ngroups
    data = smoothed(contests.results.losses, runs, FEWER_POINTS if curves > MANY else POINTS)
    if not data:
        return None
    scales = {name: _loss_scale(here, data) for name, here in runs.groupby("data", sort=False)}
    mixed = contests.done["task"].nunique() > 1
    unit = {"nats": "cross-entropy, nats"}.get(loss_unit(contests.done), loss_unit(contests.done))
    for panel in arranged if mixed else ():
        panel.title += f", loss in {loss_unit(panel.runs)}"
    handles = [
        *(style.handle(label) for label, style in contests.look.items()),
        Line2D([], [], color=MUTED, linestyle=":", linewidth=1.1, label="best constant\nprediction"),
        *BAND,
        Line2D([], [], color=MUTED, linestyle="none", marker="x", markeredgewidth=1.6, label="a run diverged"),
    ]
    sheet = curve_sheet(
        arranged,
        handles,
        title="Training loss",
        xlabel="step",
        ylabel="training loss" if mixed else f"training loss ({unit})",
        shared_x=arranged.grid,
        shared_y=len(scales) == 1,
    )
    for panel in arranged:
        _loss_axes(panel, *scales[panel.runs["data"].iloc[0]][:2], runs["steps"].max())
        loss_curve(panel.runs, data, panel.ax, contests.look)
    return Drawing(
        name="loss_curves",
        title="Training loss",
        caption="Training loss over the steps. Line: median over seeds, where a diverged run counts as the highest. "
        "Band: lowest to highest seed. ×: a run diverged. Dotted: loss of the best constant prediction. Smoothed by a "
        f"running mean over {WINDOW:.0%} of the steps."
        + (" Losses beyond the scale are cut off." if any(cut for *_, cut in scales.values()) else "")
        + (" Each dataset has its own scale." if len(scales) > 1 else "")
        + arranged.left_out,
        alt=f"Line charts of training loss over steps, a panel a contest. {_loss_fact(contests)}",
        section="curves",
        figure=sheet.figure,
    )


def _loss_axes(panel: FigurePanel, limits: tuple[float, float], log: bool, steps: int) -> None:
    ax = panel.ax
    if log:
        ax.set_yscale("log", nonpositive="clip")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if limits[1] < 500 * limits[0] else (1,)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))
        ax.yaxis.set_minor_locator(NullLocator())
    ax.set_xlim(-0.02 * steps, 1.02 * steps)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    ax.set_ylim(limits)
    ax.axhline(panel.runs["constant_loss"].median(), color=MUTED, linestyle=":", linewidth=1.1)


def _loss_fact(contests: Styled) -> str:
    done = contests.done
    diverged = int((done["outcome"] == "diverged").sum())
    finite = done[done["train_loss"].notna()]
    if finite.empty:
        return f"All {len(done)} finished runs diverged."
    facts = []
    for task, here in finite.groupby("task", sort=False):
        medians, unit = here.groupby("label")["train_loss"].median(), UNITS[task]
        low, high = (f"{medians[label]:.3g} ({unit}), by {label}" for label in (medians.idxmin(), medians.idxmax()))
        facts.append(f"Over all contests the lowest median final loss is {low}; the highest {high}.")
    return f"{' '.join(facts)} {diverged} of {len(done)} finished runs diverged."


def loss_curve(runs: pd.DataFrame, curves: dict[str, Points], ax: Axes, look: dict[str, Style]) -> None:
    """One panel of training loss. runs: run_id, label; curves: of each run steps and losses (infinite once it has
    diverged).
    """
    top = ax.get_ylim()[1]
    for label, steps, losses in by_label(runs, curves, look):
        _line_and_band(ax, steps, losses, look[label], markevery=0.2)
        diverged = losses[:, np.isinf(losses).any(axis=0)]
        if not diverged.size:
            continue
        last = np.maximum(np.isfinite(diverged).sum(axis=0) - 1, 0)
        loss = diverged[last, np.arange(diverged.shape[1])]  # infinite where not even the first is finite
        ax.plot(
            steps[last],
            np.minimum(loss, top),
            linestyle="none",
            marker="x",
            markersize=6,
            markeredgewidth=1.6,
            color=look[label].color,
            clip_on=False,
            zorder=4,
        )


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
    limits, log = _loss_limits(losses, runs["constant_loss"].median())
    return limits, log, bool((losses[np.isfinite(losses)] > limits[1]).any())


def _loss_limits(losses: np.ndarray, constant: float) -> tuple[tuple[float, float], bool]:
    """The range of losses, and whether a logarithmic axis serves it better."""
    shown = losses[np.isfinite(losses) & (losses > 0)]
    if not len(shown):
        return (0.0, 1.1 * constant if constant > 0 else 1.0), False
    low, high = shown.min(), shown.max()
    if constant > 0:
        low, high = min(low, constant), max(min(high, CEILING * constant), constant)
    if high > 10 * low:
        return (low / 1.3, high * 1.3), True
    margin = 0.06 * (high - low) or 0.06 * high
    return (low - margin, high + margin), False


# ---------------------------------------------------------------- gradient norms


def gradient_norms(contests: Styled, looks: pd.DataFrame, names: str = "") -> Drawing | None:
    """Norm of the loss's gradient by each hidden layer's pre-activations before the first update.

    looks: run_id, step, layer (from 1), pre_grad_norm. names: a sentence on what is numbered as a layer.
    """
    norms = by_run(looks[looks["step"] == 0], "layer", "pre_grad_norm")
    every = np.concatenate([norm for _, norm in norms.values()]) if norms else np.empty(0)
    if np.isnan(every).all():
        return None
    arranged = panels(contests.runs, contests.axes)
    last = {panel.key: _last_layer(panel, norms) for panel in arranged}
    named = {panel.key: _layers_of(panel, looks) for panel in arranged}
    handles = [*(style.handle(label) for label, style in contests.look.items()), *BAND]
    if (every == 0).any():
        handles.append(_mark("v", "exactly 0"))
    if not np.isfinite(every).all():
        handles.append(_mark("^", "not finite"))
    alike = {(p.column, last[p.key], *named[p.key]) for p in arranged}
    sheet = curve_sheet(
        arranged,
        handles,
        title="Gradient norm by layer at step 0",
        xlabel="hidden layer, from the input (left) to the output",
        ylabel="norm of ∂loss / ∂pre-activations",
        shared_x=arranged.grid and len(alike) == len({p.column for p in arranged}),
        shared_y=arranged.grid,
    )
    for panel in arranged:
        panel.ax.set_xlim(max(0.5, 1 - 0.03 * last[panel.key]), 1.03 * last[panel.key])
        panel.ax.set_yscale("log")
        panel.ax.yaxis.set_major_formatter(FuncFormatter(power_of_ten))
        panel.ax.yaxis.set_minor_locator(NullLocator())
        panel.ax.set_ylim(_norm_limits([norms[run][1] for run in panel.alike["run_id"] if run in norms]))
        _name_layers(panel.ax, named[panel.key])
        gradient_norm(panel.runs, norms, panel.ax, contests.look)
    return Drawing(
        name="gradient_norms",
        title="Gradient norm by layer at step 0",
        caption="Frobenius norm of the loss's gradient by each hidden layer's pre-activations, over the batch and "
        "the units, before the first update. Level lines carry the gradient through all layers; a slope shrinks or "
        "grows it by a factor a layer. Line: median over seeds. Band: lowest to highest seed. ▽: exactly 0, which a "
        f"logarithmic axis lacks. △: not a finite number.{names}{arranged.left_out}",
        alt="Line charts of gradient norm by layer before training, a panel a contest. "
        f"{_norm_fact(contests.runs, norms)}",
        section="layers",
        figure=sheet.figure,
    )


def _last_layer(panel: FigurePanel, norms: dict[str, Points]) -> int:
    """The last hidden layer's number; of a model that was not trained, its depth."""
    known = (int(norms[run][0][-1]) for run in panel.runs["run_id"] if run in norms)
    return max(known, default=int(panel.runs["depth"].iloc[0]))


def _layers_of(panel: FigurePanel, looks: pd.DataFrame) -> list[str]:
    """The names of a panel's hidden layers, from the input on."""
    here = looks[looks["run_id"].isin(panel.runs["run_id"])].drop_duplicates("layer").sort_values("layer")
    return list(here["name"].astype("object")) if "name" in here else []


def _name_layers(ax: Axes, names: list[str]) -> None:
    """Ticks of layers: numbers where all are of one kind, else names; of stages where there is no room for all."""
    if len({kind(name) for name in names}) <= 1:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, min_n_ticks=1))
        return
    room = ax.figure.get_figwidth() * ax.get_position().width
    ticks = {number: readable(name) for number, name in enumerate(names, 1)}
    if len(ticks) * text_width(ticks.values(), TICK) > room:
        last = {stage(name): number for number, name in enumerate(names, 1)}
        step = math.ceil(1.2 * len(last) * text_width(map(readable, last), TICK) / room)
        ticks = {number: readable(name) for name, number in list(last.items())[::-step]}
    ax.set_xticks(list(ticks), list(ticks.values()), fontsize=TICK)


def _norm_fact(runs: pd.DataFrame, norms: dict[str, Points]) -> str:
    """Which initializers shrink and grow the gradient most on its way to the input."""
    label = dict(zip(runs["run_id"], runs["label"], strict=True))
    ratios: dict[str, list[float]] = {}
    for run_id, (_, norm) in norms.items():
        if np.isfinite(norm).all() and norm[-1] > 0:
            ratios.setdefault(label[run_id], []).append(norm[0] / norm[-1])
    if not ratios:
        return f"None of {len(norms)} runs has gradients that are finite in all layers and not 0 in the last."
    middle = {name: float(np.median(values)) for name, values in ratios.items()}
    low, high = min(middle, key=middle.__getitem__), max(middle, key=middle.__getitem__)
    return (
        "The median ratio of the first hidden layer's norm to the last's, over all contests, is smallest for "
        f"{low} ({middle[low]:.2g}) and largest for {high} ({middle[high]:.2g})."
    )


def gradient_norm(runs: pd.DataFrame, norms: dict[str, Points], ax: Axes, look: dict[str, Style]) -> None:
    """One panel of gradient norms on a logarithmic axis whose limits are set. runs: run_id, label; norms: of each run
    layers and norms.

    Exact zeros are marked at the lower edge, norms that are not finite at the upper.
    """
    low, high = ax.get_ylim()
    for label, layers, values in by_label(runs, norms, look):
        style = look[label]
        positive = np.where(np.isfinite(values) & (values > 0), values, np.nan)
        _line_and_band(ax, layers, positive, style, marker=style.marker or ("." if len(layers) <= 12 else None))
        for odd, height, marker in ((values == 0, low, "v"), (~np.isfinite(values), high, "^")):
            rows = odd.any(axis=1)
            if not rows.any():
                continue
            ax.plot(
                layers[rows],
                np.full(rows.sum(), height),
                linestyle="none",
                marker=marker,
                markersize=5 if len(layers) <= 25 else 3.5,
                markerfacecolor="none",
                markeredgecolor=style.color,
                clip_on=False,
                zorder=4,
            )


def _norm_limits(norms: list[np.ndarray]) -> tuple[float, float]:
    values = np.concatenate(norms) if norms else np.empty(0)
    shown = values[np.isfinite(values) & (values > 0)]
    if not len(shown):
        return 0.1, 10.0
    low, high = shown.min(), shown.max()
    margin = max((high / low) ** 0.06, 12.0)  # two decades at least, so that noise does not look like a trend
    return low / margin, high * margin


# ---------------------------------------------------------------- what both have in common


def _mark(marker: str, label: str) -> Line2D:
    return Line2D(
        [], [], linestyle="none", marker=marker, markersize=5, markerfacecolor="none", color=MUTED, label=label
    )


def by_run(rows: pd.DataFrame, x: str, y: str) -> dict[str, Points]:
    """Each run's points in order of `x`, from long rows (run_id, x, y) in any order."""
    codes, run_ids = pd.factorize(rows["run_id"])
    order = np.lexsort((rows[x], codes))
    starts = np.searchsorted(codes[order], np.arange(len(run_ids) + 1))
    at, values = rows[x].to_numpy()[order], rows[y].to_numpy("float64")[order]
    pieces = zip(run_ids, starts[:-1], starts[1:], strict=True)
    return {str(run_id): (at[first:last], values[first:last]) for run_id, first, last in pieces}


def by_label(
    runs: pd.DataFrame, points: dict[str, Points], look: dict[str, Style]
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Each label in the legend's order, where its runs have points, and their values (points, runs), NaN where a run
    has none.
    """
    found: dict[str, list[Points]] = {}
    for run_id, label in zip(runs["run_id"], runs["label"], strict=True):
        if run_id in points:
            found.setdefault(label, []).append(points[run_id])
    for label in look:
        if label in found:
            x = np.unique(np.concatenate([at for at, _ in found[label]]))
            values = np.full((len(x), len(found[label])), np.nan)
            for number, (at, value) in enumerate(found[label]):
                values[np.searchsorted(x, at), number] = value
            yield label, x, values


def _line_and_band(ax: Axes, x: np.ndarray, values: np.ndarray, style: Style, **line: Any) -> None:
    """The median of values (points, runs) as a line, from the lowest to the highest as a band; gaps where an infinite
    value decides.
    """
    middle = median(values, axis=1)
    finite = np.where(np.isfinite(values), values, np.nan)
    if values.shape[1] > 1:
        low, high = np.fmin.reduce(finite, axis=1), np.fmax.reduce(finite, axis=1)
        ax.fill_between(x, low, high, color=style.color, alpha=0.15, linewidth=0)
    line = {"marker": style.marker, "markersize": 4} | line
    ax.plot(
        x,
        np.where(np.isfinite(middle), middle, np.nan),
        color=style.color,
        linestyle=style.linestyle,
        linewidth=1.5,
        zorder=3,
        **line,
    )
