"""How runs of a shape train fastest on this machine, by trial: one after the other or stacked, and how many per stack.

Whether stacking pays depends on the model, the machine and the libraries: convolutions of large images train fastest
one by one, small recurrent cells by the dozen.
"""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from initbench import build
from initbench.config.keys import STACKABLE
from initbench.config.run import Run
from initbench.config.stacks import shape_key
from initbench.engine.process import configure_process, training_threads
from initbench.engine.state import stack
from initbench.engine.train import Training
from initbench.executors.protocol import Executor, answers
from initbench.planning.cost import Shape, Throughput

SIZES = (4, 16, 64)  # runs per stack to time, beside one by one
SHARE = 0.05  # trials may take this part of the time that all runs take one by one
STEPS, SECONDS = 3, 0.5  # a trial takes at least so many steps, and about so many seconds
WORSE = 0.5  # a larger stack that reaches less than this part of the best speed ends the trials
CLOSE = (0.6, 0.8)  # what reaches this part of the best speed is timed a second time, and a third
STACK_SECONDS, LOOPED = 300.0, 16  # runs trained one by one are written together: so many, or those of so many seconds


@dataclass(frozen=True)
class StackSizeTrial:
    """How are these runs trained fastest?

    Args:
        config: of one of them.
        runs: how many runs have this shape.
        most: most runs per stack.
    """

    config: Mapping[str, Any] = field(hash=False)
    runs: int
    most: int

    def allowance(self, alone: Throughput) -> float:
        """Seconds that the trials may take, where a run trained alone has this throughput."""
        return SHARE * self.runs * self.config["steps"] * alone.seconds


def with_throughput(
    runs: Sequence[Run], shapes: Mapping[str, Shape], executor: Executor, workers: int, memory: int
) -> dict[str, Shape]:
    """The shapes that have no fast program, with the fastest way to train them."""
    alike: dict[str, list[Run]] = {}
    for run in runs:
        if not shapes[key := shape_key(run)].fast:
            alike.setdefault(key, []).append(run)
    kinds, trials = {}, {}
    for key, here in alike.items():
        config = here[0].config
        most = min(-(-len(here) // workers), memory // workers // shapes[key].cost.bytes)
        most = 1 if shapes[key].one_by_one else most
        # Another activation changes little; a trial for each would take longer than it saves.
        kinds[key] = repr(({k: v for k, v in config.items() if k not in {"act", *STACKABLE}}, len(here), most))
        trials.setdefault(kinds[key], StackSizeTrial(config, len(here), most))
    answers = build.attempt("model", fastest, list(trials.values()), executor, workers)
    found = dict(zip(trials, answers, strict=True))
    return {key: replace(shapes[key], throughput=found[kind]) for key, kind in kinds.items()}


def fastest(trials: Sequence[StackSizeTrial], executor: Executor, workers: int) -> list[Throughput]:
    """The fastest way for each trial, where `workers` processes train at the same time.

    Runs that train faster than trials would take are timed once, in this process. The others are timed in as many
    processes as will train, if that pays: processes slow each other down, as they share memory and cache.
    """
    found = [time_steps(trial.config, 1, looped=True) for trial in trials]
    allowed = [trial.allowance(alone) for trial, alone in zip(trials, found, strict=True)]
    unsure = [i for i, seconds in enumerate(allowed) if seconds > SECONDS]
    pays = sum(allowed[i] for i in unsure) > executor.start_seconds
    processes = workers if pays else 1
    tasks = [[trials[i] for i in unsure]] * processes if unsure else []
    everywhere = answers(executor.run(time_trials, tasks, lambda *_: None, workers=processes))
    for i, *timed in zip(unsure, *everywhere, strict=True):
        found[i] = fastest_on_average(timed)
    return found


def time_trials(trials: Sequence[StackSizeTrial], report: object) -> list[list[Throughput]]:
    """What was timed for each trial; the function that an executor hands to its workers."""
    with training_threads():
        configure_process()
        return [time_sizes(trial) for trial in trials]


def fastest_on_average(timed: Sequence[Sequence[Throughput]]) -> Throughput:
    """Of what each process timed: the way whose best time has the lowest mean over the processes."""
    slowest_first = [sorted(some, key=lambda way: -way.seconds) for some in timed]  # so that the best time stays
    best = [{None if way.looped else way.size: way for way in some} for some in slowest_first]
    common = [size for size in best[0] if all(size in other for other in best)]
    means = {size: statistics.mean(other[size].seconds for other in best) for size in common}
    size = min(means, key=means.__getitem__)
    return replace(best[0][size], seconds=means[size])


def time_sizes(trial: StackSizeTrial) -> list[Throughput]:
    """Time one by one, then larger and larger stacks; in the order timed.

    What comes close to the best is timed again, what comes very close twice, so that a moment's load on the machine
    does not decide. A model that vmap cannot take is only timed one by one.
    """
    config = trial.config
    alone = time_steps(config, 1, looped=True)
    timed, left = [alone], trial.allowance(alone)
    for size in candidates(trial.runs, trial.most):
        left -= max(SECONDS, (1 + STEPS) * size * alone.seconds)
        if left < 0:
            break
        try:
            timed.append(time_steps(config, size, looped=False))
        except RuntimeError:  # from vmap: the first trial has shown that the model trains
            break
        if timed[-1].seconds * WORSE > least_seconds(timed):
            break
    rivals = list(timed)
    for share in CLOSE:
        best = least_seconds(timed)
        rivals = [way for way in rivals if way.seconds * share < best]
        if len(rivals) > 1:
            timed += [time_steps(config, 1 if way.looped else way.size, looped=way.looped) for way in rivals]
    return timed


def least_seconds(timed: Sequence[Throughput]) -> float:
    return min(way.seconds for way in timed)


def candidates(runs: int, most: int) -> Sequence[int]:
    """Stack sizes to time: those of `SIZES` that are possible, and the largest possible."""
    largest = min(runs, most, SIZES[-1])
    return sorted({*(size for size in SIZES if size < largest), largest} - {1})


def time_steps(config: Mapping[str, Any], size: int, *, looped: bool) -> Throughput:
    """Train `size` copies of a run for a few steps; the fastest count, as every disturbance makes them slower."""
    dataset = build.data(config)
    network = build.initialized(config, dataset, look_at_data=False)
    state, recipe = stack([network] * size, torch.device("cpu")), build.recipe(config)
    seeds, lrs = [config["seed"]] * size, [config["lr"]] * size
    training = Training(state, network, dataset, recipe, seeds=seeds, lrs=lrs, looped=looped)
    took: list[float] = []
    begun = time.perf_counter()
    while len(took) <= STEPS or time.perf_counter() - begun < SECONDS:
        minibatches, start = training.minibatches.at(len(took)), time.perf_counter()
        training.updater(*minibatches, log=False)
        took.append(time.perf_counter() - start)
    seconds = statistics.median(sorted(took[1:])[:STEPS]) / size  # the first step warms up
    together = max(1, min(LOOPED, int(STACK_SECONDS / (seconds * config["steps"])))) if looped else size
    return Throughput(together, looped, seconds)
