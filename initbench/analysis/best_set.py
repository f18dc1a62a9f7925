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
   erratic one keeps its own and doesn't blur the others. A few runs that happen to agree don't make one precise: its
   variance is at least what it would be with some more runs that vary as the median alternative's do. If seeds have an
   effect that all share, it is taken out first (pairing). An alternative is out if another one, which learned at least
   as often, is ahead by more than the error of the largest such lead. Where learning is a matter of luck, one that
   learned every time may have been lucky: the chance of error that is allowed is divided by one more than the number of
   alternatives that learned under some seeds and not under others.

Arrays in, small records out: rows are alternatives, columns seeds. benchmarks/README.md says how often the best is in
the set, and how large the set is.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from scipy import special
from scipy import stats as distributions

LEVEL = 0.95  # probability that the best is in the set
ALPHA_LEARNING = 0.02  # of the 5 % that are left: for the question whether it learns
ALPHA_SCORE = 0.02  # for the scores of the runs that learned; few runs, skewed or of unequal variance, need the rest
ALPHA_SEEDS = 0.01  # at which seeds are taken to have an effect that all share
ROUNDING = 1e-6  # relative; accuracies are averaged in float32
TYPICAL_DF = 4  # degrees of freedom that the median variance has in each alternative's, at least
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
    group = Scores.of(np.where(learned & finished, scores, np.nan))
    share = successes / np.maximum(runs, 1)
    rivals = (successes > 0) & (successes > 0)[:, None] & (share >= share[:, None]) & ~np.eye(len(scores), dtype=bool)
    behind, low, high = group.behind(rivals, alpha / (1 + sum(map(_mixed, zip(successes, runs, strict=True)))))
    reasons = np.where(learn_less(successes, runs), "learning", np.where(low > 0, "score", ""))
    columns = (runs, successes, group.means, np.sqrt(group.raw), behind, low, high, reasons)
    return [Contender(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


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
    rivals = (successes > 0) & (successes[reference] > 0) & (np.arange(len(scores)) != reference)
    gaps, half = Scores.of(np.where(learned & finished, scores, np.nan)).against(reference, rivals, alpha)
    counts, mixed = _counts(successes, runs)
    found = []
    for i, (gap, error) in enumerate(zip(gaps.tolist(), half.tolist(), strict=True)):
        less, more = (_surely_less(*pair, mixed) for pair in itertools.permutations((counts[i], counts[reference])))
        learning = "less often" if less else "more often" if more else ""
        found.append(Against(learning, gap, gap - error, gap + error))
    return found


def learn_less(successes: Sequence[int] | np.ndarray, runs: Sequence[int] | np.ndarray) -> np.ndarray:
    """(K,) truths: whether some other alternative surely learns more often. successes, runs: (K,) counts."""
    counts, mixed = _counts(successes, runs)
    less = {
        fewer for fewer, more in itertools.permutations(dict.fromkeys(counts), 2) if _surely_less(fewer, more, mixed)
    }
    return np.array([count in less for count in counts])


def _counts(
    successes: Sequence[int] | np.ndarray, runs: Sequence[int] | np.ndarray
) -> tuple[list[tuple[int, int]], int]:
    """The pairs of counts, and of how many alternatives some runs learn and others don't."""
    counts = list(zip(np.asarray(successes).tolist(), np.asarray(runs).tolist(), strict=True))
    return counts, sum(map(_mixed, counts))


def _mixed(count: tuple[int, int]) -> bool:
    return 0 < count[0] < count[1]


def _surely_less(fewer: tuple[int, int], more: tuple[int, int], mixed: int) -> bool:
    """Whether one alternative learns less often than another. mixed: alternatives for which it is a matter of luck."""
    if not fewer[1] or fewer[0] * more[1] >= more[0] * fewer[1]:
        return False
    return boschloo(*fewer, *more) * (1 + mixed - _mixed(fewer) - _mixed(more)) <= ALPHA_LEARNING


@cache
def boschloo(fewer: int, of: int, more: int, of_more: int) -> float:
    """One-sided p-value of Boschloo's test (1970) that the second share of successes is not larger than the first."""
    table = [[fewer, more], [of - fewer, of_more - more]]
    return float(distributions.boschloo_exact(table, alternative="less").pvalue)


@dataclass(frozen=True)
class Scores:
    """Means of K alternatives with their errors.

    means (K,), counts (K,): of the scores there are. raw (K,): their sample variances, NaN with fewer than two.
    variances (K,): the largest of the moderated one, its own and `towards_median`, with the `df` degrees of freedom of
    the moderated one; NaN where nothing is known.
    """

    means: np.ndarray
    counts: np.ndarray
    raw: np.ndarray
    variances: np.ndarray
    df: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray) -> "Scores":
        """scores (K, S): NaN where there is none, or where the run did not learn."""
        counts = (~np.isnan(scores)).sum(1)
        means, raw = _moments(scores, counts)
        paired = without_seed_effects(scores)
        own, lost = (raw, 0.0) if paired is None else (paired, 1 / len(scores))  # a row's worth went into the effects
        own_df = (counts - 1) * (1 - lost)
        variances, df = moderated(own, own_df)
        least = np.fmax(own, towards_median(own, own_df))  # drawn up, never down: few runs look alike by luck
        return cls(means, counts, raw, np.fmax(variances, least), df)

    def behind(self, rivals: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """How far each is behind the best of its rivals, and simultaneous bounds of that at `alpha` each; (K,) each.

        rivals (K, K): truths, the rivals of a row in its columns. NaN: no rival, or an error that is not known.
        """
        gaps, errors = self.means - self.means[:, None], self._errors()
        d = np.array([self._quantile(i, rivals[i], 1 - alpha) for i in range(len(errors))])
        half = d[:, None] * errors
        behind, low, high = (_highest(bound, rivals) for bound in (gaps, gaps - half, gaps + half))
        return behind, low, high

    def against(self, i: int, rivals: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
        """How far each rival of i is ahead of it, and simultaneous two-sided bounds' distance from that; (K,) each."""
        gaps, d = np.where(rivals, self.means - self.means[i], math.nan), self._quantile(i, rivals, 1 - alpha, True)
        return gaps, d * self._errors()[i]

    def _errors(self) -> np.ndarray:
        """(K, K): standard errors of the differences between means."""
        squared = self.variances / np.maximum(self.counts, 1)
        return np.sqrt(squared[:, None] + squared)

    def _quantile(self, i: int, rivals: np.ndarray, level: float, two_sided: bool = False) -> float:
        """Dunnett's quantile of the i-th among its rivals (truths); NaN without any, or where an error isn't known."""
        if not rivals.any():
            return math.nan
        own, theirs = self.variances[i] / self.counts[i], self.variances[rivals] / self.counts[rivals]
        together = own + theirs
        if np.isnan(together).any():
            return math.nan
        ratios = np.sqrt(own / np.where(together > 0, together, math.inf))
        df = float(min(self.df[i], self.df[rivals].min()))
        return dunnett_quantile(tuple(np.sort(ratios.round(2)).tolist()), df, level, two_sided=two_sided)


def _highest(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The largest of those that are chosen in each row; NaN where none is."""
    return np.where(chosen.any(1), np.where(chosen, values, -np.inf).max(1), math.nan)


def _moments(scores: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sample variance of the numbers in each row; NaN where there are none, or fewer than two."""
    means = np.nansum(scores, 1) / np.where(counts > 0, counts, math.nan)
    squares = np.nansum((scores - means[:, None]) ** 2, 1)
    return means, squares / np.where(counts > 1, counts - 1, math.nan)


def without_seed_effects(scores: np.ndarray) -> np.ndarray | None:
    """Variances of the rows (K,) after the seeds' effects are taken out; None where seeds have none that shows.

    Only where all rows are complete: the F test of columns in a two-way layout at ALPHA_SEEDS. A seed's effect is the
    median over the rows: the mean would carry the noise of an erratic row into the variances of all others.
    """
    rows, seeds = scores.shape
    if rows < 2 or seeds < 3 or np.isnan(scores).any():
        return None
    residual = scores - scores.mean(1, keepdims=True)
    effect = residual.mean(0)
    left = residual - effect
    df = (rows - 1) * (seeds - 1)
    between, within = rows * float(effect @ effect) / (seeds - 1), float((left**2).sum()) / df
    if (
        within <= (ROUNDING * float(np.abs(scores).max())) ** 2
        or special.fdtrc(seeds - 1, df, between / within) > ALPHA_SEEDS
    ):
        return None
    own = (residual - np.median(residual, axis=0)).var(axis=1, ddof=1)
    return own * within / own.mean()


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
        beyond = float(logs.var(ddof=1) - special.zeta(2, half).mean())
        if beyond > 0:
            prior_df = 2 * _inverse_trigamma(beyond)
            prior = math.exp(logs.mean() + special.digamma(prior_df / 2) - math.log(prior_df / 2))
    if math.isinf(prior_df):
        return np.full(len(variances), pooled), np.full(len(variances), total)
    own = np.where(known, df, 0)
    drawn = (prior_df * prior + own * np.where(known, variances, 0.0)) / (prior_df + own)
    return drawn, np.minimum(prior_df + own, total)


def towards_median(variances: np.ndarray, df: np.ndarray) -> np.ndarray:
    """(K,) means of each variance with its degrees of freedom, and of the median one with TYPICAL_DF.

    The median is one that erratic alternatives don't raise. It is corrected for the skewness of sample variances. With
    many runs an alternative's own variance is what counts.
    """
    known = ~np.isnan(variances) & (df > 0)
    if not known.any():
        return np.full(len(variances), math.nan)
    some, degrees = variances[known], df[known].astype(float)
    median = float(np.median(some * degrees / special.chdtri(degrees, 0.5)))
    own = np.where(known, df, 0)
    return (TYPICAL_DF * median + own * np.where(known, variances, 0.0)) / (TYPICAL_DF + own)


def _inverse_trigamma(value: float) -> float:
    """x > 0 with trigamma(x) = value > 0: Newton's method, whose steps all go up (Smyth 2004, appendix)."""
    x, step = 0.5 + 1 / value, math.inf
    while abs(step) > 1e-8 * x:
        trigamma = float(special.zeta(2, x))
        step = trigamma * (1 - trigamma / value) / (2 * float(special.zeta(3, x)))
        x -= step
    return x


_Z = np.arange(-18, 19) / 4  # of a standard normal: with equal steps, sums over it are integrals to 4 digits
_Z_WEIGHTS = np.exp(-(_Z**2) / 2) / np.exp(-(_Z**2) / 2).sum()
_X = np.arange(-12, 33) / 4
_STEPS = np.linspace(-0.03, 1.03, 17)  # from a quantile that is too low to one that is too high, with some room
_HUNDREDTH = 0.01  # to which ratios are rounded


@lru_cache(maxsize=10_000)
def dunnett_quantile(ratios: tuple[float, ...], df: float, level: float, *, two_sided: bool = False) -> float:
    """d with P(max T_j <= d) = level, for comparisons of several means with one (Dunnett 1955); two-sided: max |T_j|.

    T_j are t-distributed with `df` degrees of freedom; ratios: lambda_j in their correlations lambda_j lambda_k, the
    error of the one mean over that of its difference with the j-th: 1/sqrt(2) where all have the same. level > 1/2.
    """
    outside = (1 - level) / (1 + two_sided)
    single = float(special.stdtrit(df, 1 - outside))
    if len(ratios) == 1:
        return single
    bonferroni = float(special.stdtrit(df, 1 - outside / len(ratios)))
    d = single * (bonferroni / single) ** _STEPS
    inside = special.ndtr(np.interp(_error_ratios(df)[:, None] * d, _X, _normal_deviates(ratios, two_sided)))
    return float(np.interp(special.ndtri(level), special.ndtri(_Z_WEIGHTS @ inside), d))


@lru_cache(maxsize=10_000)
def _error_ratios(df: float) -> np.ndarray:
    """(Z,) the estimated error in units of the true one, at the probabilities of _Z."""
    return np.sqrt(special.chdtri(df, special.ndtr(-_Z)) / df)


def _normal_deviates(ratios: Sequence[float], two_sided: bool) -> np.ndarray:
    """The standard normal's quantile at P(all T_j <= x), of each x in _X: nearly a straight line. Errors are known."""
    steps = np.minimum(np.round(np.array(ratios) / _HUNDREDTH).astype(int), 99)
    inside = np.exp(_log_probabilities(two_sided)[steps].sum(0))
    return np.clip(special.ndtri(_Z_WEIGHTS @ inside), -_X[-1], _X[-1])


@cache
def _log_probabilities(two_sided: bool) -> np.ndarray:
    """(100, Z, X): of each ratio, log P(T_j <= x | z), or of |T_j|, where z is the error that all T_j share."""
    ratios = np.arange(0, 1, _HUNDREDTH)[:, None, None]
    shared, rest = ratios * _Z[:, None], np.sqrt(1 - ratios**2)
    if not two_sided:
        return special.log_ndtr((shared + _X) / rest)
    inside = special.ndtr((shared + _X) / rest) - special.ndtr((shared - _X) / rest)
    return np.log(np.maximum(inside, np.finfo(float).tiny))
