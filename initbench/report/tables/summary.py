"""The summary in Markdown, LaTeX and HTML."""

import math
from dataclasses import replace
from typing import Any

import pandas as pd

from initbench.analysis.axes import contest_axes, initializer, value_text
from initbench.analysis.cells import OUTCOMES
from initbench.analysis.summary import axes_of_summary
from initbench.report.text_table import TextCell, TextColumn, TextTable
from initbench.text import percent


def markdown(summary: pd.DataFrame) -> str:
    """The summary as a Markdown table, every row of it, the winners in bold with a ★."""
    return replace(summary_table(summary), caption="").markdown()


def summary_table(summary: pd.DataFrame) -> TextTable:
    """The summary as it is printed: contests one below the other, the winners in bold with a ★."""
    cell_axes = axes_of_summary(summary)
    contests = contest_axes(cell_axes)
    numbers = ["test acc. median", "mean ± s.d. (finite runs)", "train loss median"]
    names = [*contests, "init", *numbers, "outcomes"]
    return TextTable(
        caption="Test accuracy and training loss of each initializer over its seeds. Losses are in nats, or squared "
        "errors where numbers are predicted. ★: the highest median accuracy of its contest, among the initializers "
        "that learned. A diverged run ranks below every finite one.",
        columns=[TextColumn((name,), left=name in {"act", "init", "outcomes"}) for name in names],
        stub=len(contests) + 1,
        rows=[_summary_row(cell, cell_axes) for cell in summary.to_dict("records")],
    )


def _summary_row(cell: dict[str, Any], cell_axes: list[str]) -> list[TextCell]:
    name = TextCell(initializer(cell, cell_axes), bold=bool(cell["best"]), mark=" ★" if cell["best"] else "")
    outcomes = ", ".join(f"{cell[outcome]} {outcome}" for outcome in OUTCOMES if cell[outcome])
    return [
        *(TextCell(value_text(cell[axis])) for axis in contest_axes(cell_axes)),
        name,
        TextCell(median_text(cell["test_acc_median"], cell)),
        TextCell(mean_text(cell)),
        TextCell("–" if math.isnan(cell["train_loss_median"]) else f"{cell['train_loss_median']:.3g}"),
        TextCell(outcomes),
    ]


def median_text(fraction: float, cell: Any) -> str:
    if math.isnan(fraction):
        return "diverged" if cell["diverged"] else "–"
    return percent(fraction)


def mean_text(cell: Any) -> str:
    """ "95.8 ± 0.4 % (5)"; without a deviation where there is one run only."""
    if not cell["test_acc_count"]:
        return "–"
    deviation = "" if math.isnan(cell["test_acc_std"]) else f" ± {100 * cell['test_acc_std']:.1f}"
    return f"{100 * cell['test_acc_mean']:.1f}{deviation} % ({cell['test_acc_count']})"
