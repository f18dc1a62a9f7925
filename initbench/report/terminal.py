"""What `initbench run` and `initbench report` print: the summary, the verdicts and what mitigations do."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from initbench.analysis.axes import alternative, contest_axes, value_text
from initbench.analysis.cells import OUTCOMES
from initbench.analysis.headline import standings
from initbench.analysis.mitigations import MitigationEffects, answer
from initbench.analysis.summary import axes_of_summary
from initbench.analysis.verdicts import CLEAR, OPEN, Verdict
from initbench.report.tables.mitigations import brief_mitigation_table
from initbench.report.tables.summary import learned_text, measure_of, median_text
from initbench.text import plural

COLOURS = {
    "learned": "green",
    "slow": "cyan",
    "stuck": "yellow",
    "diverged": "red",
    "failed": "magenta",
    "pending": "dim",
}
LONG = 60  # rows; a longer table shows the best initializers of each contest
MANY = 30  # contests that the table shows at most
CONTESTS = 12  # whose verdicts are printed in full; of more contests, only how often each initializer wins


def rich_summary(summary: pd.DataFrame, *, top: int | None = None, over: str = "init") -> Table:
    """The summary for a terminal: the first `MANY` contests one below the other, each with its first (★) on top.

    All that may be the best are bold. top: how many to show per contest; by default all, or 3 where all would
    take more than `LONG` rows. over: the axis whose values compete.
    """
    cell_axes = axes_of_summary(summary)
    contests = contest_axes(cell_axes, over)
    top = top or (3 if len(summary) > LONG else len(summary))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for axis in contests:
        table.add_column(axis, no_wrap=True, justify="left" if axis in ("init", "act") else "right")
    table.add_column(f"  {over}", no_wrap=True)
    table.add_column("of those that learned:\nmean ± s.d.", justify="right", no_wrap=True)
    table.add_column(f"{measure_of(summary)}\nmedian", justify="right", no_wrap=True)
    table.add_column("outcomes")
    blank = [""] * len(contests)
    groups = list(summary.groupby(contests, dropna=False, sort=False))
    for key, contest in groups[:MANY]:
        for position, (_, cell) in enumerate(contest.head(top).iterrows()):
            where = blank if position else map(value_text, key)
            table.add_row(*where, *_rich_cell(cell, cell_axes, over), end_section=position == len(contest) - 1)
        if len(contest) > top:
            table.add_row(*blank, Text(f"  and {len(contest) - top} more", style="dim"), end_section=True)
    if len(groups) > MANY:
        table.add_row(*blank, Text(f"  and {plural(len(groups) - MANY, 'other contest')}", style="dim"))
    return table


def _rich_cell(cell: pd.Series, cell_axes: list[str], over: str) -> list[Text]:
    mark = "★ " if cell["best"] else "  "
    style = "bold" if cell["best"] or (cell["may_be_best"] and cell["learned"]) else ""
    outcomes = [
        Text(f"{cell[outcome]}\u00a0{outcome}", style=COLOURS[outcome]) for outcome in OUTCOMES if cell[outcome]
    ]
    return [
        Text(mark + alternative(cell, cell_axes, over), style=style),
        Text(learned_text(cell), style=style),
        Text(median_text(cell)),
        Text(" ").join(outcomes),
    ]


def verdicts_shown(headline: str, verdicts: Sequence[Verdict], notes: Sequence[str]) -> Group:
    """The answer in one line, then each contest's verdict, and what limits these verdicts."""
    lines: list[RenderableType] = []
    if len(verdicts) <= CONTESTS:
        for verdict in verdicts:
            lines += _paragraph(verdict.title, verdict.sentences)
    else:
        lines += _paragraph(f"{len(verdicts):,} contests", _standings(verdicts))
    if notes:
        lines += [Text(), *(Text(note, style="dim") for note in notes)]
    return Group(*lines, Text(), Text(f"{headline}.", style="bold"), Text())


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
