"""Randomized asymmetric initialization, which lets fewer ReLU networks be dead at birth."""

import math

import torch
from torch import Generator, Tensor

from initbench.parts.inits.drawing import Gain, gain_factor, initialize, normal_like
from initbench.parts.inits.matrix import Matrix

SIGMA = 0.6007  # through ReLU layers it holds the mean square of what they pass on


def rai(model, batch, generator, *, act=None, gain: Gain = 1, bias: float | None = None) -> None:
    """W and b ~ N(0, 0.6007^2 / n), but one entry of each unit's (W, b) ~ Beta(2, 1), which is positive.

    Lu et al. 2019, section 4. `gain` multiplies W and b; a given `bias` replaces the drawn one.
    """
    factor = gain_factor(gain, act)
    drawn: dict[int, Tensor] = {}

    def draw(matrix: Matrix) -> Tensor:
        weights, biases = asymmetric(matrix, generator)
        if matrix.bias is not None:
            drawn[matrix.bias.data_ptr()] = factor * biases
        return factor * weights

    def draw_bias(matrix: Matrix, own: Tensor) -> Tensor:
        return drawn.get(own.data_ptr(), torch.zeros(own.shape))

    initialize(model, draw, bias=bias, draw_bias=draw_bias)


def asymmetric(matrix: Matrix, generator: Generator) -> tuple[Tensor, Tensor]:
    """A matrix's weights, and its biases (m,), which are among the entries if it has any."""
    weight = matrix.weight
    is_table = matrix.kind == "embedding"  # units are columns
    rows = weight.T if is_table else weight.flatten(1)
    entries = rows.shape[1] + (matrix.bias is not None)
    values = SIGMA / math.sqrt(matrix.n) * normal_like(rows.new_empty(len(rows), entries), generator)
    place = torch.randint(entries, (len(rows), 1), generator=generator)
    positive = torch.rand(len(rows), 1, generator=generator, dtype=torch.float64).sqrt()  # Beta(2, 1)
    values = values.scatter(1, place, positive.to(values.dtype))
    weights, biases = values[:, : rows.shape[1]], values[:, -1]
    return (weights.T if is_table else weights.reshape(weight.shape)), biases
