"""What a wide network does to the size of one signal and the similarity of two, layer by layer and in the limit.

Poole et al. 2016; Schoenholz et al. 2017. Pre-activations of layer l: h = W phi(h of layer l - 1) + b, in layer 1
h = W x + b. Their variance q and, between two inputs of equal size, their correlation c follow

    q' = sigma_w^2 E[phi(sqrt(q) z)^2] + sigma_b^2                              q* where q' = q
    c' = (sigma_w^2 E[phi(u) phi(v)] + sigma_b^2) / q',   u, v ~ N(0, q), E[u v] = c q      c* where c' = c
    chi_1 = sigma_w^2 E[phi'(sqrt(q*) z)^2]

chi_1 is the slope of c' at c = 1, and the factor by which a layer multiplies the mean square of the gradient. With
dropout, E[phi^2] in q' and chi_1's effect on gradients are divided by the share that is kept; the product of two
different inputs is not (Schoenholz et al. 2017, section 5).

1 - c is carried in place of c, because c* = 1 is where everything happens.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
from numpy import ndarray
from scipy.optimize import brentq

from initbench.theory.activations import Phi, homogeneous
from initbench.theory.quadrature import half_mean_square_difference, mean

Phase = Literal["ordered", "critical", "chaotic"]

LEAST_Q, MOST_Q = 1e-13, 1e12  # a variance that leaves this range goes on to 0 or to infinity
LARGEST_Q = 1e200  # what is larger counts as infinite
SCAN = 1.1  # ratio of the variances at which a fixed point is looked for
AT_ONE = 1e-6  # |chi_1 - 1| below this is critical
TRAINABLE = 6  # depths xi_c: Schoenholz et al. 2017, section 4


@dataclass(frozen=True)
class WideLayer:
    """One wide layer: the maps of q and 1 - c."""

    phi: Phi
    sigma_w: float
    sigma_b: float = 0.0
    keep: float = 1.0  # share of the activations that dropout keeps

    def first(self, mean_square: float) -> float:
        """q of layer 1, which reads inputs of this mean square."""
        return self.sigma_w**2 * mean_square + self.sigma_b**2

    def q(self, q: float) -> float:
        """q of the next layer; infinite once the range of numbers is left."""
        return self.sigma_w**2 * mean_square_of(self.phi, q) / self.keep + self.sigma_b**2

    def chi(self, q: float) -> float:
        """sigma_w^2 E[phi'(sqrt(q) z)^2]: the slope of the correlation's map at c = 1, if q is its fixed point."""
        return self.sigma_w**2 * mean_square_slope(self.phi, q)

    def q_slope(self, q: float) -> float:
        """dq'/dq = sigma_w^2 E[phi(sqrt(q) z) phi'(sqrt(q) z) z] / sqrt(q). q > 0."""
        change = mean(self.phi, lambda x: np.prod(self.phi.function(x), axis=0) * x, q) / q
        return self.sigma_w**2 * change / self.keep

    def at(self, q: float) -> "WideLayer":
        """The same layer with what is left of it where q is very small or large: phi's slopes near 0, or far away."""
        if q == 0:
            return WideLayer(homogeneous(*self.phi.near_sides), self.sigma_w, 0.0, self.keep)
        if q > MOST_Q:
            return WideLayer(homogeneous(*self.phi.far_sides), self.sigma_w, 0.0, self.keep)
        return self

    def e(self, e: float, q: float) -> float:
        """1 - c of the next layer where it is e here, both inputs of variance q."""
        following = self.q(q)
        dropped = (1 / self.keep - 1) * mean_square_of(self.phi, q) if self.keep < 1 else 0.0
        return self.sigma_w**2 * (dropped + decorrelation(self.phi, q, e)) / following if following else e

    def e_slope(self, e: float, q: float) -> float:
        """sigma_w^2 E[phi'(u) phi'(v)], the slope of the correlation's map at c = 1 - e, if q is its fixed point."""
        lost = half_mean_square_difference(self.phi, self.phi.slope, q, e)
        return self.chi(q) - self.sigma_w**2 * lost


@lru_cache(maxsize=4096)
def mean_square_of(phi: Phi, q: float) -> float:
    """E[phi(sqrt(q) z)^2]; infinite where q is, or leaves the range of numbers."""
    if q > LARGEST_Q:
        return math.inf
    if q == 0:
        return phi.value0**2
    if phi.sides is not None:
        return q * (phi.sides[0] ** 2 + phi.sides[1] ** 2) / 2
    return mean(phi, lambda x: phi(x) ** 2, q)


@lru_cache(maxsize=4096)
def mean_square_slope(phi: Phi, q: float) -> float:
    """E[phi'(sqrt(q) z)^2]; at q = 0 the mean over both sides of 0, at q = infinity over both far sides."""
    if q == 0 or q > LARGEST_Q or phi.sides is not None:
        left, right = phi.sides or (phi.near_sides if q == 0 else phi.far_sides)
        return (left**2 + right**2) / 2
    return mean(phi, lambda x: phi.slope(x) ** 2, q)


def decorrelation(phi: Phi, q: float, e: float) -> float:
    """E[(phi(u) - phi(v))^2] / 2, where u, v ~ N(0, q) have correlation 1 - e.

    Where phi is a straight line on either side of 0 this is in closed form, after Cho & Saul 2009 (arc-cosine kernel of
    order 1): phi(x) = m x + d |x|.
    """
    if phi.sides is None:
        return half_mean_square_difference(phi, phi, q, e)
    left, right = phi.sides
    return q * (((right + left) / 2) ** 2 * e + ((right - left) / 2) ** 2 * _decorrelation_of_abs(e))


def _decorrelation_of_abs(e: float) -> float:
    """1 - (2 / pi) (sin t + (pi / 2 - t) cos t) with cos t = 1 - e: E[(|u| - |v|)^2] / 2 at q = 1."""
    angle = 2 * math.asin(math.sqrt(min(e, 2.0) / 2))
    if angle < 1e-2:  # the series of the same expression, which cancels here
        return angle**2 / 2 - 2 * angle**3 / (3 * math.pi) - angle**4 / 24
    return 1 - 2 / math.pi * (math.sin(angle) + (math.pi / 2 - angle) * math.cos(angle))


@dataclass(frozen=True)
class MeanField:
    """A deep network of equal wide layers, described by its fixed points.

    Numbers are `math.inf` where they are infinite and `math.nan` where they do not exist.
    """

    phi: Phi
    sigma_w: float  # standard deviation of the weights, times sqrt(n)
    sigma_b: float = 0.0  # standard deviation of the biases
    keep: float = 1.0  # share of the activations that dropout keeps
    q0: float = 1.0  # mean square of the inputs, from where q starts

    @cached_property
    def layer(self) -> WideLayer:
        """The map that all layers share."""
        return WideLayer(self.phi, self.sigma_w, self.sigma_b, self.keep)

    @cached_property
    def q_star(self) -> float:
        """The variance that deep layers approach, starting from inputs of mean square q0; it may be 0 or infinite."""
        start = self.layer.first(self.q0)
        if self.phi.sides is not None:
            return self._q_star_of_straight_sides(start)
        return _fixed_point(self.layer.q, start)

    def _q_star_of_straight_sides(self, start: float) -> float:
        factor = self.layer.chi(1.0) / self.keep  # of q, from layer to layer
        if abs(factor - 1) < AT_ONE:
            return start if self.sigma_b == 0 else math.inf
        if factor > 1:
            return math.inf if start > 0 else 0.0
        return self.sigma_b**2 / (1 - factor)

    @property
    def settles(self) -> bool:
        """Whether q* is neither 0 nor infinite."""
        return 0 < self.q_star < math.inf

    @cached_property
    def chi_1(self) -> float:
        """sigma_w^2 E[phi'^2] at q*."""
        return self.layer.chi(self.q_star)

    @property
    def gradient_factor(self) -> float:
        """Mean square of a gradient in one layer over that in the layer above: chi_1, over what dropout keeps."""
        return self.chi_1 / self.keep

    @property
    def phase(self) -> Phase:
        """ordered: chi_1 < 1; chaotic: chi_1 > 1; critical: chi_1 = 1, which with dropout is no special point."""
        if abs(self.chi_1 - 1) < AT_ONE and self.keep == 1:
            return "critical"
        return "ordered" if self.chi_1 < 1 else "chaotic"

    @cached_property
    def limit(self) -> WideLayer:
        """The layer at q*, as `WideLayer.at` has it."""
        return self.layer.at(self.q_star)

    @cached_property
    def e_star(self) -> float:
        """1 - c*, exact where it is small."""
        if not math.isfinite(self.chi_1):
            return math.nan
        if self.keep == 1 and self.settles and self.chi_1 <= 1 + AT_ONE:
            return 0.0
        q = self.q_star if self.settles else 1.0
        if self.keep == 1 and not self.settles:
            return 0.0
        return _decorrelated(lambda e: self.limit.e(e, q))

    @property
    def c_star(self) -> float:
        """The correlation that two different inputs approach."""
        return 1 - self.e_star

    @cached_property
    def xi_q(self) -> float:
        """Layers within which q approaches q* by a factor e: -1 / ln |dq'/dq| at q*.

        Where q* is 0 or infinite, the layers within which q shrinks or grows by e.
        """
        if not self.settles:
            return _depth_scale(self.chi_1 / self.keep)
        return _depth_scale(self.layer.q_slope(self.q_star))

    @cached_property
    def xi_c(self) -> float:
        """Layers within which c approaches c* by a factor e: -1 / ln of the slope of the correlation's map at c*.

        In the ordered phase c* is 1 and the slope is chi_1. Where q* is 0 or infinite, chi_1 decides as well: it
        says how many layers a signal and its gradient cross.
        """
        if not self.settles or self.e_star == 0:
            return _depth_scale(self.chi_1)
        return _depth_scale(self.layer.e_slope(self.e_star, self.q_star))

    @property
    def trainable_depth(self) -> float:
        """6 xi_c, beyond which Schoenholz et al. 2017 found that networks do not train."""
        return TRAINABLE * self.xi_c

    def variances(self, q0: float, depth: int) -> ndarray:
        """q of layers 1 to depth, (depth,); q0: mean square of the inputs."""
        return propagate([self.layer] * depth, q0).q

    def correlations(self, c0: float, q0: float, depth: int) -> ndarray:
        """c of layers 1 to depth, (depth,), for two inputs of mean square q0 and correlation c0."""
        return propagate([self.layer] * depth, q0, c0).c


@dataclass(frozen=True)
class Profile:
    """What happens in each of D layers, the first first."""

    q: ndarray  # (D,) variance of the pre-activations
    e: ndarray  # (D,) 1 - c; NaN where no correlation was given
    chi: ndarray  # (D,) sigma_w^2 E[phi'^2] of the layer above: what it multiplies the gradient's mean square by

    @property
    def c(self) -> ndarray:
        """(D,) correlation of the pre-activations of two inputs."""
        return 1 - self.e


def propagate(layers: Iterable[WideLayer], q0: float, c0: float | None = None) -> Profile:
    """q and c through layers that may differ, as do those of an initializer whose variance depends on the fans.

    q0: mean square of the inputs; c0: correlation of two of them, the mean of x y over q0.
    """
    layers = list(layers)
    q, e, found = 0.0, math.nan if c0 is None else 1 - c0, []
    for layer, above in zip(layers, [*layers[1:], *layers[-1:]], strict=True):
        if not found:
            q = layer.first(q0)
            e = layer.sigma_w**2 * q0 * e / q if q else e
        else:
            e = e if c0 is None else layer.at(q).e(e, min(q, MOST_Q))
            q = layer.q(q)
        found.append((q, e, above.chi(q)))
    return Profile(*np.array(found, dtype=float).reshape(-1, 3).T)


def critical_sigma_w(phi: Phi, sigma_b: float = 0.0) -> float:
    """sigma_w at which chi_1 is 1, for this sigma_b; NaN where there is none.

    At a fixed point q, chi_1 = 1 asks for sigma_w^2 = 1 / E[phi'^2], and then sigma_b^2 = q - sigma_w^2 E[phi^2]:
    one equation in q (Hayou et al. 2019, algorithm 1). Its smallest solution at which q is attracting is taken.
    """
    if phi.sides is not None:
        return 1 / phi.slope0 if phi.slope0 else math.nan
    if sigma_b == 0 and phi.value0 == 0 and phi.slope0 != 0:
        candidate = 1 / abs(phi.slope0)
        if MeanField(phi, candidate).q_star == 0:
            return candidate

    def missing(log_q: float) -> float:
        q = math.exp(log_q)
        slope = mean_square_slope(phi, q)
        return q - mean_square_of(phi, q) / slope - sigma_b**2 if slope else -math.inf

    grid = np.linspace(math.log(1e-8), math.log(1e8), 250)
    values = [missing(log_q) for log_q in grid]
    for low, high, below, above in zip(grid, grid[1:], values, values[1:], strict=False):
        if below < 0 <= above and math.isfinite(below):
            q = math.exp(_root(missing, low, high))
            sigma_w = mean_square_slope(phi, q) ** -0.5
            if WideLayer(phi, sigma_w, sigma_b).q_slope(q) < 1:
                return sigma_w
    return math.nan


def _fixed_point(following: Callable[[float], float], start: float) -> float:
    """Where the iteration of a rising map goes from `start`: the nearest fixed point on the side it sets out to."""
    here = min(max(start, 2 * LEAST_Q), MOST_Q / 2)
    step = SCAN if following(here) >= here else 1 / SCAN
    while LEAST_Q < here < MOST_Q:
        there = here * step
        if (following(there) - there) * (1 if step > 1 else -1) <= 0:
            low, high = sorted((here, there))
            return _root(lambda q: following(q) - q, low, high)
        here = there
    return math.inf if step > 1 else 0.0


def _decorrelated(following: Callable[[float], float]) -> float:
    """The e in (0, 1] at which the concave map of e = 1 - c stays; 0 where there is none."""
    if following(1.0) > 1 - 1e-7:  # odd activations without biases, but for the quadrature's error
        return 1.0
    least = 0.1
    while following(least) <= least:
        least /= 10
        if least < 1e-12:
            return 0.0
    return math.exp(_root(lambda log_e: following(math.exp(log_e)) / math.exp(log_e) - 1, math.log(least), 0.0))


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(brentq(function, low, high, xtol=1e-15))  # type: ignore[arg-type]


def _depth_scale(slope: float) -> float:
    """1 / |ln |slope||: 0 where nothing is left after one layer, infinite where nothing changes."""
    size = abs(slope)
    if size == 0 or math.isinf(size):
        return 0.0
    return math.inf if abs(size - 1) < AT_ONE else 1 / abs(math.log(size))
