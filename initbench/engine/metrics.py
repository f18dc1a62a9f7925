"""Metrics of a layer: one function per quantity, of `Units` or of `Weights`, to (L, R) numbers.

Every public function here is a metric; `metrics` in `conf/config.yaml` lists those to log. L layers, R runs, B
examples, N units, n inputs of a unit; phi is the activation.
"""

import torch
from torch import Tensor

from initbench.engine.observation import Units, Weights, norm

DEAD_BELOW = 1e-3  # a unit is dead when |phi'| is below this on every example of the batch
SATURATED_BELOW = 0.05  # a unit is saturated on an example when |phi'| is below this; sigmoid: |s| > 2.9


def weight_grad_norm(weights: Weights) -> Tensor:
    """Frobenius norm of dL/dW."""
    return norm(weights.grad)


def update_ratio(weights: Weights) -> Tensor:
    """Norm of the change of the weights in one update over the norm of the weights; NaN where those are all zero."""
    size = norm(weights.weight)
    return torch.where(size > 0, norm(weights.change) / size, torch.nan)


def pre_grad_norm(units: Units) -> Tensor:
    """Frobenius norm of dL/ds over the batch and the units (Glorot & Bengio 2010, eqs 2 and 6)."""
    return units.pre_grad_norm


def act_mean(units: Units) -> Tensor:
    """Mean of the activation over the batch and the units."""
    return units.moments.mean


def act_var(units: Units) -> Tensor:
    """Variance of the activation over the batch and the units."""
    return (units.moments.square - units.moments.mean**2).clamp_(min=0)


def unit_spread(units: Units) -> Tensor:
    """Deviation of the activation across units (root of its variance, averaged over the batch); 0: all alike.

    NaN for a single unit, which has nothing to be like.
    """
    if units.activation.shape[-1] == 1:
        return torch.full_like(units.moments.square, torch.nan)
    return (units.moments.square - units.moments.example_square).clamp_(min=0).sqrt()


def example_spread(units: Units) -> Tensor:
    """Deviation of the activation across examples (root of its variance, averaged over units); 0: all alike."""
    return (units.moments.square - units.moments.unit_square).clamp_(min=0).sqrt()


def dead(units: Units) -> Tensor:
    """Fraction of units whose |phi'| is below 0.001 on every example of the batch; NaN where phi isn't elementwise."""
    return units.where_sloped((units.slope.amax(2) < DEAD_BELOW).double().mean(2))


def saturated(units: Units) -> Tensor:
    """Fraction of (example, unit) pairs with |phi'| below 0.05; a ReLU at 0 counts. NaN where phi isn't elementwise."""
    flat = torch.lt(units.slope, SATURATED_BELOW, out=torch.empty_like(units.slope))
    return units.where_sloped(flat.mean((2, 3)).double())  # in floats: booleans are slow to add up


def nonfinite(units: Units) -> Tensor:
    """Number of entries of the activation and of dL/ds that are NaN or infinite."""
    sums = units.moments.square + units.pre_grad_norm
    counts, some = torch.zeros_like(sums), ~sums.isfinite()  # one test of a sum instead of one of every number
    if some.any():
        entries = torch.cat([units.activation[some], units.pre_grad[some]], 1)
        counts[some] = (~entries.isfinite()).sum((1, 2)).double()
    return counts
