"""The summary as one sees it: in a terminal, in Markdown, LaTeX and HTML."""

import math
from dataclasses import replace
from typing import Any

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from initbench.analysis.axes import contest_axes, initializer, value_text
from initbench.analysis.cells import OUTCOMES
from initbench.analysis.summary import axes_of_summary
from initbench.report.text_table import TextCell, TextColumn, TextTable
from initbench.text import percent, plural

COLOURS = {"learned": "green", "stuck": "yellow", "diverged": "red", "failed": "magenta", "pending": "dim"}
LONG = 60  # rows; a longer table shows the best of each group
MANY = 30  # groups, of which a terminal shows no more


# ---------------------------------------------------------------- for the eye


def rich_summary(summary: pd.DataFrame, *, top: int | None = None) -> Table:
    """The summary for a terminal: contests one below the other, the winner first and marked ★.

    top: at most so many initializers a contest; left out, all of them unless that is more than `LONG` rows. Of more
    than `MANY` contests the first.
    """
    cell_axes = axes_of_summary(summary)
    contests = contest_axes(cell_axes)
    if top is None and len(summary) > LONG:
        top = 3
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for axis in contests:
        table.add_column(axis, no_wrap=True, justify="left" if axis == "act" else "right")
    table.add_column("  init", no_wrap=True)
    table.add_column("test acc.\nmedian", justify="right", no_wrap=True)
    table.add_column("mean ± s.d.\n(finite runs)", justify="right", no_wrap=True)
    table.add_column("outcomes")
    groups = list(summary.groupby(contests, dropna=False, sort=False))
    for key, contest in groups[:MANY]:
        shown = contest if top is None else contest.head(top)
        for position, (_, cell) in enumerate(shown.iterrows()):
            where = [value_text(value) if position == 0 else "" for value in key]
            last = position == len(shown) - 1 and len(shown) == len(contest)
            table.add_row(*where, *_rich_cell(cell, cell_axes), end_section=last)
        if len(shown) < len(contest):
            more = Text(f"  and {len(contest) - len(shown)} more", style="dim")
            table.add_row(*[""] * len(contests), more, "", "", "", end_section=True)
    if len(groups) > MANY:
        rest = Text(f"  and {plural(len(groups) - MANY, 'other contest')}", style="dim")
        table.add_row(*[""] * len(contests), rest, "", "", "")
    return table


def _rich_cell(cell: pd.Series, cell_axes: list[str]) -> list[Text]:
    style = "bold" if cell["best"] else ""
    mark = "★ " if cell["best"] else "  "
    outcomes = Text(" ").join(
        Text(f"{cell[outcome]} {outcome}".replace(" ", "\u00a0"), style=COLOURS[outcome])
        for outcome in OUTCOMES
        if cell[outcome]
    )
    return [
        Text(mark + initializer(cell, cell_axes), style=style),
        Text(_percent(cell["test_acc_median"], cell), style=style),
        Text(_mean(cell)),
        outcomes,
    ]


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
        caption="Test accuracy and training loss (nats, or squared error where numbers are predicted) of each "
        "initializer over its seeds. ★: the highest median accuracy of its contest among the initializers that "
        "learned; a diverged run ranks below every finite one.",
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
        TextCell(_percent(cell["test_acc_median"], cell)),
        TextCell(_mean(cell)),
        TextCell(_loss(cell["train_loss_median"])),
        TextCell(outcomes),
    ]


def _percent(fraction: float, cell: Any) -> str:
    if math.isnan(fraction):
        return "diverged" if cell["diverged"] else "–"
    return percent(fraction)


def _mean(cell: Any) -> str:
    """ "95.8 ± 0.4 % (5)"; without a deviation where there is one run only."""
    if not cell["test_acc_count"]:
        return "–"
    deviation = "" if math.isnan(cell["test_acc_std"]) else f" ± {100 * cell['test_acc_std']:.1f}"
    return f"{100 * cell['test_acc_mean']:.1f}{deviation} % ({cell['test_acc_count']})"


def _loss(loss: float) -> str:
    return "–" if math.isnan(loss) else f"{loss:.3g}"
