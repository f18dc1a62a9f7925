"""A table of the page that a reader can sort, filter and page through."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from initbench.analysis.axes import value_text
from initbench.report.page.numbers import finite, minus

MANY_CHIPS = 24  # more buttons than that help nobody


@dataclass(frozen=True)
class HtmlColumn:
    """name: what a filter calls it. title: what stands above it."""

    name: str
    title: str
    numeric: bool = False
    wide: bool = False  # holds sentences


@dataclass(frozen=True)
class HtmlCell:
    """html: what is shown, text or markup. value: what it is sorted and filtered by; None where there is none."""

    html: str
    value: float | str | None = None


@dataclass(frozen=True)
class Listing:
    """A table under a caption. chips: for some columns, the values that a click filters by."""

    name: str
    caption: str
    columns: list[HtmlColumn]
    rows: list[list[HtmlCell]]
    chips: dict[str, list[str]] = field(default_factory=dict)
    page: int = 50  # rows at a time

    @property
    def titles(self) -> dict[str, str]:
        return {column.name: column.title for column in self.columns}


def plain_cell(value: Any) -> HtmlCell:
    """A text or a number, a float with four digits."""
    if value is None or value is pd.NA or (isinstance(value, float | np.floating) and math.isnan(value)):
        return HtmlCell("–")
    if isinstance(value, bool | np.bool_):
        return HtmlCell("yes" if value else "no", str(bool(value)).lower())
    if isinstance(value, int | float | np.number):
        text = f"{value:.4g}" if isinstance(value, float | np.floating) else f"{value}"
        return HtmlCell(minus(text), float(value) if math.isfinite(value) else None)
    return HtmlCell(str(value), str(value))


def axis_cell(value: Any) -> HtmlCell:
    """A value of an axis."""
    text = value_text(value)
    numeric = isinstance(value, int | float | np.number) and not isinstance(value, bool) and finite(value)
    return HtmlCell(text, float(value) if numeric else text)


def axis_column(name: str, values: pd.Series) -> HtmlColumn:
    return HtmlColumn(name, name, numeric=pd.api.types.is_numeric_dtype(values))


def chips(**values: Iterable[Any]) -> dict[str, list[str]]:
    """Those columns whose values a few buttons can offer."""
    texts = {name: list(dict.fromkeys(map(value_text, several))) for name, several in values.items()}
    return {name: several for name, several in texts.items() if 1 < len(several) <= MANY_CHIPS}
