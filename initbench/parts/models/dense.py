"""Fully connected models."""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

from initbench.errors import DoesNotFit, InputError
from initbench.parts.checks import boolean, integer
from initbench.parts.dropout import DropConnect
from initbench.parts.models.residual import (
    Layer,
    Residual,
    ScalarBias,
    Scale,
    last_activation,
    preactivated,
    scalar_biases_wanted,
)
from initbench.parts.models.spec import ModelSpec
from initbench.parts.norms import normalized, weighted


class Dense(Layer):
    """A hidden layer, phi(W x + b): (B, fan_in) to (B, fan_out), perhaps with normalization and dropout."""

    def __init__(self, linear: nn.Linear, spec: ModelSpec, scalar_biases: bool = False):
        super().__init__(**activated(linear, spec, scalar_biases))


class Tied(Dense):
    """A hidden layer that shares W and b with the layer before it."""


class MLP(nn.Module):
    """`depth` dense layers of `width` units, or of `widths`, and a linear head; depth 0 is logistic regression.

    (B, *shape) to logits (B, C): examples are flattened.

    branch_scale   alpha: each layer after the first computes h + alpha act(W h + b); null: act(W h + b)
    learn_scale    alpha is a parameter of each branch
    branch_layers  2: branches of two layers, s + alpha (W2 act(W1 act(s) + b1) + b2), after the first layer or, if
                   `depth` is even, after the first two, so that `depth` counts weights. s are pre-activations; an
                   activation precedes the head
    tied           all hidden layers but the first share one W and b; branches of two layers share W1, b1, W2 and b2
                   (Dehghani et al. 2019). Normalizations and scales are not shared
    scalar_biases  with branches of two layers: in place of each unit's bias, numbers added before each activation and
                   each weight after the first, and alphas that are parameters (Zhang, Dauphin & Ma 2019)
    """

    supports = ("widths", "norm", "dropout", "dropconnect", "alpha_dropout")

    def __init__(
        self,
        spec: ModelSpec,
        *,
        branch_scale: float | None = None,
        learn_scale: bool | None = None,
        branch_layers: int | None = None,
        tied: bool | None = None,
        scalar_biases: bool | None = None,
    ):
        super().__init__()
        learn = learn_scale is not None and boolean("model.learn_scale", learn_scale)
        if branch_scale is None and (learn or branch_layers is not None):
            key = "learn_scale" if learn else "branch_layers"
            raise DoesNotFit(f"model.{key} is for residual branches, and there are none: set model.branch_scale too")
        per_branch = 1 if branch_layers is None else integer("model.branch_layers", branch_layers, "[1, 2]")
        scalar = scalar_biases_wanted(scalar_biases, spec)
        if scalar and per_branch == 1:
            raise DoesNotFit("model.scalar_biases=true is for branches of two layers: set model.branch_layers=2 too")
        depth = spec.depth
        sizes = [math.prod(spec.shape), *spec.sizes]
        if len(set(spec.sizes)) > 1 and (branch_scale is not None or tied):
            key = "model.tied=true" if tied else f"model.branch_scale={branch_scale}"
            raise DoesNotFit(f"{key} needs layers of one width, not width={spec.sizes}")
        linears = [linear(*fans, spec, bias=not scalar) for fans in itertools.pairwise(sizes)]
        stem = min(depth, 1 + (depth - 1) % per_branch)  # layers that are neither residual nor tied
        first_tied = depth
        if tied is not None and boolean("model.tied", tied):
            tie(linears[stem:], per_branch)
            first_tied = stem + 1
        if branch_scale is None:
            layers = plain_layers(linears, spec, first_tied)
        elif per_branch == 1:
            layers = one_layer_branches(linears, spec, partial(Scale, branch_scale, learn))
        else:
            layers = two_layer_branches(linears, spec, partial(Scale, branch_scale, learn or scalar), stem, scalar)
        self.layers = nn.ModuleList(layers)
        ends_open = per_branch == 2 and depth > 0  # with pre-activations, which the head doesn't read
        self.last = last_activation(spec, scalar_biases=scalar) if ends_open else None
        self.head = nn.Linear(sizes[-1], spec.classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for layer in self.layers:
            x = layer(x)
        return self.head(x if self.last is None else self.last(x))


class Logistic(nn.Module):
    """Logistic regression, W x + b: (B, *shape) to logits (B, C). A linear fit where the target is a number."""

    supports = ()

    def __init__(self, spec: ModelSpec):
        super().__init__()
        if spec.depth != 0:
            raise InputError(
                f"model=logistic has no hidden layer: set depth=0, not depth={spec.depth}; model=mlp has them"
            )
        self.head = nn.Linear(math.prod(spec.shape), spec.classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1))


def plain_layers(linears: Sequence[nn.Linear], spec: ModelSpec, first_tied: int) -> list[Layer]:
    """phi(W x + b), layer after layer; from `first_tied` on W and b are those of the layer before."""
    return [(Tied if i >= first_tied else Dense)(one, spec) for i, one in enumerate(linears)]


def one_layer_branches(linears: Sequence[nn.Linear], spec: ModelSpec, scale: Callable[[], Scale]) -> list[Layer]:
    """A plain layer, then h + alpha phi(W h + b)."""
    return plain_layers(linears[:1], spec, 1) + [Residual(activated(one, spec), scale()) for one in linears[1:]]


def two_layer_branches(
    linears: Sequence[nn.Linear], spec: ModelSpec, scale: Callable[[], Scale], stem: int, scalar_biases: bool
) -> list[Layer]:
    """A stem of `stem` layers that ends in pre-activations s, then s + alpha (W2 phi(W1 phi(s) + b1) + b2)."""
    plain = [Dense(one, spec, scalar_biases) for one in linears[: max(stem - 1, 0)]]
    before = ScalarBias() if scalar_biases and plain else None
    last = [Layer(before_linear=before, linear=one) for one in linears[max(stem - 1, 0) : stem]]
    pairs = zip(linears[stem::2], linears[stem + 1 :: 2], strict=True)
    branches = [preactivated("linear", *pair, spec, scalar_biases=scalar_biases) for pair in pairs]
    return [*plain, *last, *(Residual(branch, scale()) for branch in branches)]


def linear(fan_in: int, fan_out: int, spec: ModelSpec, *, bias: bool = True) -> nn.Linear:
    """A hidden layer's W and b; the weights may be normalized or dropped."""
    kind = weighted(nn.Linear, spec.norm)
    if not spec.dropconnect:
        return kind(fan_in, fan_out, bias=bias)
    if kind is not nn.Linear:
        raise DoesNotFit("norm=weight and regularize.dropconnect would each make the weights: take one of them")
    return DropConnect(fan_in, fan_out, spec.dropconnect, bias=bias)


def tie(linears: Sequence[nn.Linear], step: int) -> None:
    """Give every layer the parameters of the one `step` before it.

    They stay separate modules, since `functional_call` does not take one module in two places.
    """
    for before, after in zip(linears, linears[step:], strict=False):
        for name, parameter in before.named_parameters():
            setattr(after, name, parameter)


def activated(linear: nn.Linear, spec: ModelSpec, scalar_biases: bool = False) -> dict[str, nn.Module | None]:
    """The modules of phi(W x + b); with `scalar_biases` b is a number."""
    after = normalized(spec.act(), spec.norm, linear.out_features)
    before_act = ScalarBias() if scalar_biases else None
    return {"linear": linear, "before_act": before_act, **after, "dropout": spec.dropout_layer()}
