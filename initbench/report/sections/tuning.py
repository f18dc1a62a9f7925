"""Learning rates, where they were tuned: the best of each cell, and the rates that work."""

import math
from collections.abc import Callable
from typing import Any

from markupsafe import Markup

from initbench.analysis.axes import loss_unit, value_text
from initbench.analysis.measure import ERROR
from initbench.analysis.tuning import Tuning, frames
from initbench.report.figures.tuning import drawings
from initbench.report.page.page import Page
from initbench.report.sections.section import Section
from initbench.report.text_table import TextCell, TextColumn, TextTable
from initbench.text import percent


def tuning_table(tuning: Tuning) -> TextTable:
    """The cells as they are printed: contests one below the other, in the order of the runs."""
    contests = tuning.contests.axes
    names = [*contests, "init"]
    val_loss = f"val. loss ({loss_unit(tuning.contests.runs)})"
    scores = _scores(tuning)
    numbers = ["best lr", "workable range of lr", "decades", val_loss, *scores.values(), "runs that learned"]
    groups = tuning.cells.groupby(contests, dropna=False, sort=False)
    return TextTable(
        caption="The best learning rate (lr) of each cell, by the median validation loss over its seeds, and the "
        "workable range: the longest unbroken row of tried rates at which most runs learned, with its width in "
        "decades (powers of ten). ← →: the best rate is the lowest or highest that was tried. ≤ ≥: the range may go "
        "on beyond it.",
        columns=[TextColumn((name,), left=name in {"act", "init"}) for name in [*names, *numbers]],
        stub=len(names),
        rows=[_row(cell, tuning, contests, list(scores)) for _, here in groups for cell in here.to_dict("records")],
    )


def _scores(tuning: Tuning) -> dict[str, str]:
    """The columns of scores, and their titles: accuracies where labels are predicted, errors where numbers are."""
    accuracies = {} if tuning.contests.measure is ERROR else {"val_acc": "val. acc.", "test_acc": "test acc."}
    return accuracies | ({"test_error": "test error"} if "test_error" in tuning.cells else {})


def _row(cell: dict[str, Any], tuning: Tuning, contests: list[str], scores: list[str]) -> list[TextCell]:
    def number(name: str, text: Callable[[float], str], missing: str = "–") -> str:
        return missing if math.isnan(cell[name]) else text(cell[name])

    return [
        *(TextCell(value_text(cell[axis])) for axis in contests),
        TextCell(tuning.contests.label(cell)),
        TextCell(number("best_lr", "{:g}".format, "none"), mark={"low": " ←", "high": " →"}.get(cell["edge"], "")),
        TextCell(range_text(cell)),
        TextCell(number("decades", "{:.1f}".format)),
        TextCell(number("val_loss", "{:.3g}".format)),
        *(TextCell(number(name, ERROR.text if name == "test_error" else percent)) for name in scores),
        TextCell(f"{cell['learned']} of {cell['finished']}"),
    ]


def range_text(cell: dict[str, Any]) -> str:
    """ "0.001 to 0.1", "≤ 0.0001 to 0.01" where the range may go on below what was tried, or "none"."""
    low, high = cell["low_lr"], cell["high_lr"]
    if math.isnan(low):
        return "none"
    ends = f"{'≤ ' if low == cell['least_lr'] else ''}{low:g}", f"{'≥ ' if high == cell['greatest_lr'] else ''}{high:g}"
    return " to ".join(ends) if low < high else ends[low != cell["least_lr"]]


def _html(page: Page) -> Markup | None:
    if page.report.tuning is None:
        return None
    table = Markup(tuning_table(page.report.tuning).html())
    return page.render("tuning", table=table, figures=page.figures("tuning"))


SECTION = Section(
    name="tuning",
    title="Learning rates",
    frames=lambda report: frames(report.tuning),
    tables=lambda report: {"tuning": tuning_table(report.tuning)} if report.tuning else {},
    draw=lambda report: drawings(report.tuning),
    html=_html,
)
