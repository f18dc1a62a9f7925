"""Fully connected models."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from initbench.errors import DoesNotFit, InputError
from initbench.parts.activations import Activation
from initbench.parts.checks import boolean, integer
from initbench.parts.dropout import DropConnect, dropout_layer
from initbench.parts.models.layers import Layer
from initbench.parts.models.residual import Residual, Scale, preactivated
from initbench.parts.norms import Norm, normalized, weighted


class Dense(Layer):
    """A hidden layer, phi(W x + b): (B, fan_in) to (B, fan_out), perhaps with normalization and dropout."""

    def __init__(self, linear: nn.Linear, act: Activation, norm: Norm | None = None, dropout: float | None = None):
        super().__init__(**activated(linear, act, norm, dropout))


class Tied(Dense):
    """A hidden layer that shares W and b with the layer before it."""


class MLP(nn.Module):
    """`depth` dense layers of `width` units and a linear head; depth 0 is logistic regression.

    (B, *shape) to logits (B, C): examples are flattened. `act` makes a new `Activation` for each layer.

    With a `branch_scale` alpha, which is a parameter of each branch's own if `learn_scale`, the layers are residual:
    h + alpha act(W h + b) for each layer after the first. With 2 `branch_layers`, as in `ResNet`, s + alpha (W2
    act(W1 act(s) + b1) + b2) for each two after the first layer, or after the first two, so that depth counts weights;
    s are pre-activations, and an activation precedes the head. `tied`: the other hidden layers are one, W and b, or
    all branches of two are (Dehghani et al. 2019); not so what normalizes or scales.
    """

    def __init__(
        self,
        shape: Sequence[int],
        classes: int,
        depth: int,
        width: int,
        act: Callable[[], Activation],
        norm: Norm | None = None,
        dropout: float | None = None,
        dropconnect: float | None = None,
        *,
        branch_scale: float | None = None,
        learn_scale: bool | None = None,
        branch_layers: int | None = None,
        tied: bool | None = None,
    ):
        super().__init__()
        learn = learn_scale is not None and boolean("model.learn_scale", learn_scale)
        if branch_scale is None and (learn or branch_layers is not None):
            key = "learn_scale" if learn else "branch_layers"
            raise DoesNotFit(f"model.{key} is for residual branches, and there are none: set model.branch_scale too")
        per_branch = 1 if branch_layers is None else integer("model.branch_layers", branch_layers, "[1, 2]")
        sizes = [math.prod(shape), *[integer("width", width, "[1, inf)")] * integer("depth", depth, "[0, inf)")]
        linears = [linear(n, width, norm, dropconnect) for n in sizes[:-1]]
        stem = min(depth, 1 + (depth - 1) % per_branch)  # layers that are neither residual nor tied
        first_tied = depth
        if tied is not None and boolean("model.tied", tied):
            tie(linears[stem:], per_branch)
            first_tied = stem + 1
        each = Each(act, norm, dropout)
        if branch_scale is None:
            layers = plain_layers(linears, each, first_tied)
        elif per_branch == 1:
            layers = one_layer_branches(linears, each, partial(Scale, branch_scale, learn))
        else:
            layers = two_layer_branches(linears, each, partial(Scale, branch_scale, learn), stem)
        self.layers = nn.ModuleList(layers)
        ends_open = per_branch == 2 and depth > 0  # with pre-activations, which the head doesn't read
        self.last = Layer(**normalized(act(), norm, width)) if ends_open else None
        self.head = nn.Linear(sizes[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for layer in self.layers:
            x = layer(x)
        return self.head(x if self.last is None else self.last(x))


class Logistic(nn.Module):
    """Logistic regression, W x + b: (B, *shape) to logits (B, C). A linear fit where the target is a number."""

    def __init__(self, shape: Sequence[int], classes: int, depth: int):
        super().__init__()
        if depth != 0:
            raise InputError(f"model=logistic has no hidden layer: set depth=0, not depth={depth}; model=mlp has them")
        self.head = nn.Linear(math.prod(shape), classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1))


class Each(NamedTuple):
    """What every hidden layer has beside its weights."""

    act: Callable[[], Activation]
    norm: Norm | None
    dropout: float | None


def plain_layers(linears: Sequence[nn.Linear], each: Each, first_tied: int) -> list[Layer]:
    """phi(W x + b), layer after layer; from `first_tied` on W and b are those of the layer before."""
    return [
        (Tied if i >= first_tied else Dense)(one, each.act(), each.norm, each.dropout) for i, one in enumerate(linears)
    ]


def one_layer_branches(linears: Sequence[nn.Linear], each: Each, scale: Callable[[], Scale]) -> list[Layer]:
    """A plain layer, then h + alpha phi(W h + b)."""
    plain = plain_layers(linears[:1], each, 1)
    return plain + [Residual(activated(one, each.act(), each.norm, each.dropout), scale()) for one in linears[1:]]


def two_layer_branches(linears: Sequence[nn.Linear], each: Each, scale: Callable[[], Scale], stem: int) -> list[Layer]:
    """A stem of `stem` layers that ends in pre-activations s, then s + alpha (W2 phi(W1 phi(s) + b1) + b2)."""
    plain = plain_layers(linears[: max(stem - 1, 0)], each, stem)
    last = [Layer(linear=one) for one in linears[max(stem - 1, 0) : stem]]
    pairs = zip(linears[stem::2], linears[stem + 1 :: 2], strict=True)
    units = linears[0].out_features if linears else 0
    branches = (preactivated("linear", *pair, each.act, each.norm, each.dropout, units) for pair in pairs)
    return [*plain, *last, *(Residual(branch, scale()) for branch in branches)]


def linear(fan_in: int, fan_out: int, norm: Norm | None, dropconnect: float | None) -> nn.Linear:
    """A linear layer whose weights may be normalized or dropped."""
    kind = weighted(nn.Linear, norm)
    if not dropconnect:
        return kind(fan_in, fan_out)
    if kind is not nn.Linear:
        raise DoesNotFit("norm=weight and regularize.dropconnect would each make the weights: take one of them")
    return DropConnect(fan_in, fan_out, dropconnect)


def tie(linears: Sequence[nn.Linear], step: int) -> None:
    """Give every layer the parameters of the one `step` before it.

    They stay modules of their own: one module in two places would be too much for `functional_call`.
    """
    for before, after in zip(linears, linears[step:], strict=False):
        for name, parameter in before.named_parameters():
            setattr(after, name, parameter)


def activated(
    linear: nn.Linear, act: Activation, norm: Norm | None, dropout: float | None
) -> dict[str, nn.Module | None]:
    """The modules of phi(W x + b)."""
    return {"linear": linear, **normalized(act, norm, linear.out_features), "dropout": dropout_layer(dropout)}
