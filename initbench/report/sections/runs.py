"""Every run, by column, for the script of the page."""

import math
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from initbench.analysis.axes import value_text
from initbench.analysis.measure import ACCURACY, ERROR, SCORES, of_labels
from initbench.analysis.summary import run_table
from initbench.report.page.page import Page
from initbench.report.sections.section import Section
from initbench.results.schema import MEASURED_COLUMNS, RUNS_CSV

# Columns of the runs behind a row of the summary.
TRAIL = [
    "run_id",
    "seed",
    "outcome",
    "status",
    *(each.column for each in SCORES.values()),
    "test_error",
    "train_loss",
    "diverged_step",
]
ALWAYS = {"run_id", "label", "init", "act", "depth", "seed", "outcome", "test_acc", "cell"}  # columns of the table
BY_CLASS = ("test_balanced_acc", "test_f1")  # on the page only where runs go by one of them
ACCURACIES = ("train_acc", "val_acc", "test_acc", "majority_acc", *BY_CLASS)  # of numbers the table has the errors


def _cells(runs: pd.DataFrame, summary: pd.DataFrame, axes: list[str]) -> np.ndarray:
    """The row of the summary that each run is counted in. Raises ValueError where a run has none."""
    row_of = {cell: number for number, cell in enumerate(_values(summary, axes))}
    try:
        return np.array([row_of[cell] for cell in _values(runs, axes)])
    except KeyError as error:
        raise ValueError("the summary lacks cells of the runs") from error


def _values(frame: pd.DataFrame, axes: list[str]) -> list[tuple[Any, ...]]:
    """The values of each row, whatever the types of the columns; None where one is missing."""
    columns = [[None if pd.isna(value) else value for value in frame[axis].tolist()] for axis in axes]
    return list(zip(*columns, strict=True)) if columns else [()] * len(frame)


def _column(values: pd.Series) -> dict[str, Any]:
    """A column for JSON: numbers, or places in a list of texts; null where there is no value."""
    if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
        places, texts = pd.factorize(values.map(value_text, na_action="ignore"))
        return {"texts": list(texts), "places": places.tolist()}
    text = "{:.0f}" if pd.api.types.is_integer_dtype(values) else "{:.6g}"
    number = int if pd.api.types.is_integer_dtype(values) else float
    numbers = values.astype("float64").tolist()
    return {"numbers": [number(text.format(each)) if math.isfinite(each) else None for each in numbers]}


def _html(page: Page) -> Markup:
    """All runs by column, and what is the same in all of them; the column `cell` is a run's row of the summary."""
    report, names = page.report, page.names
    known = report.contests.runs  # with the axes as the summary has them: one of zipped keys follows another
    cells = dict(zip(known["run_id"], _cells(known, report.summary, names.axes), strict=True))
    runs = report.frames["runs"].assign(cell=report.frames["runs"]["run_id"].map(cells).astype(int))
    errors = report.contests.measure is ERROR
    hidden = BY_CLASS if of_labels(report.contests.runs) is ACCURACY else ()
    runs = runs.drop(columns=[*(ACCURACIES if errors else hidden)])
    if names.key != "init":
        runs.insert(0, "label", names.runs["label"])
    alike = [name for name in runs if name not in ALWAYS and runs[name].nunique(dropna=False) <= 1]
    constant = [name for name in alike if name not in MEASURED_COLUMNS or runs[name].isna().all()]
    same = {name: value_text(runs[name].iloc[0]) for name in constant}
    data = {
        "count": len(runs),
        "init": names.key,
        "looks": names.place,
        "trail": TRAIL,
        "shares": [field.name for field in RUNS_CSV if field.unit == "fraction"],
        "columns": {name: _column(runs[name]) for name in runs if name not in same},
        "same": same,
    }
    known = {name: value for name, value in same.items() if value != "null"}
    return page.render("runs", data=data, same=known, outcomes=report.outcomes, errors=errors)


SECTION = Section(name="runs", title="Runs", frames=lambda report: {"runs": run_table(report.contests)}, html=_html)
