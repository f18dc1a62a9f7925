"""Fully connected models."""

import math
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from initbench.errors import InputError
from initbench.parts.activations import Activation
from initbench.parts.models.residual import Scale
from initbench.parts.ranges import whole


class Dense(nn.Module):
    """A hidden layer, phi(W x + b): (B, fan_in) to (B, fan_out)."""

    def __init__(self, fan_in: int, fan_out: int, act: Activation):
        super().__init__()
        self.linear = nn.Linear(fan_in, fan_out)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.linear(x))


class MLP(nn.Module):
    """`depth` dense layers of `width` units and a linear head; depth 0 is logistic regression.

    (B, *shape) to logits (B, C): examples are flattened. `act` makes a new `Activation` for each layer.
    """

    def __init__(self, shape: Sequence[int], classes: int, depth: int, width: int, act: Callable[[], Activation]):
        super().__init__()
        fans = [math.prod(shape), *[whole("width", width, "[1, inf)")] * whole("depth", depth, "[0, inf)")]
        self.layers = nn.ModuleList(Dense(n, width, act()) for n in fans[:-1])
        self.head = nn.Linear(fans[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


class ResidualMLP(nn.Module):
    """An MLP whose hidden layers after the first add to their input: h <- h + branch_scale * act(W h + b).

    (B, *shape) to logits (B, C). With depth 2 and width 100 the MLP of MNIST-1D (Greydanus & Kobak 2024).
    `learn_scale` makes each layer's scale a parameter that starts at `branch_scale`.
    """

    def __init__(
        self,
        shape: Sequence[int],
        classes: int,
        depth: int,
        width: int,
        act: Callable[[], Activation],
        *,
        branch_scale: float = 1.0,
        learn_scale: bool = False,
    ):
        super().__init__()
        fans = [math.prod(shape), *[whole("width", width, "[1, inf)")] * whole("depth", depth, "[0, inf)")]
        self.layers = nn.ModuleList(Dense(n, width, act()) for n in fans[:-1])
        self.scales = nn.ModuleList(Scale(branch_scale, learn_scale) for _ in fans[2:])
        self.head = nn.Linear(fans[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for layer in self.layers[:1]:
            x = layer(x)
        for layer, scale in zip(self.layers[1:], self.scales, strict=True):
            x = x + scale(layer(x))
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
