"""The summary: one row per cell."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
from markupsafe import Markup

from initbench.analysis.cells import FINISHED, OUTCOMES
from initbench.analysis.measure import ERROR
from initbench.report.page.listing import HtmlCell, HtmlColumn, Listing, axis_columns, chips, number_cell
from initbench.report.page.names import ALIKE, BEST, Names, link
from initbench.report.page.numbers import finite, hundredths, interval
from initbench.report.page.page import Page
from initbench.report.sections.section import Section
from initbench.report.tables.summary import learned_text, measure_in, measure_of, measures, summary_table
from initbench.report.terminal import rich_summary


def summary_listing(table: pd.DataFrame, names: Names) -> Listing:
    """One row per cell: how its runs ended, accuracy and loss, and a link to the runs."""
    found = measures(table)
    numbers = [each for each in COLUMNS if each.name in table and not (found == [ERROR] and each.of_labels)]
    scores, labels = measure_of(table), ERROR not in found
    units = {"train_loss_median": f" ({names.loss_unit})"}
    outcomes = [outcome for outcome in OUTCOMES if table[outcome].any()]
    records = [
        cell | {"place": place, "label": names.label(cell)} for place, cell in enumerate(table.to_dict("records"))
    ]
    columns = [
        *axis_columns(names.contests, table),
        HtmlColumn(names.key, names.noun, lambda cell: names.cell(cell["label"], _mark(cell))),
        HtmlColumn("runs", "runs", lambda cell: HtmlCell(_runs(cell, names), cell["runs"]), numeric=True),
        HtmlColumn(
            "learned_mean", f"{scores} of the runs that learned, mean ± s.d.", _learned, numeric=True, share=labels
        ),
        *(
            HtmlColumn(
                measure.name,
                measure.title + units.get(measure.name, ""),
                measure.cell,
                numeric=True,
                share=measure.unit == " %",
            )
            for measure in numbers
        ),
        *(
            HtmlColumn(outcome, "runs (95 % interval of their share in %)", partial(_share, outcome), numeric=True)
            for outcome in outcomes
        ),
    ]
    caption = (
        f"One row per {names.noun} and setting. ★: the first of its contest; "
        "≈: others that may be the best as well. ▸ opens the runs of a row; click "
        "their number to find them below."
    )
    buttons = chips(**{names.key: [cell["label"] for cell in records], **names.activations(table)})
    return Listing("summary", caption, columns, records, buttons, file="summary.csv")


def _mark(cell: Mapping[str, Any]) -> Markup | str:
    if cell["best"]:
        return BEST
    return ALIKE if cell["may_be_best"] and cell["learned"] else ""


@dataclass(frozen=True)
class SummaryColumn:
    """A column of the summary. Its interval, where it has one, ends at NAME_low and NAME_high."""

    name: str
    title: str
    text: Callable[[float], str]
    unit: str = ""
    infinite: str = "diverged"  # what is written where a run without a number decides
    beside: Callable[[Mapping[str, Any]], str] | None = None  # what follows the number, instead of an interval
    of_labels: bool = False  # whether it is of no use where numbers are predicted

    def cell(self, row: Mapping[str, Any]) -> HtmlCell:
        if self.of_labels and measure_in(row) is ERROR:
            return HtmlCell("–")
        if not finite(row[self.name]) and _without_number(self.name, row):
            return HtmlCell(self.infinite)
        low, high = (row.get(f"{self.name}_{end}", math.nan) for end in ("low", "high"))
        bounds = interval(low, high, self.text, self.infinite)
        if self.unit == " %" and finite(low) and finite(high) and low <= 0 and high >= 1:
            bounds = Markup(' <span class="interval" title="the interval contains every possible accuracy">–</span>')
        beside = Markup(' <span class="interval">{}</span>').format(self.beside(row)) if self.beside else bounds
        return number_cell(row[self.name], self.text, self.unit + beside)


def _without_number(name: str, row: Mapping[str, Any]) -> bool:
    """Whether there is no number because runs diverged or never reached the target."""
    if name in ("test_acc_mean", "ensemble_acc"):
        return False
    if name == "steps_to_target":
        return row["reached_target"] < sum(row[outcome] for outcome in FINISHED)
    return bool(row["diverged"])


def _deviation(row: Mapping[str, Any]) -> str:
    deviation = f"± {100 * row['test_acc_std']:.1f} " if finite(row["test_acc_std"]) else ""
    return f"{deviation}({row['test_acc_count']})"


def _learned(row: Mapping[str, Any]) -> HtmlCell:
    return HtmlCell(learned_text(row), row["learned_mean"] if finite(row["learned_mean"]) else None)


def _members(row: Mapping[str, Any]) -> str:
    return f"({100 * row['ensemble_members_acc']:.1f}, {row['ensemble_members']} seeds)"


ACCURACIES: dict[str, Any] = {"text": hundredths(), "unit": " %", "of_labels": True}
COLUMNS = [
    SummaryColumn("test_error_median", "test error, median (95 % interval)", "{:.3g}".format),
    SummaryColumn("test_balanced_acc_median", "balanced test accuracy, median (95 % interval)", **ACCURACIES),
    SummaryColumn("test_f1_median", "macro F1 on the test part, median (95 % interval)", **ACCURACIES),
    SummaryColumn("test_acc_median", "test accuracy, median (95 % interval)", **ACCURACIES),
    SummaryColumn("test_acc_iqm", "test accuracy, interquartile mean (95 % interval)", **ACCURACIES),
    SummaryColumn("test_acc_mean", "test accuracy, mean ± s.d. (finite runs)", **ACCURACIES, beside=_deviation),
    SummaryColumn("ensemble_acc", "ensemble test accuracy (mean of its members)", **ACCURACIES, beside=_members),
    SummaryColumn("train_loss_median", "training loss, median", "{:.3g}".format),
    SummaryColumn("steps_to_target", "steps to target loss, median", "{:.0f}".format, infinite="never"),
]


def _runs(cell: Mapping[str, Any], names: Names) -> Markup:
    """How many runs, how they ended, and a link to them."""
    parts = Markup("").join(
        Markup('<i class="{0}" style="flex-grow: {1}" title="{1} {0}"></i>').format(outcome, cell[outcome])
        for outcome in OUTCOMES
        if cell[outcome]
    )
    return Markup(
        '<span class="runs"><button type="button" class="trace" data-cell="{}" aria-expanded="false" '
        'aria-label="show the runs of this cell"></button><a href="{}">{}</a><span class="bar">{}</span></span>'
    ).format(cell["place"], link("runs", {name: cell[name] for name in names.axes}), cell["runs"], parts)


def _share(outcome: str, cell: Mapping[str, Any]) -> HtmlCell:
    count = cell[outcome]
    bounds = interval(cell.get(f"{outcome}_low"), cell.get(f"{outcome}_high"), hundredths(0))
    return HtmlCell(Markup('<span class="{}">{}</span>{}').format(outcome if count else "none", count, bounds), count)


def _html(page: Page) -> Markup:
    summary, scored = page.report.summary, page.report.contests.measure
    errors, example = scored is ERROR, f"{scored.column}_median{'>90%' if scored.share else '<0.5'}"
    table = page.listing(summary_listing(summary, page.names))
    return page.render("summary", table=table, example=example, errors=errors)


SECTION = Section(
    name="summary",
    title="Summary",
    frames=lambda report: {"summary": report.summary},
    tables=lambda report: {"summary": summary_table(report.summary, report.contests.over)},
    html=_html,
    facts=lambda report: {"outcomes": report.summary[list(OUTCOMES)].sum().to_dict()},
    terminal=lambda report: [rich_summary(report.summary, over=report.contests.over)],
)
