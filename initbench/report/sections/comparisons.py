"""Pairs of initializers, seed by seed."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from initbench.analysis.contests import by_contest
from initbench.analysis.measure import ERROR, MEASURES
from initbench.report.page.listing import HtmlCell, HtmlColumn, Listing, axis_columns, chips, number_cell
from initbench.report.page.names import Names, link
from initbench.report.page.numbers import finite, hundredths, interval, minus, p_value, signed
from initbench.report.page.page import Page
from initbench.report.sections.section import Section
from initbench.text import capitalized

Row = Mapping[str, Any]
MANY_PAIRS = 500  # of more pairs, the page shows only those with a winner


def comparison_listing(table: pd.DataFrame, with_winners: pd.DataFrame, names: Names) -> Listing:
    """The pairs of initializers; where there are many, only those with a winner."""
    shown = table if len(table) <= MANY_PAIRS else with_winners

    def seeds_compared(pair: Row) -> HtmlCell:
        runs = {name: pair[name] for name in names.contests} | {names.key: [pair["label_a"], pair["label_b"]]}
        return HtmlCell(Markup('<a href="{}">{}</a>').format(link("runs", runs), pair["pairs"]), pair["pairs"])

    measures = list(shown["measure"].unique())
    units = " or ".join(MEASURES[name].unit for name in measures)
    ahead = "a ahead of b" if ERROR.name in measures else "a − b"
    columns = [
        *axis_columns(names.contests, table),
        names.column("label_a", f"{names.noun} a"),
        names.column("label_b", f"{names.noun} b"),
        HtmlColumn(
            "difference",
            f"{ahead} in {units} (95 % interval)",
            _difference,
            numeric=True,
            share=ERROR.name not in measures,
        ),
        HtmlColumn(
            "p_adjusted", "p-value, adjusted", lambda pair: number_cell(pair["p_adjusted"], p_value), numeric=True
        ),
        HtmlColumn("resolved", "resolved", _resolved),
        HtmlColumn("effect", "effect size d", lambda pair: number_cell(pair["effect"], _two_digits), numeric=True),
        HtmlColumn(
            "improvement", "probability that a is better, % (95 % interval)", _improvement, numeric=True, share=True
        ),
        HtmlColumn("pairs", "seeds compared", seeds_compared, numeric=True),
        HtmlColumn("test", "test"),
    ]
    scores = capitalized(" or ".join(measures))
    caption = f"{scores} of two {names.noun}s of one contest, paired by seed; a ranks higher than b."
    if len(shown) < len(table):
        caption += (
            f" Of {len(table):,} pairs, only those with the winner of a contest are shown; comparisons.csv has all."
        )
    buttons = chips(resolved=["yes", "no"], label_a=shown["label_a"], **names.activations(shown)) if len(shown) else {}
    return Listing("comparisons", caption, columns, shown.to_dict("records"), buttons, file="comparisons.csv")


def _two_digits(value: float) -> str:
    return minus(f"{value:.2f}")


def _difference(pair: Row) -> HtmlCell:
    if pair["pairs"] and not finite(pair["difference"]):
        return HtmlCell(Markup('<span class="interval">a run diverged</span>'))
    number = MEASURES[pair["measure"]].number
    return number_cell(
        pair["difference"], lambda value: signed(value, number), interval(pair["low"], pair["high"], number)
    )


def _resolved(pair: Row) -> HtmlCell:
    html = '<span class="yes">● yes</span>' if pair["resolved"] else '<span class="no">○ no</span>'
    return HtmlCell(Markup(html), "yes" if pair["resolved"] else "no")


def _improvement(pair: Row) -> HtmlCell:
    bounds = interval(pair["improvement_low"], pair["improvement_high"], hundredths(0))
    return number_cell(pair["improvement"], hundredths(0), bounds)


def with_the_first(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs of a contest that the first in rank is in: the one that none is ranked above."""
    first = set(pairs["label_a"]) - set(pairs["label_b"])
    return pairs[pairs["label_a"].isin(first)]


def _html(page: Page) -> Markup | None:
    report = page.report
    if report.comparisons.empty:
        return None
    with_winners = pd.concat(map(with_the_first, by_contest(report.comparisons, report.contests.axes).values()))
    files = Markup('<p class="small">How pairs are tested: <a href="#method">method</a>.</p>')
    return files + page.listing(comparison_listing(report.comparisons, with_winners, page.names))


SECTION = Section(
    name="comparisons", title="Comparisons", frames=lambda report: {"comparisons": report.comparisons}, html=_html
)
