"""A training as an object: saved anywhere, loaded anew and continued, it is the undisturbed one, bit for bit."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from agreement import with_data
from initbench import build
from initbench.config.grid import expand
from initbench.config.registry import choices
from initbench.engine.batches import Batches
from initbench.engine.precision import PRECISIONS
from initbench.engine.record import Record
from initbench.engine.state import stack
from initbench.engine.train import Training
from initbench.errors import InputError
from initbench.randomness import stream

CPU = torch.device("cpu")
SMALL = ["width=8", "depth=2", "batch_size=20", "steps=24", "log_every=4", "eval_every=6", "data.train_size=100"]
SMALL += ["data.val_fraction=0.2", "act=tanh", "init=he,xavier", "lr=0.05", "seed=0,1"]


def made(*overrides: str, looped: bool = False, steps: int | None = None) -> Training:
    """A training of four runs, two seeds of two initializers, built from its configuration."""
    given = {text.partition("=")[0] for text in overrides}
    common = [text for text in SMALL if text.partition("=")[0] not in given]
    runs = expand([*common, *overrides]).runs
    dataset = build.data(runs[0].config)
    models = [build.initialized(run.config, dataset) for run in runs]
    state, recipe = stack(models, CPU), build.recipe(runs[0].config)
    if steps is not None:
        recipe = replace(recipe, steps=steps)
    seeds, lrs = [run.config["seed"] for run in runs], [run.config["lr"] for run in runs]
    return Training(state, models[0], dataset, recipe, seeds=seeds, lrs=lrs, looped=looped)


def on_disk(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state after a way through safetensors and JSON, which have no objects: only tensors, numbers and texts."""
    tensors: dict[str, Tensor] = {}

    def plain(part: Any, path: str) -> Any:
        if isinstance(part, Mapping):
            return {name: plain(entry, f"{path}/{name}") for name, entry in part.items()}
        if isinstance(part, (Tensor, np.ndarray)):
            tensors[path] = torch.as_tensor(part).contiguous()
            return {"tensor": path}
        assert type(part) in (int, float, str)
        return part

    def whole(part: Any) -> Any:
        if isinstance(part, dict):
            return read[part["tensor"]] if part.keys() == {"tensor"} else {name: whole(part[name]) for name in part}
        return part

    text = json.dumps(plain(state, ""))
    read = load(save(tensors))
    return whole(json.loads(text))


def same(a: Any, b: Any) -> None:
    """Equal to the last bit, in all that is recorded or saved."""
    if isinstance(a, Mapping):
        assert a.keys() == b.keys()
        for name in a:
            same(a[name], b[name])
    elif isinstance(a, (Tensor, np.ndarray)):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for ours, theirs in zip(a, b, strict=True):
            same(ours, theirs)
    else:
        assert a == b


def continued(step: int, *overrides: str, looped: bool = False) -> tuple[Training, Record]:
    """The training that is saved at a step, loaded into a new one and continued there."""
    first = made(*overrides, looped=looped)
    advance(first, step)
    saved = on_disk(first.state_dict())
    first.run()  # what is saved is a copy: to go on changes nothing of it
    second = made(*overrides, looped=looped)
    second.load_state_dict(saved)
    assert second.steps_done == step
    return second, second.run()


def advance(training: Training, step: int) -> None:
    """As `run` does it, to this step."""
    while training.steps_done < step:
        if training.steps_done % training.recipe.eval_every == 0:
            training.evaluate()
        training.step()


def is_continued(*overrides: str, looped: bool = False, step: int = 11) -> Record:
    undisturbed = made(*overrides, looped=looped)
    expected = undisturbed.run()
    resumed, record = continued(step, *overrides, looped=looped)
    same(vars(record), vars(expected))
    same(resumed.state_dict(), undisturbed.state_dict())
    return expected


TRAINED = [["optim=" + name] for name in choices("optim")]
TRAINED += [["schedule=" + name] for name in choices("schedule")]
TRAINED += [["average=" + name] for name in choices("average")]
UNBALANCED = ["data.imbalance=0.2", "data.train_size=300"]
TRAINED += [["rebalance=" + name, *UNBALANCED] for name in choices("rebalance") if name != "none"]
TRAINED += [["curriculum=" + name] for name in choices("curriculum") if name != "none"]
TRAINED += [["norm=" + name] for name in choices("norm")]
TRAINED += [["precision=" + name] for name in PRECISIONS if name not in ("float16", "tf32")]  # those need CUDA
TRAINED += [
    ["regularize.dropout=0.3"],
    ["regularize.dropconnect=0.3"],
    ["regularize.weight_noise=0.1"],
    ["regularize.patience=1", "lr=0.5", "eval_every=2"],
    ["regularize.patience=2", "average=ema", "norm=batch"],
    ["gradient.noise=0.1", "gradient.clip_norm=0.5"],
    ["gradient.noise=0.1", "regularize.weight_noise=0.1", "regularize.dropout=0.3", "optim=adam"],
    ["optim=lookahead", "average=swa", "average.every=2", "save_predictions=true"],
]


@pytest.mark.slow
@pytest.mark.parametrize("overrides", TRAINED, ids=" ".join)
def test_a_training_that_is_saved_and_loaded_is_the_undisturbed_one(overrides):
    is_continued(*overrides)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in choices("mitigation") if name not in ("float16", "tf32")])
def test_so_it_is_with_every_mitigation(name):
    own = {"early_stopping": ["eval_every=50"], "smote": UNBALANCED, "adasyn": UNBALANCED[1:]}  # what they ask for
    is_continued(*with_data(name), *own.get(name, []))


@pytest.mark.slow
@pytest.mark.parametrize("looped", [False, True])
@pytest.mark.parametrize(
    "overrides",
    [
        ["norm=batch", "regularize.dropout=0.3"],
        ["model=cnn", "width=4", "norm=batch"],
        ["model=lstm", "data=digits_rows"],
        ["model=transformer", "data=digits_rows", "regularize.dropout=0.3"],
    ],
    ids=" ".join,
)
def test_so_it_is_under_vmap_and_in_a_loop(overrides, looped):
    is_continued(*overrides, looped=looped)


@pytest.mark.slow
@pytest.mark.parametrize("step", [0, 1, 4, 6, 12, 23, 24])
def test_it_can_be_saved_at_every_step(step):
    """Before the first, at log steps and evaluations, and after the last."""
    is_continued("regularize.dropout=0.3", step=step)


def test_a_training_in_which_all_have_stopped_early_has_when_it_is_loaded():
    overrides = ["regularize.patience=1", "lr=50", "eval_every=2"]
    training = made(*overrides)
    record = training.run()
    assert record.stopped_step is not None and (record.stopped_step >= 0).all() and training.finished
    resumed = made(*overrides)
    resumed.load_state_dict(on_disk(training.state_dict()))
    assert resumed.finished
    same(vars(resumed.run()), vars(record))


def test_a_training_in_which_all_have_diverged_has_when_it_is_loaded():
    training = made("lr=1e30", "init=normal", "act=relu")
    record = training.run()
    assert training.all_diverged and training.steps_done < 24
    resumed = made("lr=1e30", "init=normal", "act=relu")
    resumed.load_state_dict(on_disk(training.state_dict()))
    assert resumed.finished
    same(vars(resumed.run()), vars(record))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["width=9"], r"checkpoint: weights is \(4, \d+\) float32, this training needs \(4, \d+\) float32"),
        (["init=he"], r"checkpoint: its seeds are 0 1 0 1, this training has 0 1$"),
        (["seed=3,4"], r"checkpoint: its seeds are 0 1 0 1, this training has 3 4 3 4"),
        (["optim=adam"], r"checkpoint: this training has moments\.weights\.mean, the checkpoint has not"),
        (["average=ema"], r"checkpoint: this training has average, the checkpoint has not"),
        (["regularize.dropout=0.2"], r"checkpoint: this training has masks, the checkpoint has not"),
        (["steps=5"], r"checkpoint: 8 steps are done, this training has 5"),
    ],
)
def test_a_state_of_another_training_is_refused_and_changes_nothing(overrides, message):
    first = made()
    advance(first, 8)
    other = made(*overrides)
    before = other.state_dict()
    with pytest.raises(InputError, match=message):
        other.load_state_dict(first.state_dict())
    same(other.state_dict(), before)


def test_steps_after_the_last_are_refused():
    training = made()
    training.run()
    with pytest.raises(RuntimeError, match="all 24 steps of this training are done"):
        training.step()


def test_batches_are_the_same_in_any_order():
    batches = Batches([3, 7, 3], 23, 4, CPU)
    forward = [batches.at(step) for step in range(17)]  # of 5 steps an epoch: more than three epochs
    for step in (16, 0, 7, 3, 15, 5, 4, 16):
        assert torch.equal(batches.at(step), forward[step])
        assert torch.equal(Batches([3, 7, 3], 23, 4, CPU).at(step), forward[step])


def test_batches_are_the_permutations_that_torch_draws_one_after_the_other():
    """Number for number: each epoch is the next permutation of the seed's own generator."""
    generators, batches = [stream(seed, "order") for seed in (3, 7)], Batches([3, 7], 23, 4, CPU)
    for epoch in range(3):
        orders = torch.stack([torch.randperm(23, generator=generator) for generator in generators])
        for i in range(5):
            assert torch.equal(batches.at(5 * epoch + i), orders[:, 4 * i : 4 * i + 4])


@pytest.mark.parametrize(
    "overrides", [[], ["norm=batch"], ["regularize.patience=1", "save_predictions=true"]], ids=" ".join
)
def test_a_training_of_no_steps_evaluates_the_weights_as_they_are(overrides):
    training = made(*overrides, steps=0)
    before = training.state.weights.clone()
    record = training.run()
    assert training.finished and torch.equal(training.state.weights, before)
    assert [(step, part) for step, part, *_ in record.evaluations] == [(0, part) for part in ("train", "val", "test")]
    assert record.losses.shape == (0, 4) and record.log_steps == [] and len(record.snapshots) == 0
    for run in range(4):
        assert record.diverged_step(run) is None
        assert record.train_loss(run, 20) == record.final(run, "train")["loss"] == record.evaluations[0][2].loss[run]
        assert record.outcome(run, math.log(10), 0.1, learned_ratio=0.5) == "stuck"
    same(vars(record), vars(made(*overrides, steps=0).run()))


BIRTH = [["norm=batch"], ["regularize.dropout=0.3", "regularize.weight_noise=0.1"], ["gradient.noise=0.1"]]


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [[], *BIRTH], ids=" ".join)
def test_to_observe_a_network_changes_nothing_and_sees_what_the_next_step_sees(overrides):
    """At birth and later: layers as the log step has them, and the training goes on as if nobody had looked."""
    undisturbed = made(*overrides)
    expected = undisturbed.run()
    training = made(*overrides)
    names = list(training.recipe.metrics)
    not_updates = [i for i, name in enumerate(names) if name != "update_ratio"]
    while not training.finished:
        if training.steps_done % training.recipe.eval_every == 0:
            training.evaluate()
        before = training.state_dict()
        values = training.measure(training.observe()).float().numpy()
        same(training.state_dict(), before)
        assert (values[:, names.index("update_ratio")] == 0).all()
        training.step()
        if training.recorder.logs[-1]["step"] == training.steps_done - 1:
            np.testing.assert_array_equal(values[:, not_updates], training.recorder.logs[-1]["values"][:, not_updates])
    same(vars(training.finish()), vars(expected))


def test_a_network_at_birth_can_be_observed_without_a_step():
    training = made(steps=0)
    snapshot = training.observe()
    assert snapshot.names == ["layers.0", "layers.1", "head"]
    assert training.measure(snapshot).shape == (3, 10, 4)
    assert training.steps_done == 0
