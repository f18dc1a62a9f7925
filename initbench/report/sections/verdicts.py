"""TODO initbench.report.sections_.verdicts"""

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
from initbench.report.page.listing import HtmlCell, HtmlColumn, Listing
from initbench.report.page.names import Names
from initbench.report.page.numbers import accuracy, interval


# ---------------------------------------------------------------- all contests together


def pooled(table: pd.DataFrame, names: Names) -> Listing:
    """The interquartile mean of each initializer over the contests that all have in common."""
    cells = int(table["cells"].max())
    columns = [
        names.column(),
        HtmlColumn("interquartile_mean", "interquartile mean of test accuracy", numeric=True),
        HtmlColumn("low", "interval from", numeric=True),
        HtmlColumn("high", "to", numeric=True),
    ]
    rows = [
        [
            HtmlCell(names.html(row["label"]), row["label"]),
            HtmlCell(accuracy(row["interquartile_mean"]) + _gauge(row), row["interquartile_mean"]),
            HtmlCell(accuracy(row["low"]), row["low"]),
            HtmlCell(accuracy(row["high"]), row["high"]),
        ]
        for row in table.to_dict("records")
    ]
    caption = f"Mean of the middle half of all runs over {cells} contests, with its bootstrap interval."
    return Listing("pooled", caption, columns, rows)


def _gauge(row: Mapping[str, Any]) -> Markup:
    """A mean and its interval between 0 and 1."""
    mean, low, high = (100 * row[name] for name in ("interquartile_mean", "low", "high"))
    bar = '<span class="gauge"><i style="left: {:.2f}%; width: {:.2f}%"></i><b style="left: {:.2f}%"></b></span>'
    return Markup(bar).format(low, high - low, mean)
