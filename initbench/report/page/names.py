"""TODO initbench.report.page.names"""

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
from initbench.report.page.listing import HtmlColumn


# ---------------------------------------------------------------- initializers


class Names:
    """Initializers as the page writes them: each beside the line that it has in the figures."""

    def __init__(self, results: Results):
        runs, self.contests = labelled(results.runs)
        self.axes = cell_axes(results.runs)
        self.runs = runs
        self.styles: dict[str, Style] = styles(runs)
        self.place = {label: place for place, label in enumerate(self.styles)}
        self.key = "label" if set(runs["label"]) - set(runs["init"]) else "init"  # what filters call it
        self.loss_unit = loss_unit(runs)
        self.columns = {self.key, "label_a", "label_b", "winner"}  # that hold initializers

    def __len__(self) -> int:
        return len(self.place)

    def html(self, label: str, mark: str = "") -> Markup:
        return Markup('<span class="init">{}{}{}</span>').format(self.swatch(label), label, mark)

    def swatch(self, label: str) -> Markup:
        """Its line, as in the figures."""
        use = '<svg class="swatch" aria-hidden="true"><use href="#look-{}"/></svg>'
        return Markup(use).format(self.place[label])

    def label(self, cell: Mapping[Any, Any]) -> str:
        return initializer(cell, self.axes)

    def column(self, name: str = "", title: str = "initializer") -> HtmlColumn:
        return HtmlColumn(name or self.key, title)

    def looks(self) -> Iterable[dict[str, Any]]:
        """The lines of the legend: place, colour and dashes."""
        for label, style in self.styles.items():
            dashes = "" if isinstance(style.linestyle, str) else " ".join(f"{2 * d:g}" for d in style.linestyle[1])
            yield {"place": self.place[label], "label": label, "color": style.color, "dashes": dashes}


STAR = Markup(' <span class="star" title="highest median of its contest">★<span class="unseen"> best</span></span>')


def condition(values: Mapping[str, Any]) -> str:
    """A filter of the page: `act=relu depth=20`. A list of values is any of them."""
    return " ".join(
        f"{name}={'|'.join(map(_word, value if isinstance(value, list) else [value]))}"
        for name, value in values.items()
    )


def _word(value: Any) -> str:
    text = value_text(value)
    return json.dumps(text) if re.search(r'[\s"\\|]', text) or not text else text


def link(listing: str, values: Mapping[str, Any]) -> str:
    """The address of a listing that shows these rows only."""
    return f"#{listing}?{quote(condition(values), safe='=|,.:')}"
