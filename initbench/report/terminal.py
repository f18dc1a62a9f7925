"""What `initbench run` and `initbench report` print: the summary, the verdicts and what mitigations do."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from initbench.analysis.axes import contest_axes, initializer, value_text
from initbench.analysis.cells import OUTCOMES
from initbench.analysis.mitigations import MitigationEffects, answer
from initbench.analysis.summary import axes_of_summary
from initbench.analysis.verdicts import Verdict
from initbench.report.tables.mitigations import brief_mitigation_table
from initbench.report.tables.summary import mean_text, median_text
from initbench.text import join_words, plural

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


def rich_summary(summary: pd.DataFrame, *, top: int | None = None) -> Table:
    """The summary for a terminal: the first `MANY` contests one below the other, each with its winner (★) first.

    top: how many initializers to show per contest; by default all, or 3 where all would take more than `LONG` rows.
    """
    cell_axes = axes_of_summary(summary)
    contests = contest_axes(cell_axes)
    top = top or (3 if len(summary) > LONG else len(summary))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for axis in contests:
        table.add_column(axis, no_wrap=True, justify="left" if axis == "act" else "right")
    table.add_column("  init", no_wrap=True)
    table.add_column("test acc.\nmedian", justify="right", no_wrap=True)
    table.add_column("mean ± s.d.\n(finite runs)", justify="right", no_wrap=True)
    table.add_column("outcomes")
    blank = [""] * len(contests)
    groups = list(summary.groupby(contests, dropna=False, sort=False))
    for key, contest in groups[:MANY]:
        for position, (_, cell) in enumerate(contest.head(top).iterrows()):
            where = blank if position else map(value_text, key)
            table.add_row(*where, *_rich_cell(cell, cell_axes), end_section=position == len(contest) - 1)
        if len(contest) > top:
            table.add_row(*blank, Text(f"  and {len(contest) - top} more", style="dim"), end_section=True)
    if len(groups) > MANY:
        table.add_row(*blank, Text(f"  and {plural(len(groups) - MANY, 'other contest')}", style="dim"))
    return table


def _rich_cell(cell: pd.Series, cell_axes: list[str]) -> list[Text]:
    mark, style = ("★ ", "bold") if cell["best"] else ("  ", "")
    outcomes = [
        Text(f"{cell[outcome]}\u00a0{outcome}", style=COLOURS[outcome]) for outcome in OUTCOMES if cell[outcome]
    ]
    return [
        Text(mark + initializer(cell, cell_axes), style=style),
        Text(median_text(cell["test_acc_median"], cell), style=style),
        Text(mean_text(cell)),
        Text(" ").join(outcomes),
    ]


def verdicts_shown(verdicts: Sequence[Verdict], notes: Sequence[str]) -> Group:
    """Who wins each contest, and what limits these verdicts."""
    lines: list[RenderableType] = []
    if len(verdicts) <= CONTESTS:
        for verdict in verdicts:
            lines += _paragraph(verdict.title, verdict.sentences)
    else:
        lines += _paragraph(f"Winners of {len(verdicts):,} contests", _wins(verdicts))
    if notes:
        lines += [Text(), *(Text(note, style="dim") for note in notes)]
    return Group(*lines, Text())


def _wins(verdicts: Sequence[Verdict]) -> list[str]:
    """ "he wins 12 contests, and leads every rival that learned beyond noise in 5 of them", most wins first."""
    ties = {verdict.tied: f"{join_words(verdict.tied)} tie in" for verdict in verdicts if verdict.tied}
    wins = Counter(
        ties.get(verdict.tied) or (f"{verdict.winner} wins" if verdict.winner else "No initializer learned in")
        for verdict in verdicts
    )
    clear = Counter(f"{verdict.winner} wins" for verdict in verdicts if verdict.winner and not verdict.unresolved)
    lines = []
    for who, count in wins.most_common(CONTESTS):
        ahead = f", and leads every rival that learned beyond noise in {clear[who]:,} of them" if clear[who] else ""
        lines.append(f"{who} {plural(count, 'contest')}{ahead}")
    if rest := wins.most_common()[CONTESTS:]:
        lines.append(f"{plural(len(rest), 'other result')} in {plural(sum(count for _, count in rest), 'contest')}")
    return lines


def rescues_shown(found: Sequence[MitigationEffects]) -> Group:
    """What the mitigations do: a table of all, and the answer for each axis."""
    lines: list[RenderableType] = [brief_mitigation_table(found), Text()]
    for each in found:
        lines += _paragraph(f"What each {each.axis} does", answer(each))
    return Group(*lines, Text())


def _paragraph(title: str, sentences: Sequence[str]) -> list[RenderableType]:
    return [Text(title, style="bold"), *(Padding(Text(sentence), (0, 0, 0, 2)) for sentence in sentences)]
