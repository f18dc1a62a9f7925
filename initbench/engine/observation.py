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
from torch import Tensor
from torch.autograd.graph import Node

from initbench.engine.recipe import Metric
from initbench.errors import InputError
from initbench.parts.functional import FunctionalActivation
from initbench.parts.observe import ActivationFacts, AnyActivation, LayerHooks, WeightUse


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
    activations: list[ActivationFacts] = field(default_factory=list)  # of the layers


class LayerSignal(NamedTuple):
    """The pre-activations s of one layer in one forward pass, before its activation.

    pre (R, B, T, N): R runs, B examples, T uses of the weight (time steps of a recurrent layer), N units, those of all
    positions of a map or sequence one after the other. over_time: whether the uses are time steps.
    """

    name: str
    pre: Tensor
    over_time: bool = False


Unwrap = Callable[[Tensor], tuple[Tensor, int | None]]  # to a tensor of all runs, and its run dimension


@dataclass(frozen=True)
class Recording:
    """What hooks recorded of one forward pass, of R runs or of one, before it is differentiated.

    Tensors are as autograd has them: with the dimension of the runs anywhere, or without one.
    """

    hooks: LayerHooks
    uses: list[WeightUse]
    pre: list[Tensor]  # s of each use
    after: list[Tensor]  # phi(s)
    dims: list[int | None]  # where the runs are in `pre`
    after_dims: list[int | None]
    outputs: list[Node | None]  # the nodes of the weights' own outputs
    data: Node | None  # the inputs' node

    @classmethod
    def of(cls, hooks: LayerHooks, data: Node | None, unwrap: Unwrap = lambda tensor: (tensor, None)) -> "Recording":
        uses = hooks.uses()
        pre, dims = both([unwrap(hooks.records[use.record].pre) for use in uses])
        after, after_dims = both([unwrap(hooks.records[use.record].after) for use in uses])
        outputs = [unwrap(hooks.records[use.output].pre)[0].grad_fn for use in uses]
        return cls(hooks, uses, pre, after, dims, after_dims, outputs, data)

    @property
    def needs_graph(self) -> bool:
        """Whether `snapshot` needs autograd's graph, which is gone once it was differentiated, unless it is kept."""
        return any(isinstance(use.activation, FunctionalActivation) for use in self.uses)

    def snapshot(self, gradients: Sequence[Tensor]) -> LayerSnapshot:
        """The layers, from the gradients of `pre`.

        A weight that is used at T time steps is one layer of T times as many examples.
        """
        if not self.uses:
            raise InputError(
                "model: it has no layer: its forward pass multiplies by no weight of two or more dimensions"
            )
        layers = self.hooks.layers(self.uses, self.outputs, self.data)
        units, times = [], {}
        for number, layer in enumerate(layers):
            steps = [self.units(i, gradients[i]) for i in layer.uses]
            steps = [step for step in steps if step.activation.shape[3] == steps[0].activation.shape[3]]
            if layer.over_time:
                times[number] = torch.cat([step.pre_grad_norm for step in steps])
            units.append(steps[0] if len(steps) == 1 else concatenated(steps, 2))
        names, weights = [layer.name for layer in layers], [self.hooks.weights[layer.module] for layer in layers]
        return LayerSnapshot(names, weights, by_shape(units), times, [layer.activation for layer in layers])

    def signals(self, examples: int) -> list[LayerSignal]:
        """The pre-activations of the layers, as `snapshot` has them; nothing is differentiated.

        examples: how many the batch has. Recurrent layers multiply their inputs (T, B, n) by the weights at once.
        """
        found = []
        for layer in self.hooks.layers(self.uses, self.outputs, self.data):
            uses = [runs_first(self.pre[i].detach(), self.dims[i]) for i in layer.uses]
            uses = [(use if use.shape[1] == examples else examples_first(use, examples)).flatten(2) for use in uses]
            alike = [use for use in uses if use.shape == uses[0].shape]
            found.append(LayerSignal(layer.name, torch.stack(alike, 2), layer.over_time))
        return found

    def units(self, i: int, gradient: Tensor) -> Units:
        """The units at the i-th use of a weight."""
        use, dim = self.uses[i], self.dims[i]
        slopes = slope(use.activation, self.pre[i], self.after[i])
        tensors = (gradient, dim), (self.after[i], self.after_dims[i]), (slopes, dim)
        channels = self.hooks.gives_maps(use.module)
        return Units(*(by_unit(runs_first(tensor.detach(), dim), channels) for tensor, dim in tensors))


def both(pairs: Sequence[tuple[Tensor, int | None]]) -> tuple[list[Tensor], list[int | None]]:
    return [tensor for tensor, _ in pairs], [dim for _, dim in pairs]


def runs_first(tensor: Tensor, dim: int | None) -> Tensor:
    """(R, ...), of a tensor whose runs are at `dim`, or which is of one run."""
    return tensor.unsqueeze(0) if dim is None else tensor.movedim(dim, 0)


def examples_first(x: Tensor, examples: int) -> Tensor:
    """(R, B, T, N), of (R, T, B, N); what has no such dimension as it is."""
    return x.transpose(1, 2) if x.ndim > 3 and x.shape[2] == examples else x


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
    first = snapshots[0]
    return LayerSnapshot(first.names, first.parameters, units, times, first.activations)


def by_shape(layers: Sequence[Units]) -> list[Units]:
    """Neighbouring layers of one shape as one: (1, R, B, N) each to (L, R, B, N)."""
    groups = groupby(layers, lambda units: units.activation.shape)
    return [concatenated(list(alike), 0) for _, alike in groups]


def slope(activation: AnyActivation | None, s: Tensor, after: Tensor | None = None) -> Tensor:
    """|phi'(s)| by autograd; 1 where there is no activation, NaN where it is not elementwise and has no such slope.

    Of functions that a model called, by the graph in which they computed `after`.
    """
    if activation is None:
        return torch.ones_like(s)
    if isinstance(activation, FunctionalActivation):
        assert after is not None
        ones = torch.ones_like(after)
        (gradient,) = torch.autograd.grad(after, s, ones, retain_graph=True, materialize_grads=True)
        return gradient.abs()
    if not activation.elementwise:
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
