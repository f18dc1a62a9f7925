"""TODO initbench.report.sections_.comparisons"""

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
from initbench.report.page.listing import HtmlCell, HtmlColumn, Listing, as_it_is, axis, axis_column, chips
from initbench.report.page.names import Names, link
from initbench.report.page.numbers import finite, hundredths, interval, p_value, signed


MANY_PAIRS = 500  # with more comparisons than that, those with a winner alone are in the page


# ---------------------------------------------------------------- a row a pair


def comparisons(table: pd.DataFrame, with_winners: pd.DataFrame, names: Names) -> Listing:
    """The pairs of initializers; where there are many, those with a winner alone."""
    shown = table if len(table) <= MANY_PAIRS else with_winners
    columns = [
        *(axis_column(name, table[name]) for name in names.contests),
        HtmlColumn("label_a", "initializer a"),
        HtmlColumn("label_b", "initializer b"),
        HtmlColumn("difference", "a − b, points (interval)", numeric=True),
        HtmlColumn("p_adjusted", "p, adjusted", numeric=True),
        HtmlColumn("resolved", "resolved"),
        HtmlColumn("effect", "effect d", numeric=True),
        HtmlColumn("improvement", "chance that a is better", numeric=True),
        HtmlColumn("pairs", "pairs", numeric=True),
        HtmlColumn("seeds_needed", "seeds needed", numeric=True),
        HtmlColumn("test", "test"),
    ]
    rows = []
    for pair in shown.to_dict("records"):
        both = {name: pair[name] for name in names.contests} | {names.key: [pair["label_a"], pair["label_b"]]}
        rows.append(
            [
                *(axis(pair[name]) for name in names.contests),
                *(HtmlCell(names.html(pair[side]), pair[side]) for side in ("label_a", "label_b")),
                _difference(pair),
                HtmlCell(p_value(pair["p_adjusted"]), pair["p_adjusted"] if finite(pair["p_adjusted"]) else None),
                _resolved(pair["resolved"]),
                _effect(pair["effect"]),
                _improvement(pair),
                HtmlCell(Markup('<a href="{}">{}</a>').format(link("runs", both), pair["pairs"]), pair["pairs"]),
                as_it_is(pair["seeds_needed"]),
                HtmlCell(pair["test"], pair["test"]),
            ]
        )
    caption = "Two initializers of one contest, run by run under the same seed; a is the one that ranks higher."
    if len(shown) < len(table):
        caption += f" Of {len(table):,} pairs those with the winner of a contest are here; comparisons.csv has all."
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
