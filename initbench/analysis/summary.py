"""The tables `runs.csv` and `summary.csv`: one row per run, and one row per cell with estimates over its seeds."""

import math
from typing import Any

import numpy as np
import pandas as pd

from initbench.analysis import stats
from initbench.analysis.cells import FINISHED, OUTCOMES, is_done, positions, ranked
from initbench.analysis.contests import Contests
from initbench.results.load import Results
from initbench.results.schema import RUN_COLUMNS

LEARNED_RATIO = 0.5  # of results whose configuration doesn't say
WINDOW = 20  # losses whose mean is compared with the target: one minibatch says little

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


def run_table(contests: Contests) -> pd.DataFrame:
    """One row per run: `RUN_COLUMNS` in that order, then every other axis under its dotted name."""
    others = [axis for axis in contests.cell_axes if axis not in RUN_COLUMNS]
    return contests.results.runs[[*RUN_COLUMNS, *others]]


def summarize(contests: Contests, steps: pd.Series | None = None) -> pd.DataFrame:
    """One row per cell: counts of outcomes, test accuracy (a fraction) and training loss over its seeds.

    A diverged run ranks below every finite one in the medians, which are null where they fall on one; means and
    sample deviations are over the `test_acc_count` finite runs; nothing is imputed. Names that end in `_low` and
    `_high` are 95 % intervals: `stats.wilson` of the outcomes' shares of the finished runs, `stats.median` and
    `stats.interquartile_mean`. steps: `steps_to_target` by run id, which adds their median (null where more than half
    never got there) and how many did. Rows are sorted so that each contest's winner comes first, and cells that never
    learned last.
    """
    runs, cells = contests.runs, contests.cells
    acc, loss = runs["score"].to_numpy(), ranked(runs, "train_loss", math.inf).to_numpy()
    taken = None if steps is None else runs["run_id"].map(steps).to_numpy()
    rows = [
        _shares(cell) | _estimates(acc[part], loss[part], None if taken is None else taken[part])
        for cell, part in zip(cells.to_dict("records"), positions(runs, contests.cell_axes), strict=True)
    ]
    counts = cells[[*contests.cell_axes, "runs", *OUTCOMES]]
    return _sorted(pd.concat([counts, pd.DataFrame(rows), cells["best"]], axis="columns"), contests.axes)


def _sorted(table: pd.DataFrame, contest: list[str]) -> pd.DataFrame:
    seen = {act: place for place, act in enumerate(table["act"].drop_duplicates())}
    order = ["_act", *contest[1:], "_never", "_acc", "diverged", "train_loss_median", "init"]
    return (
        table.assign(_act=table["act"].map(seen), _never=table["learned"] == 0, _acc=-table["test_acc_median"])
        .sort_values(order, kind="stable", ignore_index=True)
        .drop(columns=["_act", "_never", "_acc"])
    )


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


def steps_to_target(results: Results, target: float | None = None) -> pd.Series:
    """By run id, the first step at which the mean of the last 20 losses is `target` or less; inf: never.

    Of finished runs. target: a loss; left out, the one at which a run has learned: `outcome.learned_ratio` of the best
    constant prediction's.
    """
    done = results.runs[is_done(results.runs)].set_index("run_id")
    ratio = done["outcome.learned_ratio"].fillna(LEARNED_RATIO) if "outcome.learned_ratio" in done else LEARNED_RATIO
    targets = done["constant_loss"] * ratio if target is None else pd.Series(target, index=done.index)
    steps = pd.Series(math.inf, index=done.index)
    losses = results.losses.sort_values("step", kind="stable")
    for run_id, curve in losses.groupby("run_id", observed=True, sort=False)["train_loss"]:
        if run_id in steps.index:
            steps[run_id] = stats.steps_to(curve.to_numpy(), targets[run_id], WINDOW)
    return steps


def axes_of_summary(summary: pd.DataFrame) -> list[str]:
    """The axes of a cell, with which every row of a summary begins."""
    return list(summary.columns[: summary.columns.get_loc("runs")])
