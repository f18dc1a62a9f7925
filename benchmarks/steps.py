"""Steps of a training without its loop: what is timed where run-steps per second of many kinds are compared."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from initbench import build
from initbench.config.run import Run
from initbench.engine.batches import Batches
from initbench.engine.programs.choose import choose_program
from initbench.engine.programs.protocol import Program
from initbench.engine.state import stack
from initbench.engine.update import Updater

CPU = torch.device("cpu")


def steps_of(runs: Sequence[Run], looped: bool = False) -> tuple[Callable[[], None], Program]:
    """A function that updates all runs of one shape by their next batches, without a look; and its program."""
    config, size = runs[0].config, len(runs)
    data = build.data(config)
    models = [build.initialized(run.config, data) for run in runs]
    state, recipe, seeds = stack(models, CPU), build.recipe(config), range(size)
    made = choose_program(models[0], state, data, recipe, seeds, looped)
    stepper = Updater(made, state, recipe, [config["lr"]] * size, seeds)
    x, y = state.cast(data.x_train), data.y_train
    batches = iter(Batches(seeds, len(y), config["batch_size"], CPU))

    def step() -> None:
        index = next(batches)
        stepper(x[index], y[index], log=False)

    return step, made


def rate(step: Callable[[], Any], run_steps: int, seconds: float) -> float:
    """Run-steps per second of a step that makes `run_steps` of them, over some seconds after a warm-up."""
    for _ in range(3):
        step()
    done, start = 0, time.perf_counter()
    while (took := time.perf_counter() - start) < seconds:
        step()
        done += run_steps
    return done / took
