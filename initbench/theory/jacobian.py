"""Singular values of the input-output Jacobian of a deep wide network, where Gaussian and orthogonal weights differ.

q, c and chi_1 are the same for both. Pennington, Schoenholz & Ganguli 2017.
"""

import math

import numpy as np

from initbench.theory.mean_field import MeanField
from initbench.theory.quadrature import mean


def squared_singular_values(theory: MeanField, depth: int, *, orthogonal: bool) -> tuple[float, float]:
    """Mean and variance of s^2 over the singular values s of `depth` layers at q*.

    The mean is chi_1^depth; the variance, chi_1^(2 depth) depth (E[phi'^4] / E[phi'^2]^2 - 1 + g), with g = 1 for
    Gaussian and g = 0 for orthogonal weights (their eqs 11 and 16, where g is -s_1). In a linear network the Gaussian
    one is `depth`, and the orthogonal one 0: all singular values are equal (Saxe et al. 2014).
    """
    average = theory.chi_1**depth
    square, fourth = slope_moments(theory)
    spread = fourth / square**2 - 1 if square else math.nan
    return average, average**2 * depth * (spread + (0 if orthogonal else 1))


def slope_moments(theory: MeanField) -> tuple[float, float]:
    """E[phi'^2] and E[phi'^4] at q*; where that is 0 or infinite, over the two slopes that are left."""
    if not theory.settles or theory.phi.sides is not None:
        left, right = theory.limit.phi.sides or (math.nan, math.nan)
        return (left**2 + right**2) / 2, (left**4 + right**4) / 2
    slope = theory.phi.slope
    return mean(theory.phi, lambda x: slope(x) ** 2, theory.q_star), mean(
        theory.phi, lambda x: np.square(slope(x)) ** 2, theory.q_star
    )
