"""Peer (d): the ceiling of stacked PyTorch: `torch.bmm` on the shapes of one step, nothing else."""

from collections.abc import Callable

import torch
from problem import BATCH, Shape


def products(shape: Shape, runs: int, features: int) -> list[Callable[[], object]]:
    """The matrix products of one step of `runs` runs: forward, weight gradient, input gradient of every layer.

    Every operand is made anew for a layer, as the weights, activations and gradients of a net are; the first
    layer has no input gradient.
    """
    calls = []
    for layer, (fan_in, out) in enumerate(shape.sizes(features)):
        inputs, weight = torch.randn(runs, BATCH, fan_in), torch.randn(runs, fan_in, out)
        outputs, weight_grad = torch.randn(runs, BATCH, out), torch.empty(runs, fan_in, out)
        calls += [
            lambda a=inputs, b=weight, c=torch.empty_like(outputs): torch.bmm(a, b, out=c),
            lambda a=inputs.mT, b=outputs, c=weight_grad: torch.bmm(a, b, out=c),
        ]
        if layer:
            calls += [lambda a=outputs, b=weight.mT, c=torch.empty_like(inputs): torch.bmm(a, b, out=c)]
    return calls


def multiply(shape: Shape, runs: int, stack_size: int, features: int) -> Callable[[int], None]:
    """A function of the number of steps that multiplies for `runs` runs, `stack_size` at a time."""
    torch.set_num_threads(1)
    calls = products(shape, stack_size, features)

    def train(steps: int) -> None:
        for _ in range(steps * (runs // stack_size)):
            for call in calls:
                call()

    return train
