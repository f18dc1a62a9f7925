"""How fast runs of a shape train here, by trying: one after the other, or stacked, and how many at a time.

Whether stacking pays depends on the model, the machine and the libraries underneath: convolutions of large images
are best taken one by one, small recurrent cells by the dozen.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

from initbench import build
from initbench.engine.stack import stack
from initbench.engine.train import Stepper, batches, moved, program

SIZES = (4, 16, 64)  # runs of a stack to try, beside one by one
STEPS, SECONDS = 5, 0.4  # a try takes so many steps, or as many as this time allows, but two
WORSE = 0.85  # a larger stack that is slower than this part of the best ends the trials
LOOPED, STACK_SECONDS = 16, 300.0  # runs one after the other are written together, so many or those of this time
WORTH = 20.0  # seconds: what trains faster than this anyway is not tried


@dataclass(frozen=True)
class Pace:
    """The fastest way to train runs of a shape on one core."""

    size: int  # runs of a stack
    looped: bool  # one after the other
    seconds: float  # that a step of one run takes


def paces(config: Mapping[str, Any], runs: int, most: int) -> list[Pace]:
    """What was tried for `runs` runs of a shape, of which a stack may have `most`, in the order tried.

    One try only where all of them are trained within WORTH seconds.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        tried = [tried_with(config, 1, looped=True)]
        if runs * config["steps"] * tried[0].seconds < WORTH:
            return tried
        for size in candidates(runs, most):
            try:
                tried.append(tried_with(config, size, looped=False))
            except RuntimeError:  # vmap can't take the model, which trains one by one, as the first try has shown
                break
            if tried[-1].seconds * WORSE > min(pace.seconds for pace in tried):
                break
        return tried
    finally:
        torch.set_num_threads(threads)


def candidates(runs: int, most: int) -> Sequence[int]:
    largest = min(runs, most, SIZES[-1])
    return sorted({*(size for size in SIZES if size < largest), largest} - {1})


def tried_with(config: Mapping[str, Any], size: int, *, looped: bool) -> Pace:
    """Train `size` copies of a run for a few steps; the fastest counts, since whatever disturbs makes them slower."""
    dataset = build.data(config)
    network = build.initialized(config, dataset)
    state = stack([network] * size, torch.device("cpu"))
    step = Stepper(
        program(network, state, dataset, looped), state, build.optimizer(config), torch.full((size,), config["lr"])
    )
    x, y = moved(dataset.x_train, state), dataset.y_train
    order = batches([config["seed"]] * size, len(y), config["batch_size"], torch.device("cpu"))
    took: list[float] = []
    begun = time.perf_counter()
    for index in islice(order, 1 + STEPS):
        start = time.perf_counter()
        step(x[index], y[index], look=False)
        took.append(time.perf_counter() - start)
        if len(took) > 2 and time.perf_counter() - begun > SECONDS:
            break
    seconds = min(took[1:]) / size  # the first step warms up
    together = max(1, min(LOOPED, int(STACK_SECONDS / (seconds * config["steps"])))) if looped else size
    return Pace(together, looped, seconds)
