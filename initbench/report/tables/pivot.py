"""A table whose rows and columns a user chose."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from initbench.analysis.axes import loss_unit, value_text
from initbench.analysis.cells import FINISHED, is_done
from initbench.analysis.pivot import (
    STATISTICS,
    VALUES,
    best_of_columns,
    grid,
    grouped_by_cell,
    index_keys,
    measure_and_statistic,
    numbers_by_cell,
    pivotable,
)
from initbench.errors import InputError
from initbench.report.tables.display_names import display_names
from initbench.report.text_table import TextCell, TextColumn, TextTable
from initbench.results.load import Results
from initbench.text import plural

LABEL = r"[\w:.+/-]+"  # that LaTeX takes, and people use


@dataclass(frozen=True)
class TableRequest:
    """A table that a user asks for.

    rows, cols: axes, see `analysis.pivot.pivot`. values: what is shown of each cell. names: "he=He,relu=ReLU", see
    `display_names`. caption: instead of the one that says what is shown. label: of the LaTeX table.
    """

    rows: Sequence[str]
    cols: Sequence[str] = ()
    values: Sequence[str] = ("test_acc",)
    names: str = ""
    caption: str = ""
    label: str = ""


@dataclass(frozen=True)
class ShownValue:
    """One value of a table: its cells as text, and which are bold."""

    title: str  # in a header
    sentence: str  # in the caption
    texts: pd.DataFrame
    bold: pd.DataFrame
    mark: str  # what bold says


def pivot_table(
    results: Results, asked: TableRequest, may_be_best: pd.Series | None = None, ranked_by: str = "test_acc"
) -> TextTable:
    """The table that was asked for; of several values, one stands beside the other.

    may_be_best: by run id, whether its cell may be the best of its contest (`analysis.pivot.may_be_best`): bold marks
    these where the value is shown by which that was judged, `ranked_by` or test errors. Of other values, and without
    it, bold is the best of each column, among the cells where a run learned; where no value is better at one end, or
    all of a column is equal, nothing. Raises InputError for what `analysis.pivot.pivot` does, for names that the table
    does not have, and for a label that LaTeX does not take.
    """
    if asked.label and not re.fullmatch(LABEL, asked.label, re.ASCII):
        raise InputError(f"--label {asked.label}: a label has letters, digits and : . + / _ -, as in tab:accuracy")
    for value in asked.values:
        if list(asked.values).count(value) > 1:
            raise InputError(f"--value {value}: given {list(asked.values).count(value)} times; once is enough")
    runs = pivotable(results, asked.rows, asked.cols)
    runs = runs.assign(may_be_best=_marks(runs, asked, may_be_best))
    shown = [_shown_value(runs, asked, value, loss_unit(results.runs), ranked_by) for value in asked.values]
    names = _names(asked, shown[0].texts)
    first = shown[0].texts
    titles = [tuple(map(names.axis, asked.cols, key)) for key in index_keys(first.columns)] if asked.cols else [()]
    headers = [
        (*((names.value(value, each.title),) if len(shown) > 1 or not asked.cols else ()), *title)
        for value, each in zip(asked.values, shown, strict=True)
        for title in titles
    ]
    above = ("",) * (len(headers[0]) - 1)
    cells = zip(*(_cells(each) for each in shown), strict=True)
    return TextTable(
        caption=asked.caption or _caption(shown, runs, asked),
        columns=[
            *(TextColumn((*above, names.text(axis)), left=True) for axis in asked.rows),
            *map(TextColumn, headers),
        ],
        stub=len(asked.rows),
        rows=[
            [*(TextCell(names.text(value_text(part))) for part in key), *(cell for line in lines for cell in line)]
            for key, lines in zip(index_keys(first.index), cells, strict=True)
        ],
        label=asked.label,
    )


def _marks(runs: pd.DataFrame, asked: TableRequest, may_be_best: pd.Series | None) -> Any:
    """Of each run; None where the table's cells are not those that were judged: single seeds, rates not chosen."""
    if may_be_best is None or "seed" in (*asked.rows, *asked.cols) or not set(runs["run_id"]) <= set(may_be_best.index):
        return None
    return runs["run_id"].map(may_be_best)


@dataclass(frozen=True)
class ShownNames:
    """How axes, their values and the values of a table are written. chosen: by the user."""

    chosen: Mapping[str, str] = field(default_factory=dict)

    def text(self, text: str) -> str:
        return self.chosen.get(text, text)

    def value(self, name: str, title: str) -> str:
        """The header of a value."""
        return self.chosen.get(name, title)

    def axis(self, axis: str, value: Any) -> str:
        """A value of an axis in a header: "relu", "depth 20"."""
        text = value_text(value)
        plain = axis in ("init", "label", "act") or text in self.chosen
        return self.text(text) if plain else f"{self.text(axis)} {text}"


def _names(asked: TableRequest, table: pd.DataFrame) -> ShownNames:
    """The chosen names, each of something that the table has."""
    keys = index_keys(table.index) + (index_keys(table.columns) if asked.cols else [])
    texts = {value_text(part) for key in keys for part in key}
    headed = asked.values if len(asked.values) > 1 or not asked.cols else ()  # values that have a header
    return ShownNames(display_names(asked.names, {*texts, *asked.rows, *asked.cols, *headed}))


def _cells(shown: ShownValue) -> Iterator[list[TextCell]]:
    """The cells of one value, row by row."""
    for line, tops in zip(shown.texts.to_numpy(), shown.bold.to_numpy(), strict=True):
        yield [TextCell(text, bold=bool(top)) for text, top in zip(line, tops, strict=True)]


def _shown_value(runs: pd.DataFrame, asked: TableRequest, value: str, unit: str, ranked_by: str) -> ShownValue:
    """unit: of losses."""
    measure, name = measure_and_statistic(runs, value)
    statistic, axes = STATISTICS[name], [*asked.rows, *asked.cols]
    parts = {part: numbers_by_cell(runs, axes, measure, part).rename(value) for part in statistic.parts}
    grids = {part: grid(numbers, runs, asked.rows, asked.cols) for part, numbers in parts.items()}
    first = grids[statistic.parts[0]]
    texts = first.astype("object")
    for row, column in ((row, column) for row in range(first.shape[0]) for column in range(first.shape[1])):
        numbers = {part: float(each.iloc[row, column]) for part, each in grids.items()}
        texts.iloc[row, column] = _text(numbers, measure)
    words = VALUES[measure].words + (f" ({unit})" if measure.endswith("_loss") else "")
    sentence = words if measure in FINISHED else statistic.sentence.format(words)
    by_verdict = measure in (ranked_by, "test_error") and runs["may_be_best"].notna().all()
    return ShownValue(
        title=words + statistic.title,
        sentence=sentence[0].upper() + sentence[1:],
        texts=texts,
        bold=_bold(runs, asked, measure, name, first, by_verdict=by_verdict),
        mark="may be the best of its contest, by {}".format(words.partition(" (")[0])
        if by_verdict
        else "the best of its column",
    )


def _bold(
    runs: pd.DataFrame,
    asked: TableRequest,
    measure: str,
    statistic: str,
    numbers: pd.DataFrame,
    *,
    by_verdict: bool,
) -> pd.DataFrame:
    """What may be the best of its contest, or else the best of each column: see `pivot_table`.

    The best of a column learned at least once; for means, without a run that diverged.
    """
    if statistic in ("std", "n"):
        return numbers.notna() & False
    axes = [*asked.rows, *asked.cols]
    if by_verdict:
        marks = grouped_by_cell(runs["may_be_best"].astype("float64"), runs, axes).max()
        return grid(marks.rename(str(numbers.columns[0])), runs, asked.rows, asked.cols) == 1

    def share(outcome: str) -> pd.DataFrame:
        return grid(numbers_by_cell(runs, axes, outcome).rename(str(numbers.columns[0])), runs, asked.rows, asked.cols)

    able = share("learned")
    if statistic in ("mean", "mean_std"):
        able = able.where(share("diverged") == 0, 0)
    return best_of_columns(numbers, able, VALUES[measure].worst)


def _text(numbers: Mapping[str, float], measure: str) -> str:
    """A cell, of the parts of its statistic: "95.8", "95.8 ± 0.4 (5)", "95.8 [95.1, 96.0]"."""
    value = {part: _number(number, measure) for part, number in numbers.items() if part != "n"}
    if "n" in numbers and not value:
        return "–" if math.isnan(numbers["n"]) else f"{numbers['n']:.0f}"
    if "mean" in value and "n" in numbers:
        deviation = "" if math.isnan(numbers["std"]) else f" ± {value['std']}"
        return value["mean"] if value["mean"] == "–" else f"{value['mean']}{deviation} ({numbers['n']:.0f})"
    if "low" in value and not math.isnan(numbers["low"]):
        return f"{value['median']} [{value['low']}, {value['high']}]"
    return next(iter(value.values()))


def _number(number: float, measure: str) -> str:
    shown = VALUES[measure]
    if math.isnan(number):
        return "–"
    if number == shown.worst:
        return "diverged"
    return f"{number / shown.unit:{shown.digits}}"


def _caption(shown: Sequence[ShownValue], runs: pd.DataFrame, asked: TableRequest) -> str:
    """What each value is, of how many runs, and what is bold."""
    finished = grouped_by_cell(is_done(runs).astype("int64"), runs, [*asked.rows, *asked.cols]).sum().to_numpy()
    sentence = "; ".join([shown[0].sentence, *(each.sentence[0].lower() + each.sentence[1:] for each in shown[1:])])
    if not (finished > 0).any():
        return f"{sentence}: no run has finished."
    few, many = int(finished[finished > 0].min()), int(finished.max())
    counted = plural(few, "finished run") if few == many else f"{few} to {many} finished runs"
    parts = [f"{sentence}, of {counted} per cell."]
    if any(_ranks_diverged(value, runs) for value in asked.values):
        parts.append("A diverged run ranks below every finite one.")
    if marks := list(dict.fromkeys(each.mark for each in shown if each.bold.to_numpy().any())):
        parts.append(f"Bold: {'; otherwise '.join(marks)}.")
    return " ".join(parts)


def _ranks_diverged(value: str, runs: pd.DataFrame) -> bool:
    measure, statistic = measure_and_statistic(runs, value)
    return measure not in FINISHED and VALUES[measure].worst is not None and statistic in ("median", "interval")
