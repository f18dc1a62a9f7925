"""What the results look like. A plot is a function of a tidy DataFrame and axes; `_grid` lays the plots out.

One panel is one contest (an activation x depth, and what else varies), one curve is one initializer.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from initbench.report import tables
from initbench.store import Results

# Okabe & Ito's colours with grey for their yellow, which is faint on white. The order of INITIALIZERS gives each
# its colour and dashes for good: append to it, and no figure changes. Those usually compared come first.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))
MARKERS = ("", "o", "s", "^", "D", "v", "P", "X", "<", ">")  # one initializer's swept parameters
INITIALIZERS = (
    "he xavier lecun orthogonal torch_default normal normal_small zeros "
    "he_uniform xavier_normal lecun_uniform he_fan_out mean_field kumar glorot_standard caffe_xavier "
    "ratio_he ratio_xavier uniform trunc_normal constant"
).split()

POINTS = 150  # a curve is drawn through so many
WINDOW = 0.02  # of the training: the running mean that smooths minibatch noise
GREY = "#666666"


@dataclass(frozen=True)
class Style:
    """How one curve looks, in every figure."""

    color: str
    dashes: object
    marker: str


def styles(labels: pd.DataFrame) -> dict[str, Style]:
    """A style for every curve: colour and dashes belong to the initializer, the marker to its swept parameters.

    labels: columns `init` and `label`. Initializers that INITIALIZERS lacks follow it in alphabetical order.
    """
    names = [*INITIALIZERS, *sorted(set(labels["init"]) - set(INITIALIZERS))]
    found = {}
    for place, name in enumerate(names):
        color = PALETTE[place % len(PALETTE)]
        dashes = DASHES[place // len(PALETTE) % len(DASHES)]
        variants = labels.loc[labels["init"] == name, "label"].drop_duplicates()
        for number, label in enumerate(variants):
            found[label] = Style(color, dashes, MARKERS[number % len(MARKERS)])
    return found


# ---------------------------------------------------------------- training loss


def loss_curves(results: Results) -> Figure:
    """Training loss over steps: median over seeds, from the lowest to the highest seed as a band."""
    runs = _labelled(results.runs)
    data = smoothed(results.losses, runs)
    constant = runs["constant_loss"].median()
    finite = data.loc[np.isfinite(data["loss"]), "loss"]
    finite = finite[finite > 0]
    ceiling = 5 * constant if constant > 0 else np.inf

    def panel(here: pd.DataFrame, ax: Axes, look: dict[str, Style]) -> None:
        loss_curve(data[data["run_id"].isin(here["run_id"])], ax, look, constant=here["constant_loss"].median())

    figure, panels = _grid(
        runs,
        panel,
        title="Training loss",
        note="Line: median over seeds; band: lowest to highest seed; ×: a run diverged. "
        f"Running mean over {WINDOW:.0%} of the steps.",
        xlabel="step",
        ylabel="training loss (cross-entropy, nats)",
        extra=[Line2D([], [], color=GREY, linestyle=":", linewidth=1.2, label="best constant prediction")],
        share_y=True,
    )
    if len(finite):
        low, high = finite.min(), min(finite.max(), ceiling)
        high = max(high, 1.05 * constant) if constant > 0 else high
        for ax in panels:
            if high > 20 * low:
                ax.set_yscale("log", nonpositive="clip")
                ax.set_ylim(low / 1.3, high * 1.2)
            else:
                margin = 0.05 * (high - low) or 0.05 * high
                ax.set_ylim(low - margin, high + margin)
        if finite.max() > high:
            figure.text(*_below_note(figure), f"Losses above {high:.3g} are cut off.", **NOTE)
    return figure
