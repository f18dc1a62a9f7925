"""What `initbench run` and `initbench report` print: the summary, the verdicts and what mitigations do."""

from collections import Counter
from collections.abc import Iterator, Sequence

import pandas as pd
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from initbench.analysis.axes import OF_MODEL, alternative, contest_axes, value_text
from initbench.analysis.cells import OUTCOMES
from initbench.analysis.headline import standings
from initbench.analysis.mitigations import MitigationEffects, answer
from initbench.analysis.summary import axes_of_summary
from initbench.analysis.verdicts import CLEAR, OPEN, Verdict
from initbench.analysis.winners_code import WinnerCode
from initbench.report.tables.mitigations import brief_mitigation_table
from initbench.report.tables.outcomes import legend, short_outcomes, worst_colour
from initbench.report.tables.summary import is_bold, measure_of, number_cells
from initbench.report.terminal_table import TerminalTable, TextCell, TextColumn
from initbench.text import plural

LONG = 60  # rows; a longer table shows the best initializers of each contest
MANY = 30  # contests that the table shows at most
CONTESTS = 12  # whose verdicts are printed in full; of more contests, only how often each initializer wins


def rich_summary(summary: pd.DataFrame, *, top: int | None = None, over: str = "init") -> TerminalTable:
    """The summary for a terminal: the first `MANY` contests one below the other, each with its first (★) on top.

    All that may be the best are bold. What all contests have in common stands in the title. top: how many to show per
    contest; by default all, or 3 where all would take more than `LONG` rows. over: the axis whose values compete.
    """
    cell_axes, top = axes_of_summary(summary), top or (3 if len(summary) > LONG else len(summary))
    axes = contest_axes(cell_axes, over)
    varied = [axis for axis in axes if summary[axis].nunique(dropna=False) > 1]
    contests = [contest for _, contest in summary.groupby(varied, dropna=False, sort=False)] if varied else [summary]
    common = [axis for axis in axes if axis not in varied and (axis not in OF_MODEL or summary[axis].notna().all())]
    measure = measure_of(summary)
    numbers = [(measure, "if learned"), (measure, "median"), ("train loss", "median")]
    columns = [
        *(TextColumn((axis,), left=not pd.api.types.is_numeric_dtype(summary[axis])) for axis in varied),
        TextColumn(("",)),  # ★
        TextColumn((over,), left=True),
        *map(TextColumn, numbers),
        TextColumn(("outcomes",), left=True),
    ]
    names = len(varied) + 2
    others = f"And {plural(len(contests) - MANY, 'other contest')}. " if len(contests) > MANY else ""
    return TerminalTable(
        title=" ".join(f"{axis}={value_text(summary[axis].iloc[0])}" for axis in common),
        caption=f"{others}★: the first of its contest; bold: may be the best. If learned: mean ± standard deviation "
        f"of the seeds that learned. Outcomes: {legend(outcome for outcome in OUTCOMES if summary[outcome].any())}.",
        columns=columns,
        stub=names,
        headings=len(varied),
        optional=[names + 2, names + 1],
        rows=[row for contest in contests[:MANY] for row in _contest_rows(contest, varied, cell_axes, over, top)],
        whole="`initbench report` writes the whole table to summary.csv.",
    )


def _contest_rows(
    contest: pd.DataFrame, varied: list[str], cell_axes: list[str], over: str, top: int
) -> Iterator[list[TextCell]]:
    known = ((axis, contest[axis].iloc[0]) for axis in varied)
    where = [TextCell("" if axis in OF_MODEL and pd.isna(value) else value_text(value)) for axis, value in known]
    for cell in contest.head(top).to_dict("records"):
        name = TextCell(alternative(cell, cell_axes, over), bold=is_bold(cell))
        outcomes = TextCell(short_outcomes(cell), colour=worst_colour(cell))
        yield [*where, TextCell("★" if cell["best"] else ""), name, *number_cells(cell), outcomes]
    if len(contest) > top:
        yield [*where, TextCell(""), TextCell(f"and {len(contest) - top} more", colour="dim"), *[TextCell("")] * 4]


def verdicts_shown(headline: str, verdicts: Sequence[Verdict], notes: Sequence[str]) -> Group:
    """Each contest's verdict, what limits these verdicts, and the answer in one line."""
    lines: list[RenderableType] = [Text()]
    if len(verdicts) <= CONTESTS:
        for verdict in verdicts:
            lines += _paragraph(verdict.title, verdict.sentences)
    else:
        lines += _paragraph(f"{len(verdicts):,} contests", _standings(verdicts))
    if notes:
        lines += [Text(), *(Text(note, style="dim") for note in notes)]
    return Group(*lines, Text(), Text(f"{headline}.", style="bold"), Text())


def code_shown(found: Sequence[WinnerCode]) -> Group:
    """The lines to paste for each winner."""
    lines: list[RenderableType] = []
    for each in found:
        lines += _paragraph(f"To paste: {each.title}", [f"{framework}: {line}" for framework, line in each.lines])
    return Group(*lines, Text())


def _standings(verdicts: Sequence[Verdict]) -> list[str]:
    """ "he may be the best in 12 contests, clearly in 5", what may be best most often first; then the other states."""
    found = standings(verdicts)
    lines = [
        f"{each.label} may be the best in {plural(each.may_be_best, 'contest')}, clearly in {each.wins:,}"
        for each in found[:CONTESTS]
    ]
    if len(found) > CONTESTS:
        lines.append(f"and {plural(len(found) - CONTESTS, 'other')} that may be the best somewhere")
    states = Counter(verdict.state for verdict in verdicts if verdict.state not in (CLEAR, OPEN))
    return [*lines, *(f"{state}: {plural(count, 'contest')}" for state, count in states.most_common())]


def rescues_shown(found: Sequence[MitigationEffects]) -> Group:
    """What the mitigations do: a table of all, and the answer for each axis."""
    lines: list[RenderableType] = [brief_mitigation_table(found), Text()]
    for each in found:
        lines += _paragraph(f"What each {each.axis} does", answer(each))
    return Group(*lines, Text())


def _paragraph(title: str, sentences: Sequence[str]) -> list[RenderableType]:
    return [Text(title, style="bold"), *(Padding(Text(sentence), (0, 0, 0, 2)) for sentence in sentences)]
