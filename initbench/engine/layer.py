"""One layer of a stack as the metrics see it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby

import torch
from torch import Tensor


@dataclass
class Layer:
    """One layer of R runs at one step: R runs, B examples (or examples x positions), N units.

    The loss is the mean over the batch. `weight_step` is there once the optimizer has made its step; `weight`
    is the weight before it.
    """

    name: str
    parameter: str  # the weight's name in the model
    weight: Tensor  # (R, N, n), or (R, ...) for a kernel
    weight_grad: Tensor  # like weight: dL/dW
    weight_step: Tensor = field(init=False)  # like weight
    pre_grad: Tensor  # (R, B, N): dL/ds, s the pre-activation
    activation: Tensor  # (R, B, N): phi(s)
    slope: Tensor  # (R, B, N): phi'(s)

    @cached_property
    def activation_norm(self) -> Tensor:
        return norm(self.activation)

    @cached_property
    def mean_square(self) -> Tensor:
        return self.activation_norm**2 / self.activation[0].numel()

    @cached_property
    def unit_means(self) -> Tensor:
        """(R, N), over examples."""
        return self.activation.mean(1, dtype=torch.float64)

    @cached_property
    def example_means(self) -> Tensor:
        """(R, B), over units."""
        return self.activation.mean(2, dtype=torch.float64)

    @cached_property
    def steepness(self) -> Tensor:
        return self.slope.abs()


def norm(x: Tensor) -> Tensor:
    """The Euclidean norm of each run's numbers: (R, ...) to (R,)."""
    return torch.linalg.vector_norm(x, dim=tuple(range(1, x.ndim)), dtype=torch.float64)


def slope_of(activation: Callable[[Tensor], Tensor], s: Tensor) -> Tensor:
    """phi'(s) of an elementwise phi, by autograd."""
    s = s.detach().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(activation(s).sum(), s)
    return slope


def measure(layers: Sequence[Layer], metrics: Iterable[Callable[[Layer], Tensor]]) -> Tensor:
    """Every metric of every layer, (L, M, R).

    Neighbours of one shape are measured together, as one layer of so many more runs: twenty small layers cost
    little more than one.
    """
    groups = [list(alike) for _, alike in groupby(layers, lambda layer: (layer.weight.shape, layer.activation.shape))]
    measured = []
    for group in groups:
        together = joined(group)
        values = torch.stack([metric(together) for metric in metrics])
        measured.append(values.unflatten(1, (len(group), -1)).movedim(1, 0))
    return torch.cat(measured)


def joined(layers: Sequence[Layer]) -> Layer:
    """Layers of one shape as one layer: (R, ...) each to (L R, ...)."""
    if len(layers) == 1:
        return layers[0]
    layer = Layer(
        layers[0].name,
        layers[0].parameter,
        weight=torch.cat([layer.weight for layer in layers]),
        weight_grad=torch.cat([layer.weight_grad for layer in layers]),
        pre_grad=torch.cat([layer.pre_grad for layer in layers]),
        activation=torch.cat([layer.activation for layer in layers]),
        slope=torch.cat([layer.slope for layer in layers]),
    )
    layer.weight_step = torch.cat([layer.weight_step for layer in layers])
    return layer
