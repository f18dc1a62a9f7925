"""Expectations over Gaussian pre-activations, by Gauss-Legendre quadrature on panels.

Panels end where the activation has a kink, and are narrow where it bends: at sqrt(q) z = 0, +-1, ... Gauss-Hermite
would lose accuracy at a kink, and at large q, where a tanh looks like a step.
"""

from collections.abc import Callable

import numpy as np
from numpy import ndarray

from initbench.theory.activations import Phi

REACH = 10.0  # standard deviations; the density beyond is below 1e-22
WIDTH = 1.0  # of a panel, in standard deviations, where only the Gaussian density has to be resolved
ONE = np.polynomial.legendre.leggauss(8)  # points and weights of a panel, in one dimension
TWO = np.polynomial.legendre.leggauss(6)  # in each of two
GRID = np.arange(-REACH, REACH + WIDTH / 2, WIDTH)

Function = Callable[[ndarray], ndarray]


def gaussian_nodes(edges: ndarray, rule: tuple[ndarray, ndarray] = ONE) -> tuple[ndarray, ndarray]:
    """Points z and weights w with E[f(z)] = sum(w f(z)), z ~ N(0, 1), for f smooth between the edges.

    edges: (..., E), in any order, points of z; those beyond the reach count as its end. z, w: (..., K).
    """
    points, point_weights = rule
    shape = (*edges.shape[:-1], len(GRID))
    edges = np.sort(np.clip(np.concatenate((edges, np.broadcast_to(GRID, shape)), axis=-1), -REACH, REACH), axis=-1)
    half = np.diff(edges)[..., None] / 2
    z = (edges[..., :-1, None] + half) + half * points
    weights = half * point_weights * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    flat = (*edges.shape[:-1], -1)
    return z.reshape(flat), weights.reshape(flat)


def nodes(phi: Phi, q: float) -> tuple[ndarray, ndarray]:
    """Pre-activations x ~ N(0, q) and weights w for expectations of functions that bend where phi does."""
    std = np.sqrt(q)
    z, weights = gaussian_nodes(phi.edges / std)
    return std * z, weights


def mean(phi: Phi, function: Function, q: float) -> float:
    """E[f(x)], x ~ N(0, q); f bends where phi does. q > 0."""
    x, weights = nodes(phi, q)
    return float(weights @ function(x))


def half_mean_square_difference(phi: Phi, function: Function, q: float, e: float) -> float:
    """E[(f(u) - f(v))^2] / 2, where u, v ~ N(0, q) have correlation 1 - e; f bends where phi does.

    It is E[f(u)^2] - E[f(u) f(v)], without the cancellation when e is small. With u, v = sqrt(q) (a s +- b t), where
    s, t ~ N(0, 1), a^2 = 1 - e / 2 and b^2 = e / 2, the integrand is even in t.
    """
    if e <= 0:
        return 0.0
    std, a, b = np.sqrt(q), np.sqrt(max(1 - e / 2, 1e-18)), np.sqrt(e / 2)
    t, t_weights = gaussian_nodes(phi.edges / std, TWO)
    t, t_weights = t[t > 0], 2 * t_weights[t > 0]
    x = phi.edges / std
    s, weights = gaussian_nodes(np.concatenate((x - b * t[:, None], x + b * t[:, None]), axis=1) / a, TWO)
    difference = function(std * (a * s + b * t[:, None])) - function(std * (a * s - b * t[:, None]))
    return float(t_weights @ (weights * difference**2).sum(axis=1)) / 2


def gain(phi: Phi) -> float:
    """E[phi(z)^2]^(-1/2): weights of variance gain^2 / n keep a pre-activation variance of 1."""
    return mean(phi, lambda x: phi(x) ** 2, 1.0) ** -0.5
