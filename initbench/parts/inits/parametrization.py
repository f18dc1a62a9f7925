"""Maximal update parametrization: initial scales and learning rates that suit every width."""

from collections.abc import Iterator

import torch
from torch import nn

from initbench.errors import DoesNotFit
from initbench.parts.checks import integer
from initbench.parts.inits.drawing import Gain
from initbench.parts.inits.matrix import Matrix, matrices_by_weight
from initbench.parts.inits.scaling import lecun
from initbench.parts.models.attention import Attention
from initbench.parts.models.recurrent import BothWays
from initbench.parts.norms import WeightNorm
from initbench.parts.rates import Rates, ask


@torch.no_grad()
def mup(model, batch, generator, *, act=None, base_width: int = 32, gain: Gain = 1, bias: float = 0) -> None:
    """lecun, the output layer over sqrt(r), r = width / `base_width`, and learning rates that go with r.

    Variances 1 / n in input and hidden layers, 1 / (r n) in the output layer. Rates with SGD: input layers and biases
    times r, output layer over r; with Adam and its like: hidden and output layer over r. At the base width it is lecun
    with one rate; the best rate stays where it is there as width grows. Yang et al. 2021 (Tensor Programs V), table 3.

    The first weight and all embeddings are input layers, the last weight is the output layer. Attention must have
    scores over d, the channels of a head, in place of sqrt(d): `model.score_scale`.
    """
    by_weight = matrices_by_weight(model)
    check_roles(model, by_weight)
    inputs, (*_, output) = set(input_weights(by_weight)), by_weight
    r = width_of(by_weight[next(iter(by_weight))][0]) / integer("init.base_width", base_width, "[1, inf)")
    lecun(model, batch, generator, act=act, gain=gain, bias=bias)
    output.mul_(r**-0.5)
    head_biases = {bias.data_ptr() for matrix in by_weight[output] for bias in matrix.biases}
    for parameter in model.parameters():
        if parameter is output:
            ask(parameter, Rates(1 / r, 1 / r))
        elif parameter in inputs or (is_vector(parameter) and parameter.data_ptr() not in head_biases):
            ask(parameter, Rates(r, 1))
        elif not is_vector(parameter) and parameter.ndim > 1:
            ask(parameter, Rates(1, 1 / r))


def input_weights(by_weight: dict[nn.Parameter, list[Matrix]]) -> Iterator[nn.Parameter]:
    """The first weight, and embeddings."""
    yield next(iter(by_weight))
    yield from (weight for weight, parts in by_weight.items() if parts[0].kind == "embedding")


def width_of(matrix: Matrix) -> int:
    """The units or channels of an input layer."""
    return matrix.weight.shape[1] if matrix.kind == "embedding" else matrix.weight.shape[0]


def is_vector(parameter: nn.Parameter) -> bool:
    """Biases and gains of all units; a single number, such as a branch's scale, does not grow with the width."""
    return parameter.ndim < 2 and parameter.numel() > 1


def check_roles(model: nn.Module, by_weight: dict[nn.Parameter, list[Matrix]]) -> None:
    """DoesNotFit where input, hidden and output layers can't be told apart, or would need more than rates."""
    parts = list(model.modules())
    if len(by_weight) < 2:
        raise DoesNotFit("init=mup needs a hidden layer, whose width it goes with")
    if any(isinstance(part, Attention) and not part.goes_with_width for part in parts):
        raise DoesNotFit("init=mup wants attention's scores over d, not sqrt(d): set model.score_scale=4, say")
    if by_weight[next(iter(by_weight))][0].kind == "projection":
        raise DoesNotFit("init=mup has no rates for an embedding that is the head too: set model.tied_embeddings=false")
    for kind, reason in (
        (WeightNorm, "norm=weight, whose weights have a size of their own"),
        (BothWays, "model.bidirectional=true, which has two input layers"),
    ):
        if any(isinstance(part, kind) for part in parts):
            raise DoesNotFit(f"init=mup is not there for {reason}")
