"""The tables `runs.csv` and `summary.csv`: one row per run, and one row per cell with estimates over its seeds."""

import math
from typing import Any

import numpy as np
import pandas as pd

from initbench.analysis import stats
from initbench.analysis.cells import FINISHED, OUTCOMES, is_done, positions, ranked
from initbench.analysis.contenders import contenders
from initbench.analysis.contests import Contests, contest_key
from initbench.analysis.measure import ACCURACY, BALANCED, ERROR, F1, of_labels, predicts_numbers, test_error
from initbench.errors import InputError
from initbench.results.load import Results
from initbench.results.schema import RUN_COLUMNS

LEARNED_RATIO = 0.5  # of results whose configuration doesn't say
WINDOW = 20  # losses whose mean is compared with the target: one minibatch says little

# What pandas.read_csv needs to read runs.csv and summary.csv with the types they had: names and ids are text, a whole
# number stays one beside a missing one, and only an empty field is missing.
_TEXTS = ("run_id", "sweep", "init", "act", "data", "model", "mitigation", "optim", "status", "outcome", "stack_id")
_FRACTIONS = ("train_acc", "val_acc", "test_acc", "test_balanced_acc", "test_f1")
_FRACTIONS += ("test_acc_median", "test_acc_mean", "test_acc_std")
_FLOATS = ("lr", "train_loss", "test_loss", "train_loss_median", "first_last_grad_ratio", "stack_seconds", *_FRACTIONS)
READ_CSV: dict[str, Any] = {
    "dtype": dict.fromkeys(_TEXTS, "string") | dict.fromkeys(_FLOATS, "Float64") | {"diverged_step": "Int64"},
    "dtype_backend": "numpy_nullable",
    "keep_default_na": False,
    "na_values": [""],
}


def run_table(contests: Contests) -> pd.DataFrame:
    """One row per run: `RUN_COLUMNS` in that order, then every other axis under its dotted name.

    Where numbers are predicted, `test_error` comes last (`measure.test_error`).
    """
    runs = contests.results.runs
    others = [axis for axis in dict.fromkeys([*contests.cell_axes, *contests.followers]) if axis not in RUN_COLUMNS]
    table = runs[[*RUN_COLUMNS, *others]]
    return table.assign(test_error=test_error(runs)) if predicts_numbers(runs).any() else table


def summarize(contests: Contests, ranking: pd.DataFrame | None = None, steps: pd.Series | None = None) -> pd.DataFrame:
    """One row per cell: counts of outcomes, test accuracy (a fraction) and training loss over its seeds.

    ranking: the contests' `contenders`, by which rows are sorted; by default worked out here. It adds `learned_mean`
    and `learned_std`, of the test accuracies of the runs that learned (of numbers: the test errors), `may_be_best`,
    and `best`, the first of its contest if it learned at all.

    A diverged run ranks below every finite one in the medians, which are null where they fall on one; means and
    sample deviations are over the `test_acc_count` finite runs; nothing is imputed. Names that end in `_low` and
    `_high` are 95 % intervals: `stats.wilson` of the outcomes' shares of the finished runs, `stats.median` and
    `stats.interquartile_mean`. steps: `steps_to_target` by run id, which adds their median (null where more than half
    never got there) and how many did.
    """
    runs, cells = contests.runs, contests.cells
    acc, loss = (ranked(runs, *column).to_numpy() for column in (("test_acc", -math.inf), ("train_loss", math.inf)))
    taken = None if steps is None else runs["run_id"].map(steps).to_numpy()
    rows = [
        _shares(cell) | _estimates(acc[part], loss[part], None if taken is None else taken[part])
        for cell, part in zip(cells.to_dict("records"), positions(runs, contests.cell_axes), strict=True)
    ]
    counts = cells[[*contests.cell_axes, "runs", *OUTCOMES]]
    table = pd.concat([counts, pd.DataFrame(rows), *_by_class(contests), *_errors(contests)], axis="columns")
    return _sorted(table, contests, contenders(contests) if ranking is None else ranking)


def _by_class(contests: Contests) -> list[pd.DataFrame]:
    """`measure`, and medians of balanced accuracy and F1 with their intervals, if the runs go by one of these."""
    runs, chosen = contests.runs, of_labels(contests.runs)
    if chosen is ACCURACY:
        return []
    scores = {each.column: ranked(runs, each.column, -math.inf).to_numpy() for each in (BALANCED, F1)}
    rows = [
        {
            key: value
            for column, values in scores.items()
            for key, value in _estimate(f"{column}_median", stats.median(values[part])).items()
        }
        for part in positions(runs, contests.cell_axes)
    ]
    named = pd.DataFrame(rows)
    return [named if predicts_numbers(runs).any() else named.assign(measure=chosen.name)]


def _errors(contests: Contests) -> list[pd.DataFrame]:
    """`measure`, and medians of the test error with their intervals, one row per cell, if some runs predict numbers."""
    runs = contests.runs
    if not predicts_numbers(runs).any():
        return []
    errors = ranked(runs.assign(test_error=test_error(runs)), "test_error", math.inf)
    errors = errors.where(predicts_numbers(runs)).to_numpy()
    parts = positions(runs, contests.cell_axes)
    names = np.where(contests.cells["numbers"], ERROR.name, of_labels(runs).name)
    rows = [_estimate("test_error_median", stats.median(errors[part])) for part in parts]
    return [pd.DataFrame(rows).assign(measure=names)]


def _sorted(table: pd.DataFrame, contests: Contests, ranking: pd.DataFrame) -> pd.DataFrame:
    """The cells of one contest together, in the order of the ranking."""
    places = {contest_key(row, [*contests.axes, "label"]): row for row in ranking.to_dict("records")}
    keys = contests.cells.assign(label=contests.cells["label"]).to_dict("records")
    found = [places[contest_key(key, [*contests.axes, "label"])] for key in keys]
    table = table.assign(
        learned_mean=[abs(row["mean"]) for row in found],
        learned_std=[row["std"] for row in found],
        may_be_best=[row["may_be_best"] for row in found],
        best=[row["rank"] == 1 and row["learned"] > 0 for row in found],
        _rank=[row["rank"] for row in found],
    )
    texts = [axis for axis in contests.axes if not pd.api.types.is_numeric_dtype(table[axis])]
    order = {
        axis: table[axis].map({value: place for place, value in enumerate(table[axis].unique())}) for axis in texts
    }
    by = (
        table[contests.axes].assign(**order, _rank=table["_rank"]).sort_values([*contests.axes, "_rank"], kind="stable")
    )
    return table.loc[by.index].drop(columns="_rank").reset_index(drop=True)


def _shares(cell: dict[Any, Any]) -> dict[str, float]:
    """Intervals of the shares that each outcome has of the finished runs."""
    shares = {name: stats.wilson(cell[name], cell["finished"]) for name in FINISHED}
    return {f"{name}_{end}": getattr(share, end) for name, share in shares.items() for end in ("low", "high")}


def _estimates(acc: np.ndarray, loss: np.ndarray, steps: np.ndarray | None) -> dict[str, float]:
    """acc, loss, steps: one number per run; accuracy -inf and loss inf where it diverged, NaN where it is not done."""
    finite = acc[np.isfinite(acc)]
    row = _estimate("test_acc_median", stats.median(acc)) | {
        "test_acc_mean": finite.mean() if len(finite) else math.nan,
        "test_acc_std": finite.std(ddof=1) if len(finite) > 1 else math.nan,
        "test_acc_count": len(finite),
    }
    row |= _estimate("test_acc_iqm", stats.interquartile_mean(acc).within(0, 1))
    row |= _estimate("train_loss_median", stats.median(loss))
    if steps is not None:
        row |= _estimate("steps_to_target", stats.median(steps))
        row["reached_target"] = int(np.isfinite(steps).sum())
    return row


def _estimate(name: str, estimate: stats.Estimate) -> dict[str, float]:
    """Null where it falls on a run that diverged or never reached the target."""
    values = {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return {key: value if math.isfinite(value) else math.nan for key, value in values.items()}


def steps_to_target(results: Results, target: float | None = None, *, charge_init: bool = False) -> pd.Series:
    """By run id, the first step at which the mean of the last 20 losses is `target` or less; inf: never.

    Of finished runs. target: a loss; left out, the one at which a run has learned: `outcome.learned_ratio` of the best
    constant prediction's. charge_init: with the steps that the time of the initializer would have been, `init_steps`.
    """
    done = results.runs[is_done(results.runs)].set_index("run_id")
    ratio = done["outcome.learned_ratio"].fillna(LEARNED_RATIO) if "outcome.learned_ratio" in done else LEARNED_RATIO
    targets = done["constant_loss"] * ratio if target is None else pd.Series(target, index=done.index)
    steps = pd.Series(math.inf, index=done.index)
    losses = results.losses.sort_values("step", kind="stable")
    for run_id, curve in losses.groupby("run_id", observed=True, sort=False)["train_loss"]:
        if run_id in steps.index:
            steps[run_id] = stats.steps_to(curve.to_numpy(), targets[run_id], WINDOW)
    return steps + init_steps(done) if charge_init else steps


def init_steps(runs: pd.DataFrame) -> pd.Series:
    """How many steps of training each run's start took as long as, the time of a stack shared evenly by its runs.

    InputError where results do not have the time of a start.
    """
    if "init_seconds" not in runs or runs["init_seconds"].isna().any():
        raise InputError("--charge-init: these results do not record the time of each start; train them with --fresh")
    starts = runs.groupby("stack_id")["init_seconds"].transform("sum")
    return runs["init_seconds"] * runs["steps"] * runs["stack_size"] / (runs["stack_seconds"] - starts)


def axes_of_summary(summary: pd.DataFrame) -> list[str]:
    """The axes of a cell, with which every row of a summary begins."""
    return list(summary.columns[: summary.columns.get_loc("runs")])
