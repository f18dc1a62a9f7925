"""Which of several alternatives may be the best: a confidence set, from a few runs of each.

The best learns most often; of those that learn equally often, as far as the runs can tell, it has the highest mean
score when it learns. The set has the best in it with a probability of at least LEVEL, whichever that is (multiple
comparisons with the best, Hsu 1981; with one alternative as the reference: comparisons with a control, Dunnett 1955).
That asks less than comparing all pairs, and so needs fewer seeds.

1. Learning. An alternative is out if another one learned surely more often: Boschloo's exact test (1970). Where runs of
   one alternative learn under some seeds and not under others, the rest may have been lucky: its p-value is multiplied
   by the number of such alternatives, and 1.
2. Scores of the runs that learned. Each alternative's variance is drawn towards the common one by as much as the
   variances resemble each other (Smyth 2004), but never below its own: with equal ones the errors are pooled; an
   erratic one keeps its own and doesn't blur the others. If seeds have an effect that all share, it is taken out first
   (pairing). An alternative is out if another one, which learned at least as often, is ahead by more than the error of
   the largest such lead.

Arrays in, small records out: rows are alternatives, columns seeds. benchmarks/README.md says how often the best is in
the set, and how large the set is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import optimize, special
from scipy import stats as distributions

LEVEL = 0.95  # probability that the best is in the set
ALPHA_LEARNING = 0.02  # of the 5 % that are left: for the question whether it learns
ALPHA_SCORE = 0.03  # for the scores of the runs that learned
ALPHA_SEEDS = 0.01  # at which seeds are taken to have an effect that all share
LEAST_VARIANCE = 1e-4  # of the median one: variances from a few equal numbers are not that small


@dataclass(frozen=True)
class Contender:
    """One alternative among its rivals.

    learned: of `runs` finished ones. mean, std: of the scores of the runs that learned; NaN where there are too few.
    behind: how far its mean is behind the highest of the others that learn as often, negative where it leads; low,
    high: simultaneous bounds of that. reason: why it can't be the best, "" where it may be, else "learning" or "score".
    """

    runs: int
    learned: int
    mean: float
    std: float
    behind: float
    low: float
    high: float
    reason: str

    @property
    def may_be_best(self) -> bool:
        return not self.reason


def best_set(scores: np.ndarray, learned: np.ndarray, *, alpha: float = ALPHA_SCORE) -> list[Contender]:
    """One `Contender` per row. scores (K, S): higher is better; NaN: no run. learned (K, S): truths.

    With one seed, or one alternative, nothing is ruled out and there are no bounds.
    """
    finished = ~np.isnan(scores)
    runs, successes = finished.sum(1), (learned & finished).sum(1)
    kept = np.where(learned & finished, scores, np.nan)
    group = Scores.of(kept)
    slower = learn_less(successes, runs)
    share = successes / np.maximum(runs, 1)
    found = []
    for i in range(len(scores)):
        rivals = [j for j in range(len(scores)) if j != i and successes[j] and share[j] >= share[i]]
        behind, low, high = group.behind(i, rivals, alpha) if successes[i] and rivals else (math.nan,) * 3
        reason = "learning" if slower[i] else "score" if low > 0 else ""
        mean, std = group.means[i], math.sqrt(group.raw[i])
        found.append(Contender(int(runs[i]), int(successes[i]), float(mean), std, behind, low, high, reason))
    return found


@dataclass(frozen=True)
class Against:
    """An alternative compared with the reference: learning ("more often", "less often" or ""), and their difference.

    difference: of the mean scores of the runs that learned, positive where it is better, with simultaneous bounds.
    """

    learning: str
    difference: float
    low: float
    high: float


def against_reference(
    scores: np.ndarray, learned: np.ndarray, reference: int, *, alpha: float = ALPHA_SCORE
) -> list[Against]:
    """One `Against` per row, of all rows with the reference's: two-sided comparisons with a control (Dunnett 1955)."""
    finished = ~np.isnan(scores)
    runs, successes = finished.sum(1), (learned & finished).sum(1)
    group, found = Scores.of(np.where(learned & finished, scores, np.nan)), []
    rivals = [j for j in range(len(scores)) if j != reference and successes[j]]
    gaps, errors, d = group.against(reference, rivals, alpha) if rivals and successes[reference] else ({}, {}, 0.0)
    for i in range(len(scores)):
        pair = np.array([i, reference])
        less = learn_less(successes[pair], runs[pair])
        gap, error = gaps.get(i, math.nan), d * errors.get(i, math.nan)
        learning = "less often" if less[0] else "more often" if less[1] else ""
        found.append(Against(learning, gap, gap - error, gap + error))
    return found


def learn_less(successes: Sequence[int] | np.ndarray, runs: Sequence[int] | np.ndarray) -> np.ndarray:
    """(K,) truths: whether some other alternative surely learns more often. successes, runs: (K,) counts."""
    successes, runs = np.asarray(successes), np.asarray(runs)
    mixed = (successes > 0) & (successes < runs)
    less = np.zeros(len(runs), dtype=bool)
    for i, j in ((i, j) for i in range(len(runs)) for j in range(len(runs)) if i != j and runs[i] and runs[j]):
        if successes[j] * runs[i] > successes[i] * runs[j]:
            others = int(mixed.sum() - mixed[i] - mixed[j])
            p = boschloo(int(successes[i]), int(runs[i]), int(successes[j]), int(runs[j]))
            less[i] |= bool(p * (1 + others) <= ALPHA_LEARNING)
    return less


@cache
def boschloo(fewer: int, of: int, more: int, of_more: int) -> float:
    """One-sided p-value of Boschloo's test (1970) that the second share of successes is not larger than the first."""
    table = [[fewer, more], [of - fewer, of_more - more]]
    return float(distributions.boschloo_exact(table, alternative="less").pvalue)


@dataclass(frozen=True)
class Scores:
    """Means of K alternatives with their errors.

    means (K,), counts (K,): of the scores there are. raw (K,): their sample variances, NaN with fewer than two.
    variances (K,): moderated ones or, if larger, their own, with `df` degrees of freedom; NaN where nothing is known.
    """

    means: np.ndarray
    counts: np.ndarray
    raw: np.ndarray
    variances: np.ndarray
    df: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray) -> "Scores":
        """scores (K, S): NaN where there is none, or where the run did not learn."""
        there = ~np.isnan(scores)
        counts = there.sum(1)
        means = np.array(
            [row[some].mean() if some.any() else math.nan for row, some in zip(scores, there, strict=True)]
        )
        raw = _variances(scores)
        paired = without_seed_effects(scores)
        own = raw if paired is None else paired
        variances, df = moderated(own, counts - 1)
        return cls(means, counts, raw, np.fmax(variances, own), df)  # drawn up, never down: few runs look alike by luck

    def behind(self, i: int, rivals: list[int], alpha: float) -> tuple[float, float, float]:
        """How far i is behind the best of its rivals, and simultaneous bounds of that at `alpha` each; NaN: unknown."""
        gaps = self.means[rivals] - self.means[i]
        own, theirs = self.variances[i] / self.counts[i], self.variances[rivals] / self.counts[rivals]
        errors = np.sqrt(own + theirs)
        if np.isnan(errors).any():
            return float(gaps.max()), math.nan, math.nan
        df = float(min(self.df[i], self.df[rivals].min()))
        if not errors.any():
            return float(gaps.max()), float(gaps.max()), float(gaps.max())
        ratios = np.sqrt(own) / np.where(errors > 0, errors, np.inf)
        d = dunnett_quantile(tuple(np.round(np.sort(ratios), 2)), df, 1 - alpha)
        return float(gaps.max()), float((gaps - d * errors).max()), float((gaps + d * errors).max())

    def against(self, i: int, rivals: list[int], alpha: float) -> tuple[dict[int, float], dict[int, float], float]:
        """By rival: how far it is ahead of i, and the error of that; and the two-sided quantile for all of them."""
        gaps = self.means[rivals] - self.means[i]
        own = self.variances[i] / self.counts[i]
        errors = np.sqrt(own + self.variances[rivals] / self.counts[rivals])
        if np.isnan(errors).any():
            return dict(zip(rivals, gaps, strict=True)), {}, math.nan
        df = float(min(self.df[i], self.df[rivals].min()))
        ratios = np.sqrt(own) / np.where(errors > 0, errors, np.inf)
        d = dunnett_quantile(tuple(np.round(np.sort(ratios), 2)), df, 1 - alpha, two_sided=True)
        return dict(zip(rivals, gaps, strict=True)), dict(zip(rivals, errors, strict=True)), d


def _variances(scores: np.ndarray) -> np.ndarray:
    """Sample variances of the rows; NaN where a row has fewer than two numbers."""
    rows = (row[~np.isnan(row)] for row in scores)
    return np.array([row.var(ddof=1) if len(row) > 1 else math.nan for row in rows])


def without_seed_effects(scores: np.ndarray) -> np.ndarray | None:
    """Variances of the rows (K,) after the seeds' effects are taken out; None where seeds have none that shows.

    Only where all rows are complete: the F test of columns in a two-way layout at ALPHA_SEEDS.
    """
    rows, seeds = scores.shape
    if rows < 2 or seeds < 3 or np.isnan(scores).any():
        return None
    residual = scores - scores.mean(1, keepdims=True)
    effect = residual.mean(0)
    left = residual - effect
    df = (rows - 1) * (seeds - 1)
    between, within = rows * float(effect @ effect) / (seeds - 1), float((left**2).sum()) / df
    if within == 0 or special.fdtrc(seeds - 1, df, between / within) > ALPHA_SEEDS:
        return None
    own = (left**2).sum(1) / (seeds - 1)
    if rows == 2:  # of the two only the sum of their variances is known
        return 2 * own
    # The mean over the rows took a share of each row's own noise with it (Grubbs 1948).
    return np.maximum((own - own.sum() / (rows * (rows - 1))) * rows / (rows - 2), within * LEAST_VARIANCE)


def moderated(variances: np.ndarray, df: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variances drawn towards each other, and their degrees of freedom (Smyth 2004, sec. 4 and 6.2), both (K,).

    variances: sample variances, NaN where there is none. df: their degrees of freedom. How strongly they are drawn is
    estimated from how much they differ beyond chance: not at all more than chance, and they are pooled.
    """
    known = ~np.isnan(variances) & (df > 0)
    if not known.any():
        return np.full(len(variances), math.nan), np.full(len(variances), math.nan)
    some, degrees = variances[known], df[known].astype(float)
    pooled, total = float(some @ degrees / degrees.sum()), float(degrees.sum())
    floor = LEAST_VARIANCE * float(np.median(some))
    prior_df, prior = math.inf, pooled
    if len(some) > 1 and pooled > 0 and floor > 0:
        half = degrees / 2
        logs = np.log(np.maximum(some, floor)) - special.digamma(half) + np.log(half)
        beyond = float(logs.var(ddof=1) - special.polygamma(1, half).mean())
        if beyond > 0:
            prior_df = 2 * _inverse_trigamma(beyond)
            prior = math.exp(logs.mean() + special.digamma(prior_df / 2) - math.log(prior_df / 2))
    if math.isinf(prior_df):
        return np.full(len(variances), pooled), np.full(len(variances), total)
    own = np.where(known, df, 0)
    drawn = (prior_df * prior + own * np.where(known, variances, 0.0)) / (prior_df + own)
    return drawn, np.minimum(prior_df + own, total)


def _inverse_trigamma(value: float) -> float:
    """x > 0 with trigamma(x) = value > 0."""
    if value > 1e6:
        return 1 / math.sqrt(value)
    return float(optimize.brentq(lambda x: float(special.polygamma(1, x)) - value, 1e-4, 1e8))


@cache
def dunnett_quantile(ratios: tuple[float, ...], df: float, level: float, *, two_sided: bool = False) -> float:
    """d with P(max T_j <= d) = level, for comparisons of several means with one (Dunnett 1955); two-sided: max |T_j|.

    T_j are t-distributed with `df` degrees of freedom; ratios: lambda_j in their correlations lambda_j lambda_k, the
    error of the one mean over that of its difference with the j-th: 1/sqrt(2) where all have the same.
    """
    lambdas = np.array(ratios)

    def missing(d: float) -> float:
        return _probability(d, lambdas, df, two_sided) - level

    high = 4.0
    while missing(high) < 0:
        high *= 2
    return float(optimize.brentq(missing, 0.0 if two_sided else -1.0, high, xtol=1e-3))  # pyright: ignore[reportArgumentType]


_Z, _Z_WEIGHTS = np.polynomial.hermite_e.hermegauss(24)
_Z_WEIGHTS = _Z_WEIGHTS / _Z_WEIGHTS.sum()
_U, _U_WEIGHTS = np.polynomial.legendre.leggauss(16)


def _probability(d: float, lambdas: np.ndarray, df: float, two_sided: bool) -> float:
    """P(all T_j <= d), or |T_j|: over the shared mean's error z, and over s, the estimated error over the true one."""
    s = np.sqrt(special.chdtri(df, (1 - _U) / 2) / df)[:, None, None]
    shared, rest = lambdas * _Z[:, None], np.sqrt(1 - np.minimum(lambdas, 0.99) ** 2)
    inside = special.ndtr((shared + d * s) / rest)
    if two_sided:
        inside = inside - special.ndtr((shared - d * s) / rest)
    return float(_U_WEIGHTS / 2 @ inside.prod(2) @ _Z_WEIGHTS)
