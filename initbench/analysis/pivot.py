"""A number for each cell, laid out in rows and columns of one's choice."""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from initbench.analysis import stats
from initbench.analysis.axes import cell_axes, configuration, value_text, with_labels
from initbench.analysis.cells import FINISHED, is_done, ranked
from initbench.analysis.contests import Contests
from initbench.analysis.measure import test_error
from initbench.errors import InputError, nearest
from initbench.results.load import Results


@dataclass(frozen=True)
class Value:
    """What a grid can show of a cell."""

    words: str  # with the unit; a loss has its task's
    worst: float | None  # how a diverged run ranks: -inf where higher is better, inf where lower is; None: not at all
    digits: str  # the format of the number
    unit: float = 1.0  # what is shown as 1


PERCENT = 0.01

VALUES = {
    "test_acc": Value("test accuracy (%)", -math.inf, ".1f", PERCENT),
    "test_balanced_acc": Value("balanced test accuracy (%)", -math.inf, ".1f", PERCENT),
    "test_f1": Value("macro F1 on the test part (%)", -math.inf, ".1f", PERCENT),
    "train_acc": Value("training accuracy (%)", -math.inf, ".1f", PERCENT),
    "val_acc": Value("validation accuracy (%)", -math.inf, ".1f", PERCENT),
    "test_error": Value("test error (standard deviations of the targets)", math.inf, ".3g"),
    "test_loss": Value("test loss", math.inf, ".3g"),
    "train_loss": Value("training loss", math.inf, ".3g"),
    "first_last_grad_ratio": Value("gradient norm at step 0, first hidden layer over last", None, ".2g"),
    "diverged_step": Value("step at which the diverged runs diverged", None, ".0f"),
    "learned": Value("share of runs that learned (%)", -math.inf, ".0f", PERCENT),
    "slow": Value("share of runs that were slow (%)", math.inf, ".0f", PERCENT),
    "stuck": Value("share of runs that were stuck (%)", math.inf, ".0f", PERCENT),
    "diverged": Value("share of runs that diverged (%)", math.inf, ".0f", PERCENT),
}


@dataclass(frozen=True)
class Statistic:
    """A statistic of a cell's runs. parts: the numbers that it shows, keys of `PARTS`; the first one ranks."""

    title: str  # behind the words of a value
    sentence: str  # with a place for these words
    parts: tuple[str, ...]


STATISTICS = {
    "median": Statistic("", "Median {}", ("median",)),
    "interval": Statistic(", median [95 % interval]", "Median {} with its 95 % interval", ("median", "low", "high")),
    "mean": Statistic(", mean", "Mean {} of the finite runs", ("mean",)),
    "std": Statistic(", s.d.", "Sample standard deviation of the {} of the finite runs", ("std",)),
    "n": Statistic(", finite runs", "Number of finite runs with a {}", ("n",)),
    "mean_std": Statistic(
        ", mean ± s.d. (n)",
        "Mean {} ± sample standard deviation (number) of the finite runs",
        ("mean", "std", "n"),
    ),
}

PARTS: dict[str, Callable[[np.ndarray], float]] = {
    "median": lambda numbers: stats.median(numbers).value,
    "low": lambda numbers: stats.median(numbers).low,
    "high": lambda numbers: stats.median(numbers).high,
    "mean": lambda numbers: _finite(numbers).mean() if len(_finite(numbers)) else math.nan,
    "std": lambda numbers: _finite(numbers).std(ddof=1) if len(_finite(numbers)) > 1 else math.nan,
    "n": lambda numbers: float(len(_finite(numbers))),
}


def _finite(numbers: np.ndarray) -> np.ndarray:
    return numbers[np.isfinite(numbers)]


def pivot(results: Results, rows: Sequence[str], cols: Sequence[str], value: str) -> pd.DataFrame:
    """A number for each cell of the grid that the axes `rows` and `cols` span; NaN where nothing is finished.

    value: one of `VALUES`, or with one of `STATISTICS` behind it: `test_acc_mean`; left out, it is the median. Medians
    are over the finished runs of a cell, where a diverged run ranks below every finite one: -inf (inf for losses)
    where the median falls on one. Means and sample deviations are over the finite runs. Accuracies, and `learned`,
    `slow`, `stuck` and `diverged` of the finished runs, are fractions. An axis is `label` (the initializer with its
    swept parameters), `seed` or a key of the configuration. The index has the levels `rows`, the columns `cols`.
    Raises InputError for unknown axes and values, and where an axis that is not among them varies within a cell.
    """
    runs = pivotable(results, rows, cols)
    measure, statistic = measure_and_statistic(runs, value)
    numbers = numbers_by_cell(runs, [*rows, *cols], measure, STATISTICS[statistic].parts[0])
    return grid(numbers.rename(value), runs, rows, cols)


def measure_and_statistic(runs: pd.DataFrame, value: str) -> tuple[str, str]:
    """A key of VALUES and one of STATISTICS: "test_acc_mean" is ("test_acc", "mean").

    Raises InputError where there is no such value, or no run has it.
    """
    known = {name: (name, "median") for name in VALUES}
    for name, statistic in itertools.product(VALUES.keys() - set(FINISHED), STATISTICS):
        known[f"{name}_{statistic}"] = (name, statistic)
    if value not in known:
        raise InputError(f"--value {value}: a table has no such value{_nearest_value(value, known)}")
    measure, statistic = known[value]
    alive = runs[(is_done(runs)) & (runs["outcome"] != "diverged")]
    if measure not in (*FINISHED, "diverged_step") and len(alive) and alive[measure].isna().all():
        raise InputError(f"--value {value}: no run has it")
    return measure, statistic


def _nearest_value(value: str, known: Iterable[str]) -> str:
    """The closest name, or all of VALUES, each of which may have a statistic behind it."""
    hint = nearest(value, known)
    return hint if "did you mean" in hint else nearest(value, VALUES) + f", most also with _{', _'.join(STATISTICS)}"


def pivotable(results: Results, rows: Sequence[str], cols: Sequence[str]) -> pd.DataFrame:
    """The labelled runs, once it is known that the axes exist and tell all cells apart."""
    axes = cell_axes(results.runs)
    runs = with_labels(results.runs, axes).assign(test_error=test_error(results.runs))
    chosen = [*rows, *cols]
    if not rows:
        raise InputError("--rows: no axis given; name one, such as init")
    for axis in chosen:
        option = "--rows" if axis in rows else "--cols"
        if axis not in (*configuration(runs), "seed"):
            raise InputError(f"{option} {axis}: no such axis{nearest(axis, [*axes, 'label', 'seed'])}")
        if chosen.count(axis) > 1:
            raise InputError(f"{option} {axis}: given {chosen.count(axis)} times; once is enough")
    _check_apart(runs, axes, rows, cols)
    measured = ["run_id", "status", "outcome", *(value for value in VALUES if value in runs)]
    return runs[[*dict.fromkeys([*chosen, *measured])]]


def _check_apart(runs: pd.DataFrame, cell_axes: list[str], rows: Sequence[str], cols: Sequence[str]) -> None:
    cells = runs.groupby([*rows, *cols], dropna=False)
    mixed = [axis for axis in cell_axes if axis not in (*rows, *cols)]
    mixed = [axis for axis in mixed if (cells[axis].nunique(dropna=False) > 1).any()]
    if mixed:
        asked = f"--rows {','.join(rows)}" + (f" --cols {','.join(cols)}" if cols else "")
        label = "; `label` is init with its parameters" if any(axis.startswith("init.") for axis in mixed) else ""
        raise InputError(
            f"{asked}: a cell would mix values of {', '.join(mixed)}; add to --rows or --cols, "
            f"or choose one with --where{label}"
        )


def grid(cells: pd.Series, runs: pd.DataFrame, rows: Sequence[str], cols: Sequence[str]) -> pd.DataFrame:
    """One number per cell, laid out in rows and columns; NaN where there is no such cell."""
    keys = [tuple(None if pd.isna(part) else part for part in key) for key in index_keys(cells.index)]
    numbers = dict(zip(keys, cells, strict=True))
    order = [value_order(runs[axis]) for axis in (*rows, *cols)]
    row_keys = sorted({key[: len(rows)] for key in numbers}, key=lambda key: _order(key, order))
    col_keys = sorted({key[len(rows) :] for key in numbers}, key=lambda key: _order(key, order[len(rows) :]))
    table = [[numbers.get(row + col, math.nan) for col in col_keys] for row in row_keys]
    columns = _index(col_keys, cols) if cols else pd.Index([cells.name])
    return pd.DataFrame(table, index=_index(row_keys, rows), columns=columns, dtype="float64")


def value_order(values: pd.Series) -> dict[Any, int]:
    """Where each value of an axis stands: numbers ascending, others as they appear, none at all last."""
    there = values.dropna().drop_duplicates()
    if pd.api.types.is_numeric_dtype(there):
        there = there.sort_values()
    return {value: place for place, value in enumerate([*there, None])}


def _order(key: tuple[Any, ...], places: list[dict[Any, int]]) -> list[int]:
    return [place[part] for place, part in zip(places, key, strict=False)]


def _index(keys: list[tuple[Any, ...]], axes: Sequence[str]) -> pd.Index:
    if len(axes) == 1:
        return pd.Index([key[0] for key in keys], name=axes[0])
    return pd.MultiIndex.from_tuples(keys, names=list(axes))


def numbers_by_cell(runs: pd.DataFrame, axes: Sequence[str], measure: str, part: str = "median") -> pd.Series:
    """One number for each cell, by the values of its axes. measure: of VALUES. part: of PARTS; not used for shares."""
    done, worst = is_done(runs), VALUES[measure].worst
    if measure in FINISHED:
        share = (runs["outcome"] == measure).where(done).astype("float64")
        return grouped_by_cell(share, runs, axes).mean().rename(measure)
    numbers = runs[measure].astype("float64").where(done) if worst is None else ranked(runs, measure, worst)
    found = grouped_by_cell(numbers, runs, axes).agg(lambda cell: PARTS[part](cell.dropna().to_numpy()))
    alive = done & (runs["outcome"] != "diverged")
    unmeasured = grouped_by_cell(alive, runs, axes).any() & ~grouped_by_cell(alive & numbers.notna(), runs, axes).any()
    return found if worst is None else found.mask(unmeasured)  # val_acc of data without a validation part


def grouped_by_cell(values: pd.Series, runs: pd.DataFrame, axes: Sequence[str]) -> Any:
    """Values of the runs, grouped by cell."""
    return values.groupby([runs[axis] for axis in axes], dropna=False, sort=False)


def flattened(pivot: pd.DataFrame) -> pd.DataFrame:
    """A grid with one line of header, as in its CSV: the axes of the rows, then a column such as `act=relu depth=5`."""
    names = [name for name in pivot.columns.names if name is not None]
    if names:
        keys = index_keys(pivot.columns)
        texts = [[f"{name}={value_text(part)}" for name, part in zip(names, key, strict=True)] for key in keys]
        pivot = pivot.set_axis([" ".join(text) for text in texts], axis=1)
    return pivot.reset_index()


def index_keys(index: pd.Index) -> list[tuple[Any, ...]]:
    return [key if isinstance(key, tuple) else (key,) for key in index]


def may_be_best(contests: Contests, summary: pd.DataFrame) -> pd.Series | None:
    """By run id, whether the run's cell learned and may be the best of its contest; None where nothing is known."""
    if "may_be_best" not in summary:
        return None
    axes = contests.cell_axes
    marked = summary[axes].assign(may_be_best=summary["may_be_best"] & (summary["learned"] > 0))
    found = contests.runs[[*axes, "run_id"]].merge(marked, on=axes, how="left", validate="many_to_one")
    return found.set_index("run_id")["may_be_best"]


def best_of_columns(numbers: pd.DataFrame, learned: pd.DataFrame, worst: float | None) -> pd.DataFrame:
    """Which cells are the best of their column."""
    if worst is None:
        return numbers.notna() & False
    able = numbers.where(np.isfinite(numbers) & (learned > 0))
    top = able.max() if worst < 0 else able.min()
    return able.eq(top, axis="columns") & (numbers.nunique() > 1)
