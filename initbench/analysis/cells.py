"""Outcomes and scores of each cell: one row per cell, from which every table and figure of a report is made."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from initbench.analysis import stats
from initbench.analysis.measure import of_labels, predicts_numbers, test_error
from initbench.outcomes import DIVERGED, LEARNED, SLOW, STUCK

FINISHED = (LEARNED, SLOW, STUCK, DIVERGED)  # outcomes of a run that was trained to its end
OUTCOMES = (*FINISHED, "failed", "pending")


def is_done(runs: pd.DataFrame) -> pd.Series:
    """Which runs were trained to their end; a diverged run is one of them, a failed or pending one is not."""
    return runs["status"] == "done"


def outcome(runs: pd.DataFrame) -> pd.Series:
    """What became of each run: one of OUTCOMES."""
    return runs["outcome"].where(is_done(runs), runs["status"])


def ranked(runs: pd.DataFrame, column: str, worst: float) -> pd.Series:
    """A column by which runs rank: `worst` for a diverged run, NaN for one that is not done."""
    done = is_done(runs)
    return runs[column].astype("float64").where(done).mask(done & (runs["outcome"] == "diverged"), worst)


def score(runs: pd.DataFrame) -> pd.Series:
    """By which runs are ranked, higher is better: of labels a fraction (`of_labels`), of numbers minus the test error.

    -inf for a diverged run, NaN for one that is not done.
    """
    own = runs[of_labels(runs).column].astype("float64").mask(predicts_numbers(runs), -test_error(runs))
    return ranked(runs.assign(score=own), "score", -math.inf)


def most_learned(learned: Any, runs: Any) -> Any:
    """Whether more than half of the runs learned; numbers or arrays of them."""
    return 2 * learned > runs


def cells(runs: pd.DataFrame, axes: list[str]) -> pd.DataFrame:
    """One row per cell, in the order of the runs. runs: those of `Contests`.

    The axes of a cell, then `label`; `runs`, and how many of them had each of OUTCOMES; `finished`, how many were
    trained to their end; `score`, their median score (`score`; -inf where it falls on a diverged run, NaN
    where no run is finished); `numbers`, whether these are what is predicted; `most_learned`, whether more than half of
    the finished runs learned; `outcome`, learned where most did, else what most of the others came to.
    """
    parts = list(positions(runs, axes))
    first = [part[0] for part in parts]
    table = runs[[*axes, "label"]].iloc[first].reset_index(drop=True)
    ending, scores, numbers = outcome(runs).to_numpy(), runs["score"].to_numpy(), predicts_numbers(runs).to_numpy()
    counts = np.array([[(ending[part] == name).sum() for name in OUTCOMES] for part in parts])
    table = table.assign(
        runs=[len(part) for part in parts],
        **dict(zip(OUTCOMES, counts.reshape(-1, len(OUTCOMES)).T, strict=True)),
        score=[stats.median(scores[part]).value for part in parts],
        numbers=[bool(numbers[part].any()) for part in parts],
    )
    table["finished"] = table[list(FINISHED)].sum(axis=1)
    table["most_learned"] = most_learned(table["learned"], table["finished"])
    failures = [DIVERGED, STUCK, SLOW]  # of equal numbers, the worst
    lost = np.array(failures)[table[failures].to_numpy().argmax(axis=1)] if len(table) else LEARNED
    table["outcome"] = np.where(table["most_learned"], LEARNED, lost)
    return table


def positions(runs: pd.DataFrame, axes: list[str]) -> Iterator[np.ndarray]:
    """The positions of each cell's runs, in the order in which cells appear."""
    if runs.empty:
        return
    number = runs.groupby(axes, dropna=False, sort=False).ngroup().to_numpy()
    order = np.argsort(number, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(number[order])) + 1)
