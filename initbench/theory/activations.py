"""Activations as theory needs them: a value and a slope at each point of a float64 array.

Each function here is the one of the same name in `parts/activations.py`, and returns (phi(x), phi'(x)); a test holds
them to each other. A kink's slope is one of its sides': quadrature never asks for it there.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
from numpy import ndarray
from scipy import special

from initbench.errors import InputError, nearest

BENDS = np.array([0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32], dtype=float)
FAR = 1e8  # where an activation has reached its asymptotes


@dataclass(frozen=True)
class Phi:
    """An elementwise activation as a function of arrays."""

    name: str
    function: Callable[[ndarray], tuple[ndarray, ndarray]] = field(repr=False)  # x to (phi(x), phi'(x))
    kinks: tuple[float, ...] = (0.0,)  # where a derivative may jump; phi bends most around the first
    negative_slope: float = 0.0  # the slope of leaky ReLU, 0 for all others, in the sense of He et al. 2015 eq. 15

    def __call__(self, x: ndarray) -> ndarray:
        """phi(x)."""
        return self.function(x)[0]

    def slope(self, x: ndarray) -> ndarray:
        """phi'(x)."""
        return self.function(x)[1]

    def shifted(self, by: float) -> "Phi":
        """phi(x + by): the activation after a constant bias."""
        if by == 0:
            return self
        kinks = tuple(kink - by for kink in self.kinks)
        return Phi(f"{self.name}(x + {by:g})", lambda x: self.function(x + by), kinks, self.negative_slope)

    @cached_property
    def edges(self) -> ndarray:
        """Points between which phi is smooth, close together where it bends; sorted."""
        middle = self.kinks[0]
        return np.unique(np.concatenate((middle - BENDS, middle + BENDS, self.kinks)))

    @cached_property
    def sides(self) -> tuple[float, float] | None:
        """(a, b) where phi(x) = a x for x < 0 and b x for x > 0, as for ReLU and linear; None for all others."""
        x = np.array([-64, -3, -1, -0.5, -1e-3, 0, 1e-3, 0.5, 1, 3, 64])
        values = self(x)
        a, b = -values[2], values[8]
        return (float(a), float(b)) if np.allclose(values, np.where(x < 0, a, b) * x, rtol=1e-12, atol=0) else None

    @cached_property
    def far_sides(self) -> tuple[float, float]:
        """(a, b) where phi(x) approaches a x far to the left and b x far to the right; infinite if it grows faster."""
        near, far = (self(np.array([-x, x])) / np.array([-x, x]) for x in (FAR**0.5, FAR))
        left, right = (np.inf if abs(f) > 10 * max(abs(n), 1) else f for n, f in zip(near, far, strict=True))
        return tuple(0.0 if abs(side) < 1e-6 else float(side) for side in (left, right))  # type: ignore[return-value]

    @cached_property
    def near_sides(self) -> tuple[float, float]:
        """The slopes just left and just right of 0."""
        left, right = (0.0 if abs(slope) < 1e-25 else slope for slope in self.slope(np.array([-1e-30, 1e-30])))
        return float(left), float(right)

    @cached_property
    def value0(self) -> float:
        """phi(0)."""
        return float(self(np.zeros(1))[0])

    @property
    def slope0(self) -> float:
        """phi'(0); at a kink the root mean square of both sides, as `parts.activations.Activation.slope0` has it."""
        left, right = self.near_sides
        return float(np.copysign(np.sqrt((left**2 + right**2) / 2), left + right))


@cache
def activation(name: str, **constants: float) -> Phi:
    """A shipped activation by its name, such as `activation("elu", alpha=0.5)`; InputError if there is none."""
    function = SHIPPED.get(name)
    if function is None:
        raise InputError(f"theory knows no activation '{name}'{nearest(name, SHIPPED)}")
    return Phi(name, partial(function, **constants), negative_slope=constants.get("slope", 0.0))


def homogeneous(left: float, right: float) -> Phi:
    """left * x for x < 0, right * x for x > 0."""

    def function(x: ndarray) -> tuple[ndarray, ndarray]:
        slope = np.where(x < 0, left, right)
        return slope * x, slope

    return Phi(f"({left:g} x, {right:g} x)", function)


@cache
def from_tensors(function: Callable[..., Any], **constants: Any) -> Phi:
    """A user's own activation, a function of tensors. Its slopes are autograd's, as in training.

    Raises InputError where it isn't elementwise, finite and differentiable in float64.
    """
    import torch  # a user's own function is the only thing here that needs it

    name = getattr(function, "__name__", type(function).__name__)

    def evaluate(x: ndarray) -> tuple[ndarray, ndarray]:
        points = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float64).ravel()).requires_grad_()
        try:
            values = function(points, **constants)
            (slopes,) = torch.autograd.grad(values.sum(), points)
        except Exception as error:  # whatever somebody's function raises
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"act: {name} can't be evaluated and differentiated in float64: {reason}") from error
        if values.shape != points.shape:
            raise InputError(f"act: {name} isn't elementwise: {tuple(points.shape)} becomes {tuple(values.shape)}")
        return values.detach().double().numpy().reshape(x.shape), slopes.numpy().reshape(x.shape)

    x = np.linspace(-8, 8, 801)
    values, slopes = evaluate(x)
    if not (np.isfinite(values).all() and np.isfinite(slopes).all()):
        raise InputError(f"act: {name} isn't finite everywhere in -8..8")
    if not np.allclose(evaluate(x[:7])[0], values[:7], rtol=1e-9, atol=1e-12):
        raise InputError(f"act: {name} isn't elementwise: its outputs depend on other inputs too")
    return Phi(name, evaluate, (0.0, *find_kinks(evaluate)), constants.get("slope", 0.0))


def find_kinks(function: Callable[[ndarray], tuple[ndarray, ndarray]], reach: float = 8.0) -> list[float]:
    """Where the slope of a function jumps within -reach..reach, except at 0, found by bisection."""
    x = np.linspace(-reach, reach, 4001)
    slopes = function(x)[1]
    found = []
    for left in np.flatnonzero(np.abs(np.diff(slopes)) > 0.02 * np.abs(slopes).max()):
        low, high = x[left], x[left + 1]
        for _ in range(40):
            middle = (low + high) / 2
            first, second, third = function(np.array([low, middle, high]))[1]
            low, high = (low, middle) if abs(second - first) > abs(third - second) else (middle, high)
        jump = abs(np.diff(function(np.array([low, high]))[1])[0])
        if jump > 0.01 * np.abs(slopes).max() and abs(low) > 1e-6:
            found.append(float(low + high) / 2)
    return found


def _linear(x: ndarray) -> tuple[ndarray, ndarray]:
    return x, np.ones_like(x)


def _relu(x: ndarray) -> tuple[ndarray, ndarray]:
    return np.maximum(x, 0), (x > 0).astype(float)


def _leaky_relu(x: ndarray, slope: float = 0.01) -> tuple[ndarray, ndarray]:
    slopes = np.where(x > 0, 1.0, slope)
    return slopes * x, slopes


def _elu(x: ndarray, alpha: float = 1.0) -> tuple[ndarray, ndarray]:
    negative = alpha * np.expm1(np.minimum(x, 0))
    return np.where(x > 0, x, negative), np.where(x > 0, 1.0, negative + alpha)


def _selu(x: ndarray) -> tuple[ndarray, ndarray]:
    scale, alpha = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
    values, slopes = _elu(x, alpha)
    return scale * values, scale * slopes


def _gelu(x: ndarray) -> tuple[ndarray, ndarray]:
    below = special.ndtr(x)
    return x * below, below + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)


def _sigmoid(x: ndarray) -> tuple[ndarray, ndarray]:
    y = special.expit(x)
    return y, y * special.expit(-x)


def _silu(x: ndarray) -> tuple[ndarray, ndarray]:
    y, slope = _sigmoid(x)
    return x * y, y + x * slope


def _softplus(x: ndarray) -> tuple[ndarray, ndarray]:
    return np.logaddexp(0, x), special.expit(x)


def _mish(x: ndarray) -> tuple[ndarray, ndarray]:
    soft, sigmoid = _softplus(x)
    y = np.tanh(soft)
    return x * y, y + x * (1 - y**2) * sigmoid


def _softsign(x: ndarray) -> tuple[ndarray, ndarray]:
    return x / (1 + np.abs(x)), 1 / (1 + np.abs(x)) ** 2


def _tanh(x: ndarray) -> tuple[ndarray, ndarray]:
    y = np.tanh(x)
    return y, 1 - y**2


SHIPPED: dict[str, Callable[..., tuple[ndarray, ndarray]]] = {
    "elu": _elu,
    "gelu": _gelu,
    "leaky_relu": _leaky_relu,
    "linear": _linear,
    "mish": _mish,
    "relu": _relu,
    "selu": _selu,
    "sigmoid": _sigmoid,
    "silu": _silu,
    "softplus": _softplus,
    "softsign": _softsign,
    "tanh": _tanh,
}
