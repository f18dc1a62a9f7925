"""The alternatives of each contest in their order, and which of them may be the best: see `best_set`."""

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from initbench.analysis import stats
from initbench.analysis.best_set import Contender, best_set
from initbench.analysis.cells import is_done
from initbench.analysis.contests import Contest, Contests
from initbench.analysis.measure import largest_gap
from initbench.outcomes import LEARNED

SAME_LOSS, SAME_RATIO = 1e-5, 1e-3  # relative: the same weights up to rounding

COLUMNS = {
    "label": "str",
    "rank": "int64",
    "same_as": "str",
    "measure": "str",
    "runs": "int64",
    "learned": "int64",
    "mean": "float64",
    "std": "float64",
    "behind": "float64",
    "low": "float64",
    "high": "float64",
    "reason": "str",
    "may_be_best": "bool",
}


def contenders(contests: Contests) -> pd.DataFrame:
    """One row per alternative of a contest, the best first: the contest's axes, then COLUMNS.

    `rank` from 1: those that learned more often come first, and of these the one with the highest mean score over the
    runs that learned; then those that never learned, by their median. `same_as`: the alternative that starts with the
    same weights under every seed (Kumar's are He's for ReLU); the two count as one. The rest is `best_set.Contender`:
    scores are test accuracies (fractions) or, as `measure` says, minus the test errors (in contenders.csv `mean` is the
    error itself).
    """
    weights = contests.over.partition(".")[0] == "init"  # else all start alike, and differ in what comes then
    starts, rows = _starts(contests) if weights else None, []
    for contest in contests:
        rows += [contest.values | row for row in _of(contest, starts)]
    table = pd.DataFrame(rows, columns=[*contests.axes, *COLUMNS])
    return table.astype({**{axis: contests.runs[axis].dtype for axis in contests.axes}, **COLUMNS})


def _of(contest: Contest, starts: pd.DataFrame | None) -> list[dict[str, Any]]:
    runs = contest.runs
    labels = list(runs["label"].drop_duplicates())
    wide = runs.pivot(index="label", columns="seed", values="score").reindex(labels)
    won = runs.assign(won=is_done(runs) & (runs["outcome"] == LEARNED)).pivot(
        index="label", columns="seed", values="won"
    )
    learned = won.reindex(labels).eq(True).to_numpy()
    originals = {} if starts is None else _originals(labels, runs, starts)
    alone = [label for label in labels if label not in originals]
    chosen = [labels.index(label) for label in alone]
    found = dict(zip(alone, best_set(wide.to_numpy()[chosen], learned[chosen]), strict=True))
    medians, most = wide.median(axis=1).to_dict(), largest_gap(wide.to_numpy())
    order = sorted(labels, key=lambda label: _order(found[originals.get(label, label)], medians[label]))
    return [
        {"label": label, "rank": place, "same_as": originals.get(label, ""), "measure": contest.measure.name}
        | _row(found[originals.get(label, label)], most)
        for place, label in enumerate(order, 1)
    ]


def _row(contender: Contender, most: float) -> dict[str, Any]:
    """most: the largest difference that two scores can have; the bounds keep within it."""
    bounds = stats.Estimate(contender.behind, contender.low, contender.high).within(-most, most)
    own = {"low": bounds.low, "high": bounds.high, "may_be_best": contender.may_be_best}
    return asdict(contender) | own


def _order(contender: Contender, median: float) -> tuple[float, ...]:
    if not contender.learned:
        return (0.0, 0.0, math.inf if math.isnan(median) else -median)
    return (-contender.learned / contender.runs, -contender.mean, 0.0)


def _starts(contests: Contests) -> pd.DataFrame:
    """What tells the weights that a run starts with: its loss at step 0 and how its gradients change with depth."""
    losses = contests.results.losses
    first = losses.loc[losses["step"] == 0].set_index("run_id")["train_loss"]
    runs = contests.runs.set_index("run_id")
    return pd.DataFrame({"loss": first.reindex(runs.index), "ratio": runs["first_last_grad_ratio"]}).astype("float64")


def _originals(labels: list[str], runs: pd.DataFrame, starts: pd.DataFrame) -> dict[str, str]:
    """Of each alternative that starts as an earlier one does under every seed that both have: that one."""
    numbers = starts.loc[runs["run_id"]].assign(label=runs["label"].to_numpy(), seed=runs["seed"].to_numpy())
    wide = {name: numbers.pivot(index="label", columns="seed", values=name) for name in ("loss", "ratio")}
    found: dict[str, str] = {}
    for place, label in enumerate(labels):
        for earlier in (name for name in labels[:place] if name not in found):
            pairs = {name: (table.loc[label].to_numpy(), table.loc[earlier].to_numpy()) for name, table in wide.items()}
            if _same(*pairs["loss"], SAME_LOSS) and _same(*pairs["ratio"], SAME_RATIO):
                found[label] = earlier
                break
    return found


def _same(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    """Whether all numbers that both have are equal up to a relative tolerance; there must be some."""
    both = np.isfinite(a) & np.isfinite(b)
    return bool(both.any() and np.allclose(a[both], b[both], rtol=tolerance, atol=0) and (np.isfinite(a) == both).all())
