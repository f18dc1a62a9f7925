"""The summary in Markdown, LaTeX and HTML."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from initbench.analysis.axes import alternative, contest_axes, noun, value_text
from initbench.analysis.cells import OUTCOMES
from initbench.analysis.measure import ACCURACY, ERROR, MEASURES, Measure
from initbench.analysis.summary import axes_of_summary
from initbench.report.text_table import TextCell, TextColumn, TextTable
from initbench.text import capitalized


def markdown(summary: pd.DataFrame) -> str:
    """The summary as a Markdown table, every row of it, what may be the best in bold."""
    return replace(summary_table(summary), caption="").markdown()


def summary_table(summary: pd.DataFrame, over: str = "init") -> TextTable:
    """The summary as it is printed: contests one below the other, what may be the best in bold."""
    cell_axes = axes_of_summary(summary)
    contests = contest_axes(cell_axes, over)
    measure = measure_of(summary)
    numbers = [f"{measure} of runs that learned, mean ± s.d.", f"{measure} median", "train loss median"]
    names = [*contests, over, *numbers, "outcomes"]
    return TextTable(
        caption=f"{_caption(summary, noun(over))} Bold: may be the best of its contest; ★: the first of them.",
        columns=[TextColumn((name,), left=name in {"act", "init", over, "outcomes"}) for name in names],
        stub=len(contests) + 1,
        rows=[_summary_row(cell, cell_axes, over) for cell in summary.to_dict("records")],
    )


def _caption(summary: pd.DataFrame, noun: str) -> str:
    """What the numbers are, in which units."""
    found = measures(summary)
    what, *others = (each.name for each in sorted(found, key=lambda each: each is ERROR))
    what = capitalized(what) + "".join(f", or {other} where numbers are predicted," for other in others)
    losses = "nats, or squared errors where numbers are predicted" if others else "nats"
    losses = "squared errors" if found == [ERROR] else losses
    unit = f" Test errors are in {ERROR.unit}." if ERROR in found else ""
    return f"{what} and training loss of each {noun} over its seeds. Losses are in {losses}.{unit}"


def _summary_row(cell: dict[str, Any], cell_axes: list[str], over: str) -> list[TextCell]:
    name = TextCell(alternative(cell, cell_axes, over), bold=is_bold(cell), mark=" ★" if cell["best"] else "")
    outcomes = ", ".join(f"{cell[outcome]} {outcome}" for outcome in OUTCOMES if cell[outcome])
    return [
        *(TextCell(value_text(cell[axis])) for axis in contest_axes(cell_axes, over)),
        name,
        *number_cells(cell),
        TextCell(outcomes),
    ]


def number_cells(cell: dict[str, Any]) -> list[TextCell]:
    """The accuracy (or error) of the runs that learned, the median over all runs, and the median training loss."""
    loss = cell["train_loss_median"]
    return [
        TextCell(learned_text(cell), bold=is_bold(cell)),
        TextCell(median_text(cell)),
        TextCell("–" if math.isnan(loss) else f"{loss:.3g}"),
    ]


def is_bold(cell: dict[str, Any]) -> bool:
    """Whether it may be the best of its contest, and learned at all."""
    return bool(cell["may_be_best"] and cell["learned"])


def measure_of(summary: pd.DataFrame) -> str:
    """ "test acc.", "test error" where all cells predict numbers, or "acc. or error" """
    found = measures(summary)
    return found[0].short if len(found) == 1 else "acc. or error"


def measures(summary: pd.DataFrame) -> list[Measure]:
    """By what the cells are ranked."""
    return [MEASURES[name] for name in summary["measure"].unique()] if "measure" in summary else [ACCURACY]


def measure_in(cell: Mapping[Any, Any]) -> Measure:
    """By what the cell is ranked; where nothing is said, by accuracy."""
    return MEASURES[cell.get("measure", ACCURACY.name)]


def median_text(cell: Mapping[Any, Any]) -> str:
    """ "97.2 %", or the median test error of numbers: "0.123" """
    scored = measure_in(cell)
    median = cell[f"{scored.column}_median"]
    if math.isnan(median):
        return "diverged" if cell["diverged"] else "–"
    return scored.text(median)


def learned_text(cell: Mapping[Any, Any]) -> str:
    """ "95.8 ± 0.4 %", the test accuracy of the runs that learned, or their test error; "–" where none did."""
    mean, deviation, scored = cell["learned_mean"], cell["learned_std"], measure_in(cell)
    if math.isnan(mean):
        return "–"
    number, unit = (scored.number, " %") if scored.share else ("{:.2g}".format, "")
    return f"{scored.number(mean)}{'' if math.isnan(deviation) else f' ± {number(deviation)}'}{unit}"
