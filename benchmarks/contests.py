"""Contests whose best is known, as runs of each name draw them: is the best in the set, and how large is the set?

A contest is a pair of arrays, rows names and columns seeds: test accuracies (-inf where a run diverged), and whether
the run learned. The first row is the best, or one of several that are equally good.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from initbench.analysis import stats
from initbench.analysis.best_set import best_set

ALPHA = 0.05  # of the set of old
POINT = 0.01
Contest = tuple[np.ndarray, np.ndarray]
Draw = Callable[[np.random.Generator, int, int], Contest]  # of so many names and seeds
PerName = Callable[[int], np.ndarray]  # a number for each of so many names


@dataclass(frozen=True)
class Measured:
    """Of many contests: how often the best is in the set, its mean size, and how often it is one name, in %."""

    inside: float
    size: float
    single: float
    old_size: float

    @classmethod
    def of(cls, draw: Draw, rng: np.random.Generator, names: int, seeds: int, count: int, old: int) -> "Measured":
        """count contests, the first `old` of which also go through the procedure of old."""
        contests = [draw(rng, names, seeds) for _ in range(count)]
        sets = np.array([[each.may_be_best for each in best_set(*contest)] for contest in contests])
        sizes = sets.sum(axis=1)
        old_sizes = [old_set(*contest).sum() for contest in contests[:old]]
        return cls(
            100 * sets[:, 0].mean(), float(sizes.mean()), 100 * float((sizes == 1).mean()), float(np.mean(old_sizes))
        )


def old_set(scores: np.ndarray, learned: np.ndarray) -> np.ndarray:
    """The winner and those not told apart from it by paired tests of all pairs, as truths (K,).

    The winner has the highest median of those that learned at all; Holm's correction over all pairs of the contest.
    """
    seed_effect = stats.largest_seed_effect(scores)
    pairs = list(itertools.combinations(range(len(scores)), 2))
    p = stats.holm([stats.paired(scores[i], scores[j], seed_effect=seed_effect).p for i, j in pairs])
    apart = np.zeros((len(scores), len(scores)), dtype=bool)
    for (i, j), adjusted in zip(pairs, p, strict=True):
        apart[i, j] = apart[j, i] = adjusted <= ALPHA
    medians = np.where(learned.any(axis=1), np.median(scores, axis=1), -np.inf)
    return ~apart[int(medians.argmax())]


# ---------------------------------------------------------------- how the runs of a contest are drawn


def ones(names: int) -> np.ndarray:
    return np.ones(names)


def first(value: float) -> PerName:
    return lambda names: np.where(np.arange(names) == 0, value, 1.0)


def last(value: float) -> PerName:
    return lambda names: np.where(np.arange(names) == names - 1, value, 1.0)


def geometric(low: float, high: float) -> PerName:
    return lambda names: np.geomspace(low, high, names)


def thirds(value: float) -> PerName:
    """Of the last third of the names, at least of one."""
    return lambda names: np.where(np.arange(names) >= names - max(1, names // 3), value, 1.0)


def normal(deviation: PerName = ones, *, lead: float = 0.0, correlation: float = 0.0, scale: float = 0.02) -> Draw:
    """Normal accuracies. lead: of the best, in accuracy; correlation: between names, by an effect of the seed."""

    def draw(rng: np.random.Generator, names: int, seeds: int) -> Contest:
        own = rng.standard_normal((names, seeds)) * deviation(names)[:, None]
        effect = math.sqrt(correlation / (1 - correlation)) * rng.standard_normal(seeds)
        scores = 0.8 + scale * (own + effect)
        scores[0] += lead
        return scores, np.ones(scores.shape, dtype=bool)

    return draw


def ahead(deviations: float) -> Draw:
    """The best leads by so many standard deviations of a difference of two runs."""
    return normal(lead=deviations * 0.02 * math.sqrt(2))


def beta(best: tuple[float, float], others: tuple[float, float] | None = None, examples: int | None = None) -> Draw:
    """Skewed accuracies; `examples`: so many test examples are right or wrong."""

    def draw(rng: np.random.Generator, names: int, seeds: int) -> Contest:
        scores = rng.beta(*(others or best), (names, seeds))
        scores[0] = rng.beta(*best, seeds)
        scores = scores if examples is None else np.round(examples * scores) / examples
        return scores, np.ones(scores.shape, dtype=bool)

    return draw


def bimodal(chance: PerName, *, below: float = 0.1, all_learn: bool = False, lead: PerName = ones) -> Draw:
    """A run succeeds with a name's chance, with an accuracy of 96 %, times `lead`; or else it has `below`.

    all_learn: both kinds of runs count as learned.
    """

    def draw(rng: np.random.Generator, names: int, seeds: int) -> Contest:
        success = rng.random((names, seeds)) < chance(names)[:, None]
        scores = np.where(success, lead(names)[:, None] * rng.beta(200, 8, (names, seeds)), below)
        return scores, success | all_learn

    return draw


def always(chance: float) -> PerName:
    return lambda names: np.full(names, chance)


COPIES: dict[str, Draw] = {
    "equal normals": normal(),
    "normal, correlation 0.5 over seeds": normal(correlation=0.5),
    "beta(40, 2)": beta((40, 2)),
    "beta(200, 8), correct/360": beta((200, 8), examples=360),
    **{f"learn with p = {p}, else stuck": bimodal(always(p)) for p in (0.3, 0.5, 0.7, 0.9)},
    "40 % diverge": bimodal(always(0.6), below=-math.inf),
}
EQUAL_MEANS: dict[str, Draw] = {
    "the best's deviation 3 times the others'": normal(first(3)),
    "a rival's deviation 5 times the others'": normal(last(5)),
    "deviations from 0.2, the best's, to 5": normal(geometric(0.2, 5)),
    "deviations from 5, the best's, to 0.2": normal(geometric(5, 0.2)),
    "the same, and the seed has an effect of deviation 3": normal(geometric(0.2, 5), correlation=0.9),
    "the best beta(40, 2), the others beta(400, 20)": beta((40, 2), (400, 20)),
    "a third learn with p = 0.5, the others always": bimodal(thirds(0.5)),
}
AHEAD: dict[str, Draw] = {
    **{f"ahead by {d:g} deviations of a difference": ahead(d) for d in (1, 2, 2.5)},
    "ahead by 2 points, a run's deviation 0.6": normal(lead=2 * POINT, scale=0.6 * POINT),
}
LIMITS: dict[str, Draw] = {
    "the best beta(400, 20), the others beta(40, 2)": beta((400, 20), (40, 2)),
    "all learn, half of the runs with 60 %": bimodal(always(0.5), below=0.6, all_learn=True),
    "a third learn with p = 0.5, and are 2 % better then": bimodal(thirds(0.5), lead=thirds(1.02)),
}
KINDS = {"copies": COPIES, "equal means": EQUAL_MEANS, "ahead": AHEAD, "limits": LIMITS}
