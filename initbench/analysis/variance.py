"""How much initializers differ under one treatment, and which factor the variance comes from: arrays in, records out.

All scores are finite: the caller leaves out initializers with diverged runs, and says so. Arrays named `scores` have
one row per initializer and one column per seed.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import integrate, special
from scipy.optimize import brentq

_ROUNDING = 1e-6  # relative; accuracies are averaged in float32


def ranges(scores: np.ndarray) -> np.ndarray:
    """Best minus worst initializer under each seed."""
    return np.ptp(scores, axis=0)


def deviations(scores: np.ndarray) -> np.ndarray:
    """Sample standard deviation over the initializers under each seed."""
    return scores.std(axis=0, ddof=1)


@cache
def expected_range(k: int) -> float:
    """The mean range of k draws from a normal distribution of deviation 1 (Tippett 1925): 1.128 for 2, 3.078 for 10."""
    inside = integrate.quad(lambda x: 1 - special.ndtr(x) ** k - special.ndtr(-x) ** k, -10, 10)
    return float(inside[0])


@dataclass(frozen=True)
class Differences:
    """Whether the means of k initializers differ (two-way layout without replication: seeds are blocks).

    deviation: standard deviation of a run that neither its seed nor its initializer explains. p: of equal means, by the
    F test (Fisher). ratio_high: one-sided 95 % upper bound of the standard deviation of the initializers' true means
    (with divisor k - 1), divided by `deviation`. NaN where there are too few runs.
    """

    deviation: float
    p: float
    ratio_high: float

    @property
    def deviation_high(self) -> float:
        """Upper bound of the standard deviation of the initializers' true means."""
        return self.ratio_high * self.deviation

    @property
    def known(self) -> bool:
        return not math.isnan(self.p)


def differences(scores: np.ndarray, level: float = 0.95) -> Differences:
    """Compare the means of initializers; all results are NaN with fewer than two initializers or seeds.

    The bound inverts the noncentral F distribution (Steiger 2004): initializers are chosen, not drawn. An F below 1 is
    luck (seeds alone give 1 on average) and counts as 1; otherwise the bound would be 0.
    """
    k, n = scores.shape
    if k < 2 or n < 2:
        return Differences(math.nan, math.nan, math.nan)
    means = scores.mean(axis=1)
    rest = scores - means[:, None] - scores.mean(axis=0) + scores.mean()
    between, within = n * float(means.var(ddof=1)), float(np.square(rest).sum()) / ((k - 1) * (n - 1))
    tiny = (_ROUNDING * float(np.abs(scores).max())) ** 2
    if within <= tiny:
        equal = between <= n * tiny
        return Differences(0.0, 1.0 if equal else 0.0, 0.0 if equal else math.inf)
    df, f = (k - 1, (k - 1) * (n - 1)), between / within
    return Differences(
        math.sqrt(within),
        float(special.fdtrc(*df, f)),
        math.sqrt(_noncentrality(*df, max(f, 1.0), level) / (n * df[0])),
    )


def _noncentrality(df: int, rest: int, f: float, level: float) -> float:
    """The noncentrality under which an F this small or smaller has probability 1 - level."""

    def below(shift: float) -> float:
        return float(special.ncfdtr(df, rest, shift, f)) - (1 - level)

    high = 1.0
    while below(high) > 0:
        high *= 2
        if high > 1e7:  # beside which an F has no spread of its own
            return df * f
    return float(brentq(below, 0, high, xtol=1e-6))  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class Components:
    """Variance components of a two-way random-effects layout in random blocks, by expected mean squares.

    They are unbiased, so one whose true value is near 0 may be negative. p: of no interaction (F test).
    """

    rows: float
    columns: float
    interaction: float
    blocks: float
    residual: float
    p: float

    @property
    def shares(self) -> tuple[float, ...]:
        """Each divided by the sum of all, negative ones as 0; NaN where nothing varies."""
        positive = np.maximum([self.rows, self.columns, self.interaction, self.blocks, self.residual], 0)
        total = float(positive.sum())
        return tuple(positive / total if total else np.full(5, math.nan))


def components(values: np.ndarray) -> Components:
    """Components of values (a rows, b columns, n blocks), at least two of each, no gaps (Searle et al. 1992, ch. 4).

    A block is a seed: its batches and masks move all its cells alike. Counting them as noise within a cell would bias
    the interaction by -s2_c / n. Expected mean squares: rows s2 + n s2_ab + b n s2_a, columns s2 + n s2_ab + a n s2_b,
    interaction s2 + n s2_ab, blocks s2 + a b s2_c, residual s2, with (a b - 1) (n - 1) degrees of freedom.
    """
    a, b, n = values.shape
    cells, by_block, grand = values.mean(axis=2), values.mean(axis=(0, 1)), values.mean()
    by_row, by_column = cells.mean(axis=1), cells.mean(axis=0)
    rows = b * n * np.square(by_row - grand).sum() / (a - 1)
    columns = a * n * np.square(by_column - grand).sum() / (b - 1)
    mixed = cells - by_row[:, None] - by_column + grand
    interaction = n * np.square(mixed).sum() / ((a - 1) * (b - 1))
    blocks = a * b * np.square(by_block - grand).sum() / (n - 1)
    df = (a - 1) * (b - 1), (a * b - 1) * (n - 1)
    residual = np.square(values - cells[..., None] - by_block + grand).sum() / df[1]
    tiny = (_ROUNDING * float(np.abs(values).max())) ** 2
    p = float(special.fdtrc(*df, interaction / residual)) if residual > tiny else float(interaction <= tiny)
    return Components(
        float(rows - interaction) / (b * n),
        float(columns - interaction) / (a * n),
        float(interaction - residual) / n,
        float(blocks - residual) / (a * b),
        float(residual),
        p,
    )
