"""Fully connected models."""

import math
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from initbench.errors import DoesNotFit, InputError
from initbench.parts import masks
from initbench.parts.activations import Activation
from initbench.parts.models.layers import Layer
from initbench.parts.models.residual import Residual, Scale
from initbench.parts.models.shapes import flag
from initbench.parts.norms import Norm, normalized, weighted
from initbench.parts.ranges import whole


class Dense(Layer):
    """A hidden layer, phi(W x + b): (B, fan_in) to (B, fan_out), perhaps with normalization and dropout."""

    def __init__(self, linear: nn.Linear, act: Activation, norm: Norm | None = None, dropout: float | None = None):
        activated = normalized(act, norm, linear.out_features)
        super().__init__(linear=linear, **activated, dropout=masks.dropout(dropout))


class Tied(Dense):
    """One whose W and b are those of the layer before."""


class MLP(nn.Module):
    """`depth` dense layers of `width` units and a linear head; depth 0 is logistic regression.

    (B, *shape) to logits (B, C): examples are flattened. `act` makes a new `Activation` for each layer.

    With a `branch_scale` alpha, which is a parameter of each branch's own if `learn_scale`, the layers are residual:
    h + alpha act(W h + b) for each layer after the first or, with 2 `branch_layers`, h + alpha (W2 act(W1 h + b1) + b2)
    for each two, after the first layer or the first two, so that depth counts weights. `tied`: all hidden layers but
    the first are one, W and b, or all branches of two are (Dehghani et al. 2019); not so what normalizes or scales.
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
        learn = learn_scale is not None and flag("model.learn_scale", learn_scale)
        if branch_scale is None and (learn or branch_layers is not None):
            key = "learn_scale" if learn else "branch_layers"
            raise DoesNotFit(f"model.{key} is about residual branches, and there are none: set model.branch_scale too")
        step = 1 if branch_layers is None else whole("model.branch_layers", branch_layers, "[1, 2]")
        fans = [math.prod(shape), *[whole("width", width, "[1, inf)")] * whole("depth", depth, "[0, inf)")]
        linears = [linear(n, width, norm, dropconnect) for n in fans[:-1]]
        stem = min(depth, 1 + (depth - 1) % step)  # layers that are neither residual nor tied
        if is_tied := tied is not None and flag("model.tied", tied):
            for before, after in zip(linears[stem:], linears[stem + step :], strict=False):
                share(before, after)
        plain = linears if branch_scale is None else linears[:stem]
        kinds = [Tied if is_tied and i > stem else Dense for i in range(len(plain))]
        self.layers = nn.ModuleList(kind(one, act(), norm, dropout) for kind, one in zip(kinds, plain, strict=True))
        if branch_scale is not None:
            self.layers.extend(
                residual(linears[i : i + step], act(), norm, dropout, Scale(branch_scale, learn))
                for i in range(stem, depth, step)
            )
        self.head = nn.Linear(fans[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


class Logistic(nn.Module):
    """Logistic regression, W x + b: (B, *shape) to logits (B, C). A linear fit where the target is a number."""

    def __init__(self, shape: Sequence[int], classes: int, depth: int):
        super().__init__()
        if depth != 0:
            raise InputError(f"model=logistic has no hidden layer: set depth=0, not depth={depth}; model=mlp has them")
        self.head = nn.Linear(math.prod(shape), classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1))


def linear(fan_in: int, fan_out: int, norm: Norm | None, dropconnect: float | None) -> nn.Linear:
    """A linear layer whose weights may be normalized or dropped."""
    kind = weighted(nn.Linear, norm)
    if not dropconnect:
        return kind(fan_in, fan_out)
    if kind is not nn.Linear:
        raise DoesNotFit("norm=weight and regularize.dropconnect would each make the weights: take one of them")
    return masks.DropConnect(fan_in, fan_out, dropconnect)


def share(one: nn.Module, other: nn.Module) -> None:
    """Give a module's parameters to another. One module in two places would be too much for `functional_call`."""
    for name, parameter in one.named_parameters():
        setattr(other, name, parameter)


def residual(
    linears: Sequence[nn.Linear], act: Activation, norm: Norm | None, dropout: float | None, scale: Scale
) -> Residual:
    """h + alpha act(W h + b) of one linear layer, h + alpha (W2 act(W1 h + b1) + b2) of two."""
    activated = {**normalized(act, norm, linears[0].out_features), "dropout": masks.dropout(dropout)}
    if len(linears) == 1:
        return Residual(scale, linear=linears[0], **activated)
    up, down = linears
    return Residual(scale, up=up, **activated, down=down)
