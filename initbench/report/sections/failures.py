"""What went wrong: the faults of cells, in groups that one sentence describes, and errors."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from initbench.analysis.contests import title_words
from initbench.analysis.diagnosis import diagnose
from initbench.analysis.diagnosis.groups import Group, grouped
from initbench.report.page.listing import HtmlCell, HtmlColumn, Listing, chips, plain_cell
from initbench.report.page.names import Names, link
from initbench.report.page.page import Page
from initbench.report.sections.section import Section
from initbench.text import plural

MANY_CELLS = 6  # of a group: more are folded


class FaultGroups:
    """The groups of a report as a listing: the fault, the evidence, what to try, and the cells."""

    def __init__(self, table: pd.DataFrame, names: Names):
        self.names = names
        self.groups = grouped(table)
        self.measured = [name for name in table if name not in {*diagnose.FOUND, *names.axes}]
        self.axes = [axis for axis in names.contests if names.runs[axis].nunique(dropna=False) > 1]

    def listing(self) -> Listing:
        columns = [
            HtmlColumn("fault", "fault", lambda row: HtmlCell(_fault(row["group"]), row["group"].fault)),
            HtmlColumn("act", "act", lambda row: HtmlCell(row["group"].act, row["group"].act)),
            HtmlColumn("evidence", "evidence", lambda row: _text(row["group"].evidence), wide=True),
            HtmlColumn("advice", "what to try", lambda row: _text(row["group"].advice), wide=True),
            HtmlColumn("cells", "in which cells and runs", lambda row: self.cells(row["group"]), wide=True),
        ]
        caption = "One row per fault and activation, or several if one sentence cannot describe all cells."
        buttons = chips(fault=[group.fault for group in self.groups], act=[group.act for group in self.groups])
        return Listing(
            "diagnoses",
            caption,
            columns,
            [{"group": group} for group in self.groups],
            buttons,
            page=25,
            file="diagnoses.csv",
        )

    def cells(self, group: Group) -> HtmlCell:
        """A group's cells, each with its runs, what to try in it where that differs, and its numbers."""
        alike = group.cells["try_first"].nunique(dropna=False) <= 1
        lines = [self._cell(cell, group, alike) for cell in group.cells.to_dict("records")]
        listed = Markup('<ul class="cells">{}</ul>').format(Markup("").join(lines))
        if len(lines) > MANY_CELLS:
            folded = '<details class="numbers"><summary>{}: {}</summary>{}</details>'
            labels = ", ".join(dict.fromkeys(group.cells["label"]))
            listed = Markup(folded).format(plural(len(lines), "cell"), labels, listed)
        return HtmlCell(listed, len(lines))

    def _cell(self, cell: Mapping[str, Any], group: Group, alike: bool) -> Markup:
        axes = self.axes if "," in group.act else [axis for axis in self.axes if axis != "act"]
        where = ", ".join(title_words(axes, [cell[axis] for axis in axes]))
        runs = link("runs", {name: cell[name] for name in self.names.axes})
        share = Markup('<a href="{}">{} of {}</a>').format(runs, cell["failing"], plural(cell["runs"], "run"))
        ways = (
            Markup("") if alike or not cell["try_first"] else Markup("; try <code>{}</code>").format(cell["try_first"])
        )
        name = self.names.html(cell["label"])
        return Markup("<li>{}{}{}: {}{}{}</li>").format(
            name, ", " if where else "", where, share, ways, _numbers(cell, self.measured)
        )


def _text(sentence: str) -> HtmlCell:
    return HtmlCell(sentence, sentence)


def _fault(group: Group) -> Markup:
    fault = Markup('<strong class="fault">{}</strong>').format(group.fault)
    agreeing, faulty = int(group.cells["agreeing"].sum()), int(group.cells["failing"].sum())
    if agreeing == faulty:
        return fault
    unsure = '<br><span class="interval">{} of {} runs agree</span>'
    return fault + Markup(unsure).format(agreeing, faulty)


def _numbers(cell: Mapping[str, Any], measured: list[str]) -> Markup:
    known = {name: plain_cell(cell[name]).html for name in measured if plain_cell(cell[name]).value is not None}
    if not known:
        return Markup("")
    terms = Markup("").join(
        Markup("<dt>{}</dt><dd>{}</dd>").format(name.replace("_", " "), value) for name, value in known.items()
    )
    return Markup('<details class="numbers"><summary>the numbers</summary><dl>{}</dl></details>').format(terms)


def errors(runs: pd.DataFrame) -> list[tuple[str, int]]:
    """The messages of runs that ended with an error, the most frequent first."""
    if "error" not in runs:
        return []
    return Counter(runs.loc[runs["status"] == "failed", "error"].fillna("no message")).most_common()


def _html(page: Page) -> Markup | None:
    table, found = page.report.frames["diagnoses"], errors(page.report.contests.results.runs)
    if table.empty and not found:
        return None
    return page.render(
        "failures",
        diagnoses=FaultGroups(table, page.names).listing() if len(table) else None,
        faults=Counter(table["fault"]) if len(table) else Counter(),
        errors=found,
        rules=diagnose.RULES,
    )


SECTION = Section(
    name="failures",
    title="What went wrong",
    frames=lambda report: {"diagnoses": diagnose.diagnose(report.contests)},
    html=_html,
)
