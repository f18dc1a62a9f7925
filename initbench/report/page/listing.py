"""A table of the page that a reader can sort, filter and page through."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from initbench.analysis.axes import value_text
from initbench.report.page.numbers import finite, minus

MANY_CHIPS = 24  # more buttons than that help nobody


@dataclass(frozen=True)
class HtmlCell:
    html: str  # what is shown, text or markup
    value: float | str | None = None  # what it is sorted and filtered by, if anything


@dataclass(frozen=True)
class HtmlColumn:
    name: str  # what a filter calls it
    title: str
    cell: Callable[[Mapping[Any, Any]], HtmlCell] | None = None  # of a row; by default the row's value of this name
    numeric: bool = False
    wide: bool = False  # holds sentences
    share: bool = False  # numbers are fractions, written in per cent


@dataclass(frozen=True)
class Listing:
    """A table under a caption."""

    name: str
    caption: str
    every: Sequence[HtmlColumn]
    records: Sequence[Mapping[Any, Any]]  # one per row
    chips: dict[str, list[str]] = field(default_factory=dict)  # for some columns, the values that a click filters by
    page: int = 50  # rows at a time
    file: str = ""  # that has all its rows, and stands beside the page

    @cached_property
    def _cells(self) -> list[list[HtmlCell]]:
        """By column."""
        return [
            [column.cell(record) if column.cell else plain_cell(record[column.name]) for record in self.records]
            for column in self.every
        ]

    @cached_property
    def columns(self) -> list[HtmlColumn]:
        """Those in which some row has something to show."""
        return [column for column, cells in zip(self.every, self._cells, strict=True) if not _empty(cells)]

    @cached_property
    def rows(self) -> list[list[HtmlCell]]:
        shown = [cells for cells in self._cells if not _empty(cells)]
        return list(map(list, zip(*shown, strict=True)))

    @property
    def titles(self) -> dict[str, str]:
        return {column.name: column.title for column in self.columns}


def _empty(cells: Sequence[HtmlCell]) -> bool:
    return bool(cells) and all(cell.html in ("–", "") for cell in cells)


def plain_cell(value: Any) -> HtmlCell:
    """A text or a number, a float with four digits."""
    if value is None or value is pd.NA or (isinstance(value, float | np.floating) and math.isnan(value)):
        return HtmlCell("–")
    if isinstance(value, bool | np.bool_):
        return HtmlCell("yes" if value else "no", str(bool(value)).lower())
    if isinstance(value, int | float | np.number):
        text = f"{value:.4g}" if isinstance(value, float | np.floating) else f"{value}"
        return HtmlCell(minus(text), value if math.isfinite(value) else None)
    return HtmlCell(str(value), str(value))


def number_cell(value: Any, text: Callable[[float], str], beside: str = "", mark: str = "") -> HtmlCell:
    """A number as `text` writes it, after a mark and before what stands beside it; a dash where it is not finite."""
    return HtmlCell(Markup("{}{}{}").format(mark, text(value), beside), value) if finite(value) else HtmlCell("–")


def axis_columns(axes: Iterable[str], table: pd.DataFrame) -> list[HtmlColumn]:
    """One column for the values of each axis."""
    return [
        HtmlColumn(axis, axis, partial(_axis_cell, axis), numeric=pd.api.types.is_numeric_dtype(table[axis]))
        for axis in axes
    ]


def _axis_cell(axis: str, row: Mapping[Any, Any]) -> HtmlCell:
    value, text = row[axis], value_text(row[axis])
    numeric = isinstance(value, int | float | np.number) and not isinstance(value, bool) and finite(value)
    return HtmlCell(text, float(value) if numeric else text)


def chips(**values: Iterable[Any]) -> dict[str, list[str]]:
    """Those columns whose values a few buttons can offer."""
    texts = {name: list(dict.fromkeys(map(value_text, several))) for name, several in values.items()}
    return {name: several for name, several in texts.items() if 1 < len(several) <= MANY_CHIPS}
