"""How many seeds a comparison takes: power of the paired t test, and the fewest pairs of the sign test."""

import math
from functools import cache
from itertools import count

from scipy import special
from scipy.optimize import brentq

from initbench.analysis import stats

MOST_SEEDS = 10_000  # nobody trains more


def power(d: float, n: int, level: float) -> float:
    """The chance that a two-sided paired t test on n pairs finds d, the mean over the deviation of the differences."""
    _check_significance(level)
    if n < 2:
        return 0.0
    bound, shift = -float(special.stdtrit(n - 1, level / 2)), abs(d) * math.sqrt(n)
    missed = float(special.ncfdtr(1, n - 1, shift**2, bound**2))  # the square of a noncentral t
    if math.isnan(missed):  # SciPy gives up on some large shifts, beside which the mean's own deviation is nothing
        missed = float(special.chdtrc(n - 1, (n - 1) * (shift / bound) ** 2))
    return 1 - missed


def seeds_needed(d: float, level: float, power: float = 0.8) -> int | None:
    """The fewest pairs on which a paired t test finds an effect d with that power; None beyond MOST_SEEDS."""
    _check_significance(level)
    if math.isnan(d) or d == 0:
        return None
    of_a_z_test = ((special.ndtri(1 - level / 2) + special.ndtri(power)) / d) ** 2  # a t test needs as many, or more
    n = max(2, int(min(of_a_z_test, MOST_SEEDS)))
    while n <= MOST_SEEDS and _power(d, n, level) < power:
        n += 1
    return n if n <= MOST_SEEDS else None


_power = power  # `power` is an argument of those that ask for it


@cache
def smallest_effect(n: int, level: float, power: float = 0.8) -> float:
    """The effect d that a paired t test on n pairs finds with that power; inf where n is below 2."""
    if n < 2:
        return math.inf
    high = 1.0
    while _power(high, n, level) < power:
        high *= 2
    return float(brentq(lambda d: _power(d, n, level) - power, 0, high, xtol=1e-9))  # pyright: ignore[reportArgumentType]


def fewest_seeds_sign(level: float) -> int:
    """The fewest pairs on which a sign test can reach p <= `level`: on n pairs it can't go below 2^(1 - n)."""
    _check_significance(level)
    return next(n for n in count(1) if 2.0 ** (1 - n) <= level)


def fewest_seeds_bimodal(level: float) -> int:
    """The fewest pairs for which `stats.p_floor_bimodal` is at most `level`."""
    _check_significance(level)
    return next(n for n in count(1) if stats.p_floor_bimodal(n) <= level)


def _check_significance(level: float) -> None:
    if not 0 < level < 0.5:
        raise ValueError(f"a significance level is between 0 and 0.5, such as 0.05: {level}")
