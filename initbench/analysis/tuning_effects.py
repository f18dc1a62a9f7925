"""How much tuning changes who wins: each contest at the best settings of its cells, and at the default ones.

The default settings are those that the cells would have untuned. They are among the trials of a search, and on most
grids, so both sides are trained on the same examples under the same seeds.
"""

from typing import Any

import numpy as np
import pandas as pd

from initbench.analysis import stats, variance
from initbench.analysis.comparisons import LEVEL
from initbench.analysis.contests import Contests, contest_title
from initbench.analysis.measure import largest_gap
from initbench.analysis.tuning import Tuning
from initbench.text import join_words, plural


def tuning_effects(tuning: Tuning) -> pd.DataFrame:
    """One row per contest, if any initializer was tried at its default settings; else no rows.

    The contest's axes; `initializers`, how many were tried at their default settings; `learned_default` and
    `learned_tuned`, how many of them learn (most seeds); `rescued`, the names of those that learn only tuned. Of those
    that learn tuned and diverge under no seed at either: `compared`, their number; `difference_default` and
    `difference_tuned`, the score of the best minus that of the worst under one seed, the mean over seeds; `change`, the
    second minus the first, with its interval (`low`, `high`; paired t, 95 %). `first_default` and `first_tuned`, whose
    median score is the highest. `sentence` says it.
    """
    contests = tuning.contests
    rows = [
        _row(dict(zip(contests.axes, key, strict=True)), here, tuning, contests)
        for key, here in contests.runs.groupby(contests.axes, dropna=False, sort=False)
        if tuning.default[here.index].any()
    ]
    return pd.DataFrame(rows)


def _row(where: dict[str, Any], runs: pd.DataFrame, tuning: Tuning, contests: Contests) -> dict[str, Any]:
    """A row of `tuning_effects`. runs: of one contest, at all settings."""
    default, tuned = (runs[which[runs.index]] for which in (tuning.default, tuning.shown))
    labels = list(dict.fromkeys(default["label"]))
    sides = [_scores(side, labels) for side in (default, tuned)]
    learned = [_learned(side, labels) for side in (default, tuned)]
    rescued = [name for name, before, after in zip(labels, *learned, strict=True) if after and not before]
    seeds = ~np.isnan(np.concatenate(sides)).any(axis=0)
    before, after = (side[:, seeds] for side in sides)
    compared = learned[1] & np.isfinite(before).all(axis=1) & np.isfinite(after).all(axis=1)
    row = where | {
        "initializers": len(labels),
        "learned_default": int(learned[0].sum()),
        "learned_tuned": int(learned[1].sum()),
        "rescued": ", ".join(rescued),
        "compared": int(compared.sum()),
    }
    ranges = [variance.ranges(side[compared]) if compared.sum() > 1 else np.array([]) for side in (before, after)]
    both = np.stack([*ranges]) if len(ranges[0]) else np.empty((2, 0))
    most = largest_gap(np.stack([before[compared], after[compared]])) if both.size else np.inf
    change = stats.paired(both[1], both[0], LEVEL, most=most)
    row |= {
        "difference_default": float(both[0].mean()) if both.size else np.nan,
        "difference_tuned": float(both[1].mean()) if both.size else np.nan,
        "change": change.difference.value,
        "low": change.difference.low,
        "high": change.difference.high,
        "seeds": int(seeds.sum()),
        "first_default": _first(before, labels),
        "first_tuned": _first(after, labels),
    }
    return row | {"sentence": sentence(row, contests, contest_title(where, where.values()))}


def _scores(runs: pd.DataFrame, labels: list[str]) -> np.ndarray:
    """(labels, seeds): the score of each run, NaN where it is not done."""
    seeds = sorted(runs["seed"].unique())
    wide = runs.pivot_table(index="label", columns="seed", values="score", dropna=False, aggfunc="first")
    return wide.reindex(index=labels, columns=seeds).to_numpy(float)


def _learned(runs: pd.DataFrame, labels: list[str]) -> np.ndarray:
    """Which initializers learn: most of their finished seeds do."""
    done = runs[runs["status"] == "done"]
    share = (done["outcome"] == "learned").groupby(done["label"]).mean()
    return share.reindex(labels).to_numpy(float) > 0.5


def _first(scores: np.ndarray, labels: list[str]) -> str:
    """Whose median score is the highest; of equal ones the first; "" where none has one."""
    medians = np.median(scores, axis=1) if scores.shape[1] else np.full(len(labels), -np.inf)
    return labels[int(medians.argmax())] if np.isfinite(medians.max(initial=-np.inf)) else ""


def sentence(row: dict[str, Any], contests: Contests, title: str) -> str:
    """ "relu, depth 5: tuned, the difference of the best and the worst of 8 ... falls from 12.1 to 0.6 points ..." """
    measure = contests.measure
    said = []
    if row["compared"] > 1 and row["seeds"]:
        before, after = row["difference_default"], row["difference_tuned"]
        verb = "shrinks" if row["high"] < 0 else "grows" if row["low"] > 0 else "goes"
        known = np.isfinite(row["low"])
        interval = f" (change {measure.number(row['low'])} to {measure.number(row['high'])})" if known else ""
        said.append(
            f"tuned, the difference between the best and the worst of the {row['compared']} initializers that learn "
            f"{verb} from {measure.number(before)} to {measure.gap(after)}{interval}"
        )
    if row["rescued"]:
        said.append(f"tuning rescues {join_words(row['rescued'].split(', '))}")
    elif row["learned_tuned"] == 0:
        said.append(f"tuned, none of {plural(row['initializers'], 'initializer')} learns")
    if not said:
        said.append("tuning rescues no initializer")
    return f"{title}: {'; '.join(said)}."
