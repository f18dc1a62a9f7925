"""Random values in the shape of a weight, and how they get into a model."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from initbench.errors import InputError, WrongValue
from initbench.parts.activations import Activation
from initbench.parts.checks import number
from initbench.parts.inits.matrix import Matrix, matrices

Gain = float | Literal["auto"]
Draw = Callable[[Matrix], Tensor]  # the values of its weight
DrawBias = Callable[[Matrix, Tensor], Tensor]  # the values of its bias, which comes second


@torch.no_grad()
def initialize(
    model: nn.Module,
    draw: Draw,
    *,
    act: Activation | None = None,
    gain: Gain = 1,
    bias: float | None = 0,
    draw_bias: DrawBias | None = None,
) -> None:
    """Writes gain * draw(matrix) into every weight, then every bias, and resets modules without weights.

    Biases get the number `bias`, or where that is None what `draw_bias` draws.
    """
    factor = gain_factor(gain, act)
    layers = list(matrices(model))
    for matrix in layers:
        matrix.weight.copy_(factor * draw(matrix))
    for matrix in layers:
        for own in matrix.biases:
            if bias is None and draw_bias is not None:
                own.copy_(draw_bias(matrix, own))
            else:
                own.fill_(number("init.bias", bias))
    for module in model.modules():
        reset = getattr(module, "reset_parameters", None)
        is_leaf = not any(True for _ in module.children())
        if is_leaf and callable(reset) and all(own.ndim < 2 for own in module.parameters()):
            reset()


@torch.no_grad()
def draw_biases(model: nn.Module, generator: Generator, std: float) -> None:
    """Write N(0, std^2) into every bias of a weight, whatever its scheme wrote."""
    number("init.bias_std", std, "[0, inf)")
    for matrix in matrices(model):
        for own in matrix.biases:
            own.copy_(std * normal_like(own, generator))


def normal_like(like: Tensor, generator: Generator) -> Tensor:
    """Numbers of mean 0 and variance 1 of a parameter's shape and dtype, drawn on the CPU."""
    return torch.empty(like.shape, dtype=like.dtype, device="cpu").normal_(generator=generator)


def uniform_like(like: Tensor, generator: Generator) -> Tensor:
    """As `normal_like`, from U(-sqrt(3), sqrt(3))."""
    unit = torch.empty(like.shape, dtype=like.dtype, device="cpu").uniform_(-1, 1, generator=generator)
    return unit * math.sqrt(3)


def truncated_normal_like(like: Tensor, generator: Generator) -> Tensor:
    """As `normal_like`, from a normal distribution cut at 2 deviations (which reduces the deviation to 0.8796)."""
    cut = torch.empty(like.shape, dtype=like.dtype, device="cpu")
    return nn.init.trunc_normal_(cut, 0, 1, -2, 2, generator=generator) / 0.87962566103423978


def gain_factor(gain: Gain, act: Activation | None) -> float:
    if isinstance(gain, str) and gain != "auto":
        raise WrongValue("init.gain", gain, f"init.gain must be a number or 'auto', got {gain!r}")
    if gain != "auto":
        return number("init.gain", gain, "(0, inf)")
    if act is None:
        raise InputError("init.gain=auto needs an activation to take the gain from")
    return act.gain
