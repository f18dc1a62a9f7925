"""TODO initbench.report.sections_.failures"""

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
from initbench.report.page.numbers import interval


# ---------------------------------------------------------------- a row a failing cell

_DIAGNOSED = {"label", "runs", "failing", "fault", "agreeing", "evidence", "advice"}


def diagnoses(table: pd.DataFrame, names: Names) -> Listing:
    """The cells that have failing runs: what is wrong, how that shows, and what to try."""
    columns = [
        *(axis_column(name, table[name]) for name in names.contests),
        names.column(),
        HtmlColumn("failing", "failing runs", numeric=True),
        HtmlColumn("fault", "fault"),
        HtmlColumn("evidence", "measured", wide=True),
        HtmlColumn("advice", "what to try", wide=True),
    ]
    measured = [name for name in table if name not in {*_DIAGNOSED, *names.axes}]
    rows = []
    for cell in table.to_dict("records"):
        runs = link("runs", {name: cell[name] for name in names.axes} | {"outcome": ["stuck", "diverged"]})
        share = Markup('<a href="{}">{} of {}</a>').format(runs, cell["failing"], cell["runs"])
        rows.append(
            [
                *(axis(cell[name]) for name in names.contests),
                HtmlCell(names.html(cell["label"]), cell["label"]),
                HtmlCell(share, cell["failing"]),
                HtmlCell(_fault(cell), cell["fault"]),
                HtmlCell(_evidence(cell, measured), cell["evidence"]),
                HtmlCell(cell["advice"], cell["advice"]),
            ]
        )
    caption = "One row a cell with runs that got stuck or diverged, and the fault that most of them have."
    buttons = chips(fault=table["fault"], act=table["act"], **{names.key: table["label"]})
    return Listing("diagnoses", caption, columns, rows, buttons, page=25)


def _fault(cell: Mapping[str, Any]) -> Markup:
    unsure = "" if cell["agreeing"] == cell["failing"] else f"{cell['agreeing']} of {cell['failing']} runs agree"
    return Markup('<strong class="fault">{}</strong>{}').format(
        cell["fault"], Markup('<br><span class="interval">{}</span>').format(unsure) if unsure else ""
    )


def _evidence(cell: Mapping[str, Any], measured: list[str]) -> Markup:
    known = {name: as_it_is(cell[name]).html for name in measured if as_it_is(cell[name]).value is not None}
    if not known:
        return Markup("{}").format(cell["evidence"])
    terms = Markup("").join(
        Markup("<dt>{}</dt><dd>{}</dd>").format(name.replace("_", " "), value) for name, value in known.items()
    )
    return Markup('{}<details class="numbers"><summary>the numbers</summary><dl>{}</dl></details>').format(
        cell["evidence"], terms
    )
