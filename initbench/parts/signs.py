"""What a network shows at birth on one batch, in one forward and one backward pass: signals, gradients, outputs.

The probe measures more, of stacks of runs (`initbench.engine.probing`); its verdicts rest on numbers of the same names
and on the same threshold (`initbench.theory.thresholds`).
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from initbench.parts.observe import LayerHooks
from initbench.parts.start import Start
from initbench.theory.thresholds import FACTOR

WORDS = {
    "grad_ratio": "gradient, first over last hidden layer",
    "signal_ratio": "difference between examples, last over first hidden layer",
    "time_ratio": "gradient, first over last time step",
    "output_gain": "difference between outputs over the size of the inputs",
    "contrast": "difference between outputs over their size",
}
NOT_BELOW, NOT_ABOVE = {"output_gain"}, {"contrast"}  # bad on one side of 1 alone


class LayerSigns(NamedTuple):
    """A layer: the difference between examples, and the norm of dL/ds at each use of its weight."""

    signal: float
    gradients: list[float]
    over_time: bool


def signs(start: Start) -> dict[str, float]:
    """The numbers of WORDS that the model as it is written has; NaN for what can't be told, as 0 over 0.

    Gradients are by pre-activations. A time ratio is that of the recurrent layer where it is worst.
    """
    outputs, layers = measured(start)
    hidden = layers[:-1]
    found: dict[str, float] = {}
    if len(hidden) > 1:
        first, last = hidden[0], hidden[-1]
        found["grad_ratio"] = ratio(math.hypot(*first.gradients), math.hypot(*last.gradients))
        found["signal_ratio"] = ratio(last.signal, first.signal)
    times = [ratio(layer.gradients[0], layer.gradients[-1]) for layer in hidden if layer.over_time]
    if times:
        found["time_ratio"] = max(times, key=lambda each: distance("time_ratio", each))
    difference = spread(outputs, len(start.x))
    found["output_gain"] = ratio(difference, size(start.x) if start.x.is_floating_point() else 1.0)
    found["contrast"] = ratio(difference, size(outputs))
    return found


def worst(found: Mapping[str, float]) -> tuple[str, float]:
    """The sign that is farthest from 1, and its `distance`."""
    name = max(found, key=lambda each: distance(each, found[each]))
    return name, distance(name, found[name])


def distance(name: str, value: float) -> float:
    """How far a sign is from 1, by its logarithm and in parts of the threshold's: 1 and more is a fault."""
    if not 0 < value < math.inf:
        return math.inf
    parts = math.log(value) / math.log(FACTOR)
    return max(parts, 0.0) if name in NOT_BELOW else max(-parts, 0.0) if name in NOT_ABOVE else abs(parts)


def measured(start: Start) -> tuple[Tensor, list[LayerSigns]]:
    """The outputs on the batch, and the layers in the order of their first use, the head last."""
    hooks = LayerHooks(start.model)
    hooks.recording = True
    try:
        with torch.enable_grad():
            x, data = hooks.traced(start.x)
            with hooks.forward_pass(dict(start.model.named_parameters())):
                outputs = start.forward(x)
            uses, records = hooks.uses(), hooks.records
            arranged = hooks.layers(uses, [records[use.output].pre.grad_fn for use in uses], data)
            pre = [records[use.record].pre for use in uses]
            gradients = torch.autograd.grad(
                start.loss(outputs, start.y), pre, allow_unused=True, materialize_grads=True
            )
    finally:
        hooks.recording = False
    found = []
    for layer in arranged:
        signal = rms([spread(records[uses[i].record].after.detach(), len(start.x)) for i in layer.uses])
        norms = [float(gradients[i].double().norm()) for i in layer.uses]
        found.append(LayerSigns(signal, norms, layer.over_time))
    return outputs.detach(), found


def spread(values: Tensor, examples: int) -> float:
    """Deviation over the examples (root of the variance, averaged over all else), of (B, ...) or (T, B, ...)."""
    dimension = 1 if values.ndim > 2 and values.shape[0] != examples else 0
    return float(values.double().var(dimension, correction=0).mean().sqrt())


def size(values: Tensor) -> float:
    """Root mean square."""
    return float(values.double().square().mean().sqrt())


def rms(numbers: Sequence[float]) -> float:
    return math.hypot(*numbers) / math.sqrt(len(numbers))


def ratio(one: float, other: float) -> float:
    """one / other; infinite over 0, NaN for 0 over 0."""
    return one / other if other else math.inf if one else math.nan
