"""One layer of a stack as the metrics see it."""

from dataclasses import dataclass, field
from functools import cached_property

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


def slope_of(activation, s: Tensor) -> Tensor:
    """phi'(s) of an elementwise phi, by autograd."""
    s = s.detach().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(activation(s).sum(), s)
    return slope
