"""Stack sizes that are found by trying, and what recurrent layers leave on disk."""

from pathlib import Path

import numpy as np
import pytest

import initbench
from initbench.config.grid import expand
from initbench.errors import InputError
from initbench.executors.local import LocalExecutor
from initbench.planning import autotune
from initbench.planning.cost import Throughput
from initbench.planning.sweep import Sweep, prepare


def test_sizes_to_try_end_with_what_fits():
    assert autotune.candidates(1000, 1000) == [4, 16, 64]
    assert autotune.candidates(10, 1000) == [4, 10]
    assert autotune.candidates(100, 6) == [4, 6]
    assert autotune.candidates(3, 1000) == [3]
    assert autotune.candidates(1, 1000) == []


def test_a_short_training_is_tried_one_by_one_alone():
    config = expand(["model=gru", "data=digits_rows", "act=tanh", "width=4", "steps=3"]).runs[0].config
    (only,) = autotune.fastest([autotune.StackSizeTrial(config, runs=4, most=4)], LocalExecutor(), workers=2)
    assert only.looped and only.seconds > 0


def test_a_long_one_is_tried_in_stacks_and_the_fastest_is_planned(monkeypatch: pytest.MonkeyPatch):
    """Made-up speeds: stacks of 16 are fastest, so those of 64 are tried and not taken, and stacks hold 16 runs."""
    seconds = {1: 1e-3, 4: 5e-4, 16: 2e-4, 64: 3e-4}

    def made_up(config, size, *, looped):
        return Throughput(size, looped, seconds[size])

    monkeypatch.setattr(autotune, "time_steps", made_up)
    overrides = ["model=gru", "data=digits_rows", "act=tanh", "width=4", "steps=500"]
    found = prepare(overrides, seeds=128, workers=2)
    assert {len(stack.runs) for stack in found.stacks} == {16}
    assert not any(found.looped(stack) for stack in found.stacks)
    assert found.estimate == pytest.approx(128 * 500 * 2e-4 / 2 + found.executor.start_seconds)


def test_the_fastest_on_average_by_hand():
    """Two processes; stacks of 16 are fastest in one and slow in the other, those of 4 are fastest on average."""
    here = [
        Throughput(16, True, 5.0),
        Throughput(4, False, 3.0),
        Throughput(4, False, 2.0),
        Throughput(16, False, 1.0),
    ]
    there = [
        Throughput(16, True, 4.0),
        Throughput(4, False, 2.5),
        Throughput(16, False, 6.0),
        Throughput(64, False, 0.1),
    ]
    assert autotune.fastest_on_average([here, there]) == Throughput(4, False, 2.25)
    assert autotune.fastest_on_average([here]) == Throughput(16, False, 1.0)


def test_a_plan_tries_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(autotune, "time_steps", lambda *args, **kwargs: pytest.fail("trained"))
    overrides = ["model=gru", "data=digits_rows", "act=tanh", "width=4", "steps=1000"]
    assert prepare(overrides, seeds=8, workers=2, timed=False).estimate > 0


@pytest.mark.slow
@pytest.mark.parametrize("looped", [False, True])
def test_a_recurrent_layer_leaves_its_gradient_at_every_time_step(tmp_path: Path, looped, monkeypatch):
    monkeypatch.setattr(Sweep, "looped", lambda self, stack: looped)
    overrides = ["model=rnn", "data=digits_rows", "act=tanh", "width=6", "depth=2", "steps=3", "log_every=2"]
    asked = prepare(overrides, seeds=2, out=tmp_path, workers=1)
    asked.save()
    list(asked.train(lambda stack, step: None))
    results = initbench.load(tmp_path)
    times, layers = results.times, results.layers
    assert len(times) == 2 * 2 * 2 * 8  # runs, looks, layers, rows of pixels
    whole = times.groupby(["run_id", "step", "layer"], observed=True)["pre_grad_norm"].agg(
        lambda n: np.sqrt((n**2).sum())
    )
    rows = layers.set_index(["run_id", "step", "layer"])["pre_grad_norm"].loc[whole.index]
    np.testing.assert_allclose(whole, rows, rtol=1e-5)


OWN = """
import torch
from torch import nn

class Dropping(nn.Module):
    def __init__(self, shape, classes, width):
        super().__init__()
        self.layer, self.drop, self.head = nn.Linear(64, width), nn.Dropout(0.5), nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.drop(torch.relu(self.layer(x.flatten(1)))))

class Looking(Dropping):
    def forward(self, x):
        h = torch.relu(self.layer(x.flatten(1)))
        return self.head(h / max(1.0, h.abs().max().item()))
"""


@pytest.fixture
def own_models(tmp_path, monkeypatch):
    (tmp_path / "own_models.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)


def test_a_model_that_draws_from_the_global_generator_is_refused_before_training(own_models):
    """A run would depend on its neighbours in the stack."""
    says = r"model=own_models\.Dropping: .* draws random numbers from torch's global generator"
    with pytest.raises(InputError, match=says):
        prepare(["model=own_models.Dropping", "width=8", "steps=5"], seeds=2)


@pytest.mark.slow
def test_a_model_that_vmap_cannot_take_is_trained_one_by_one(own_models):
    planned = prepare(["model=own_models.Looking", "width=8", "steps=100000"], seeds=64, workers=2)
    assert all(planned.looped(stack) for stack in planned.stacks)
