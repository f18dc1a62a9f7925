"""What is measured at a layer: one small function a quantity, from a `Layer` of R runs to R numbers.

Every public function here is a metric; `conf/config.yaml` lists the ones to log. Sums are taken in float64, so
that a gradient of 1e-30 is not lost when it is squared.
"""

import torch
from torch import Tensor

from initbench.engine.layer import Layer, norm

DEAD_BELOW = 1e-3  # a unit is dead when |phi'| is below this on every example of the batch
SATURATED_BELOW = 0.05  # a unit is saturated on an example when |phi'| is below this; sigmoid: |s| > 2.9


def weight_grad_norm(layer: Layer) -> Tensor:
    """Frobenius norm of dL/dW."""
    return norm(layer.weight_grad)


def pre_grad_norm(layer: Layer) -> Tensor:
    """Frobenius norm of dL/ds over the batch and the units (Glorot & Bengio 2010, eq. 5)."""
    return norm(layer.pre_grad)


def act_mean(layer: Layer) -> Tensor:
    """Mean of the activation over the batch and the units."""
    return layer.unit_means.mean(1)


def act_var(layer: Layer) -> Tensor:
    """Variance of the activation over the batch and the units."""
    return (layer.mean_square - layer.unit_means.mean(1) ** 2).clamp_(min=0)


def unit_spread(layer: Layer) -> Tensor:
    """Deviation of the activation across units (root of its variance, averaged over the batch): 0 is symmetry."""
    return (layer.mean_square - (layer.example_means**2).mean(1)).clamp_(min=0).sqrt()


def example_spread(layer: Layer) -> Tensor:
    """Deviation of the activation across examples (root of its variance, averaged over units): 0 is a constant."""
    return (layer.mean_square - (layer.unit_means**2).mean(1)).clamp_(min=0).sqrt()


def dead(layer: Layer) -> Tensor:
    """Fraction of units whose |phi'| is below 0.001 on every example of the batch."""
    return (layer.steepness.amax(1) < DEAD_BELOW).double().mean(1)


def saturated(layer: Layer) -> Tensor:
    """Fraction of (example, unit) pairs with |phi'| below 0.05; a ReLU that is off counts."""
    flat = torch.lt(layer.steepness, SATURATED_BELOW, out=torch.empty_like(layer.slope))  # numbers: quick to add up
    return flat.mean((1, 2)).double()


def update_ratio(layer: Layer) -> Tensor:
    """Norm of the step's change of the weights over the norm of the weights; NaN where those are all zero."""
    size = norm(layer.weight)
    return torch.where(size > 0, norm(layer.weight_step) / size, torch.nan)


def nonfinite(layer: Layer) -> Tensor:
    """How many entries of dL/dW and of the activation are NaN or infinite."""
    sums = norm(layer.weight_grad) + layer.activation_norm
    if torch.isfinite(sums).all():  # one look at a sum instead of one at every number
        return torch.zeros_like(sums)
    return (~layer.weight_grad.isfinite()).flatten(1).sum(1) + (~layer.activation.isfinite()).flatten(1).sum(1)
