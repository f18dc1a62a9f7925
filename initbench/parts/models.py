"""Models: ordinary modules, written for one run.

To add one, write an `nn.Module` with the signature of `MLP` (more keyword parameters may follow) and name
it in `conf/model/NAME.yaml`. A hidden layer is a submodule that holds a weight layer and an `Activation`:
that is how the layer statistics find it. Weights need no values of their own: the initializer writes them.
"""

import math
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from initbench.parts.activations import Activation
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
