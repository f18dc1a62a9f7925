"""Why runs failed: what each cell with failed runs suffers from, and errors."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from initbench.analysis.diagnosis import diagnose
from initbench.report.page.listing import HtmlCell, HtmlColumn, Listing, axis_columns, chips, plain_cell
from initbench.report.page.names import Names, link
from initbench.report.page.page import Page
from initbench.report.sections.section import Section

_DIAGNOSED = {"label", "runs", "failing", "fault", "agreeing", "evidence", "advice"}


def diagnosis_listing(table: pd.DataFrame, names: Names) -> Listing:
    """One row per cell that has failed runs: the fault, the evidence, and what to try."""
    measured = [name for name in table if name not in {*_DIAGNOSED, *names.axes}]

    def failed_runs(cell: Mapping[str, Any]) -> HtmlCell:
        runs = link("runs", {name: cell[name] for name in names.axes} | {"outcome": ["slow", "stuck", "diverged"]})
        share = Markup('<a href="{}">{} of {}</a>').format(runs, cell["failing"], cell["runs"])
        return HtmlCell(share, cell["failing"])

    columns = [
        *axis_columns(names.contests, table),
        names.column(),
        HtmlColumn("failing", "failed runs", failed_runs, numeric=True),
        HtmlColumn("fault", "fault", lambda cell: HtmlCell(_fault(cell), cell["fault"])),
        HtmlColumn(
            "evidence", "evidence", lambda cell: HtmlCell(_evidence(cell, measured), cell["evidence"]), wide=True
        ),
        HtmlColumn("advice", "what to try", wide=True),
    ]
    caption = "One row per cell with runs that were slow, got stuck or diverged, and the fault that most of them have."
    buttons = chips(fault=table["fault"], act=table["act"], **{names.key: table["label"]})
    return Listing("diagnoses", caption, columns, table.to_dict("records"), buttons, page=25)


def _fault(cell: Mapping[str, Any]) -> Markup:
    fault = Markup('<strong class="fault">{}</strong>').format(cell["fault"])
    if cell["agreeing"] == cell["failing"]:
        return fault
    unsure = '<br><span class="interval">{} of {} runs agree</span>'
    return fault + Markup(unsure).format(cell["agreeing"], cell["failing"])


def _evidence(cell: Mapping[str, Any], measured: list[str]) -> Markup:
    known = {name: plain_cell(cell[name]).html for name in measured if plain_cell(cell[name]).value is not None}
    if not known:
        return Markup("{}").format(cell["evidence"])
    terms = Markup("").join(
        Markup("<dt>{}</dt><dd>{}</dd>").format(name.replace("_", " "), value) for name, value in known.items()
    )
    return Markup('{}<details class="numbers"><summary>the numbers</summary><dl>{}</dl></details>').format(
        cell["evidence"], terms
    )


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
        diagnoses=diagnosis_listing(table, page.names) if len(table) else None,
        faults=Counter(table["fault"]) if len(table) else Counter(),
        errors=found,
        rules=diagnose.RULES,
    )


SECTION = Section(
    name="failures",
    title="Why runs failed",
    frames=lambda report: {"diagnoses": diagnose.diagnose(report.contests)},
    html=_html,
)
