"""A table whose rows and columns a user chose."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from initbench.analysis.axes import loss_unit, value_text
from initbench.analysis.cells import FINISHED, is_done
from initbench.analysis.pivot import (
    VALUES,
    best_of_columns,
    grid,
    grouped_by_cell,
    index_keys,
    numbers_by_cell,
    pivot,
    pivotable,
)
from initbench.report.text_table import TextCell, TextColumn, TextTable
from initbench.results.load import Results
from initbench.text import plural


def pivot_table(results: Results, rows: Sequence[str], cols: Sequence[str], value: str) -> TextTable:
    """`pivot` as it is printed; the best of each column in bold, among the cells where a run learned.

    Where no axis is better at one end, or all of a column is equal, nothing is bold.
    """
    runs = pivotable(results, rows, cols)
    numbers = pivot(results, rows, cols, value)
    learned = grid(numbers_by_cell(runs, [*rows, *cols], "learned").rename(value), runs, rows, cols)
    finished = grouped_by_cell(is_done(runs).astype("int64"), runs, [*rows, *cols]).sum()
    best = best_of_columns(numbers, learned, VALUES[value].worst)
    titles = [tuple(map(_axis_text, cols, key)) or (value,) for key in index_keys(numbers.columns)]
    above = ("",) * (len(titles[0]) - 1)
    lines = zip(index_keys(numbers.index), numbers.to_numpy(), best.to_numpy(), strict=True)
    return TextTable(
        caption=_caption(value, finished, loss_unit(results.runs), bold=bool(best.to_numpy().any())),
        columns=[*(TextColumn((*above, axis), left=True) for axis in rows), *map(TextColumn, titles)],
        stub=len(rows),
        rows=[
            [
                *(TextCell(value_text(part)) for part in key),
                *(TextCell(_shown(number, value), bold=bool(top)) for number, top in zip(line, tops, strict=True)),
            ]
            for key, line, tops in lines
        ],
    )


def _caption(value: str, finished: pd.Series, unit: str, *, bold: bool) -> str:
    """finished: the number of finished runs of each cell. unit: of losses."""
    words = VALUES[value].words + (f" ({unit})" if value.endswith("_loss") else "")
    sentence = words[0].upper() + words[1:]
    counts = finished.to_numpy()[finished.to_numpy() > 0]
    if not len(counts):
        return f"{sentence}: no run has finished."
    few, many = int(counts.min()), int(counts.max())
    runs = plural(few, "finished run") if few == many else f"{few} to {many} finished runs"
    parts = [f"{sentence if value in FINISHED else f'Median {words}'}, of {runs} per cell."]
    if value not in FINISHED and VALUES[value].worst is not None:
        parts.append("A diverged run ranks below every finite one.")
    if bold:
        parts.append("Bold: the best of its column.")
    return " ".join(parts)


def _axis_text(axis: str, value: Any) -> str:
    """A value in a header: "relu", "depth 20"."""
    return value_text(value) if axis in ("init", "label", "act") else f"{axis} {value_text(value)}"


def _shown(number: float, value: str) -> str:
    shown = VALUES[value]
    if math.isnan(number):
        return "–"
    if number == shown.worst:
        return "diverged"
    return f"{number / shown.unit:{shown.digits}}"
