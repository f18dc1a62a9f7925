"""Runs of one shape make a stack; nothing is lost, and nothing but the whitelist differs inside."""

import pickle
import subprocess
import sys

import pytest

from initbench.grid import expand, flatten
from initbench.plan import Stack, shape_key, stacks


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
    apart = ["act=tanh", "data=gaussian", "optim=adam", "model=my.model", "+model.x=1", "+anything=1"]
    numbers = {key: value for key, value in flatten(run).items() if isinstance(value, int | float)}
    for key, value in numbers.items():
        if key not in ("seed", "lr") and not key.startswith("init."):
            other = {True: "false", False: "true"}[value] if isinstance(value, bool) else value + 1
            apart.append(f"{key}={0.4 if key == 'outcome.learned_ratio' else other}")
    keys = [shape_key(expand([override]).runs[0]) for override in apart]
    assert len({shape_key(run), *keys}) == len(apart) + 1 > 15


def test_a_stack_survives_the_way_to_a_worker():
    (stack,) = stacks(expand(["init=he,my.init", "+note='ü, \"x\"'", "lr=0.1,1e-30"]).runs, lambda run: 100)
    assert pickle.loads(pickle.dumps(stack)) == stack


def test_a_stack_is_named_by_its_runs():
    runs = expand([], seeds=4).runs
    assert Stack.of(runs).id == Stack.of(list(runs)).id
    assert len({Stack.of(runs).id, Stack.of(runs[:3]).id, Stack.of(runs[1:]).id}) == 3


def test_no_runs_make_no_stacks():
    assert stacks([], lambda run: 1) == []


def test_planning_needs_no_torch():
    code = "import sys, initbench.plan; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
