"""What the results look like. A plot is a function of a tidy DataFrame and axes; `_grid` lays plots out.

One panel is one contest (an activation, a depth, and what else varies), one curve is one initializer.
"""

# pandas annotates nearly everything as "Series or DataFrame or unknown": these checks see only that.
# pyright: reportArgumentType=false, reportCallIssue=false, reportReturnType=false
# pyright: reportAttributeAccessIssue=false, reportGeneralTypeIssues=false

import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from initbench.report import tables
from initbench.results import Results

# Okabe & Ito's colours, with grey for their yellow, which is faint on white. The order of INITIALIZERS gives each
# its colour and dashes for good (append, and no figure changes); those usually compared have solid lines.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (6, 1.2, 1, 1.2)))
MARKERS = (None, "o", "s", "^", "D", "v", "P", "X", "<", ">")  # tell one initializer's swept parameters apart
INITIALIZERS = [
    "he",
    "xavier",
    "lecun",
    "orthogonal",
    "torch_default",
    "normal",
    "normal_small",
    "zeros",
    "he_uniform",
    "xavier_normal",
    "lecun_uniform",
    "he_fan_out",
    "mean_field",
    "kumar",
    "glorot_standard",
    "caffe_xavier",
    "ratio_he",
    "ratio_xavier",
    "uniform",
    "trunc_normal",
    "constant",
]

POINTS = 150  # a curve is drawn through so many
WINDOW = 0.02  # of a training's steps: the running mean that takes out the noise of minibatches
CEILING = 5  # times the best constant prediction's loss: what lies above is cut off
GREY = "#666666"


@dataclass(frozen=True)
class Style:
    """How one curve looks, in every figure."""

    color: str
    linestyle: Any
    marker: str | None


def styles(runs: pd.DataFrame) -> dict[str, Style]:
    """The style of every label, in the legend's order: colour and dashes say which initializer it is, the marker
    which of its swept parameters. runs: columns `init` and `label`.
    """
    names = [*INITIALIZERS, *sorted(set(runs["init"]) - set(INITIALIZERS))]
    found = {}
    for place, name in enumerate(names):
        color, dashes = PALETTE[place % len(PALETTE)], DASHES[place // len(PALETTE) % len(DASHES)]
        for number, label in enumerate(runs.loc[runs["init"] == name, "label"].unique()):
            found[label] = Style(color, dashes, MARKERS[number % len(MARKERS)])
    return found


# ---------------------------------------------------------------- training loss


def loss_curves(results: Results) -> Figure:
    """Training loss over the steps: the median over seeds in a band from the lowest to the highest."""
    runs, contests = _labelled(results)
    data = smoothed(results.losses, runs)
    steps = runs["steps"].max()
    constant = runs["constant_loss"].median()
    limits, log = _loss_limits(data["loss"], constant)
    cut = bool((np.isfinite(data["loss"]) & (data["loss"] > limits[1])).any())

    def draw(panel: Panel, look: dict[str, Style]) -> None:
        if log:
            panel.ax.set_yscale("log", nonpositive="clip")
            panel.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if limits[1] < 500 * limits[0] else (1,)))
            panel.ax.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))
            panel.ax.yaxis.set_minor_formatter(NullFormatter())
        panel.ax.set_xlim(-0.02 * steps, 1.02 * steps)
        panel.ax.set_ylim(limits)
        panel.ax.axhline(panel.runs["constant_loss"].median(), color=GREY, linestyle=":", linewidth=1.1)
        loss_curve(data[data["run_id"].isin(panel.runs["run_id"])], panel.ax, look)

    return _grid(
        runs,
        contests,
        draw,
        title="Training loss",
        note="Line: median over seeds. Band: lowest to highest seed. ×: a run diverged. Smoothed by a running mean "
        f"over {WINDOW:.0%} of the steps." + (f" Losses above {limits[1]:.3g} are cut off." if cut else ""),
        xlabel="step",
        ylabel="training loss (cross-entropy, nats)",
        legend=[Line2D([], [], color=GREY, linestyle=":", linewidth=1.1, label="best constant\nprediction")],
        one_scale=True,
    )


def loss_curve(data: pd.DataFrame, ax: Axes, look: dict[str, Style]) -> None:
    """One panel of training loss. data: label, run_id, step, loss (nats; infinite once a run has diverged)."""
    top = ax.get_ylim()[1]
    for label, losses in _by_label(data, look, points="step", values="loss"):
        _line_and_band(ax, losses, look[label], markevery=0.2)
        for run_id in losses.columns[np.isinf(losses).any()]:
            alive = losses[run_id][np.isfinite(losses[run_id])]
            step, loss = (alive.index[-1], alive.iloc[-1]) if len(alive) else (losses.index[0], top)
            ax.plot(
                step,
                min(loss, top),
                marker="x",
                markersize=6,
                markeredgewidth=1.6,
                color=look[label].color,
                clip_on=False,
                zorder=4,
            )


def smoothed(losses: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """The curves of finished `runs` as running means at `POINTS` steps; infinite where a run had diverged.

    losses: run_id, step, train_loss. Returns label, run_id, step, loss (nats).
    """
    curves = dict(_curves(losses))
    labels, run_ids, at, values = [], [], [np.empty(0, int)], [np.empty(0)]
    for run in runs.loc[runs["status"] == "done", ["run_id", "label", "outcome", "steps"]].itertuples():
        steps, loss = curves.get(run.run_id, (np.empty(0, int), np.empty(0)))
        if not len(steps) and run.outcome != "diverged":
            continue
        grid = np.unique(np.linspace(0, run.steps - 1, POINTS).round().astype(int))
        value = np.full(len(grid), np.inf if run.outcome == "diverged" else np.nan)
        if len(steps):
            seen = grid <= steps[-1]
            value[seen] = np.interp(grid[seen], steps, running_mean(loss, round(WINDOW * len(steps))))
        labels.append(run.label)
        run_ids.append(run.run_id)
        at.append(grid)
        values.append(value)
    lengths = [len(grid) for grid in at[1:]]
    return pd.DataFrame(
        {
            "label": np.repeat(np.array(labels, object), lengths),
            "run_id": np.repeat(np.array(run_ids, object), lengths),
            "step": np.concatenate(at),
            "loss": np.concatenate(values),
        }
    )


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """The mean over `window` values centred at each; fewer at the ends."""
    kernel = np.ones(min(max(window, 1), len(values)))
    total = np.convolve(values.astype("float64"), kernel, "same")
    return total / np.convolve(np.ones(len(values)), kernel, "same")


def _curves(losses: pd.DataFrame) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    """Each run's steps and losses, from long rows in any order."""
    codes, run_ids = pd.factorize(losses["run_id"])
    order = np.lexsort((losses["step"], codes))
    starts = np.searchsorted(codes[order], np.arange(len(run_ids) + 1))
    step, loss = losses["step"].to_numpy()[order], losses["train_loss"].to_numpy()[order]
    for run_id, first, last in zip(run_ids, starts[:-1], starts[1:], strict=True):
        yield str(run_id), (step[first:last], loss[first:last])


def _loss_limits(losses: pd.Series, constant: float) -> tuple[tuple[float, float], bool]:
    """The range of all panels of losses, and whether a logarithmic axis serves it better."""
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


def gradient_norms(results: Results) -> Figure:
    """Norm of the loss's gradient by each hidden layer's pre-activations before the first update."""
    runs, contests = _labelled(results)
    layers = results.read("layers", columns=["layer", "name", "pre_grad_norm", "step"], filters=[("step", "==", 0)])
    layers = layers.astype({"run_id": "str"})
    hidden = layers[layers["layer"] < layers.groupby("run_id")["layer"].transform("max")]  # the last is the head
    data = pd.DataFrame(
        {
            "run_id": hidden["run_id"],
            "label": hidden["run_id"].map(runs.set_index("run_id")["label"]),
            "layer": hidden["layer"].astype("int64") + 1,
            "norm": hidden["pre_grad_norm"].astype("float64"),
        }
    )

    def draw(panel: Panel, look: dict[str, Style]) -> None:
        here = data[data["run_id"].isin(panel.runs["run_id"])]
        last = max(here["layer"].max(), 1) if len(here) else panel.runs["depth"].iloc[0]
        panel.ax.set_xlim(max(0.5, 1 - 0.03 * last), 1.03 * last)
        panel.ax.set_yscale("log")
        panel.ax.yaxis.set_minor_formatter(NullFormatter())
        panel.ax.set_ylim(_norm_limits(data.loc[data["run_id"].isin(panel.alike["run_id"]), "norm"]))
        panel.ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, min_n_ticks=1))
        gradient_norm(here, panel.ax, look)

    return _grid(
        runs,
        contests,
        draw,
        title="Gradient norm by layer at step 0",
        note="Line: median over seeds. Band: lowest to highest seed. ▽: exactly 0, which a logarithmic axis lacks. "
        "△: not a finite number.",
        xlabel="hidden layer (1 is next to the input)",
        ylabel="norm of ∂loss / ∂pre-activations",
        legend=[],
        one_scale=False,
    )


def gradient_norm(data: pd.DataFrame, ax: Axes, look: dict[str, Style]) -> None:
    """One panel of gradient norms on a logarithmic axis whose limits are set. data: label, run_id, layer, norm.

    Exact zeros are marked at the lower edge, norms that are not finite at the upper.
    """
    low, high = ax.get_ylim()
    for label, norms in _by_label(data, look, points="layer", values="norm"):
        style = look[label]
        positive = norms.where(np.isfinite(norms) & (norms > 0))
        _line_and_band(ax, positive, style, marker=style.marker or ("." if len(norms) <= 12 else None))
        for rows, height, marker in (
            ((norms == 0).any(axis=1), low, "v"),
            ((~np.isfinite(norms)).any(axis=1), high, "^"),
        ):
            ax.plot(
                norms.index[rows],
                np.full(rows.sum(), height),
                linestyle="none",
                marker=marker,
                markersize=5 if len(norms) <= 25 else 3.5,
                markerfacecolor="white",
                markeredgecolor=style.color,
                clip_on=False,
                zorder=4,
            )


def _norm_limits(norms: pd.Series) -> tuple[float, float]:
    shown = norms[np.isfinite(norms) & (norms > 0)]
    if not len(shown):
        return 0.1, 10.0
    low, high = shown.min(), shown.max()
    margin = max((high / low) ** 0.06, 12.0)  # two decades at least, so that noise does not look like a trend
    return low / margin, high * margin


# ---------------------------------------------------------------- what both have in common


@dataclass
class Panel:
    """One contest's place in a figure: its runs, its axes, and the runs of the panels with the same y axis."""

    title: str
    row: int
    column: int
    runs: pd.DataFrame
    alike: pd.DataFrame = field(default_factory=pd.DataFrame)
    ax: Any = None


def _labelled(results: Results) -> tuple[pd.DataFrame, list[str]]:
    """The runs with a column `label`, the name of their curve; and the axes whose values share a panel."""
    axes = tables.axes(results.runs)
    labels = [tables.initializer(run, axes) for run in results.runs[axes].to_dict("records")]
    return results.runs.assign(label=labels), tables.contest_axes(axes)


def _by_label(
    data: pd.DataFrame, look: dict[str, Style], *, points: str, values: str
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each label in the legend's order, with its values as a (points x runs) table."""
    groups = dict(iter(data.groupby("label", sort=False)))
    for label in look:
        if label in groups:
            yield label, groups[label].pivot(index=points, columns="run_id", values=values)


def _line_and_band(ax: Axes, values: pd.DataFrame, style: Style, **line: Any) -> None:
    """The median of a (points x runs) table as a line, from its lowest to its highest as a band; gaps where an
    infinite value decides.
    """
    middle = values.median(axis=1)
    finite = values.where(np.isfinite(values))
    ax.fill_between(values.index, finite.min(axis=1), finite.max(axis=1), color=style.color, alpha=0.15, linewidth=0)
    line = {"marker": style.marker, "markersize": 4} | line
    ax.plot(
        values.index,
        middle.where(np.isfinite(middle)),
        color=style.color,
        linestyle=style.linestyle,
        linewidth=1.5,
        zorder=3,
        **line,
    )


def _panels(runs: pd.DataFrame, contests: list[str]) -> tuple[list[Panel], bool]:
    """A panel a contest, and whether they make a grid: a row an activation (and what else varies), a column a depth.

    With one depth only, or where half of the grid would be empty, they fill lines of up to four instead.
    """
    groups = list(runs.groupby(contests, dropna=False, sort=False))
    depths = sorted(runs["depth"].dropna().unique())
    rest = list(dict.fromkeys(_without(contests, key, "depth") for key, _ in groups))
    grid = len(depths) > 1 and 2 * len(groups) > len(rest) * len(depths)
    panels = []
    for number, (key, here) in enumerate(groups):
        in_grid = rest.index(_without(contests, key, "depth")), depths.index(here["depth"].iloc[0])
        panels.append(Panel(_title(contests, key), *(in_grid if grid else divmod(number, 4)), here))
    for panel in panels:
        panel.alike = pd.concat(p.runs for p in panels if p.row == panel.row) if grid else panel.runs
    return panels, grid


def _without(axes: list[str], key: tuple, left_out: str) -> tuple[str, ...]:
    return tuple(tables.value_text(value) for axis, value in zip(axes, key, strict=True) if axis != left_out)


def _title(axes: list[str], key: tuple) -> str:
    """ "relu, depth 20, lr 0.1" """
    values = {axis: tables.value_text(value) for axis, value in zip(axes, key, strict=True)}
    return ", ".join(value if axis == "act" else f"{axis} {value}" for axis, value in values.items())


def _grid(
    runs: pd.DataFrame,
    contests: list[str],
    draw: Callable[[Panel, dict[str, Style]], None],
    *,
    title: str,
    note: str,
    xlabel: str,
    ylabel: str,
    legend: list[Line2D],
    one_scale: bool,
) -> Figure:
    """Draw a panel a contest, under one title and beside one legend. All lengths are in inches.

    one_scale: all panels have the same y axis; else those of a row have, where a row is an activation.
    """
    look = styles(runs)
    panels, grid = _panels(runs, contests)
    rows, columns = (1 + max(place) for place in zip(*((p.row, p.column) for p in panels), strict=True))
    own_scales = not one_scale and not grid

    left, bottom, gap_x, gap_y = 0.85, 0.6, 0.55 if own_scales else 0.2, 0.46 if grid else 0.6
    handles = [
        Line2D([], [], color=s.color, linestyle=s.linestyle, marker=s.marker, markersize=4, label=label)
        for label, s in look.items()
    ] + legend
    legend_height = 0.2 * (len(handles) + 1)
    legend_width = 0.95 + 0.075 * max(len(line) for h in handles for line in str(h.get_label()).split("\n"))
    width = float(np.clip(9.5 / columns, 2.4, 5.0))
    height = float(np.clip(legend_height / rows - gap_y, 0.66 * width, 0.9 * width))
    full_width = left + columns * (width + gap_x) - gap_x + legend_width
    lines = textwrap.wrap(note, int(full_width / 0.061))
    top = 0.75 + 0.16 * len(lines)
    full_height = top + max(rows * (height + gap_y) - gap_y + bottom, legend_height)

    figure = Figure(figsize=(full_width, full_height))
    for panel in panels:
        x = left + panel.column * (width + gap_x)
        y = full_height - top - panel.row * (height + gap_y) - height
        panel.ax = figure.add_axes((x / full_width, y / full_height, width / full_width, height / full_height))
        _draw_panel(panel, draw, look)
        lowest = panel.row == max(p.row for p in panels if p.column == panel.column)
        first = panel.column == min(p.column for p in panels if p.row == panel.row)
        panel.ax.tick_params(labelbottom=lowest or not grid, labelleft=first or own_scales)

    inner = (left + (columns * (width + gap_x) - gap_x) / 2) / full_width
    middle = (full_height - top - (rows * (height + gap_y) - gap_y) / 2) / full_height
    end = full_height - top - rows * (height + gap_y) + gap_y
    figure.text(0.15 / full_width, 1 - 0.12 / full_height, title, fontsize=13, weight="bold", va="top")
    figure.text(0.15 / full_width, 1 - 0.4 / full_height, "\n".join(lines), fontsize=8, color=GREY, va="top")
    figure.text(inner, (end - 0.32) / full_height, xlabel, fontsize=9, ha="center", va="top")
    figure.text(0.12 / full_width, middle, ylabel, fontsize=9, ha="left", va="center", rotation=90)
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(1 - (legend_width - 0.2) / full_width, 1 - (top - 0.1) / full_height),
        fontsize=8.5,
        frameon=False,
        handlelength=2.6,
    )
    return figure


def _draw_panel(panel: Panel, draw: Callable[[Panel, dict[str, Style]], None], look: dict[str, Style]) -> None:
    ax = panel.ax
    ax.set_title(panel.title, fontsize=9, loc="left", pad=7)
    ax.tick_params(labelsize=8, length=3, color=GREY)
    ax.grid(color="#E6E6E6", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    draw(panel, look)
    if not (panel.runs["status"] == "done").any():
        ax.text(0.5, 0.5, "no finished run", transform=ax.transAxes, ha="center", color=GREY, fontsize=9)
