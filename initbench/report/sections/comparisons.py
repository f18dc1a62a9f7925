"""Pairs of initializers, seed by seed."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from initbench.report.page.context import Page
from initbench.report.page.listing import HtmlCell, HtmlColumn, Listing, axis_cell, axis_column, chips, plain_cell
from initbench.report.page.names import Names, link
from initbench.report.page.numbers import finite, hundredths, interval, p_value, signed
from initbench.report.sections.section import Section

MANY_PAIRS = 500  # of more pairs, the page shows only those with a winner


def comparison_listing(table: pd.DataFrame, with_winners: pd.DataFrame, names: Names) -> Listing:
    """The pairs of initializers; where there are many, only those with a winner."""
    shown = table if len(table) <= MANY_PAIRS else with_winners
    columns = [
        *(axis_column(name, table[name]) for name in names.contests),
        HtmlColumn("label_a", "initializer a"),
        HtmlColumn("label_b", "initializer b"),
        HtmlColumn("difference", "a − b in percentage points (95 % interval)", numeric=True),
        HtmlColumn("p_adjusted", "p-value, adjusted", numeric=True),
        HtmlColumn("resolved", "resolved"),
        HtmlColumn("effect", "effect size d", numeric=True),
        HtmlColumn("improvement", "probability that a is better (95 % interval)", numeric=True),
        HtmlColumn("pairs", "seeds compared", numeric=True),
        HtmlColumn("seeds_needed", "seeds needed", numeric=True),
        HtmlColumn("test", "test"),
    ]
    rows = []
    for pair in shown.to_dict("records"):
        both = {name: pair[name] for name in names.contests} | {names.key: [pair["label_a"], pair["label_b"]]}
        rows.append(
            [
                *(axis_cell(pair[name]) for name in names.contests),
                *(HtmlCell(names.html(pair[side]), pair[side]) for side in ("label_a", "label_b")),
                _difference(pair),
                HtmlCell(p_value(pair["p_adjusted"]), pair["p_adjusted"] if finite(pair["p_adjusted"]) else None),
                _resolved(pair["resolved"]),
                _effect(pair["effect"]),
                _improvement(pair),
                HtmlCell(Markup('<a href="{}">{}</a>').format(link("runs", both), pair["pairs"]), pair["pairs"]),
                plain_cell(pair["seeds_needed"]),
                HtmlCell(pair["test"], pair["test"]),
            ]
        )
    caption = "Test accuracy of two initializers of one contest, paired by seed; a is the one that ranks higher."
    if len(shown) < len(table):
        caption += (
            f" Of {len(table):,} pairs, only those with the winner of a contest are shown; comparisons.csv has all."
        )
    both = [*shown["label_a"], *shown["label_b"]]
    buttons = chips(resolved=["yes", "no"], label_a=shown["label_a"], act=shown["act"]) if both else {}
    return Listing("comparisons", caption, columns, rows, buttons)


def _difference(pair: Mapping[str, Any]) -> HtmlCell:
    if not finite(pair["difference"]):
        return HtmlCell(Markup('<span class="interval">a run diverged</span>') if pair["pairs"] else "–")
    bounds = interval(pair["low"], pair["high"], hundredths())
    return HtmlCell(Markup("{}{}").format(signed(pair["difference"]), bounds), pair["difference"])


def _effect(effect: float) -> HtmlCell:
    return HtmlCell(f"{effect:.2f}".replace("-", "−"), effect) if finite(effect) else HtmlCell("–")


def _resolved(resolved: bool) -> HtmlCell:
    html = Markup('<span class="{0}">{1}</span>').format(*(("yes", "● yes") if resolved else ("no", "○ no")))
    return HtmlCell(html, "yes" if resolved else "no")


def _improvement(pair: Mapping[str, Any]) -> HtmlCell:
    if not finite(pair["improvement"]):
        return HtmlCell("–")
    bounds = interval(pair["improvement_low"], pair["improvement_high"], "{:.2f}".format)
    return HtmlCell(Markup("{:.2f}{}").format(pair["improvement"], bounds), pair["improvement"])


def _html(page: Page) -> Markup | None:
    report = page.report
    if report.comparisons.empty:
        return None
    with_winners = pd.concat([verdict.comparisons for verdict in report.verdicts])
    table = page.listing(comparison_listing(report.comparisons, with_winners, page.names))
    return WAYS + table


WAYS = Markup(
    '<p class="small">All pairs: <a href="comparisons.csv">comparisons.csv</a>. How they are tested: '
    '<a href="#method">method</a>.</p>'
)
SECTION = Section(
    name="comparisons",
    title="Comparisons",
    frames=lambda report: {"comparisons": report.comparisons},
    html=_html,
)
