"""Activations: elementwise functions of a pre-activation, and the module that puts one into a network.

To add one, write a function `f(x, **constants)` of a tensor here and name it in `conf/act/NAME.yaml`. Its gain, its
slope at 0 and whether it rectifies, which initializers and the diagnosis ask for, are found numerically.
"""

import functools
import math
from collections.abc import Callable, Hashable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from initbench.errors import InputError, WrongValue
from initbench.parts import trials


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return torch.sigmoid(x)


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return torch.tanh(x)


def relu(x: Tensor) -> Tensor:
    """max(x, 0). Nair & Hinton 2010."""
    return F.relu(x)


def leaky_relu(x: Tensor, slope: float = 0.01) -> Tensor:
    """x for x > 0, else slope * x. Maas, Hannun & Ng 2013."""
    return F.leaky_relu(x, slope)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x for x > 0, else alpha (exp(x) - 1). Clevert, Unterthiner & Hochreiter 2016."""
    return F.elu(x, alpha)


def selu(x: Tensor) -> Tensor:
    """1.0507 elu(x, alpha = 1.6733): weights of variance 1/n bring mean 0 and variance 1. Klambauer et al. 2017."""
    return F.selu(x)


def gelu(x: Tensor) -> Tensor:
    """x times the standard normal distribution function, exact (erf). Hendrycks & Gimpel 2016."""
    return F.gelu(x)


def silu(x: Tensor) -> Tensor:
    """x * sigmoid(x), also called swish. Elfwing, Uchibe & Doya 2018; Ramachandran, Zoph & Le 2017."""
    return F.silu(x)


def mish(x: Tensor) -> Tensor:
    """x * tanh(softplus(x)). Misra 2020."""
    return F.mish(x)


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)). Dugas et al. 2001."""
    return F.softplus(x)


def softsign(x: Tensor) -> Tensor:
    """x / (1 + |x|). Bergstra et al. 2009."""
    return F.softsign(x)


def linear(x: Tensor) -> Tensor:
    """x: deep linear networks, which theory can solve. Saxe, McClelland & Ganguli 2014."""
    return x


class Activation(nn.Module):
    """An elementwise function with its constants, as a module that hooks can find.

    Initializers ask for `gain`, `slope0` and `value0`, the diagnosis for `rectifies`. The first three raise
    InputError for a function that isn't elementwise or that autograd can't differentiate. A function that isn't
    elementwise (a softmax, say) can be trained with: programs that apply it to all runs at once ask `elementwise`.
    """

    def __init__(self, function: Callable[..., Tensor], **constants):
        super().__init__()
        for name, value in constants.items():
            if not isinstance(value, Hashable):
                raise WrongValue(f"act.{name}", value, f"act.{name} must be a number or a word, got {value!r}")
        self.function = function
        self.constants = constants  # not `parameters`: that name is nn.Module's

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, **self.constants)

    def check(self) -> None:
        """Raise InputError where a network can't be trained with this function, as `check_activation` finds."""
        trials.check_activation(self.function, **self.constants)

    def extra_repr(self) -> str:
        constants = [f"{name}={value}" for name, value in self.constants.items()]
        return ", ".join([_name(self.function), *constants])

    @property
    def name(self) -> str:
        """The function's."""
        return _name(self.function)

    @property
    def elementwise(self) -> bool:
        """Whether each output depends on the input in its own place alone: so it is here; others must prove it."""
        here = getattr(self.function, "__module__", None) == __name__  # a test holds these to the same trial
        return here or trials.is_elementwise(self.function, **self.constants)

    @property
    def gain(self) -> float:
        """E[phi(z)^2]^(-1/2), z ~ N(0, 1): weights of deviation gain/sqrt(n) keep pre-activations at variance 1."""
        return _gain(self.function, **self.constants)

    @property
    def value0(self) -> float:
        """phi(0)."""
        return _at_zero(self.function, **self.constants)[0]

    @property
    def slope0(self) -> float:
        """phi'(0); at a kink the root mean square of the slopes on both sides.

        Its square is then the mean of phi'^2 over small inputs of both signs, on which the variance of a gradient
        depends: 1/2 for ReLU, (1 + slope^2)/2 for leaky ReLU, as in He et al. 2015 eq. 14.
        """
        return _at_zero(self.function, **self.constants)[1]

    @property
    def rectifies(self) -> bool:
        """Is phi flat near 0 on one side and unbounded on the other, as ReLU is? A unit on the flat side is dead.

        Flat: at a distance of 8, |phi| is below 5 % of its value on the other side. Leaky ReLU with a small slope
        rectifies; ELU, which is flat at -alpha, does not.
        """
        return _rectifies(self.function, **self.constants)

    @property
    def negative_slope(self) -> float:
        """The slope left of 0 in the sense of He et al. 2015 eq. 15: leaky ReLU's, 0 for all others."""
        return self.constants.get("slope", 0.0)


MakeActivation = Callable[[], Activation]  # makes a new module for each layer


@functools.cache
def _gain(function: Callable[..., Tensor], **constants) -> float:
    z, weight = _gaussian_nodes()
    values, _ = _evaluate(function, z, constants)
    mean_square = float(weight @ values.square())
    if not (math.isfinite(mean_square) and mean_square > 0):
        raise InputError(f"activation {_name(function)} has no gain: E[phi(z)^2] is {mean_square}, z ~ N(0, 1)")
    return mean_square**-0.5


@functools.cache
def _at_zero(function: Callable[..., Tensor], **constants) -> tuple[float, float]:
    """(phi(0), phi'(0)), the slope taken from both sides of 0 as `Activation.slope0` says."""
    x = torch.tensor([-1e-30, 0.0, 1e-30], dtype=torch.float64, device="cpu")
    values, slopes = _evaluate(function, x, constants)
    left, right = float(slopes[0]), float(slopes[2])
    return float(values[1]), math.copysign(math.sqrt((left**2 + right**2) / 2), left + right)


@functools.cache
def _rectifies(function: Callable[..., Tensor], **constants) -> bool:
    return trials.is_rectifier(functools.partial(function, **constants))


def _evaluate(function: Callable[..., Tensor], x: Tensor, constants: dict) -> tuple[Tensor, Tensor]:
    """(phi(x), phi'(x)) for a vector x; InputError where phi isn't elementwise, differentiable and finite."""
    try:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            values = function(x, **constants)
            (slopes,) = torch.autograd.grad(values.sum(), x)
            half = function(x[: len(x) // 2], **constants)
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"activation {_name(function)} can't be differentiated: {reason}") from error
    if not (values.isfinite().all() and slopes.isfinite().all()):
        raise InputError(f"activation {_name(function)} isn't finite everywhere in {x.min():.3g}..{x.max():.3g}")
    if values.shape != x.shape or not torch.allclose(half, values[: len(half)], rtol=1e-9, atol=0):
        raise InputError(f"activation {_name(function)} isn't elementwise: its outputs depend on other inputs too")
    return values.detach(), slopes


@functools.cache
def _gaussian_nodes() -> tuple[Tensor, Tensor]:
    """Points z and weights w, float64, so that E[f(z)] = w @ f(z) for z ~ N(0, 1).

    Gauss-Legendre, 5 points in each of 8192 panels of [-16, 16]. Gauss-Hermite would lose accuracy everywhere at a kink
    of the activation; here only the panel around it does, and none if the kink is at an edge, like ReLU's at 0.
    """
    edges = np.linspace(-16, 16, 8192 + 1)
    points, weights = np.polynomial.legendre.leggauss(5)
    half_width = (edges[1] - edges[0]) / 2
    z = ((edges[:-1] + edges[1:])[:, None] / 2 + half_width * points).ravel()
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return torch.from_numpy(z), torch.from_numpy(density * np.tile(half_width * weights, len(edges) - 1))


def _name(function: Callable) -> str:
    return getattr(function, "__name__", repr(function))
