"""How fast runs of a shape train here, by trying: one after the other, or stacked, and how many at a time.

Whether stacking pays depends on the model, the machine and the libraries underneath: convolutions of large images
are best taken one by one, small recurrent cells by the dozen.
"""

import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from initbench import build
from initbench.engine.batches import Batches
from initbench.engine.process import configure_process
from initbench.engine.programs.choose import choose_program
from initbench.engine.state import stack
from initbench.engine.update import Updater
from initbench.executors import local

SIZES = (4, 16, 64)  # runs of a stack to try, beside one by one
SHARE = 0.05  # of the time that all runs take one by one: so long may the trials last
STEPS, SECONDS = 3, 0.5  # a try takes so many steps at least, and about so long
WORSE = 0.5  # a larger stack that is slower than this part of the best ends the trials
CLOSE = (0.6, 0.8)  # what reaches this part of the best is tried a second time, and a third
START = 5.0  # seconds that worker processes need before they train
STACK_SECONDS, LOOPED = 300.0, 16  # runs one after the other are written together, so many or those of this time


@dataclass(frozen=True)
class Pace:
    """The fastest way to train runs of a shape on one core."""

    size: int  # runs of a stack
    looped: bool  # one after the other
    seconds: float  # that a step of one run takes


@dataclass(frozen=True)
class Question:
    """How are `runs` runs of a shape trained fastest, of which a stack may have `most`?"""

    config: Mapping[str, Any] = field(hash=False)
    runs: int
    most: int

    def worth(self, alone: Pace) -> float:
        """So many seconds may trials take, when a run alone has this pace."""
        return SHARE * self.runs * self.config["steps"] * alone.seconds


def answers(questions: Sequence[Question], workers: int) -> list[Pace]:
    """The fastest pace for each question, where `workers` processes train at once.

    One try, in this process, of what trains faster than trials would. The others are tried in as many processes at
    once as will train, since these take memory's and cache's speed from each other, in time.
    """
    found = [tried_with(question.config, 1, looped=True) for question in questions]
    worth = [question.worth(alone) for question, alone in zip(questions, found, strict=True)]
    unsure = [i for i, seconds in enumerate(worth) if seconds > SECONDS]
    pays = sum(worth[i] for i in unsure) > START
    processes = workers if pays else 1
    tasks = [[questions[i] for i in unsure]] * processes
    everywhere = local.run(paces_of, tasks, processes=processes, report=lambda *_: None)
    for i, *tries in zip(unsure, *everywhere, strict=True):
        found[i] = fastest_everywhere(tries)
    return found


def paces_of(questions: Sequence[Question], report: object) -> list[list[Pace]]:
    """What was tried for each question: an executor's worker."""
    threads = torch.get_num_threads()
    configure_process(1)
    try:
        return [paces(question) for question in questions]
    finally:
        torch.set_num_threads(threads)


def fastest_everywhere(tries: Sequence[Sequence[Pace]]) -> Pace:
    """Of what every process tried, the way with the lowest mean over the processes of its best time."""
    # Of tries of one way the last counts, which is the fastest.
    slowest_first = [sorted(some, key=lambda pace: -pace.seconds) for some in tries]
    best = [{None if pace.looped else pace.size: pace for pace in some} for some in slowest_first]
    common = [way for way in best[0] if all(way in other for other in best)]
    means = {way: statistics.mean(other[way].seconds for other in best) for way in common}
    way = min(means, key=means.__getitem__)
    return replace(best[0][way], seconds=means[way])


def paces(question: Question) -> list[Pace]:
    """What was tried, in the order tried; what vmap can't take trains one by one.

    What comes close to the best is tried again, twice what comes very close, so that another process's moment of work
    decides nothing.
    """
    config = question.config
    alone = tried_with(config, 1, looped=True)
    tried, left = [alone], question.worth(alone)
    for size in candidates(question.runs, question.most):
        left -= max(SECONDS, (1 + STEPS) * size * alone.seconds)
        if left < 0:
            break
        try:
            tried.append(tried_with(config, size, looped=False))
        except RuntimeError:  # from vmap: the first try has shown that the model trains
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


def fastest(tried: Iterable[Pace]) -> Pace:
    return min(tried, key=lambda pace: pace.seconds)


def candidates(runs: int, most: int) -> Sequence[int]:
    largest = min(runs, most, SIZES[-1])
    return sorted({*(size for size in SIZES if size < largest), largest} - {1})


def tried_with(config: Mapping[str, Any], size: int, *, looped: bool) -> Pace:
    """Train `size` copies of a run for a while; the fastest steps count, since whatever disturbs makes them slower."""
    dataset = build.data(config)
    network = build.initialized(config, dataset, look_at_data=False)
    state = stack([network] * size, torch.device("cpu"))
    recipe, seeds = build.recipe(config), [config["seed"]] * size
    step = Updater(
        choose_program(network, state, dataset, recipe, seeds, looped), state, recipe, [config["lr"]] * size, seeds
    )
    x, y = state.cast(dataset.x_train), dataset.y_train
    batches = Batches(seeds, len(y), config["batch_size"], torch.device("cpu"))
    took: list[float] = []
    begun = time.perf_counter()
    while len(took) <= STEPS or time.perf_counter() - begun < SECONDS:
        index, start = batches.at(len(took)), time.perf_counter()
        step(x[index], y[index], log=False)
        took.append(time.perf_counter() - start)
    seconds = statistics.median(sorted(took[1:])[:STEPS]) / size  # the first step warms up, others disturb
    together = max(1, min(LOOPED, int(STACK_SECONDS / (seconds * config["steps"])))) if looped else size
    return Pace(together, looped, seconds)
