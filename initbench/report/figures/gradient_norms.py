"""Gradient norms by layer, before the first update."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from initbench.analysis.layer_names import kind, readable, stage
from initbench.report.figures.drawing import Drawing
from initbench.report.figures.hover import tell_axes
from initbench.report.figures.lines import (
    BAND,
    LINE_AND_BAND,
    Points,
    by_label,
    by_run,
    line_and_band,
    mark,
    marker_handle,
    median,
    power_of_ten,
    several_seeds,
)
from initbench.report.figures.sheet import FigurePanel, curve_sheet, panels, text_width
from initbench.report.figures.style import Style
from initbench.report.figures.styled import StyledContests
from initbench.text import plural, rough

LOWEST, HIGHEST = 1e-16, 1e8  # norms that are drawn: what is beyond has vanished, or exploded
TICK = 7  # points, of a layer's name at the axis


def gradient_norms(contests: StyledContests) -> Drawing | None:
    """Norm of the loss's gradient with respect to each hidden layer's pre-activations, before the first update."""
    layers = contests.layers
    norms = by_run(layers[layers["step"] == 0], "layer", "pre_grad_norm")
    every = np.concatenate([norm for _, norm in norms.values()]) if norms else np.empty(0)
    if np.isnan(every).all():
        return None
    arranged = panels(contests.runs, contests.axes)
    measured = {panel.key: [norms[run] for run in panel.runs["run_id"] if run in norms] for panel in arranged}
    last = {  # hidden layer; of a model that was not trained, its depth
        panel.key: max((int(at[-1]) for at, _ in measured[panel.key]), default=int(depth))
        for panel in arranged
        for depth in panel.runs["depth"].fillna(0).iloc[:1]
    }
    named = {panel.key: _layer_names(panel, layers) for panel in arranged}
    handles = [*contests.handles, *(BAND if several_seeds(contests.done) else ())]
    limits = _norm_limits(every)
    if (every == 0).any():
        handles.append(marker_handle("v", "exactly 0", markerfacecolor="none"))
    if not np.isfinite(every).all():
        handles.append(marker_handle("^", "not finite", markerfacecolor="none"))
    alike = {(p.column, last[p.key], *named[p.key]) for p in arranged}
    sheet = curve_sheet(
        arranged,
        handles,
        contests.styles,
        title="Gradient norm by layer at step 0",
        xlabel="hidden layer, from the input (left) to the output (right)",
        ylabel="norm of ∂loss / ∂pre-activations",
        shared_x=arranged.grid and len(alike) == len({p.column for p in arranged}),
        shared_y=True,
    )
    for panel in arranged:
        panel.ax.set_xlim(max(0.5, 1 - 0.03 * last[panel.key]), 1.03 * last[panel.key])
        panel.ax.set_yscale("log")
        panel.ax.yaxis.set_major_formatter(FuncFormatter(power_of_ten))
        panel.ax.yaxis.set_minor_locator(NullLocator())
        panel.ax.set_ylim(limits)
        tell_axes(panel.ax, "layer", "gradient norm")
        _name_layers(panel.ax, named[panel.key])
        gradient_norm(panel.runs, norms, panel.ax, contests.styles)
    return sheet.drawing(
        name="gradient_norms",
        caption="Norm of the loss's gradient with respect to each hidden layer's pre-activations, over the batch and "
        "the units, before the first update. A flat line: the gradient reaches every layer. A slope: it shrinks or "
        "grows by a constant factor per layer. All panels have the same scale; a line that leaves it goes on beyond. "
        f"{LINE_AND_BAND} ▽: exactly 0 (cannot be drawn on a log axis). △: not a finite number."
        f"{contests.layer_names}{arranged.left_out}",
        alt="Line charts of gradient norm by layer before training, one panel per contest. "
        f"{_norm_fact(contests.runs, norms)}",
    )


def _layer_names(panel: FigurePanel, layers: pd.DataFrame) -> list[str]:
    """The names of a panel's hidden layers, from the input on."""
    here = layers[layers["run_id"].isin(panel.runs["run_id"])].drop_duplicates("layer").sort_values("layer")
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
        return f"None of {plural(len(norms), 'run')} has finite gradients in all layers, and one above 0 in the last."
    middle = {name: float(np.median(values)) for name, values in ratios.items()}
    low, high = min(middle, key=middle.__getitem__), max(middle, key=middle.__getitem__)
    return (
        "The norm at the first hidden layer divided by the norm at the last (median over all contests) is smallest "
        f"for {low} ({middle[low]:.2g}) and largest for {high} ({middle[high]:.2g})."
    )


def gradient_norm(runs: pd.DataFrame, norms: dict[str, Points], ax: Axes, styles: dict[str, Style]) -> None:
    """One panel of gradient norms on a logarithmic axis whose limits are set. runs: run_id, label; norms: of each run
    layers and norms.

    Exact zeros are marked at the lower edge, norms that are not finite at the upper.
    """
    low, high = ax.get_ylim()
    for label, layers, values in by_label(runs, norms, styles):
        style = styles[label]
        positive = np.where(np.isfinite(values) & (values > 0), values, np.nan)
        marker = style.marker or ("." if len(layers) <= 12 else None)
        line_and_band(ax, layers, positive, style, marker=marker, said=slope_text(layers, positive))
        for odd, height, marker in ((values == 0, low, "v"), (~np.isfinite(values), high, "^")):
            rows, size = odd.any(axis=1), 5 if len(layers) <= 25 else 3.5
            if rows.any():
                at = layers[rows], np.full(rows.sum(), height)
                mark(ax, *at, marker, style.color, size=size, markerfacecolor="none", zorder=4)


def slope_text(layers: np.ndarray, norms: np.ndarray) -> str:
    """ "times 0.31 per layer back to the input": the factor from the last layer to the first, of the median over runs.

    norms: (layers, runs), NaN where there is none; empty text with fewer than two layers.
    """
    middle = median(norms, axis=1)
    known = np.flatnonzero(np.isfinite(middle))
    if len(known) < 2:
        return ""
    first, last = known[0], known[-1]
    factor = (middle[first] / middle[last]) ** (1 / (layers[last] - layers[first]))
    return f"times {rough(factor)} per layer back to the input"


def _norm_limits(values: np.ndarray) -> tuple[float, float]:
    """The scale of all panels: no wider than `LOWEST` to `HIGHEST`, so that slopes can be seen."""
    shown = values[np.isfinite(values) & (values > 0)]
    if not len(shown):
        return 0.1, 10.0
    low, high = shown.min(), shown.max()
    margin = max((high / low) ** 0.06, 12.0)  # two decades at least, so that noise does not look like a trend
    return max(low / margin, LOWEST), min(high * margin, HIGHEST)
