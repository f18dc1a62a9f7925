"""Pairs of initializers in a contest, seed by seed: differences, intervals, tests."""

import itertools
from collections.abc import Iterator
from typing import Any

import pandas as pd

from initbench.analysis import stats
from initbench.analysis.contests import Contests, contest_key
from initbench.analysis.measure import largest_gap

LEVEL = 0.95  # of every interval
ALPHA = 1 - LEVEL  # chance of a false alarm among all the pairs of one contest

COLUMNS = {
    "label_a": "str",
    "label_b": "str",
    "measure": "str",
    "pairs": "int64",
    "difference": "float64",
    "low": "float64",
    "high": "float64",
    "p": "float64",
    "p_adjusted": "float64",
    "test": "str",
    "effect": "float64",
    "improvement": "float64",
    "improvement_low": "float64",
    "improvement_high": "float64",
    "resolved": "bool",
}


def compare_pairs(contests: Contests, summary: pd.DataFrame) -> pd.DataFrame:
    """One row per pair of initializers in a contest: the contest's axes, then COLUMNS.

    `label_a` is ranked higher. Scores are paired by seed: test accuracies (fractions) or, as `measure` says, minus the
    test errors, so that a difference is above 0 where a is better; `p_adjusted` is Holm's (1979) over the
    pairs of the contest, `resolved` is p_adjusted <= ALPHA, and the interval is that of the pair by itself. Who may be
    the best is a narrower question, which needs fewer seeds: `contenders`.
    """
    ranking, rows = _ranking(contests, summary), []
    for contest in contests:
        wide = contest.runs.pivot(index="seed", columns="label", values="score")
        measure = {"measure": contest.measure.name}
        rows += [contest.values | measure | pair for pair in _pairs(wide, ranking[contest.key])]
    table = pd.DataFrame(rows, columns=[*contests.axes, *COLUMNS])
    return table.astype({**{axis: contests.runs[axis].dtype for axis in contests.axes}, **COLUMNS})


def _ranking(contests: Contests, summary: pd.DataFrame) -> dict[tuple[str, ...], list[str]]:
    """The labels of each contest, the best first."""
    ranking: dict[tuple[str, ...], list[str]] = {}
    for cell in summary.to_dict("records"):
        ranking.setdefault(contest_key(cell, contests.axes), []).append(contests.label(cell))
    return ranking


def _pairs(wide: pd.DataFrame, ranking: list[str]) -> Iterator[dict[str, Any]]:
    """Each pair of a contest. wide: one row per seed, one column per label; scores."""
    scores = wide[ranking].to_numpy().T
    seed_effect, most = stats.largest_seed_effect(scores), largest_gap(scores)
    pairs = [
        (a, b, stats.paired(wide[a], wide[b], LEVEL, seed_effect=seed_effect, most=most))
        for a, b in itertools.combinations(ranking, 2)
    ]
    adjusted = stats.holm([pair.p for _, _, pair in pairs])
    for (a, b, pair), p_adjusted in zip(pairs, adjusted, strict=True):
        yield {
            "label_a": a,
            "label_b": b,
            **pair.columns(),
            "p_adjusted": p_adjusted,
            "resolved": bool(p_adjusted <= ALPHA),
        }
