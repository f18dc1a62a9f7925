"""TODO initbench.report.sections_.summary"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
import numpy as np
import pandas as pd
from markupsafe import Markup
from initbench.analysis.axes import cell_axes, initializer, labelled, loss_unit, value_text
from initbench.analysis.cells import OUTCOMES
from initbench.report.figures.style import Style, styles
from initbench.results.load import Results
from initbench.text import percent
from initbench.report.page.listing import HtmlCell, HtmlColumn, Listing, axis, axis_column, chips
from initbench.report.page.names import Names, STAR, link
from initbench.report.page.numbers import accuracy, finite, hundredths, interval, shortened


# ---------------------------------------------------------------- a row a cell


def summary(table: pd.DataFrame, names: Names) -> Listing:
    """The cells: how their runs ended, accuracy and loss, and a way to the runs."""
    measures = [measure for measure in MEASURES if measure.name in table]
    units = {"train_loss_median": f" ({names.loss_unit})"}
    outcomes = [outcome for outcome in OUTCOMES if table[outcome].any()]
    columns = [
        *(axis_column(name, table[name]) for name in names.contests),
        names.column(),
        HtmlColumn("runs", "runs", numeric=True),
        *(HtmlColumn(measure.name, measure.title + units.get(measure.name, ""), numeric=True) for measure in measures),
        *(HtmlColumn(outcome, f"{outcome} (share, %)", numeric=True) for outcome in outcomes),
    ]
    rows = []
    for place, cell in enumerate(table.to_dict("records")):
        label = names.label(cell)
        rows.append(
            [
                *(axis(cell[name]) for name in names.contests),
                HtmlCell(names.html(label, STAR if cell["best"] else ""), label),
                HtmlCell(_runs(place, cell, link("runs", {name: cell[name] for name in names.axes})), cell["runs"]),
                *(measure.cell(cell) for measure in measures),
                *(_share(cell, outcome) for outcome in outcomes),
            ]
        )
    caption = (
        "One row a cell: an initializer at one point of the grid. ★: the highest median of its contest. "
        "▸ shows the runs behind a row, their number finds them among all runs."
    )
    labels = map(names.label, table.to_dict("records"))
    return Listing("summary", caption, columns, rows, chips(**{names.key: labels, "act": table["act"]}))


@dataclass(frozen=True)
class Measure:
    """A column of the summary: its interval's ends are NAME_low and NAME_high, where it has one.

    infinite: what stands where a run that has no number decides.
    """

    name: str
    title: str
    text: Callable[[float], str]
    unit: str = ""
    infinite: str = "diverged"
    beside: Callable[[Mapping[str, Any]], str] | None = None  # a word on the number

    def cell(self, row: Mapping[str, Any]) -> HtmlCell:
        value = row[self.name]
        if not finite(value):
            return HtmlCell(self.infinite if _without_number(self.name, row) else "–")
        low, high = row.get(f"{self.name}_low"), row.get(f"{self.name}_high")
        bounds = interval(low, high, self.text, self.infinite)
        if self.unit == " %" and _says_nothing(low, high):
            bounds = Markup(' <span class="interval" title="any accuracy is within the interval">–</span>')
        beside = Markup(' <span class="interval">{}</span>').format(self.beside(row)) if self.beside else bounds
        return HtmlCell(Markup("{}{}{}").format(self.text(value), self.unit, beside), value)


def _says_nothing(low: Any, high: Any) -> bool:
    """Whether an interval of an accuracy holds every accuracy there is."""
    return finite(low) and finite(high) and low <= 0 and high >= 1


def _without_number(name: str, row: Mapping[str, Any]) -> bool:
    """Whether runs that diverged, or never got there, are why there is no number."""
    if name in ("test_acc_mean", "ensemble_acc"):
        return False
    if name == "steps_to_target":
        return row["reached_target"] < row["learned"] + row["stuck"] + row["diverged"]
    return bool(row["diverged"])


def _deviation(row: Mapping[str, Any]) -> str:
    deviation = f"± {100 * row['test_acc_std']:.1f} " if finite(row["test_acc_std"]) else ""
    return f"{deviation}({row['test_acc_count']})"


def _members(row: Mapping[str, Any]) -> str:
    return f"({100 * row['ensemble_members_acc']:.1f}, {row['ensemble_members']} seeds)"


MEASURES = [
    Measure("test_acc_median", "test accuracy, median", hundredths(), " %"),
    Measure("test_acc_iqm", "interquartile mean", hundredths(), " %"),
    Measure("test_acc_mean", "mean ± s.d. (finite runs)", hundredths(), " %", beside=_deviation),
    Measure("ensemble_acc", "ensemble over seeds (mean of its members)", hundredths(), " %", beside=_members),
    Measure("train_loss_median", "train loss, median", shortened),
    Measure("steps_to_target", "steps to target, median", "{:.0f}".format, infinite="never"),
]


def _runs(place: int, cell: Mapping[str, Any], href: str) -> Markup:
    """How many, how they ended, and the way to each."""
    parts = Markup("").join(
        Markup('<i class="{0}" style="flex-grow: {1}" title="{1} {0}"></i>').format(outcome, cell[outcome])
        for outcome in OUTCOMES
        if cell[outcome]
    )
    return Markup(
        '<span class="runs"><button type="button" class="trace" data-cell="{}" aria-expanded="false" '
        'aria-label="show the runs of this cell"></button><a href="{}">{}</a><span class="bar">{}</span></span>'
    ).format(place, href, cell["runs"], parts)


def _share(cell: Mapping[str, Any], outcome: str) -> HtmlCell:
    count = cell[outcome]
    bounds = interval(cell.get(f"{outcome}_low"), cell.get(f"{outcome}_high"), hundredths(0))
    return HtmlCell(Markup('<span class="{}">{}</span>{}').format(outcome if count else "none", count, bounds), count)
