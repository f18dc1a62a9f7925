"""Figures of recurrent networks at birth: signals and gradients from the first to the last time step."""

from dataclasses import dataclass

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from initbench.analysis.axes import contest_axes, with_labels
from initbench.analysis.layer_names import readable
from initbench.analysis.probe import ProbedCells
from initbench.report.figures.drawing import Drawing
from initbench.report.figures.probe import BEYOND, drawable, measured_dots, parts_of_last, power_axis
from initbench.report.figures.sheet import curve_sheet, panels
from initbench.report.figures.style import STYLE, Style, label_styles
from initbench.text import rough


@dataclass(frozen=True)
class TimeQuantity:
    """What one figure shows of each time step: a column of `ProbedCells.times`."""

    name: str
    column: str
    title: str
    label: str
    caption: str
    of_last: bool  # drawn in parts of its value at the last time step
    end: int  # the time step of which the alternative text tells


QUANTITIES = [
    TimeQuantity(
        "q",
        "q",
        "Signals by time step",
        "q, mean square of s",
        "The mean square of the pre-activations s, from the first time step that the layer reads to the last.",
        of_last=False,
        end=-1,
    ),
    TimeQuantity(
        "grad_s",
        "pre_grad_norm",
        "Gradients by time step",
        "gradient norm, relative to the last time step",
        "The norm of the loss's gradient with respect to the pre-activations, divided by its norm at the last time "
        "step; it travels from right to left. A curve that falls to the left: what the layer read early hardly counts.",
        of_last=True,
        end=0,
    ),
]


def time_figures(probed: ProbedCells) -> list[Drawing]:
    """One figure per quantity, of each cell's first recurrent layer; none where no cell has one."""
    if probed.times.empty:
        return []
    first = probed.times["layer"] == probed.times.groupby("cell")["layer"].transform("min")
    by_cell = dict(list(probed.times[first].groupby("cell", sort=False)))
    cells = with_labels(probed.cells.loc[list(by_cell)], probed.axes).assign(status="done")
    styles = label_styles(cells)
    with matplotlib.rc_context(STYLE):
        return [_figure(probed, cells, by_cell, styles, quantity) for quantity in QUANTITIES]


def _figure(
    probed: ProbedCells,
    cells: pd.DataFrame,
    by_cell: dict[int, pd.DataFrame],
    styles: dict[str, Style],
    quantity: TimeQuantity,
) -> Drawing:
    arranged = panels(cells, contest_axes(probed.axes), columns=3)
    handles = [style.handle(label) for label, style in styles.items()]
    sheet = curve_sheet(arranged, handles, styles, title=quantity.title, xlabel="time step", ylabel=quantity.label)
    for panel in arranged:
        for number, label in panel.runs["label"].items():
            rows = by_cell[int(str(number))]
            values, errors = _values(rows, quantity)
            x, style = rows["time"].to_numpy("int64") + 1, styles[label]
            measured_dots(panel.ax, x, drawable(values), errors, style, style.linestyle)
        panel.ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        power_axis(panel.ax)
    names = ", ".join(dict.fromkeys(readable(rows["name"].iloc[0]) for rows in by_cell.values()))
    return sheet.drawing(
        name=f"birth_{quantity.name}_times",
        caption=f"{quantity.caption} The first recurrent layer: {names}. Dots: mean over the seeds, with a bar of one "
        f"standard error. {BEYOND}{arranged.left_out}",
        alt=f"Curves of the {quantity.label} over the time steps. {_fact(cells, by_cell, quantity)}",
    )


def _values(rows: pd.DataFrame, quantity: TimeQuantity) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error at each time step."""
    values, errors = (rows[name].to_numpy("float64") for name in (quantity.column, f"{quantity.column}_se"))
    return (parts_of_last(values, values), parts_of_last(errors, values)) if quantity.of_last else (values, errors)


def _fact(cells: pd.DataFrame, by_cell: dict[int, pd.DataFrame], quantity: TimeQuantity) -> str:
    """The cell with the largest value at the end that matters, and the one with the smallest."""
    ends = pd.Series({number: _values(rows, quantity)[0][quantity.end] for number, rows in by_cell.items()})
    ends = ends[np.isfinite(ends)]
    if ends.empty:
        return "No number is finite."
    where = "last" if quantity.end else "first"
    return " ".join(
        f"At the {where} time step the {word} is {rough(ends.loc[number])}, of {cells.loc[number, 'label']} with "
        f"{cells.loc[number, 'act']}."
        for word, number in (("largest", ends.idxmax()), ("smallest", ends.idxmin()))
    )
