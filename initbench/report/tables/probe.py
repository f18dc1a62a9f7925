"""What `initbench probe` prints: one row per cell, with curves by layer."""

import math
from typing import Any

import pandas as pd

from initbench.analysis.axes import value_text
from initbench.analysis.diagnosis.birth import (
    CHAOTIC,
    DEAD,
    EXPLODES,
    ORDERED,
    SATURATED,
    SOUND,
    SYMMETRIC,
    VANISHES,
)
from initbench.analysis.probe import SHOWN_START, ProbedCells, counts
from initbench.report.sparkline import level_curve, log_curve
from initbench.report.text_table import TextCell, TextColumn, TextTable
from initbench.text import plural, rough

COLOURS = {SOUND: "green", VANISHES: "yellow", ORDERED: "yellow", EXPLODES: "red", CHAOTIC: "red"}
COLOURS |= {SATURATED: "magenta", DEAD: "magenta", SYMMETRIC: "cyan"}
CURVES = (
    "Curves run from the input (left) to the output (right). q: mean square of the pre-activations, gradient: norm of "
    "the gradient with respect to them, both on log scales; correlation of two inputs, from 0 to 1, which starts at "
    f"{SHOWN_START:g}."
)
GROWTH = {  # by column
    "chi_1": "chi_1: growth of the squared gradient per layer towards the input.",
    "theory": "Theory: the chi_1 that mean-field theory predicts.",
}
LOSS = "Loss: the first loss, divided by that of a guess: ln C, of a squared error the best constant's."


def probe_table(probed: ProbedCells) -> TextTable:
    """One row per cell: its axes that vary, the verdict and the number it rests on, and curves by layer.

    A growth of gradients that no cell has, such as theory's of a model of one's own, has no column.
    """
    axes = [axis for axis in probed.axes if probed.cells[axis].nunique(dropna=False) > 1] or probed.axes[:1]
    columns = [TextColumn((axis,), left=axis in ("init", "act")) for axis in axes]
    growth = {"chi_1": "chi_1_measured", "theory": "chi_1_theory"}
    growth = {title: name for title, name in growth.items() if probed.cells[name].notna().any()}
    columns += [TextColumn(("verdict",), left=True), *(TextColumn((title,)) for title in growth)]
    columns += [TextColumn((title,), left=True) for title in ("q", "correlation", "gradient")]
    columns += [TextColumn(("loss",)), TextColumn(("rests on",), left=True)]
    by_cell = dict(list(probed.layers.groupby("cell", sort=False)))
    cells = enumerate(probed.cells.to_dict("records"))
    rows = [_row(cell, axes, list(growth.values()), by_cell[number]) for number, cell in cells]
    caption = " ".join([CURVES, *(words for title, words in GROWTH.items() if title in growth), LOSS])
    return TextTable(caption, columns, len(axes), rows)


def _row(cell: dict[Any, Any], axes: list[str], growth: list[str], layers: pd.DataFrame) -> list[TextCell]:
    hidden = layers.iloc[:-1] if len(layers) > 1 else layers  # the head's scale is its own
    agreeing = "" if cell["agreeing"] == cell["runs"] else f" {cell['agreeing']}/{cell['runs']}"
    return [
        *(TextCell(value_text(cell[axis])) for axis in axes),
        TextCell(cell["verdict"], mark=agreeing, colour=COLOURS[cell["verdict"]]),
        *(TextCell(_factor(cell[name])) for name in growth),
        TextCell(log_curve(hidden["q"])),
        TextCell(level_curve(hidden["c"])),
        TextCell(log_curve(hidden["grad_s"])),
        TextCell(rough(cell["first_loss_ratio"])),
        TextCell(cell["because"] if cell["number"] is None else f"{cell['because']}: {rough(cell['value'])}"),
    ]


def _factor(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3g}" if 1e-3 < value < 1e4 or not value else rough(value)


def verdict_counts(probed: ProbedCells) -> str:
    """ "24 cells: 12 sound, 8 vanishes, 4 explodes" """
    found = ", ".join(f"{count:,} {word}" for word, count in counts(probed.cells).items())
    return f"{plural(len(probed.cells), 'cell')}: {found}"
