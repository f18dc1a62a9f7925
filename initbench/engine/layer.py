"""The layers of a stack as the metrics see them: L layers of one shape and R runs at a time.

Twenty small layers that are measured together cost little more than one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import torch
from torch import Tensor


@dataclass(frozen=True)
class Units:
    """What the units of L layers do at one step: B examples (or examples x positions), N units, phi the activation.

    The loss is the mean over the batch.
    """

    pre_grad: Tensor  # (L, R, B, N): dL/ds, s the pre-activation
    activation: Tensor  # (L, R, B, N): phi(s)
    slope: Tensor  # (L, R, B, N): phi'(s)

    @cached_property
    def mean_square(self) -> Tensor:
        """(L, R) of the activation, over examples and units."""
        total = torch.linalg.vector_norm(self.activation, dim=(2, 3), dtype=torch.float64) ** 2
        return total / self.activation[0, 0].numel()

    @cached_property
    def unit_means(self) -> Tensor:
        """(L, R, N), over examples."""
        return self.activation.mean(2, dtype=torch.float64)

    @cached_property
    def example_means(self) -> Tensor:
        """(L, R, B), over units."""
        return self.activation.mean(3, dtype=torch.float64)

    @cached_property
    def steepness(self) -> Tensor:
        return self.slope.abs()


@dataclass(frozen=True)
class Weights:
    """The weights of L layers at one step, (L, R, N, n) or (L, R, ...) of a kernel."""

    weight: Tensor  # before the update
    grad: Tensor  # dL/dW
    change: Tensor  # what the update added


@dataclass(frozen=True)
class Look:
    """All layers at one step, from the input to the head; in `units`, neighbours of one shape are together."""

    names: list[str]  # of the layers
    parameters: list[str]  # of the layers' weights
    units: list[Units]


def together(layers: Sequence[Units]) -> list[Units]:
    """Neighbours of one shape as one: (1, R, B, N) each to (L, R, B, N)."""
    groups = (list(alike) for _, alike in groupby(layers, lambda units: units.activation.shape))
    return [
        Units(
            torch.cat([units.pre_grad for units in group]),
            torch.cat([units.activation for units in group]),
            torch.cat([units.slope for units in group]),
        )
        for group in groups
    ]


def norm(x: Tensor) -> Tensor:
    """The Euclidean norm of each layer's and run's numbers, (L, R, ...) to (L, R), in float64.

    The square of a float32 below 1e-23 vanishes, so where a norm is small, zero or too large it is taken again
    in float64.
    """
    x = x.flatten(2)
    quick = torch.linalg.vector_norm(x, dim=2)
    if torch.all((quick > 1e-15) & (quick < 1e15) | quick.isnan()):
        return quick.double()
    return torch.linalg.vector_norm(x, dim=2, dtype=torch.float64)


def slope_of(activation: Callable[[Tensor], Tensor], s: Tensor) -> Tensor:
    """phi'(s) of an elementwise phi, by autograd."""
    s = s.detach().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(activation(s).sum(), s)
    return slope
