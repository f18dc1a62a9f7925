"""Peer (d): the ceiling of stacked PyTorch: `torch.bmm` on the shapes of one step, nothing else."""

import sys
from collections.abc import Callable
from functools import partial

import torch
from problem import BATCH, RUNS, Shape, digits
from timing import CORES, OneEachCore, report, slope

STACK_SIZE = 8  # runs in one product; from 4 to 32 makes little difference


def products(shape: Shape, runs: int, features: int) -> list[Callable[[], object]]:
    """The matrix products of a step of `runs` runs: forward, weight and input gradient of each layer.

    Each layer has operands of its own, as the layers of a net have; the first has no input gradient.
    """
    calls = []
    for layer, (fan_in, out) in enumerate(shape.sizes(features)):
        x, w, y = (
            torch.randn(runs, BATCH, fan_in),
            torch.randn(runs, fan_in, out),
            torch.randn(runs, BATCH, out),
        )
        calls.append(partial(torch.bmm, x, w, out=torch.empty_like(y)))
        calls.append(partial(torch.bmm, x.mT, y, out=torch.empty_like(w)))
        if layer:
            calls.append(partial(torch.bmm, y, w.mT, out=torch.empty_like(x)))
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


def measure(shape: Shape, steps: tuple[int, int]) -> tuple[float, str]:
    """The products of all runs, half of the runs in each of two single-threaded processes."""
    features = digits()[0].shape[1]
    multiplying = OneEachCore(multiply, [(shape, RUNS // CORES, STACK_SIZE, features)] * CORES)
    multiplying(1)
    rate = slope(multiplying, steps, RUNS)
    multiplying.close()
    return rate, f"stacks of {STACK_SIZE}"


if __name__ == "__main__":
    shape, short, long = Shape.parse(sys.argv[1]), *map(int, sys.argv[2:])
    report(measure(shape, (short, long)))
