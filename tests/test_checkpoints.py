"""A stack that was interrupted goes on from its checkpoint, to the same numbers bit for bit; a bad one is not used."""

import json
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

import initbench
from in_a_terminal import INITBENCH
from initbench.cli import app
from initbench.engine.train import Training
from initbench.jobs.train import work
from initbench.planning.sweep import Sweep, prepare
from initbench.results import checkpoints
from initbench.results.load import read_folder
from initbench.results.status import FolderStatus
from initbench.results.upkeep import leftovers, remove

runner = CliRunner()
SMALL = ["width=8", "depth=2", "batch_size=20", "steps=24", "log_every=4", "eval_every=6", "data.train_size=100"]
SMALL += ["data.val_fraction=0.2", "init=he,xavier", "lr=0.05", "seed=0,1"]
PARTS = [
    ["optim=adam", "schedule=cosine", "average=ema", "regularize.dropout=0.3"],
    ["optim=lookahead", "average=swa", "average.every=2", "gradient.noise=0.1", "regularize.weight_noise=0.1"],
    ["regularize.patience=2", "norm=batch", "curriculum=linear", "precision=bfloat16"],
    ["rebalance=undersample", "data.imbalance=0.3", "augment.noise=0.1"],
    ["init.freeze=1", "data=digits_rows", "model=lstm"],
]


class Cut(BaseException):
    """Ends a process's training, as SIGKILL would: nothing is written after it."""


def cut_at(step: int, monkeypatch: pytest.MonkeyPatch):
    """Let trainings end with `Cut` after this step."""
    real = Training.step

    def one(training: Training) -> None:
        if training.steps_done == step:
            raise Cut
        real(training)

    monkeypatch.setattr(Training, "step", one)


def swept(out: Path, *overrides: str, **options) -> Sweep:
    given = {text.partition("=")[0] for text in overrides}
    sweep = prepare(
        [*(t for t in SMALL if t.partition("=")[0] not in given), *overrides], out=out, workers=1, **options
    )
    sweep.save()
    return sweep


def train(sweep: Sweep, checkpoint_every: float = 60.0) -> list[str]:
    """Train to the end; returns what was said."""
    said: list[str] = []
    list(sweep.train(lambda *_: None, tell=said.append, checkpoint_every=checkpoint_every))
    return said


def interrupted(out: Path, *overrides: str, step: int = 11, **options) -> Path:
    """A folder whose only stack was killed at a step; returns its checkpoint."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Cut):
        cut_at(step, patch)
        train(swept(out, *overrides, **options), checkpoint_every=0.0)
    (file,) = checkpoints.stored(out)
    return file


def same_curves(one: Path, other: Path) -> None:
    """All that was recorded is equal to the last bit, but times."""
    ours, theirs = initbench.load(one), initbench.load(other)
    for name in ("losses", "evals", "layers", "times", "gradients"):
        pd.testing.assert_frame_equal(getattr(ours, name), getattr(theirs, name), check_exact=True)
    measured = [column for column in ours.runs if not any(word in column for word in ("second", "stack_", "started"))]
    pd.testing.assert_frame_equal(ours.runs[measured], theirs.runs[measured], check_exact=True)


@pytest.mark.slow
@pytest.mark.parametrize("overrides", PARTS, ids=" ".join)
def test_a_stack_that_goes_on_is_the_undisturbed_one_bit_for_bit(tmp_path, overrides):
    train(swept(tmp_path / "whole", *overrides))
    interrupted(tmp_path / "cut", *overrides)
    assert train(swept(tmp_path / "cut", *overrides)) == ["going on with 4 runs at step 11 of 24"]
    same_curves(tmp_path / "cut", tmp_path / "whole")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A stack that was killed at step 11; not to be changed."""
    out = tmp_path_factory.mktemp("interrupted")
    interrupted(out)
    return out


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The same stack, undisturbed."""
    out = tmp_path_factory.mktemp("whole")
    train(swept(out))
    return out


@pytest.fixture
def cut(folder: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    copy = tmp_path / "cut"
    copy.mkdir()
    subprocess.run(["cp", "-r", f"{folder}/.", copy], check=True)
    return copy


def test_only_what_came_after_the_checkpoint_is_trained_again(cut, monkeypatch):
    real, steps = Training.step, []
    monkeypatch.setattr(Training, "step", lambda training: (steps.append(training.steps_done), real(training)))
    sweep = swept(cut)
    assert sweep.under_way == {sweep.stacks[0].id: 11}
    before = checkpoints.read(checkpoints.stored(cut)[0])
    train(sweep)
    assert steps == list(range(11, 24))
    (info,) = initbench.load(cut).stacks.to_dict("records")
    assert info["stack_seconds"] > before.seconds and pd.Timestamp(info["started"]) == pd.Timestamp(before.started)
    assert not (cut / "work").exists()


def test_runs_are_stacked_as_they_were_and_others_beside_them(cut):
    """More seeds are asked for: the four runs under way stay one stack."""
    sweep = swept(cut, "seed=0,1,2")
    assert sorted(len(stack.runs) for stack in sweep.stacks) == [2, 4]
    assert [sweep.under_way.get(stack.id) for stack in sweep.stacks if len(stack.runs) == 4] == [11]


def test_a_checkpoint_of_which_only_some_runs_are_wanted_stays(cut):
    assert train(swept(cut, "seed=0")) == []
    assert len(checkpoints.stored(cut)) == 1
    assert leftovers(read_folder(cut)) == []


def test_a_fresh_training_begins_at_the_first_step(cut):
    sweep = swept(cut, fresh=True)
    assert sweep.under_way == {} and train(sweep) == []
    assert checkpoints.stored(cut) == []


def changed(file: Path, **entries) -> None:
    """Write other entries into a checkpoint's header."""
    content = vars(checkpoints.read(file)) | entries
    save_file(load_file(file), file, metadata={checkpoints.KEY: json.dumps(content)})


def other_torch(file: Path) -> None:
    changed(file, identity=checkpoints.read(file).identity | {"torch": "2.0.0"})


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-100]), "not safetensors, or cut off"),
        (other_torch, "it was made with torch 2.0.0, here is"),
        (lambda file: changed(file, steps_done="11"), "steps_done is no int"),
        (lambda file: changed(file, seconds=float("nan")), "its numbers can't be"),
        (lambda file: changed(file, built=[]), "other runs of it could be built"),
        (lambda file: changed(file, tree={}), "'identity'"),
        (
            lambda file: save_file({name: t[:-1] for name, t in load_file(file).items() if t.ndim}, file),
            "no.*checkpoint",
        ),
    ],
    ids=["cut off", "other torch", "wrong type", "not a number", "other runs", "without state", "no header"],
)
def test_a_checkpoint_that_cannot_be_used_is_named_and_the_training_starts_anew(cut, whole, harm, reason):
    (file,) = checkpoints.stored(cut)
    harm(file)
    (said,) = [each for each in train(swept(cut)) if not each.startswith("going on")]
    assert pd.Series([said]).str.contains(rf"{file.name} is not used: .*{reason}.* start anew").all()
    same_curves(cut, whole)


def test_status_says_what_is_under_way_and_clean_removes_what_is_of_no_use(cut):
    told = runner.invoke(app, ["status", str(cut)]).output
    assert "1 stack under way, at step 11 of 24" in told and "of checkpoints" in told
    assert leftovers(read_folder(cut)) == []
    (file,) = checkpoints.stored(cut)
    kept = file.read_bytes()
    other_torch(file)
    assert [left.path for left in leftovers(read_folder(cut))] == [file]
    file.write_bytes(kept)
    train(swept(cut))
    file.parent.mkdir(parents=True)
    file.write_bytes(kept)  # as if the process had been killed before it deleted it
    (left,) = leftovers(read_folder(cut))
    assert left.path == file and left.why == "a checkpoint of runs that are finished"
    assert FolderStatus.of(read_folder(cut)).under_way == [] and swept(cut).stacks == []
    remove(file)
    assert not file.exists()


def test_halves_after_a_failure_start_anew_and_leave_no_checkpoint(cut, monkeypatch):
    real = Training.step

    def step(training: Training) -> None:
        if training.steps_done == 15 and 1 in training.seeds:
            raise RuntimeError("no luck with seed 1")
        real(training)

    monkeypatch.setattr(Training, "step", step)
    train(swept(cut))
    assert initbench.load(cut).runs.groupby("seed")["status"].agg(set).to_dict() == {0: {"done"}, 1: {"failed"}}
    assert checkpoints.stored(cut) == []


def test_a_full_disk_costs_the_checkpoints_and_not_the_runs(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "write", full)
    assert train(swept(tmp_path), 0.0) == ["no checkpoint could be written: No space left on device"]
    assert set(initbench.load(tmp_path).runs["status"]) == {"done"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_told_to_stop_a_training_writes_a_checkpoint_at_its_next_step(tmp_path, monkeypatch, number):
    real = Training.step

    def step(training: Training) -> None:
        real(training)
        if training.steps_done == 7:
            signal.raise_signal(number)

    def end(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Training, "step", step)
    before = signal.signal(number, end)
    try:
        sweep = swept(tmp_path)
        task = replace(sweep.task(sweep.stacks[0]), checkpoint_every=60.0)
        with pytest.raises(KeyboardInterrupt):
            work(task, lambda *_: None)
        assert signal.getsignal(number) is end
    finally:
        signal.signal(number, before)
    assert checkpoints.read(checkpoints.stored(tmp_path)[0]).steps_done == 7


LONG = ["init=he", "act=relu,tanh", "width=16", "depth=2", "steps=4000", "batch_size=20", "log_every=1000"]


def started(out: Path, *options: str) -> subprocess.Popen:
    command = [*INITBENCH, "run", *LONG, "--out", str(out), "--checkpoint-every", "0.2", *options]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 200
    while not checkpoints.stored(out):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    return process


def nobody_left(group: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "workers", "code"),
    [(signal.SIGKILL, 1, -9), (signal.SIGINT, 2, 130), (signal.SIGTERM, 1, 143)],
)
def test_a_command_that_is_ended_in_mid_stack_goes_on_where_it_was(tmp_path, number, workers, code):
    process = started(tmp_path, "--workers", str(workers))
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)  # Ctrl-C goes to all of the group
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code and "Traceback" not in errors
    nobody_left(process.pid)
    if number != signal.SIGKILL:
        assert errors.strip().splitlines()[-1].startswith("Interrupted. Finished runs and checkpoints are kept")
    left = {each.stack_id: each.steps_done for each in map(checkpoints.read, checkpoints.stored(tmp_path))}
    assert left and all(0 < steps < 4000 for steps in left.values())
    sweep = prepare(LONG, out=tmp_path, workers=1)
    assert sweep.under_way == left
    said = train(sweep)
    assert sorted(said) == sorted(f"going on with 1 run at step {steps:,} of 4,000" for steps in left.values())
    assert set(initbench.load(tmp_path).runs["status"]) == {"done"}
