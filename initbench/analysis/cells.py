"""What the runs of a cell came to: one row per run, and one row per cell over its seeds."""

import math
from typing import Any

import numpy as np
import pandas as pd

from initbench.analysis import stats
from initbench.analysis.axes import cell_axes, contest_axes
from initbench.results.load import Results
from initbench.results.store import RUN_COLUMNS

OUTCOMES = ("learned", "stuck", "diverged", "failed", "pending")
SHARES = ("learned", "stuck", "diverged")  # of the finished runs
LEARNED_RATIO = 0.5  # where the configuration doesn't say
WINDOW = 20  # losses whose mean is held against a target

# What pandas.read_csv needs to read runs.csv and summary.csv with the types they had: names and ids are text, a whole
# number stays one beside a missing one, and only an empty field is missing.
_TEXTS = ("run_id", "sweep", "init", "act", "data", "model", "mitigation", "optim", "status", "outcome", "stack_id")
_FRACTIONS = ("train_acc", "val_acc", "test_acc", "test_acc_median", "test_acc_mean", "test_acc_std")
_FLOATS = ("lr", "train_loss", "test_loss", "train_loss_median", "first_last_grad_ratio", "stack_seconds", *_FRACTIONS)
READ_CSV: dict[str, Any] = {
    "dtype": dict.fromkeys(_TEXTS, "string") | dict.fromkeys(_FLOATS, "Float64") | {"diverged_step": "Int64"},
    "dtype_backend": "numpy_nullable",
    "keep_default_na": False,
    "na_values": [""],
}


def run_table(results: Results) -> pd.DataFrame:
    """One row a run: `store.RUN_COLUMNS` in that order, then every other swept key under its dotted name."""
    others = [axis for axis in cell_axes(results.runs) if axis not in RUN_COLUMNS]
    return results.runs[[*RUN_COLUMNS, *others]]


def score(runs: pd.DataFrame) -> pd.Series:
    """Test accuracy (a fraction) by which runs are ranked: -inf for a diverged one, NaN where it is not done."""
    done = runs["status"] == "done"
    accuracy = runs["test_acc"].astype("float64").where(done)
    return accuracy.mask(done & (runs["outcome"] == "diverged"), -math.inf).rename("score")


# ---------------------------------------------------------------- one row a cell


def summarize(results: Results, steps: pd.Series | None = None) -> pd.DataFrame:
    """One row a cell: outcome counts, test accuracy (a fraction) and training loss over its seeds.

    A diverged run ranks below every finite one in the medians, which are null where they fall on one; means and
    sample deviations are over the `test_acc_count` finite runs; nothing is imputed. Names that end in `_low` and
    `_high` are 95 % intervals: `stats.wilson` of the outcomes' shares of the finished runs, `stats.median` and
    `stats.interquartile_mean`. steps: `steps_to_target` by run id, which adds their median, null where more than half
    never got there, and how many did. `best`: the highest median accuracy among the initializers of its contest that
    learned at least once; equals are all marked. Rows are sorted so that each contest's winner comes first, and those
    that never learned last.
    """
    axes = cell_axes(results.runs)
    done = results.runs["status"] == "done"
    runs = pd.DataFrame(
        {
            "fate": results.runs["outcome"].where(done, results.runs["status"]),
            "acc": score(results.runs),
            "loss": results.runs["train_loss"].astype("float64").where(done),
            "steps": math.nan if steps is None else results.runs["run_id"].map(steps),
        }
    )
    runs["loss"] = runs["loss"].mask(runs["fate"] == "diverged", math.inf)
    columns = {name: column.to_numpy() for name, column in runs.items()}
    cells = results.runs.groupby(axes, dropna=False, sort=False)
    number = cells.ngroup().to_numpy()
    order = np.argsort(number, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(number[order])) + 1)
    keys = results.runs[axes].iloc[[part[0] for part in parts]].to_dict("records")
    table = pd.DataFrame(
        [
            key | _cell(*(column[part] for column in columns.values()), timed=steps is not None)
            for key, part in zip(keys, parts, strict=True)
        ]
    )
    table = table.astype({axis: results.runs[axis].dtype for axis in axes})

    contests = contest_axes(axes)
    top = (
        table.assign(acc=table["test_acc_median"].where(table["learned"] > 0))
        .groupby(contests, dropna=False)["acc"]
        .transform("max")
    )
    table["best"] = (table["learned"] > 0) & (table["test_acc_median"] == top)
    seen = {act: position for position, act in enumerate(table["act"].drop_duplicates())}
    return (
        table.assign(_act=table["act"].map(seen), _never=table["learned"] == 0, _acc=-table["test_acc_median"])
        .sort_values(
            ["_act", *contests[1:], "_never", "_acc", "diverged", "train_loss_median", "init"],
            kind="stable",
            ignore_index=True,
        )
        .drop(columns=["_act", "_never", "_acc"])
    )


def _cell(fate: np.ndarray, acc: np.ndarray, loss: np.ndarray, steps: np.ndarray, *, timed: bool) -> dict[str, Any]:
    finite = acc[np.isfinite(acc)]
    counts = {outcome: int((fate == outcome).sum()) for outcome in OUTCOMES}
    finished = sum(counts[outcome] for outcome in SHARES)
    row: dict[str, Any] = {"runs": len(fate), **counts}
    for outcome in SHARES:
        share = stats.wilson(counts[outcome], finished)
        row |= {f"{outcome}_low": share.low, f"{outcome}_high": share.high}
    row |= _estimate("test_acc_median", stats.median(acc))
    row |= {
        "test_acc_mean": finite.mean() if len(finite) else math.nan,
        "test_acc_std": finite.std(ddof=1) if len(finite) > 1 else math.nan,
        "test_acc_count": len(finite),
    }
    row |= _estimate("test_acc_iqm", stats.interquartile_mean(acc))
    row |= _estimate("train_loss_median", stats.median(loss))
    if timed:
        row |= _estimate("steps_to_target", stats.median(steps))
        row["reached_target"] = int(np.isfinite(steps).sum())
    return row


def _estimate(name: str, estimate: stats.Estimate) -> dict[str, float]:
    """Null where it falls on a run that diverged or never got there."""
    values = {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return {key: value if math.isfinite(value) else math.nan for key, value in values.items()}


def steps_to_target(results: Results, target: float | None = None) -> pd.Series:
    """By run id, the first step at which the mean of the last 20 losses is `target` or less; inf: never.

    Of finished runs. target: a loss; left out, the one at which a run has learned: `outcome.learned_ratio` of the best
    constant prediction's.
    """
    done = results.runs[results.runs["status"] == "done"].set_index("run_id")
    ratio = done["outcome.learned_ratio"].fillna(LEARNED_RATIO) if "outcome.learned_ratio" in done else LEARNED_RATIO
    targets = done["constant_loss"] * ratio if target is None else pd.Series(target, index=done.index)
    steps = pd.Series(math.inf, index=done.index)
    losses = results.losses.sort_values("step", kind="stable")
    for run_id, curve in losses.groupby("run_id", observed=True, sort=False)["train_loss"]:
        if run_id in steps.index:
            steps[run_id] = stats.steps_to(curve.to_numpy(), targets[run_id], WINDOW)
    return steps


def axes_of_summary(summary: pd.DataFrame) -> list[str]:
    return list(summary.columns[: summary.columns.get_loc("runs")])
