"""Peer (e): initbench's own engine, stack after stack in one single-threaded process a core."""

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from problem import (
    BATCH,
    CLASSES,
    LOOK_EVERY,
    LR,
    MOMENTUM,
    RUNS,
    Shape,
    digits,
    he_weights,
)
from timing import CORES, OneEachCore, slope
from torch import nn

from initbench.engine import metrics
from initbench.engine.process import configure_process
from initbench.engine.recipe import Recipe
from initbench.engine.record import Record
from initbench.engine.state import stack
from initbench.engine.train import Training
from initbench.parts import activations
from initbench.parts.activations import Activation
from initbench.parts.data import Dataset
from initbench.parts.models import MLP, ModelSpec
from initbench.parts.optimizers import SGD
from initbench.planning.sweep import prepare

METRICS = {
    name: getattr(metrics, name)
    for name in (
        "weight_grad_norm",
        "pre_grad_norm",
        "act_mean",
        "act_var",
        "unit_spread",
        "example_spread",
        "dead",
        "saturated",
        "update_ratio",
    )
}
NEVER = 10**9  # steps


def chosen_stack_size(shape: Shape) -> int:
    """The largest stack that `initbench run` would plan for RUNS runs of this shape on a worker a core."""
    overrides = [f"depth={shape.depth}", f"width={shape.width}", "init=he", "act=relu", f"batch_size={BATCH}"]
    with tempfile.TemporaryDirectory() as out:
        sweep = prepare(overrides, seeds=RUNS, out=Path(out), device="cpu", workers=CORES)
        return max(len(stack.runs) for stack in sweep.stacks)


def dataset() -> Dataset:
    x, y = (torch.from_numpy(array) for array in digits())
    return Dataset(x, y, x[:0], y[:0], x[:0], y[:0], CLASSES, 0.0, 1.0)


def model_of(weights: list[np.ndarray]) -> MLP:
    """One run's module, from the weights (out, in) and zero biases."""
    depth, (width, features) = len(weights) - 1, weights[0].shape
    model = MLP(ModelSpec((features,), CLASSES, depth, width, lambda: Activation(activations.relu)))
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    linears = [module for module in model.modules() if isinstance(module, nn.Linear)]
    for linear, weight in zip(linears, weights, strict=True):
        linear.weight.data.copy_(torch.from_numpy(weight))
    return model


def train_stack(
    weights: list[list[np.ndarray]], seeds: Sequence[int], data: Dataset, steps: int, log_every: int
) -> Record:
    """The engine's record of one stack, from each run's weights and the batch order of each run's seed."""
    models = [model_of(run) for run in weights]
    return Training(
        stack(models, torch.device("cpu")),
        models[0],
        data,
        Recipe(
            SGD(momentum=MOMENTUM),
            steps=steps,
            batch_size=BATCH,
            log_every=log_every,
            eval_every=NEVER,
            metrics=METRICS,
        ),
        seeds=seeds,
        lrs=[LR] * len(seeds),
    ).run()


class Worker:
    """One process's share of the runs, a stack at a time."""

    def __init__(self, shape: Shape, seeds: Sequence[int]) -> None:
        configure_process(threads=1)
        self.data = dataset()
        self.seeds = seeds
        self.weights = [he_weights(shape, self.data.x_train.shape[1], seed) for seed in seeds]

    def __call__(self, steps: int, stack_size: int, log_every: int) -> None:
        for start in range(0, len(self.seeds), stack_size):
            some = slice(start, start + stack_size)
            train_stack(self.weights[some], self.seeds[some], self.data, steps, log_every)


def measure(shape: Shape, ways: Sequence[tuple[int, int]], steps: tuple[int, int]) -> list[float]:
    """Run-steps per second of RUNS runs for each way to train them: (stack_size, log_every)."""
    workers = OneEachCore(Worker, [(shape, range(core, RUNS, CORES)) for core in range(CORES)])
    for way in ways:
        workers(steps[0], *way)
    rates = [slope(lambda n, way=way: workers(n, *way), steps, RUNS) for way in ways]
    workers.close()
    return rates


if __name__ == "__main__":
    kind, shape, *numbers = sys.argv[1], Shape.parse(sys.argv[2]), *map(int, sys.argv[3:])
    if kind == "chosen":
        print(chosen_stack_size(shape))
    elif kind == "sizes":
        short, long, *sizes = numbers
        print(json.dumps(measure(shape, [(size, LOOK_EVERY) for size in sizes], (short, long))))
    elif kind == "logging":
        short, long, size = numbers
        print(json.dumps(measure(shape, [(size, LOOK_EVERY), (size, NEVER)], (short, long))))
