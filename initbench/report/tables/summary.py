"""The summary in Markdown, LaTeX and HTML."""

import math
from dataclasses import replace
from typing import Any

import pandas as pd

from initbench.analysis.axes import alternative, contest_axes, noun, value_text
from initbench.analysis.cells import OUTCOMES
from initbench.analysis.summary import axes_of_summary
from initbench.report.text_table import TextCell, TextColumn, TextTable
from initbench.text import percent


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
        caption=f"Test accuracy and training loss of each {noun(over)} over its seeds. Losses are in nats, or squared "
        "errors where numbers are predicted. Bold: may be the best of its contest; ★: the first of them. "
        "Where numbers are predicted, test errors stand in place of accuracies.",
        columns=[TextColumn((name,), left=name in {"act", "init", over, "outcomes"}) for name in names],
        stub=len(contests) + 1,
        rows=[_summary_row(cell, cell_axes, over) for cell in summary.to_dict("records")],
    )


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
    """ "test acc.", "test error" where all cells predict numbers, or both"""
    errors = summary["test_error_median"].notna() if "test_error_median" in summary else pd.Series([False])
    return "test error" if errors.all() else "acc. or error" if errors.any() else "test acc."


def median_text(cell: Any) -> str:
    """ "97.2 %", or the median test error of numbers: "0.123" """
    error = cell.get("test_error_median", math.nan)
    if not math.isnan(error):
        return f"{error:.3g}"
    fraction = cell["test_acc_median"]
    if math.isnan(fraction):
        return "diverged" if cell["diverged"] else "–"
    return percent(fraction)


def learned_text(cell: Any) -> str:
    """ "95.8 ± 0.4 %", the test accuracy of the runs that learned, or their test error; "–" where none did."""
    mean, deviation = cell["learned_mean"], cell["learned_std"]
    if math.isnan(mean):
        return "–"
    if not math.isnan(cell.get("test_error_median", math.nan)):
        return f"{mean:.3g}" + ("" if math.isnan(deviation) else f" ± {deviation:.2g}")
    return f"{100 * mean:.1f}" + ("" if math.isnan(deviation) else f" ± {100 * deviation:.1f}") + " %"
