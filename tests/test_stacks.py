"""Runs of one shape make a stack; nothing is lost, and nothing but the whitelist differs inside. What a run costs."""

import pickle
import subprocess
import sys
from itertools import accumulate

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from initbench import build
from initbench.config.grid import expand
from initbench.config.run import flatten
from initbench.config.stacks import Stack, shape_key, stacks
from initbench.engine.state import stack
from initbench.jobs.train import fit
from initbench.planning.cost import shape_of


def sizes(count: int, limit: int, parallel: int = 1) -> list[int]:
    runs = expand([], seeds=count).runs
    return [len(stack.runs) for stack in stacks(runs, lambda run: limit, parallel)]


@pytest.mark.parametrize(
    ("count", "limit", "parallel", "expected"),
    [
        (6, 10, 1, [6]),
        (10, 4, 1, [3, 3, 4]),
        (10, 10, 2, [5, 5]),
        (10, 4, 2, [2, 3, 2, 3]),
        (3, 1, 2, [1, 1, 1]),
        (1, 10, 2, [1]),
        (5, 0, 1, [1, 1, 1, 1, 1]),
        (5, 2, 4, [1, 1, 1, 2]),
    ],
)
def test_a_shape_is_split_evenly(count: int, limit: int, parallel: int, expected: list[int]):
    assert sizes(count, limit, parallel) == expected


@pytest.mark.parametrize("parallel", [1, 2, 3, 7])
@pytest.mark.parametrize("limit", [1, 3, 16, 100])
@pytest.mark.slow
def test_every_run_is_in_one_stack_of_its_shape(limit: int, parallel: int):
    runs = expand(["init=he,normal", "init.std=0.1,1", "depth=1,2", "act=relu,tanh", "lr=0.1,1"], seeds=3).runs
    planned = stacks(runs, lambda run: limit, parallel)
    assert sorted(run.id for stack in planned for run in stack.runs) == sorted(run.id for run in runs)
    assert all(len(stack.runs) <= limit for stack in planned)
    assert all(len({shape_key(run) for run in stack.runs}) == 1 for stack in planned)
    assert len({stack.id for stack in planned}) == len(planned)


def test_shapes_and_runs_keep_their_order():
    runs = expand(["depth=2,1", "init=xavier,he"], seeds=2).runs
    planned = stacks(runs, lambda run: 100)
    assert [stack.runs for stack in planned] == [tuple(runs[:4]), tuple(runs[4:])]


def test_the_limit_is_that_of_the_shapes_first_run():
    runs = expand(["depth=1,2"], seeds=6).runs
    planned = stacks(runs, lambda run: 3 * run.config["depth"])
    assert [len(stack.runs) for stack in planned] == [3, 3, 6]


@pytest.mark.slow
def test_only_initializer_seed_and_learning_rate_may_differ_inside_a_stack():
    (run,) = expand([]).runs
    alike = expand(["init=he,normal,my.init", "init.gain=1,2", "init.std=1,2", "lr=1,2"], seeds=2).runs
    assert {shape_key(other) for other in alike} == {shape_key(run)}
    apart = ["act=tanh", "data=gaussian", "optim=adam", "model=my.model", "+model.x=1", "+data.anything=1"]
    numbers = {key: value for key, value in flatten(run).items() if isinstance(value, int | float)}
    for key, value in numbers.items():
        if key not in ("seed", "lr") and not key.startswith("init."):
            other = {True: "false", False: "true"}[value] if isinstance(value, bool) else value + 1
            apart.append(f"{key}={0.4 if key == 'outcome.learned_ratio' else other}")
    keys = [shape_key(expand([override]).runs[0]) for override in apart]
    assert len({shape_key(run), *keys}) == len(apart) + 1 > 15


def test_a_stack_survives_the_way_to_a_worker():
    (stack,) = stacks(expand(["init=he,my.init", "+model.note='ü, \"x\"'", "lr=0.1,1e-30"]).runs, lambda run: 100)
    assert pickle.loads(pickle.dumps(stack)) == stack


def test_a_stack_is_named_by_its_runs():
    runs = expand([], seeds=4).runs
    assert Stack.of(runs).id == Stack.of(list(runs)).id
    assert len({Stack.of(runs).id, Stack.of(runs[:3]).id, Stack.of(runs[1:]).id}) == 3


def test_no_runs_make_no_stacks():
    assert stacks([], lambda run: 1) == []


def test_planning_needs_no_torch():
    code = "import sys, initbench.config.stacks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# What a run costs


def estimated(*overrides: str) -> int:
    """Bytes of a run, as the plan takes them."""
    (run,) = expand(overrides).runs
    return shape_of(run.config, build.data(run.config), memory=2**40).cost.bytes


WEIGHTS, BIASES, HIDDEN = 64 * 8 + 8 * 8 + 8 * 10, 8 + 8 + 10, 64 * 8 + 8 * 8  # of two hidden layers of 8 units
COPY, MASKED = 4 * (WEIGHTS + BIASES), 4 + 4 + 1  # bytes; an entry with its mask, of a byte


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "more"),
    [
        (["optim.momentum=0"], -COPY),
        (["optim=adam"], COPY),
        (["optim=ranger"], 2 * COPY),  # two moments and the slow weights, where momentum has one velocity
        (["optim=lookahead"], COPY),
        (["optim=muon"], 4 * BIASES),  # Adam's two for what is no matrix
        (["average=ema"], COPY),
        (["regularize.weight_noise=0.1"], 2 * COPY),
        (["regularize.weight_decay=0.1"], COPY),
        (["gradient.clip_norm=1"], 2 * COPY),  # the raw gradient, and its norm is taken in float64
        (["regularize.dropconnect=0.2"], MASKED * HIDDEN),
        (["regularize.dropout=0.2"], MASKED * 100 * 16),  # a batch's, of two layers
        (["optim=ranger", "average=ema", "regularize.dropconnect=0.2"], 3 * COPY + MASKED * HIDDEN),
    ],
)
def test_what_a_recipe_adds_to_the_memory_of_a_run(overrides: list[str], more: int):
    size = ["depth=2", "width=8"]
    assert estimated(*size, *overrides) - estimated(*size) == more


def test_the_best_weights_of_early_stopping_take_memory():
    size = ["depth=2", "width=8", "data.val_fraction=0.2"]
    assert estimated(*size, "regularize.patience=3") - estimated(*size) == COPY


@pytest.mark.parametrize(
    "overrides",
    [
        ["optim=sgd"],
        ["optim=adam"],
        ["optim=ranger", "average=ema", "regularize.dropconnect=0.2"],
        ["regularize.weight_noise=0.01", "gradient.clip_norm=1"],
        ["regularize.patience=3", "data.val_fraction=0.2", "average=swa"],
        ["regularize.dropout=0.5", "batch_size=500"],
    ],
)
@pytest.mark.slow
def test_the_memory_of_a_run_is_what_torch_allocates(overrides: list[str]):
    """The most that is held while a stack of two is built and trained, as torch's profiler sees it."""
    asked = [*overrides, "depth=3", "width=512", "steps=12", "eval_every=6", "log_every=5"]
    runs = expand(asked, seeds=2).runs
    data = build.data(runs[0].config)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        models = [build.initialized(run.config, data) for run in runs]
        fit(runs, stack(models, torch.device("cpu")), models[0], data, lambda step: None)
    assert profiler.profiler is not None and profiler.profiler.kineto_results is not None
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    peak = max(accumulate(event.nbytes() for event in events))  # type: ignore[attr-defined]
    assert estimated(*asked) * len(runs) == pytest.approx(peak, rel=0.15)
