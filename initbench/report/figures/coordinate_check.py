"""The coordinate check: how far the first steps of training move a network, over its width."""

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, NullFormatter, NullLocator

from initbench.analysis.coordinate_check import PLACES, moved_by_width, sentences
from initbench.analysis.probe import ProbedCells
from initbench.report.figures.drawing import Drawing
from initbench.report.figures.lines import power_of_ten
from initbench.report.figures.style import PALETTE, STYLE

MOST_ROWS, MOST_STEPS = 8, 4
MARKS = dict(zip(PLACES, "os^", strict=True))


def coordinate_check(probed: ProbedCells) -> Drawing | None:
    """One row per setting, one column per step, one line per place; None where no setting has two widths."""
    moved = moved_by_width(probed)
    if moved.empty:
        return None
    settings, steps = moved["setting"].unique(), np.sort(moved["step"].unique())
    shown = settings[:MOST_ROWS]
    chosen = steps[np.unique(np.linspace(0, len(steps) - 1, min(len(steps), MOST_STEPS)).round().astype(int))]
    left_out = f" Shown are the first {MOST_ROWS} of {len(settings)} settings." if len(settings) > MOST_ROWS else ""
    said = ". ".join(sentences(moved)) + "."
    with matplotlib.rc_context(STYLE):
        size = (2.6 * len(chosen) + 2.6, 2.2 * len(shown) + 1.1)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(len(shown), len(chosen), squeeze=False, sharex=True, sharey=True)
        for row, setting in zip(axes, shown, strict=True):
            for ax, step in zip(row, chosen, strict=True):
                _panel(ax, moved[(moved["setting"] == setting) & (moved["step"] == step)])
                after = "step 1" if step == 1 else f"{step} steps"
                ax.set_title(f"{setting}, after {after}", fontsize=9, loc="left")
        _axes(axes[0, 0], moved)
        figure.supxlabel("width", fontsize=9)
        figure.supylabel("change of pre-activations since birth", fontsize=9)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8.5)
        figure.suptitle("Coordinate check", fontsize=13, weight="bold", x=0.01, ha="left")
    return Drawing(
        name="coordinate_check",
        title="Coordinate check: movement in the first steps, over the width",
        caption="How far the first steps of training move the pre-activations: the root mean square of their change "
        f"since birth, on the same few examples (Yang et al. 2021). A level line: one learning rate suits every width. "
        "A rising line: a wide network moves too far at the rate of a narrow one; a falling line: too little. "
        f"{said}{left_out}",
        alt=f"Lines of the change of pre-activations over the width. {said}",
        figure=figure,
    )


def _panel(ax: Axes, moved) -> None:
    """The movement of each place over the width, with bars of one standard error."""
    for place, color in zip(PLACES, PALETTE, strict=False):
        rows = moved[moved["place"] == place]
        values, errors = rows["moved"].to_numpy("float64"), rows["moved_se"].to_numpy("float64")
        drawn = np.where(np.isfinite(values) & (values > 0), values, np.nan)
        bars = np.where(np.isfinite(errors) & (errors < values), errors, 0.0)
        ax.errorbar(rows["width"], drawn, bars, color=color, marker=MARKS[place], markersize=4, elinewidth=0.8,
                    linewidth=1.4, label=place)  # fmt: skip
    ax.grid(True, linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)


def _axes(ax: Axes, moved) -> None:
    """Logarithmic axes, which all panels share, with a tick at each width."""
    widths = np.sort(moved["width"].unique())
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.xaxis.set_major_locator(FixedLocator(widths.tolist()))
    ax.xaxis.set_major_formatter(FixedFormatter([str(width) for width in widths]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(power_of_ten))
    ax.yaxis.set_minor_formatter(NullFormatter())
