"""Initializers as the page writes them, and the addresses of rows."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import pandas as pd
from markupsafe import Markup

from initbench.analysis.axes import loss_unit, value_text
from initbench.analysis.contests import Contests
from initbench.report.figures.style import Style, label_styles
from initbench.report.page.listing import HtmlCell, HtmlColumn

BEST = Markup(' <span class="star" title="the first of its contest">★<span class="unseen"> first</span></span>')
ALIKE = Markup(' <span class="star" title="may be the best as well">≈<span class="unseen"> alike</span></span>')


class Names:
    """The initializers of a report: each is written beside the line that it has in the figures."""

    def __init__(self, contests: Contests):
        self.runs = runs = contests.runs
        over = contests.over
        self.contests, self.axes, self.label = contests.axes, contests.cell_axes, contests.label
        self.styles: dict[str, Style] = label_styles(runs, over)
        self.place = {label: place for place, label in enumerate(self.styles)}
        self.noun = contests.noun
        self.key = "label" if set(runs["label"]) - set(runs[over].map(value_text)) else over  # what filters call it
        self.loss_unit = loss_unit(runs)
        self.columns = {self.key, "label_a", "label_b", "winner"}  # that hold initializers

    def html(self, label: str, mark: str = "") -> Markup:
        return Markup('<span class="init" data-init="{}">{}{}{}</span>').format(label, self.swatch(label), label, mark)

    def swatch(self, label: str) -> Markup:
        """The line that the initializer has in the figures."""
        return Markup('<svg class="swatch" aria-hidden="true"><use href="#look-{}"/></svg>').format(self.place[label])

    def cell(self, label: str, mark: str = "") -> HtmlCell:
        return HtmlCell(self.html(label, mark), label)

    def column(self, name: str = "label", title: str = "") -> HtmlColumn:
        """A column of initializers. name: what their labels are called in a row. title: by default their noun."""
        return HtmlColumn(self.key if name == "label" else name, title or self.noun, lambda row: self.cell(row[name]))

    def activations(self, table: pd.DataFrame) -> dict[str, pd.Series]:
        """The column of activations, for buttons; none where they compete."""
        return {"act": table["act"]} if "act" in self.contests else {}

    def looks(self) -> Iterable[dict[str, Any]]:
        """The lines of the legend: place, colour and dashes."""
        for label, style in self.styles.items():
            dashes = "" if isinstance(style.linestyle, str) else " ".join(f"{2 * d:g}" for d in style.linestyle[1])
            yield {"place": self.place[label], "label": label, "color": style.color, "dashes": dashes}


def condition(values: Mapping[str, Any]) -> str:
    """A filter of the page: `act=relu depth=20`. A list of values matches any of them."""
    return " ".join(
        f"{name}={'|'.join(map(_word, value if isinstance(value, list) else [value]))}"
        for name, value in values.items()
    )


def _word(value: Any) -> str:
    text = value_text(value)
    return json.dumps(text) if re.search(r'[\s"\\|]', text) or not text else text


def link(listing: str, values: Mapping[str, Any]) -> str:
    """The address of a listing, filtered to the rows that have these values."""
    return f"#{listing}?{quote(condition(values), safe='=|,.:')}"
