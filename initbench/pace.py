"""How fast runs of a shape train here, by trying: one after the other, or stacked, and how many at a time.

Whether stacking pays depends on the model, the machine and the libraries underneath: convolutions of large images
are best taken one by one, small recurrent cells by the dozen.
"""

import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from initbench import build
from initbench.engine.stack import stack
from initbench.engine.stepper import Stepper
from initbench.engine.threads import quick_products
from initbench.engine.train import batches, moved, program

SIZES = (4, 16, 64)  # runs of a stack to try, beside one by one
SHARE = 0.05  # of the time that all runs take one by one: so long may the trials last
STEPS, SECONDS = 3, 0.5  # a try takes so many steps at least, and about so long
WORSE = 0.5  # a larger stack that is slower than this part of the best ends the trials
CLOSE = (0.6, 0.8)  # what reaches this part of the best is tried a second time, and a third
STACK_SECONDS, LOOPED = 300.0, 16  # runs one after the other are written together, so many or those of this time


@dataclass(frozen=True)
class Pace:
    """The fastest way to train runs of a shape on one core."""

    size: int  # runs of a stack
    looped: bool  # one after the other
    seconds: float  # that a step of one run takes


def paces(config: Mapping[str, Any], runs: int, most: int) -> list[Pace]:
    """What was tried for `runs` runs of a shape, of which a stack may have `most`, in the order tried.

    What comes close to the best is tried again, twice what comes very close, so that another process's moment of work
    decides nothing. One try only where to know more takes longer than it saves.
    """
    threads = torch.get_num_threads()
    quick_products(1)
    try:
        alone = tried_with(config, 1, looped=True)
        tried, left = [alone], SHARE * runs * config["steps"] * alone.seconds
        for size in candidates(runs, most):
            left -= max(SECONDS, (1 + STEPS) * size * alone.seconds)
            if left < 0:
                break
            try:
                tried.append(tried_with(config, size, looped=False))
            except RuntimeError:  # vmap can't take the model, which trains one by one, as the first try has shown
                break
            if tried[-1].seconds * WORSE > fastest(tried).seconds:
                break
        rivals = list(tried)
        for share in CLOSE:
            best = fastest(tried).seconds
            rivals = [pace for pace in rivals if pace.seconds * share < best]
            if len(rivals) > 1:
                tried += [tried_with(config, 1 if pace.looped else pace.size, looped=pace.looped) for pace in rivals]
        return tried
    finally:
        torch.set_num_threads(threads)


def fastest(tried: Iterable[Pace]) -> Pace:
    return min(tried, key=lambda pace: pace.seconds)


def candidates(runs: int, most: int) -> Sequence[int]:
    largest = min(runs, most, SIZES[-1])
    return sorted({*(size for size in SIZES if size < largest), largest} - {1})


def tried_with(config: Mapping[str, Any], size: int, *, looped: bool) -> Pace:
    """Train `size` copies of a run for a while; the fastest steps count, since whatever disturbs makes them slower."""
    dataset = build.data(config)
    network = build.initialized(config, dataset)
    state = stack([network] * size, torch.device("cpu"))
    recipe, seeds = build.recipe(config), [config["seed"]] * size
    step = Stepper(program(network, state, dataset, recipe, seeds, looped), state, recipe, [config["lr"]] * size, seeds)
    x, y = moved(dataset.x_train, state), dataset.y_train
    order = batches(seeds, len(y), config["batch_size"], torch.device("cpu"))
    took: list[float] = []
    begun = time.perf_counter()
    while len(took) <= STEPS or time.perf_counter() - begun < SECONDS:
        index, start = next(order), time.perf_counter()
        step(x[index], y[index], look=False)
        took.append(time.perf_counter() - start)
    seconds = statistics.median(sorted(took[1:])[:STEPS]) / size  # the first step warms up, others disturb
    together = max(1, min(LOOPED, int(STACK_SECONDS / (seconds * config["steps"])))) if looped else size
    return Pace(together, looped, seconds)
