"""The layers of a stack as the metrics see them: L layers of one shape and R runs at a time.

Twenty small layers that are measured together cost little more than one.
"""

import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from initbench.engine.recipe import Metric
from initbench.parts.activations import Activation
from initbench.parts.observe import LayerHooks


class Moments(NamedTuple):
    """Averages of an activation a over B examples and N units, float64: (L, R) each."""

    mean: Tensor
    square: Tensor  # of a^2
    unit_square: Tensor  # over units, of (the mean over examples)^2
    example_square: Tensor  # over examples, of (the mean over units)^2


@dataclass(frozen=True)
class Units:
    """What the units of L layers do at one step: B examples (or examples x positions), N units, phi the activation.

    The loss is the mean over the batch.
    """

    pre_grad: Tensor  # (L, R, B, N): dL/ds, s the pre-activation
    activation: Tensor  # (L, R, B, N): phi(s)
    slope: Tensor  # (L, R, B, N): |phi'(s)|; NaN where phi is not elementwise

    @cached_property
    def pre_grad_norm(self) -> Tensor:
        """(L, R)."""
        return norm(self.pre_grad)

    def where_sloped(self, fractions: Tensor) -> Tensor:
        """Fractions (L, R) of slopes; NaN where the activation has no slope, since it is not elementwise."""
        return torch.where(self.slope[:, :, 0, 0].isnan(), torch.nan, fractions)

    @cached_property
    def moments(self) -> Moments:
        """Of the activation; summed in float64 where a difference of two would lose its digits in float32."""
        quick = moments(self.activation, torch.float32)
        smallest = quick.square - torch.maximum(quick.unit_square, quick.example_square)
        poor = ~((smallest > 1e-2 * quick.square) | quick.square.isnan())
        if poor.any():  # again for those that need it alone: a run never depends on its neighbours
            for inexact, exact in zip(quick, moments(self.activation[poor], torch.float64), strict=True):
                inexact[poor] = exact
        return quick


def moments(a: Tensor, dtype: torch.dtype) -> Moments:
    """Of activations (..., B, N), summed in `dtype` at least: (...) each."""
    dtype = torch.promote_types(a.dtype, dtype)
    unit_means, example_means = a.mean(-2, dtype=dtype).double(), a.mean(-1, dtype=dtype).double()
    square = torch.linalg.vector_norm(a, dim=(-2, -1), dtype=dtype).double() ** 2 / a.shape[-2:].numel()
    return Moments(unit_means.mean(-1), square, (unit_means**2).mean(-1), (example_means**2).mean(-1))


@dataclass(frozen=True)
class Weights:
    """The weights of L layers at one step, (L, R, N, n) or (L, R, ...) of a kernel."""

    weight: Tensor  # before the update
    grad: Tensor  # dL/dW
    change: Tensor  # what the update added; 0 where there was none


@dataclass(frozen=True)
class LayerSnapshot:
    """All layers at one step, from the input to the head; in `units`, neighbours of one shape are together."""

    names: list[str]  # of the layers
    parameters: list[str]  # of the layers' weights
    units: list[Units]
    times: dict[int, Tensor] = field(default_factory=dict)  # layer to (T, R): norms of dL/ds at each of its T uses


def snapshot(
    hooks: LayerHooks, pre_activations: Sequence[tuple[Tensor, Tensor]], gradients: Sequence[Tensor]
) -> LayerSnapshot:
    """The layers, from the (R, ...) tensors of `hooks.pre_activations` and the gradients of the pre-activations.

    A weight that is used at T time steps is one layer of T times as many examples.
    """
    uses: dict[nn.Module, list[tuple[nn.Module | None, int]]] = {}
    for i, (weight, activation, _) in enumerate(hooks.uses()):
        uses.setdefault(weight, []).append((activation, i))
    names, units, times = [], [], {}
    for weight, at in uses.items():
        names.append(hooks.layer_name(weight, at[0][0]))
        channels = isinstance(weight, _ConvNd)
        steps = [
            Units(*(by_unit(t.detach(), channels) for t in (gradients[i], after, slope(phi, pre))))
            for phi, i in at
            for pre, after in [pre_activations[i]]
        ]
        if len(steps) > 1:
            times[len(names) - 1] = torch.cat([step.pre_grad_norm for step in steps])
        units.append(steps[0] if len(steps) == 1 else concatenated(steps, 2))
    return LayerSnapshot(names, [hooks.weights[weight] for weight in uses], by_shape(units), times)


def by_unit(x: Tensor, channels: bool) -> Tensor:
    """(R, B, ..., N), or (R, B, N, ...) of a convolution, to (1, R, examples, N)."""
    return (x.movedim(2, -1) if channels else x).flatten(1, -2).unsqueeze(0)


def concatenated(parts: Sequence[Units], dim: int) -> Units:
    """One `Units` of several: layers (dim 0), runs (dim 1) or examples (dim 2) one after the other."""
    return Units(
        torch.cat([units.pre_grad for units in parts], dim),
        torch.cat([units.activation for units in parts], dim),
        torch.cat([units.slope for units in parts], dim),
    )


def side_by_side(snapshots: Sequence[LayerSnapshot]) -> LayerSnapshot:
    """The snapshots of R single runs as one."""
    units = [concatenated(group, 1) for group in zip(*(run.units for run in snapshots), strict=True)]
    times = {layer: torch.cat([run.times[layer] for run in snapshots], 1) for layer in snapshots[0].times}
    return LayerSnapshot(snapshots[0].names, snapshots[0].parameters, units, times)


def by_shape(layers: Sequence[Units]) -> list[Units]:
    """Neighbouring layers of one shape as one: (1, R, B, N) each to (L, R, B, N)."""
    groups = groupby(layers, lambda units: units.activation.shape)
    return [concatenated(list(alike), 0) for _, alike in groups]


def slope(activation: Callable[[Tensor], Tensor] | None, s: Tensor) -> Tensor:
    """|phi'(s)| by autograd; 1 where there is no activation, NaN where it is not elementwise: it has no such slope."""
    if activation is None:
        return torch.ones_like(s)
    if isinstance(activation, Activation) and not activation.elementwise:
        return torch.full_like(s, torch.nan)
    s = s.detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(activation(s).sum(), s)
    return gradient.abs()


def norm(x: Tensor) -> Tensor:
    """The Euclidean norm of each layer's and run's numbers, (L, R, ...) to (L, R), in float64.

    The square of a float32 below 1e-23 vanishes, so where a norm is small, zero or too large it is taken again
    in float64.
    """
    x = x.flatten(2)
    norms = torch.linalg.vector_norm(x, dim=2).double()
    poor = ~((norms > 1e-15) & (norms < 1e15) | norms.isnan())
    if poor.any():
        norms[poor] = torch.linalg.vector_norm(x[poor], dim=1, dtype=torch.float64)
    return norms


def measure(units: list[Units], weights: list[Weights], metrics: Collection[Metric]) -> Tensor:
    """Every metric of every layer: (L, M, R)."""
    if not metrics:
        layers, runs = sum(len(group.activation) for group in units), units[0].activation.shape[1]
        return units[0].activation.new_empty((layers, 0, runs))
    columns = [torch.cat([metric(group) for group in (weights if of_weights(metric) else units)]) for metric in metrics]
    return torch.stack(columns, 1)


@cache
def of_weights(metric: Metric) -> bool:
    """Whether a metric measures the weights, or the units: its signature says so."""
    (subject,) = inspect.signature(metric).parameters.values()
    return subject.annotation is Weights
