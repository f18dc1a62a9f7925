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

COLOURS = {"learned": "green", "stuck": "yellow", "diverged": "red", "failed": "magenta", "pending": "dim"}
LONG = 60  # rows; a longer table shows the best of each group
MANY = 30  # groups, of which a terminal shows no more
CONTESTS = 12  # whose verdicts are printed in words; of more only who won how many, and as many such lines


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
        Text(median_text(cell["test_acc_median"], cell), style=style),
        Text(mean_text(cell)),
        outcomes,
    ]


def verdicts_shown(verdicts: Sequence[Verdict], notes: Sequence[str]) -> Group:
    """Who wins each contest, in words, and what limits it."""
    lines: list[RenderableType] = []
    if len(verdicts) <= CONTESTS:
        for verdict in verdicts:
            lines.append(Text(verdict.title, style="bold"))
            lines += [Padding(Text(sentence), (0, 0, 0, 2)) for sentence in verdict.sentences]
    else:
        wins = Counter(
            f"{join_words(verdict.tied)} tie" if verdict.tied else verdict.winner or "nobody" for verdict in verdicts
        )
        clear = Counter(verdict.winner for verdict in verdicts if verdict.winner and not verdict.unresolved)
        lines.append(Text(f"Who wins {len(verdicts):,} contests", style="bold"))
        for label, count in wins.most_common(CONTESTS):
            ahead = f", {clear[label]:,} of them ahead of all others that learned" if clear[label] else ""
            lines.append(Padding(Text(f"{label}: {count:,}{ahead}"), (0, 0, 0, 2)))
        if rest := wins.most_common()[CONTESTS:]:
            others = f"{plural(len(rest), 'other')}: {sum(count for _, count in rest):,}"
            lines.append(Padding(Text(others), (0, 0, 0, 2)))
    if notes:
        lines += [Text(), *(Text(note, style="dim") for note in notes)]
    return Group(*lines, Text())


def rescues_shown(found: Sequence[MitigationEffects]) -> Group:
    """What the mitigations do: a table of them, and of each axis the answer."""
    lines: list[RenderableType] = [brief_mitigation_table(found), Text()]
    for each in found:
        lines.append(Text(f"What each {each.axis} does", style="bold"))
        lines += [Padding(Text(sentence), (0, 0, 0, 2)) for sentence in answer(each)]
    return Group(*lines, Text())
