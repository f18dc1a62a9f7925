"""Where stacks are trained is chosen by configuration, and changes nothing about a run."""

import os
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import initbench
from initbench import cli
from initbench.config.registry import groups
from initbench.engine.process import configure_process
from initbench.errors import InputError
from initbench.executors.choose import choose_executor
from initbench.executors.local import LocalExecutor
from initbench.executors.protocol import Machine
from initbench.planning import sweep as planning
from initbench.planning.sweep import prepare

TINY = ["depth=1", "width=8", "steps=20", "batch_size=50"]


class Recording:
    """An executor that is not this package's own: it pretends to have two cores, and notes what it is asked to do."""

    start_seconds = 0.0

    def __init__(self, memory: int = 2**30, cores: int = 2):
        self.memory, self.cores, self.asked = memory, cores, []

    def machine(self, device="auto"):
        return Machine("cpu", cores=self.cores, memory=self.memory)

    def run(self, worker, tasks, report, *, workers=1, timeout=None, isolated=False):
        for task in tasks:
            self.asked.append(workers)
            yield worker(task, report)


def test_a_sweep_is_planned_for_the_machine_of_its_executor_and_trained_there(tmp_path: Path):
    executor = Recording()
    sweep = prepare(TINY, seeds=4, out=tmp_path, executor=executor, workers=2)
    assert (sweep.machine.cores, sweep.workers, len(sweep.stacks)) == (2, 2, 2)
    sweep.save()
    list(sweep.train(lambda stack, step: None))
    assert executor.asked == [2, 2]
    assert set(initbench.load(tmp_path).runs["status"]) == {"done"}


def test_a_run_has_one_thread_whatever_is_asked_for_with_it_and_wherever(tmp_path: Path):
    """With another number torch adds in another order: deep nets then ended up to 30 points apart."""
    found = {}
    for cores, seeds, workers in ((1, 1, None), (8, 1, None), (8, 9, 2)):
        out = tmp_path / f"{cores}-{seeds}-{workers}"
        sweep = prepare(TINY, seeds=seeds, out=out, executor=Recording(cores=cores), workers=workers)
        torch.set_num_threads(2)  # as a process may have it
        try:
            sweep.save()
            list(sweep.train(lambda stack, step: None))
        finally:
            torch.set_num_threads(1)
        found[cores, seeds, workers] = set(initbench.load(out).stacks["threads"])
    assert set(map(frozenset, found.values())) == {frozenset({1})}


def test_data_are_loaded_with_as_many_threads_as_they_are_trained_on(monkeypatch, tmp_path: Path):
    """Planning loads them, and trains in the same process if there is little to train: sums of theirs must not vary."""
    seen = []
    compatible = planning.compatible_runs
    look = lambda *a: seen.append(torch.get_num_threads()) or compatible(*a)  # noqa: E731
    monkeypatch.setattr(planning, "compatible_runs", look)  # which loads the data first
    torch.set_num_threads(2)
    try:
        prepare(TINY, out=tmp_path)
        assert seen == [1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize(("given", "threads"), [(None, "1"), ("3", "3")])
def test_a_command_computes_in_one_thread_unless_it_is_told_otherwise(monkeypatch, given: str | None, threads: str):
    """Of whatever library and in its workers too, which inherit it: torch, and NumPy's and SciPy's OpenBLAS."""
    monkeypatch.setenv("OMP_NUM_THREADS", given or "")
    if given is None:
        monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(cli, "app", lambda: None)
    monkeypatch.setattr(cli.gc, "set_threshold", lambda number: None)
    monkeypatch.setattr(cli, "accept_all_characters", lambda: None)
    monkeypatch.setattr(sys, "path", [])
    cli.main()
    assert os.environ["OMP_NUM_THREADS"] == threads


def test_numpy_says_nothing_of_subnormal_numbers_once_they_are_flushed_to_zero(monkeypatch):
    """NumPy below 2.4 warns when it first looks at the limits of a type, in a process that has trained."""
    monkeypatch.setattr(np.finfo, "_finfo_cache", {}, raising=False)  # where it keeps those that it has looked at
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        configure_process()
        assert np.finfo(np.float32).smallest_subnormal < np.finfo(np.float32).tiny


def test_memory_is_the_machines_unless_it_is_limited():
    with pytest.raises(InputError, match="--memory"):
        prepare(TINY, executor=Recording(memory=1000))
    assert prepare(TINY, executor=Recording(memory=1000), memory="1GiB").runs


def test_an_executor_is_no_part_of_a_run(tmp_path: Path):
    assert "executor" not in groups()
    (here,), (there,) = prepare(TINY).runs, prepare(TINY, executor=Recording()).runs
    assert here.id == there.id and "executor" not in here.config


def test_local_is_the_default():
    assert choose_executor("local") == LocalExecutor() == prepare(TINY).executor


def test_a_new_executor_is_a_class_and_a_yaml(tmp_path: Path):
    (tmp_path / "executor").mkdir()
    (tmp_path / "executor" / "mine.yaml").write_text("_target_: test_executors.Recording\nmemory: 12345\n")
    mine = choose_executor("mine", tmp_path)
    assert mine.machine().memory == 12345


@pytest.mark.parametrize(
    ("yaml", "says"),
    [
        ("_target_: nowhere.Executor", "nowhere"),
        ("_target_: test_executors.Recording\nspeed: 1", "speed"),
        ("memory: 1", "Empty module name"),
        ("[", "can't be read"),
    ],
)
def test_a_yaml_that_makes_no_executor_is_named_in_one_line(tmp_path: Path, yaml: str, says: str):
    (tmp_path / "executor").mkdir()
    (tmp_path / "executor" / "mine.yaml").write_text(yaml)
    with pytest.raises(InputError, match=says) as caught:
        choose_executor("mine", tmp_path)
    assert "mine.yaml" in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(InputError, match=r"^--executor locl: no such executor; did you mean 'local'\?$"):
        prepare(TINY, executor="locl")
