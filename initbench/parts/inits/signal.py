"""Gains that carry a signal through many layers: found for the activation and the width at hand."""

import math

from torch import Tensor

from initbench.errors import DoesNotFit, InputError
from initbench.parts.activations import Activation
from initbench.parts.checks import number
from initbench.parts.inits.drawing import Gain, initialize, normal_like
from initbench.parts.inits.matrix import Matrix
from initbench.parts.inits.scaling import lecun, mean_field
from initbench.theory.activations import SHIPPED, Phi, activation, from_tensors
from initbench.theory.mean_field import critical_sigma_w


def unit_variance(model, batch, generator, *, act=None, gain: Gain = "auto", bias: float = 0) -> None:
    """lecun with gain E[phi(z)^2]^(-1/2), z ~ N(0, 1): pre-activations of variance 1 stay so in wide layers.

    tanh 1.5925, sigmoid 1.8462, softsign 2.3375, ELU 1.2452, GELU 1.5335, SiLU 1.6765, SELU 1, and ReLU sqrt(2), which
    is he. It is the gain of `jax.nn.initializers` and of self-normalizing nets (Klambauer et al. 2017) for any phi.
    """
    lecun(model, batch, generator, act=act, gain=gain, bias=bias)


def critical(model, batch, generator, *, act=None, sigma_b: float = 0.0, bias: float | None = None) -> None:
    """mean_field at the edge of chaos: sigma_w solved so that chi_1 = sigma_w^2 E[phi'(sqrt(q*) z)^2] = 1.

    Schoenholz et al. 2017; Hayou et al. 2019, algorithm 1. DoesNotFit where no sigma_w does that, as for SiLU.
    """
    sigma_w = solved_sigma_w(act, sigma_b)
    mean_field(model, batch, generator, sigma_w=sigma_w, sigma_b=sigma_b, bias=bias)


def solved_sigma_w(act: Activation | None, sigma_b: float) -> float:
    """sigma_w at the edge of chaos; DoesNotFit where there is none."""
    if act is None:
        raise InputError("init=critical needs an activation to solve for")
    sigma_w = critical_sigma_w(phi_of(act), number("init.sigma_b", sigma_b, "[0, inf)"))
    if not math.isfinite(sigma_w):
        raise DoesNotFit(f"init=critical: act={act.name} has no critical sigma_w for init.sigma_b={sigma_b:g}")
    return sigma_w


def phi_of(act: Activation) -> Phi:
    """An activation as theory has it."""
    is_shipped = act.function.__module__ == Activation.__module__ and act.name in SHIPPED
    return activation(act.name, **act.constants) if is_shipped else from_tensors(act.function, **act.constants)


def random_walk(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """W ~ N(0, g^2 / n), so that the logarithm of a gradient's norm has no drift. Sussillo & Abbott 2014.

    Linear units: g = exp(1 / (2 n)), since E[ln |W x|^2] = ln |x|^2 - 1 / n. ReLU: g = sqrt(2) exp(1.2 / (max(n, 6) -
    2.4)), a fit to simulations, quoted from memory; a test finds no drift. Leaky ReLU has sqrt(2 / (1 + a^2)) in place
    of sqrt(2). Other activations are taken as linear with slope phi'(0), which the paper's derivation is for near 0.
    """

    def draw(matrix: Matrix) -> Tensor:
        return walk_gain(act, matrix.n) / math.sqrt(matrix.n) * normal_like(matrix.weight, generator)

    initialize(model, draw, act=act, gain=gain, bias=bias)


def walk_gain(act: Activation | None, n: int) -> float:
    """g of `random_walk` for n inputs."""
    if act is None or act.slope0 == 0:
        raise InputError("init=random_walk needs an activation whose slope at 0 isn't 0")
    slope = abs(act.slope0)  # sqrt((1 + a^2) / 2) of leaky ReLU
    return math.exp(1.2 / (max(n, 6) - 2.4) if act.rectifies else 1 / (2 * n)) / slope
