"""Figures of networks at birth: what was measured as dots, what theory says as lines, layer by layer."""

from dataclasses import dataclass

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from initbench.analysis.axes import contest_axes, with_labels
from initbench.analysis.probe import SHOWN_START, ProbedCells
from initbench.report.figures.drawing import Drawing
from initbench.report.figures.lines import power_of_ten
from initbench.report.figures.sheet import FigurePanel, curve_sheet, panels
from initbench.report.figures.style import INK, STYLE, Style, label_styles
from initbench.text import rough

LOWEST, HIGHEST = 1e-12, 1e12  # of what is drawn on a logarithmic axis
BEYOND = f"Not drawn: 0, and what is below {LOWEST:g} or above {HIGHEST:g}."  # of captions
DOTS = 25  # at most, per curve


@dataclass(frozen=True)
class BirthQuantity:
    """What one figure shows of each layer: a column of `ProbedCells.layers`, and `NAME_theory` beside it."""

    name: str
    title: str
    label: str
    caption: str
    logarithmic: bool = True


QUANTITIES = [
    BirthQuantity(
        "q",
        "Signals by layer",
        "q, mean square of s",
        "The mean square of the pre-activations s. A level curve keeps the size of signals; a slope shrinks or grows "
        "them by a constant factor per layer.",
    ),
    BirthQuantity(
        "c",
        "Similarity of two inputs by layer",
        f"correlation ({SHOWN_START:g} at the input)",
        "The cosine of two inputs' pre-activations. At 1 the network no longer tells them apart; where it falls to 0, "
        "inputs that were alike no longer are.",
        logarithmic=False,
    ),
    BirthQuantity(
        "grad_s",
        "Gradients by layer",
        "gradient norm, relative to the last layer",
        "The norm of the loss's gradient with respect to the pre-activations, divided by its norm at the last hidden "
        "layer; it travels from right to left. A level curve: the gradient reaches every layer. A slope: it shrinks or "
        "grows by a constant factor per layer, the root of chi_1.",
    ),
]


def probe_figures(probed: ProbedCells) -> list[Drawing]:
    """One figure per quantity, one panel per combination of the axes other than the initializer."""
    cells = with_labels(probed.cells, probed.axes).assign(status="done")
    styles = label_styles(cells)
    with matplotlib.rc_context(STYLE):
        return [_figure(probed, cells, styles, quantity) for quantity in QUANTITIES]


def _figure(probed: ProbedCells, cells: pd.DataFrame, styles: dict[str, Style], quantity: BirthQuantity) -> Drawing:
    arranged = panels(cells, contest_axes(probed.axes), columns=3)
    predicted = bool(probed.layers[f"{quantity.name}_theory"].notna().any())
    handles = [
        *(style.handle(label) for label, style in styles.items()),
        Line2D([], [], color=INK, linestyle="none", marker="o", markersize=3.5, label="measured"),
        *([Line2D([], [], color=INK, linewidth=1.5, label="theory")] if predicted else []),
    ]
    lines = " Lines: mean-field theory of wide networks, for the initializers that it covers." if predicted else ""
    sheet = curve_sheet(arranged, handles, styles, title=quantity.title, xlabel="layer", ylabel=quantity.label)
    by_cell = dict(list(probed.layers.groupby("cell", sort=False)))
    for panel in arranged:
        _panel(panel, by_cell, styles, quantity)
    return sheet.drawing(
        name=f"birth_{quantity.name}",
        caption=f"{quantity.caption} Dots: mean over the seeds, with a bar of one standard error.{lines}"
        f"{f' {BEYOND}' if quantity.logarithmic else ''}{arranged.left_out}",
        alt=f"{'Dots and lines' if predicted else 'Dots'} of the {quantity.label} over the layers. "
        f"{_fact(probed, quantity)}",
    )


def _panel(
    panel: FigurePanel, by_cell: dict[int, pd.DataFrame], styles: dict[str, Style], quantity: BirthQuantity
) -> None:
    ax = panel.ax
    for number, label in panel.runs["label"].items():
        layers = hidden(by_cell[int(str(number))])
        x, style = np.arange(1, len(layers) + 1), styles[label]
        values, errors = (layers[name].to_numpy("float64") for name in (quantity.name, f"{quantity.name}_se"))
        said = layers[f"{quantity.name}_theory"].to_numpy("float64")
        if quantity.name == "grad_s":
            values, errors = (parts_of_last(each, values) for each in (values, errors))
        if quantity.logarithmic:
            values, said = drawable(values), drawable(said)
        measured_dots(ax, x, values, errors, style)
        ax.plot(x, said, color=style.color, linestyle=style.linestyle, linewidth=1.3)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if quantity.logarithmic:
        power_axis(ax)
    else:
        ax.set_ylim(-0.05, 1.05)


def measured_dots(
    ax: Axes, x: np.ndarray, values: np.ndarray, errors: np.ndarray, style: Style, linestyle: str = "none"
) -> None:
    """Up to DOTS of the means over seeds, each with a bar of one standard error where it is less than the mean."""
    some = np.unique(np.linspace(0, len(x) - 1, min(len(x), DOTS)).round().astype(int))
    bars = np.where(np.isfinite(errors) & (errors < values), errors, 0.0)
    ax.errorbar(
        x[some],
        values[some],
        bars[some],
        color=style.color,
        linestyle=linestyle,
        linewidth=1.0,
        marker="o",
        markersize=3,
        elinewidth=0.8,
    )


def power_axis(ax: Axes) -> None:
    """A logarithmic y axis with 1 on it, labelled with powers of ten."""
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(FuncFormatter(power_of_ten))
    ax.yaxis.set_minor_formatter(NullFormatter())
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, 0.1 * high**0.5 if high < 1 else low, 0.3), max(high, 3))


def parts_of_last(values: np.ndarray, norms: np.ndarray) -> np.ndarray:
    """Values divided by the last of the norms; NaN where that is 0, as with weights of 0."""
    return np.divide(values, norms[-1:], out=np.full(len(values), np.nan), where=norms[-1:] != 0)


def drawable(values: np.ndarray) -> np.ndarray:
    """NaN for what a logarithmic axis lacks, or what would leave no room for the others."""
    return np.where((values >= LOWEST) & (values <= HIGHEST), values, np.nan)


def hidden(layers: pd.DataFrame) -> pd.DataFrame:
    """The layers of a cell without the last, its head."""
    return layers.iloc[:-1] if len(layers) > 1 else layers


def _fact(probed: ProbedCells, quantity: BirthQuantity) -> str:
    """The cell that ends highest, and the one that ends lowest."""
    ends = probed.layers.groupby("cell", sort=False)[quantity.name].agg(lambda values: values.iloc[-2:].iloc[0])
    ends = ends[np.isfinite(ends)]
    if ends.empty:
        return "No number is finite."
    named = {word: probed.cells.loc[getattr(ends, f"idx{word}")()] for word in ("max", "min")}
    return " ".join(
        f"In the last hidden layer the {'largest' if word == 'max' else 'smallest'} is {rough(getattr(ends, word)())}, "
        f"of {cell['init']} with {cell['act']}."
        for word, cell in named.items()
    )
