"""Does it predict? How well what is measured at birth ranks what training makes of it.

One cell, one number: the median over its seeds, of the measure at step 0 and of the score at the end. Measures are
turned so that more should be better; what can be too small and too large counts by its distance from 1 on a log scale.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from initbench.analysis import stats
from initbench.analysis.cells import is_done
from initbench.analysis.contests import Contests
from initbench.analysis.diagnosis.at_birth import first_rule_at_birth
from initbench.analysis.diagnosis.measurements import NAMES, NUMBERS, at_step_0
from initbench.analysis.measure import in_nats

FEWEST = 4  # cells of which anything is said
WITHIN, ALL = "within contests", "all cells"
COLUMNS = ["scope", "measure", "cells", "learned", "auc", "auc_low", "auc_high"]
COLUMNS += ["rank_correlation", "rank_low", "rank_high"]


@dataclass(frozen=True)
class BirthMeasure:
    """A number at birth that may tell how training ends: `of` makes it from NUMBERS and the runs, more is better."""

    words: str
    of: Callable[[pd.DataFrame], Any]


def _from_1(ratio: pd.Series) -> pd.Series:
    """Minus the distance of a ratio from 1, |ln ratio|; minus infinity for 0 and infinity."""
    with np.errstate(divide="ignore"):
        return -np.log(ratio.astype("float64")).abs()


def _guess(runs: pd.DataFrame) -> pd.Series:
    """The loss of a guess among all classes, ln C; of a squared error that of the best constant."""
    return np.log(runs["classes"]).where(in_nats(runs), runs["constant_loss"])


MEASURES = {
    "sound": BirthMeasure("no rule of diagnosis applies", lambda runs: 1.0 * (first_rule_at_birth(runs) < 0)),
    "gradient": BirthMeasure("gradient, first over last hidden layer", lambda runs: _from_1(runs["grad_ratio"])),
    "difference": BirthMeasure(
        "difference between examples, last over first hidden layer", lambda runs: _from_1(runs["signal_ratio"])
    ),
    "size": BirthMeasure("size of activations, last over first hidden layer", lambda runs: _from_1(runs["size_ratio"])),
    "outputs": BirthMeasure(
        "difference between outputs, divided by the size of the inputs",
        lambda runs: _from_1(runs["output_spread"] / runs["input_size"]),
    ),
    "first_loss": BirthMeasure("first loss, divided by a guess's", lambda runs: -runs["first_loss"] / _guess(runs)),
    "saturated": BirthMeasure("share of flat (unit, example) pairs", lambda runs: -runs["saturated_mean"]),
    "dead": BirthMeasure("share of dead units in the worst layer", lambda runs: -runs["dead"]),
    "time": BirthMeasure("gradient, first over last time step", lambda runs: _from_1(runs["time_ratio"])),
}


def predictions(contests: Contests) -> pd.DataFrame:
    """One row per measure and scope: the axes of a contest (null for a scope of several), then COLUMNS.

    scope: `all cells` compares each cell with each other; `within contests` only cells of one contest, over all
    contests; `contest` those of one. auc: how often a cell that learned (most of its runs) has the better measure than
    one that did not; rank_correlation: Spearman's, with the median score. Bounds hold at 95 %: `auc_interval`,
    `correlation_interval`.
    """
    cells = cells_of(contests)
    rows = [] if len(cells) < FEWEST else list(_rows(cells, contests.axes))
    return pd.DataFrame(rows, columns=[*contests.axes, *COLUMNS])


def cells_of(contests: Contests) -> pd.DataFrame:
    """One row per finished cell: its axes, `score`, `most_learned`, `contest` (a number), and each of MEASURES."""
    done = is_done(contests.runs)
    if not done.any():
        return pd.DataFrame()
    finished = contests.where(done)
    numbers = at_step_0(contests.results, done)
    runs = finished.runs.drop(columns=[*NUMBERS, *NAMES], errors="ignore").reset_index(drop=True)
    runs = pd.concat([runs, numbers.reset_index(drop=True)], axis=1)
    measured = pd.DataFrame({name: np.asarray(measure.of(runs), float) for name, measure in MEASURES.items()})
    by_cell = measured.groupby(finished.cell_of_run.to_numpy(), sort=True).median()
    cells = pd.concat([finished.cells.reset_index(drop=True), by_cell.reset_index(drop=True)], axis=1)
    return cells.assign(contest=cells.groupby(contests.axes, dropna=False, sort=False).ngroup())


def _rows(cells: pd.DataFrame, axes: list[str]) -> Iterator[dict[str, Any]]:
    for name in MEASURES:
        known = cells[cells[name].notna() & cells["score"].notna()]
        if len(known) < FEWEST or known[name].nunique() < 2:
            continue
        together = np.zeros(len(known))
        yield {"scope": ALL, "measure": name, **_numbers(known, name, together)}
        yield {"scope": WITHIN, "measure": name, **_numbers(known, name, known["contest"].to_numpy())}
        for _, here in known.groupby("contest"):
            if len(here) >= FEWEST and known["contest"].nunique() > 1:
                where = {axis: here[axis].iloc[0] for axis in axes}
                yield where | {"scope": "contest", "measure": name, **_numbers(here, name, np.zeros(len(here)))}


def _numbers(cells: pd.DataFrame, name: str, groups: np.ndarray) -> dict[str, Any]:
    values, score = cells[name].to_numpy("float64"), cells["score"].to_numpy("float64")
    learned = cells["most_learned"].to_numpy(bool)
    area, pairs = auc(values, learned, groups), fewest_pairs(learned, groups)
    correlation = rank_correlation(values, score, groups)
    bounds = auc_interval(area, pairs)
    ranks = correlation_interval(correlation, len(cells) - len(np.unique(groups)) + 1)
    return {
        "cells": len(cells),
        "learned": int(learned.sum()),
        **dict(zip(("auc", "auc_low", "auc_high"), (bounds.value, bounds.low, bounds.high), strict=True)),
        **dict(zip(("rank_correlation", "rank_low", "rank_high"), (ranks.value, ranks.low, ranks.high), strict=True)),
    }


def auc(values: np.ndarray, learned: np.ndarray, groups: np.ndarray) -> float:
    """The share of pairs (one that learned, one that did not, of one group) whose first has more; a tie is half.

    NaN without such a pair. The area under the ROC curve (Hanley & McNeil 1982), of one group.
    """
    won = total = 0.0
    for group in np.unique(groups):
        here, yes = values[groups == group], learned[groups == group]
        positive, negative = int(yes.sum()), int((~yes).sum())
        won += ranks(here)[yes].sum() - positive * (positive + 1) / 2
        total += positive * negative
    return won / total if total else math.nan


def fewest_pairs(learned: np.ndarray, groups: np.ndarray) -> int:
    """How many pairs of `auc` share no cell."""
    return sum(
        min(int(learned[groups == group].sum()), int((~learned[groups == group]).sum())) for group in np.unique(groups)
    )


def auc_interval(area: float, pairs: int, level: float = 0.95) -> stats.Estimate:
    """Wilson's interval, as if only the pairs that share no cell had been counted: too wide rather than too narrow."""
    if math.isnan(area):
        return stats.Estimate(math.nan, math.nan, math.nan)
    return stats.wilson(min(max(area, 0.0), 1.0) * pairs, pairs, level)


def rank_correlation(values: np.ndarray, score: np.ndarray, groups: np.ndarray) -> float:
    """Spearman's, of ranks within each group from which the group's mean is taken; NaN where either never varies."""
    pairs = []
    for group in np.unique(groups):
        both = [ranks(each[groups == group]) for each in (values, score)]
        pairs.append([each - each.mean() for each in both])
    x, y = (np.concatenate(each) for each in zip(*pairs, strict=True))
    size = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / size if size else math.nan


def correlation_interval(correlation: float, count: int, level: float = 0.95) -> stats.Estimate:
    """Bonett & Wright 2000: Fisher's z with the standard error sqrt((1 + r^2 / 2) / (n - 3)); none below n = 4."""
    if math.isnan(correlation) or count <= 3:
        return stats.Estimate(correlation, math.nan, math.nan)
    r = min(max(correlation, -1 + 1e-12), 1 - 1e-12)
    half = float(special.ndtri((1 + level) / 2)) * math.sqrt((1 + r**2 / 2) / (count - 3))
    return stats.Estimate(correlation, math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half))


def ranks(values: np.ndarray) -> np.ndarray:
    """From 1 for the least; equal values share the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return (last - (counts - 1) / 2)[place]
