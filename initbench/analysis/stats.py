"""Estimates and tests for few runs: arrays in, small records out. benchmarks/README.md says how accurate they are.

A missing run is NaN and is left out. A diverged run has no score: it is -inf where higher is better, inf where lower
is better, so that it ranks below every finite run. An estimate that falls on a diverged run is infinite or NaN.
`level` is the confidence of an interval (near 1), or a test's chance of a false alarm (near 0).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike
from scipy import special

ENOUGH_CELLS = 10  # of 5 seeds each: the pooled bootstrap covers 92 % in every case of benchmarks/calibration.py
_SHORTFALL = 0.02  # how far an interval of [min, max] may cover less than its level: 5 values at 95 %
_ROUNDING = 1e-6  # relative; accuracies are averaged in float32
_BLOCK = 2**21  # numbers drawn at once


@dataclass(frozen=True)
class Estimate:
    """A value and its interval; NaN where none can be given."""

    value: float
    low: float
    high: float

    def within(self, least: float, most: float) -> "Estimate":
        """The same with an interval that leaves out what is impossible, such as an accuracy of 134 %.

        What is estimated lies between least and most, so cutting the interval there never cuts it off, and the
        interval covers it as often as before. An infinite bound stands for a diverged run and stays.
        """
        low = max(self.low, least) if math.isfinite(self.low) else self.low
        high = min(self.high, most) if math.isfinite(self.high) else self.high
        return Estimate(self.value, low, high)


_NOTHING = Estimate(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Paired:
    """Scores of a and b compared in pairs; higher is better.

    difference: mean of a - b. p: two-sided. test: `paired t`, `sign`, or `none` where there is nothing to test.
    effect: standardized mean difference with Hedges' correction. improvement: probability that a is better than b.
    """

    pairs: int
    difference: Estimate
    p: float
    test: str
    effect: float
    improvement: Estimate

    def columns(self) -> dict[str, Any]:
        """By the names of the tables' columns."""
        return {
            "pairs": self.pairs,
            "difference": self.difference.value,
            "low": self.difference.low,
            "high": self.difference.high,
            "test": self.test,
            "effect": self.effect,
            "improvement": self.improvement.value,
            "improvement_low": self.improvement.low,
            "improvement_high": self.improvement.high,
            "p": self.p,
        }


def _present(values: ArrayLike) -> np.ndarray:
    array = np.asarray(values, float)
    return array[~np.isnan(array)]


def wilson(successes: float, n: int, level: float = 0.95) -> Estimate:
    """A proportion of n and its score interval (Wilson 1927); a success may count half. NaN where n is 0."""
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}")
    if n == 0:
        return _NOTHING
    share = successes / n
    z2 = float(special.ndtri((1 + level) / 2)) ** 2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    low = 0.0 if successes == 0 else middle - half
    high = 1.0 if successes == n else middle + half
    return Estimate(share, low, high)


def median(values: ArrayLike, level: float = 0.95) -> Estimate:
    """The median and an interval between interpolated order statistics (Hettmansperger & Sheather 1986).

    No interval where even [min, max] covers the median less often than `level` - 0.02: below 5 values at 95 %.
    """
    x = np.sort(_present(values))
    n = len(x)
    if n == 0:
        return _NOTHING
    value = float(x[(n - 1) // 2] + x[n // 2]) / 2
    rank, weight = _median_ranks(n, level)
    if rank == 0:
        return Estimate(value, math.nan, math.nan)
    low = _between(x[rank - 1], x[rank], weight)
    high = _between(x[n - rank], x[n - rank - 1], weight)
    return Estimate(value, low, high)


@cache
def _median_ranks(n: int, level: float) -> tuple[int, float]:
    """The rank (from 1) of the lower bound, and the weight of the next rank; rank 0 where n is too small."""

    def coverage(rank: int) -> float:
        return 1 - 2 * special.bdtr(rank - 1, n, 0.5)

    if coverage(1) < level - _SHORTFALL:
        return 0, 0.0
    rank = max((rank for rank in range(1, n // 2 + 1) if coverage(rank) >= level), default=1)
    if coverage(rank) <= level or rank == n // 2:
        return rank, 0.0
    share = (coverage(rank) - level) / (coverage(rank) - coverage(rank + 1))
    return rank, (n - rank) * share / (rank + (n - 2 * rank) * share)


def _between(outer: float, inner: float, weight: float) -> float:
    return float(outer if weight == 0 else (1 - weight) * outer + weight * inner)


def interquartile_mean(values: ArrayLike, level: float = 0.95) -> Estimate:
    """The mean without the floor(n/4) lowest and highest values; interval by the trimmed t (Tukey & McLaughlin 1963).

    NaN where a diverged run is among those in the middle; no interval where fewer than two are.
    """
    x = np.sort(_present(values))
    n, cut = len(x), len(x) // 4
    middle = x[cut : n - cut]
    if n == 0 or not np.isfinite(middle).all():
        return _NOTHING
    value, kept = float(middle.mean()), len(middle)
    if kept < 2:
        return Estimate(value, math.nan, math.nan)
    winsorized = np.clip(x, middle[0], middle[-1])
    error = math.sqrt(np.square(winsorized - winsorized.mean()).sum() / (kept * (kept - 1)))
    half = _t_quantile(kept - 1, level) * error
    return Estimate(value, value - half, value + half)


def pooled_interquartile_mean(
    cells: Sequence[ArrayLike], *, seed: int, resamples: int = 2000, level: float = 0.95
) -> Estimate:
    """The interquartile mean over the runs of all cells; interval by a bootstrap within cells (Agarwal et al. 2021).

    From a cell of n runs, n - 1 are drawn (McCarthy & Snowden 1985): with n, the variance would be too small by the
    factor (n - 1) / n, and intervals from 5 seeds would cover 92 %, however many cells there are. Percentiles are
    widened by the ratio of t to normal quantiles (Hesterberg 2015). A bound that falls on a diverged run is -inf.
    No interval where a cell has fewer than two runs. Raises ValueError for fewer than ENOUGH_CELLS cells.
    """
    scores = [_present(cell) for cell in cells]
    if len(scores) < ENOUGH_CELLS:
        raise ValueError(f"{len(scores)} cells: fewer than {ENOUGH_CELLS}")
    sizes = np.array([len(cell) for cell in scores])
    pool = np.concatenate(scores)
    value = float(_interquartile(pool[None])[0]) if len(pool) else math.nan
    if not math.isfinite(value):
        return _NOTHING
    if sizes.min() < 2:
        return Estimate(value, math.nan, math.nan)
    start = np.repeat(np.cumsum(sizes) - sizes, sizes - 1)
    size = np.repeat(sizes, sizes - 1)
    generator = np.random.default_rng(seed)
    means = []
    for first in range(0, resamples, rows := max(1, _BLOCK // len(size))):
        uniform = generator.random((min(rows, resamples - first), len(size)))
        means.append(_interquartile(pool[start + (uniform * size).astype(int)]))
    outside = float(special.ndtr(-_t_quantile(len(size), level)))
    # no interpolation: between -inf and a number there is nothing
    low, high = np.quantile(np.concatenate(means), [outside, 1 - outside], method="inverted_cdf")
    return Estimate(value, float(low), float(high))


def _interquartile(rows: np.ndarray) -> np.ndarray:
    """The interquartile mean of each row."""
    cut = rows.shape[1] // 4
    return np.sort(rows, axis=1)[:, cut : rows.shape[1] - cut].mean(axis=1)


def performance_profile(scores: ArrayLike, thresholds: ArrayLike) -> np.ndarray:
    """The fraction of runs that score above each threshold (Agarwal et al. 2021; Dolan & Moré 2002)."""
    present = np.sort(_present(scores))
    if not len(present):
        return np.full(np.shape(thresholds), math.nan)
    return 1 - np.searchsorted(present, thresholds, side="right") / len(present)


def paired(
    a: ArrayLike, b: ArrayLike, level: float = 0.95, *, seed_effect: float = math.inf, most: float = math.inf
) -> Paired:
    """Scores a and b of two initializers, paired by seed: the mean difference, its test, and the chance of a win.

    A paired t test where all scores are finite. An exact sign test without ties where some run diverged (then there is
    no difference) or where all differences are equal (no interval). Identical scores differ by 0 with p = 1.

    seed_effect: the `largest_seed_effect` of their contest. If the interval of the difference overlaps it, p is at
    least `p_floor_bimodal(pairs)`, because the t test assumes that scores don't jump between seeds.
    most: the largest difference that is possible, 1 for accuracies; the interval keeps within it (`Estimate.within`).
    Raises ValueError where a and b differ in length.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"{a.shape} and {b.shape} are not pairs")
    both = ~(np.isnan(a) | np.isnan(b))
    a, b = a[both], b[both]
    n = len(a)
    if n == 0:
        return Paired(0, _NOTHING, 1.0, "none", math.nan, _NOTHING)
    d = np.subtract(a, b, out=np.zeros(n), where=a != b)  # two that diverged are equal
    wins, losses = int(np.count_nonzero(d > 0)), int(np.count_nonzero(d < 0))
    improvement = wilson(wins + (n - wins - losses) / 2, n, level)
    if n == 1:
        value = float(d[0]) if math.isfinite(d[0]) else math.nan
        return Paired(1, Estimate(value, math.nan, math.nan), 1.0, "none", math.nan, improvement)
    if wins == losses == 0:
        return Paired(n, Estimate(0.0, 0.0, 0.0), 1.0, "none", 0.0, improvement)
    largest = float(max(np.abs(a).max(), np.abs(b).max()))
    if not math.isfinite(largest):
        return Paired(n, _NOTHING, _sign_test(wins, losses), "sign", math.nan, improvement)
    mean = float(d.sum()) / n
    deviation = math.sqrt(float(np.square(d - mean).sum()) / (n - 1))
    if deviation <= _ROUNDING * largest:
        constant = Estimate(mean, math.nan, math.nan)
        return Paired(n, constant, _sign_test(wins, losses), "sign", math.nan, improvement)
    error = deviation / math.sqrt(n)
    half = _t_quantile(n - 1, level) * error
    p = 2 * float(special.stdtr(n - 1, -abs(mean) / error))
    if abs(mean) - half <= seed_effect:
        p = max(p, p_floor_bimodal(n))
    effect = _hedges(n - 1) * mean / deviation
    difference = Estimate(mean, mean - half, mean + half).within(-most, most)
    return Paired(n, difference, p, "paired t", effect, improvement)


def largest_seed_effect(scores: ArrayLike) -> float:
    """How far the seed alone moves the difference of two initializers. scores: (initializers, seeds).

    Half the range of the difference over the seeds with finite runs, for the two initializers where it is widest.
    """
    scores = np.asarray(scores, float)
    widest = 0.0
    for i, row in enumerate(scores[:-1]):
        finite = np.isfinite(row) & np.isfinite(scores[i + 1 :])
        d = np.subtract(scores[i + 1 :], row, out=np.zeros(finite.shape), where=finite)
        ranges = d.max(axis=1, where=finite, initial=-math.inf) - d.min(axis=1, where=finite, initial=math.inf)
        widest = max(widest, float(ranges.max()) / 2)
    return widest


def p_floor_bimodal(n: int) -> float:
    """The largest probability of n differences of one sign between equal initializers whose scores jump: 2 / 4^n.

    An initializer that learns in half of its runs is ahead of its own copy with probability 1/4 under each seed, and
    behind as often. The t test takes n equal jumps for impossible, however likely they are.
    """
    return min(1.0, 2 * 0.25**n)


def fewest_seeds_sign(level: float) -> int:
    """The fewest pairs on which a sign test can reach p <= `level`: on n pairs it can't go below 2^(1 - n)."""
    _check_significance(level)
    return next(n for n in count(1) if 2.0 ** (1 - n) <= level)


def fewest_seeds_bimodal(level: float) -> int:
    """The fewest pairs for which `p_floor_bimodal` is at most `level`."""
    _check_significance(level)
    return next(n for n in count(1) if p_floor_bimodal(n) <= level)


def _check_significance(level: float) -> None:
    if not 0 < level < 0.5:
        raise ValueError(f"a significance level is between 0 and 0.5, such as 0.05: {level}")


def _sign_test(wins: int, losses: int) -> float:
    return min(1.0, 2 * float(special.bdtr(min(wins, losses), wins + losses, 0.5)))


@cache
def _hedges(df: int) -> float:
    """The factor that removes the bias of a standardized mean (Hedges 1981); NaN at df = 1, where it has no mean."""
    if df < 2:
        return math.nan
    return math.exp(math.lgamma(df / 2) - math.lgamma((df - 1) / 2)) / math.sqrt(df / 2)


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """p-values adjusted for their number (Holm 1979): P(any false alarm among those up to 0.05) is at most 5 %."""
    p = np.asarray(p, float)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p-values lie between 0 and 1")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def steps_to(losses: ArrayLike, target: float, window: int) -> float:
    """The first step, counted from 0, at which the mean of the last `window` losses is `target` or less; inf: never.

    losses: one per step. A window with a missing or infinite loss does not reach the target.
    """
    losses = np.asarray(losses, float)
    if window < 1:
        raise ValueError(f"a window of {window} steps")
    if len(losses) < window:
        return math.inf
    reached = sliding_window_view(losses, window).mean(axis=1) <= target
    return float(reached.argmax()) + window - 1 if reached.any() else math.inf


def _t_quantile(df: int, level: float) -> float:
    return float(special.stdtrit(df, (1 + level) / 2))
