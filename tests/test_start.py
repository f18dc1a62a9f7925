"""Initializers that look at data: LSUV as the docs have it, and passes that leave no trace."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from initbench import build
from initbench.config.grid import expand
from initbench.engine.batches import Batches
from initbench.engine.state import stack
from initbench.errors import DoesNotFit, InputError
from initbench.jobs.train import fit
from initbench.parts import inits
from initbench.parts.dropout import stochastic_modules
from initbench.parts.start import Start
from initbench.planning.compatibility import build_once
from initbench.randomness import stream

DOCS = Path(__file__).parent.parent / "docs" / "initializers.md"
SMALL = ["data.train_size=300", "batch_size=100"]
MLP = ["depth=4", "width=20"]
CNN = ["model=cnn", "depth=2", "width=6"]
LSTM = ["model=lstm", "data=digits_rows", "depth=2", "width=12"]
TRANSFORMER = ["model=transformer", "data=digits_rows", "depth=1", "width=12"]
DROPOUT, BATCH = ["regularize.dropout=0.2"], ["norm=batch"]
NETWORKS = {
    **{"mlp": MLP, "mlp, dropout": MLP + DROPOUT, "mlp, batch": MLP + BATCH, "mlp, both": MLP + BATCH + DROPOUT},
    **{"cnn": CNN, "cnn, dropout": CNN + DROPOUT, "cnn, batch": CNN + BATCH, "cnn, both": CNN + BATCH + DROPOUT},
    **{"lstm": LSTM, "transformer": TRANSFORMER, "transformer, dropout": TRANSFORMER + DROPOUT},
    **{"weight norm": [*MLP, "norm=weight"], "dropconnect": [*MLP, "regularize.dropconnect=0.2"]},
}

# A user's functions, as a file beside the one from the docs.
LOOKS = """
from initbench.parts.inits import he


def looks(model, batch, generator, *, start, act=None):
    start.forward(), start.pre_activations(), start.gradients()
    he(model, batch, generator, act=act)


def recurrent_only(model, batch, generator, *, start):
    he(model, batch, generator)
    assert start.model is not model
    (name,) = start.pre_activations()
    assert start.model.get_submodule(name.removesuffix(".weight")) is model


def never(model, batch, generator, *, start, limit=1):
    raise AssertionError("planning ran an initializer that looks at data")
"""


@pytest.fixture(autouse=True)
def users_files(tmp_path, monkeypatch):
    (code,) = (code for code in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL) if "lsuv.py" in code)
    assert len(code.splitlines()) <= 30
    (tmp_path / "documented_lsuv.py").write_text(code)
    (tmp_path / "users_looks.py").write_text(LOOKS)
    monkeypatch.syspath_prepend(tmp_path)


def config_of(*overrides: str) -> Any:
    return expand([*SMALL, *overrides], seeds=1).runs[0].config


def started(*overrides: str) -> Start:
    """A `Start` on the run's first batch, of its model as the training begins."""
    config = config_of(*overrides)
    data = build.data(config)
    model = build.initialized(config, data)
    index = Batches([config["seed"]], len(data.y_train), config["batch_size"], torch.device("cpu")).at(0)[0]
    generator = stream(config["seed"], "start")
    return Start(model, data.x_train[index], data.y_train[index], data.objective.loss, generator)


def trained(*overrides: str) -> tuple[np.ndarray, torch.Tensor, dict[str, torch.Tensor]]:
    """Losses, weights and buffers of a short training."""
    runs = expand([*SMALL, "steps=10", "log_every=5", "eval_every=5", *overrides], seeds=1).runs
    data = build.data(runs[0].config)
    models = [build.initialized(run.config, data) for run in runs]
    state = stack(models, torch.device("cpu"))
    record = fit(runs, state, models[0], data, lambda step: None)
    return record.losses, state.weights, state.buffers


@pytest.mark.parametrize("network", NETWORKS)
def test_the_documented_lsuv_gives_every_layer_unit_variance(network):
    start = started(*NETWORKS[network], "init=documented_lsuv.lsuv")
    layers = start.pre_activations()
    assert layers.keys() == {name for name, own in start.model.named_parameters() if own.ndim > 1}
    for name, layer in layers.items():
        variance = float(torch.cat([values for _, values in layer], 1).var())
        assert abs(variance - 1) < 0.1 or ".recurrent." in name, name  # more weight makes a recurrent layer forget
    assert all((matrix.bias == 0).all() for matrix in inits.matrices(start.model) if matrix.bias is not None)


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_looking_at_data_changes_nothing_of_the_training(network):
    """Losses, weights, running statistics and masks are those of he, which the function writes after it has looked."""
    (losses, weights, buffers), (his_losses, his_weights, his_buffers) = (
        trained(*NETWORKS[network], f"init={name}") for name in ("users_looks.looks", "he")
    )
    assert np.array_equal(losses, his_losses) and torch.equal(weights, his_weights)
    assert all(torch.equal(buffers[name], his_buffers[name]) for name in his_buffers)


def test_a_pass_gives_back_the_mode_the_statistics_and_the_source_of_masks():
    start = started(*MLP, *BATCH, *DROPOUT)
    start.model.eval()
    buffers = {name: buffer.clone() for name, buffer in start.model.named_buffers()}
    first, again = start.forward(), start.forward()
    assert torch.equal(first, again)  # the same masks
    assert not torch.allclose(first, start.model(start.x))  # which evaluation hasn't
    assert not any(module.training for module in start.model.modules())
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in start.model.named_buffers())
    assert buffers["layers.0.norm.num_batches_tracked"] == 0
    assert all(module.source is None for module in stochastic_modules(start.model))


def test_a_pass_that_fails_leaves_the_model_as_it_was():
    start = started(*MLP, *DROPOUT)
    start.x = start.x.new_zeros(3, 5)
    for attempt in (start.forward, start.pre_activations, start.gradients):
        with pytest.raises(RuntimeError):
            attempt()
    assert all(module.source is None for module in stochastic_modules(start.model))
    assert not any(module._forward_hooks for module in start.model.modules())


def test_pre_activations_are_those_of_each_matrix():
    """Of a linear layer x W' + b, of a convolution those of `conv2d` with the places as rows, of gates one each."""
    mlp = started(*MLP)
    ((matrix, values),) = mlp.pre_activations()["layers.0.linear.weight"]
    torch.testing.assert_close(values, mlp.x.flatten(1) @ matrix.weight.T + matrix.bias)
    cnn = started(*CNN)
    ((matrix, values),) = cnn.pre_activations()["layers.0.conv.weight"]
    maps = torch.nn.functional.conv2d(cnn.x, matrix.weight, matrix.bias, stride=2, padding=1)
    torch.testing.assert_close(values, maps.permute(0, 2, 3, 1).reshape(-1, 6))
    lstm = started(*LSTM)
    for matrix, values in (gates := lstm.pre_activations()["layers.0.input.weight"]):
        steps = lstm.x.permute(2, 0, 1) @ matrix.weight.T + matrix.bias
        torch.testing.assert_close(values, steps.flatten(0, 1))
    assert [matrix.kind for matrix, _ in gates] == ["gate"] * 4


def test_gradients_are_those_of_the_loss():
    start = started(*MLP)
    gradients = start.gradients()
    start.loss(start.model(start.x), start.y).backward()
    for name, parameter in start.model.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad)


def test_recurrent_weights_are_looked_at_apart_from_the_rest():
    started(*LSTM, "init.recurrent=users_looks.recurrent_only")


def test_planning_checks_its_parameters_and_does_not_run_it():
    config = config_of(*MLP, "init=users_looks.never")
    build_once(config, build.data(config))
    with pytest.raises(InputError, match="never failed with AssertionError: planning ran"):
        build.initialized(config, build.data(config))
    config = config_of(*MLP, "init=users_looks.never", "init.limits=2")
    with pytest.raises(DoesNotFit, match=r"init.limits: users_looks.never has no such parameter; did you mean 'limit'"):
        build_once(config, build.data(config))
