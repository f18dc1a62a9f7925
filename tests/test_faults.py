"""A run that fails takes nobody with it: not its stack, not its worker, not the sweep."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import initbench
from initbench import build
from initbench.executors.pool import Pool
from initbench.executors.protocol import Lost, Machine
from initbench.jobs import train
from initbench.planning.sweep import prepare
from obedient_worker import obey

TINY = ["depth=1", "width=8", "steps=20", "batch_size=50"]


def test_a_worker_that_dies_costs_its_task_and_is_replaced():
    reports = []
    found = list(Pool(obey, 2).run(iter(["a", "die", "b", "leave", "c"]), lambda *told: reports.append(told)))
    assert sorted(each for each in found if isinstance(each, str)) == ["A", "B", "C"]
    lost = {each.task: each.how for each in found if isinstance(each, Lost)}
    assert lost == {
        "die": "was killed by SIGKILL (out of memory?)",
        "leave": "ended its process with exit code 3",
    }
    assert sorted(reports) == [(name, 1) for name in ("a", "b", "c", "die", "leave")]


def test_a_task_that_never_ends_is_ended():
    (lost,) = Pool(obey, 1, timeout=1.0).run(iter(["sleep"]), lambda *_: None)
    assert isinstance(lost, Lost) and lost.late and lost.how == "took longer than 1 s"


DEADLY = """
import multiprocessing, os, signal

def deadly(module, batch, generator, *, kill=False):
    if kill and multiprocessing.parent_process():
        os.kill(os.getpid(), signal.SIGKILL)
    for parameter in module.parameters():
        parameter.data.normal_(0, 0.1, generator=generator)
"""


@pytest.mark.slow
def test_a_user_part_that_kills_its_process_costs_its_run_alone(tmp_path: Path):
    """With one worker too: runs of somebody's own code are never trained in the process that plans and reports."""
    (tmp_path / "mine.py").write_text(DEADLY)
    grid = ["init=mine.deadly", "+init.kill=false,true", *TINY, "--seeds", "2", "--workers", "1", "--out", "out"]
    path = {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [sys.executable, "-m", "initbench", "run", *grid]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | path, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    runs = initbench.load(tmp_path / "out").runs
    assert runs.groupby("init.kill")["status"].unique().map(list).to_dict() == {False: ["done"], True: ["failed"]}


def test_what_a_worker_raises_comes_through():
    with pytest.raises(ValueError, match="no such thing"):
        list(Pool(obey, 1).run(iter(["raise"]), lambda *_: None))


def test_tasks_are_drawn_when_a_worker_is_free():
    drawn = []

    def tasks():
        for name in "abcd":
            drawn.append(name)
            yield name

    results = Pool(obey, 1).run(tasks(), lambda *_: None)
    assert next(results) == "A" and drawn == ["a"]
    results.close()


class Fragile:
    """An executor whose worker dies with each stack that holds a certain seed."""

    start_seconds = 0.0

    def __init__(self, deadly: int):
        self.deadly, self.sizes = deadly, []

    def machine(self, device="auto"):
        return Machine("cpu", cores=1, memory=2**30)

    def run(self, worker, tasks, report, *, workers=1, timeout=None, isolated=False):
        for task in tasks:
            seeds = [run.config["seed"] for run in task.stack.runs]
            if self.deadly in seeds:
                self.sizes.append(len(seeds))
                yield Lost(task, "was killed by SIGKILL (out of memory?)")
            else:
                yield worker(task, report)


def test_a_run_that_kills_its_worker_is_found_and_recorded_and_the_others_are_trained(tmp_path: Path):
    executor, said = Fragile(deadly=5), []
    sweep = prepare(TINY, seeds=8, out=tmp_path, executor=executor, workers=1)
    assert [len(stack.runs) for stack in sweep.stacks] == [8]
    statuses = list(sweep.train(lambda *_: None, tell=said.append))
    assert executor.sizes == [8, 8, 4, 2, 1, 1]  # the stack once more, then halves; a single run has two tries
    assert {status.stack_id for status in statuses} == {sweep.stacks[0].id}
    runs = initbench.load(tmp_path).runs.set_index("seed")
    assert runs.loc[runs["status"] == "failed"].index.tolist() == [5]
    assert "was killed by SIGKILL" in runs.loc[5, "reason"]
    assert (runs["status"] == "done").sum() == 7
    assert said[0] == "a worker was killed by SIGKILL (out of memory?) in the training of 8 runs"
    assert not (tmp_path / "work").exists()
    again = prepare(TINY, seeds=8, out=tmp_path, executor=executor, workers=1)
    assert again.stacks == [] and len(again.failed) == 1


def test_a_run_that_fails_in_training_fails_alone(tmp_path: Path, monkeypatch):
    fit, sizes = train.fit, []

    def sometimes(runs, *rest):
        sizes.append(len(runs))
        if any(run.config["seed"] == 2 for run in runs):
            raise MemoryError("no room for seed 2")
        return fit(runs, *rest)

    monkeypatch.setattr(train, "fit", sometimes)
    sweep = prepare([*TINY, "save_weights=true"], seeds=4, out=tmp_path, workers=1)
    list(sweep.train(lambda *_: None))
    assert sizes == [4, 2, 2, 1, 1]
    results = initbench.load(tmp_path)
    runs = results.runs.set_index("seed")
    assert runs["status"].to_dict() == {0: "done", 1: "done", 2: "failed", 3: "done"}
    assert runs.loc[2, "reason"] == "MemoryError: no room for seed 2" and runs["error"].notna().sum() == 1
    assert results.losses["run_id"].value_counts().to_dict() == {runs.loc[seed, "run_id"]: 20 for seed in (0, 1, 3)}
    alone = tmp_path / "alone"
    list(prepare([*TINY, "seed=3"], out=alone, workers=1).train(lambda *_: None))
    assert initbench.load(alone).losses["train_loss"].tolist() == (
        results.losses.set_index("run_id").loc[runs.loc[3, "run_id"], "train_loss"].tolist()
    )


@pytest.mark.parametrize("raised", [SystemExit(0), RuntimeError("no luck")])
def test_an_initializer_that_exits_fails_its_run_alone(tmp_path: Path, monkeypatch, raised):
    real = build.initialized

    def sometimes(config, dataset, **options):
        if config["seed"] == 1:
            os.chdir("/")  # results must not land there
            raise raised
        return real(config, dataset, **options)

    sweep = prepare(TINY, seeds=3, out=tmp_path, workers=1)
    before = Path.cwd()
    monkeypatch.setattr(build, "initialized", sometimes)
    list(sweep.train(lambda *_: None))
    assert initbench.load(tmp_path).runs["status"].tolist().count("done") == 2
    assert Path.cwd() == before
