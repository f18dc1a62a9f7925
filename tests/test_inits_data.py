"""Initializers by data and network: each shows its paper's effect, says what it did, and refuses what it can't do."""

import json
import math
from typing import Any

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from typer.testing import CliRunner

from initbench import build, load
from initbench.analysis.summary import init_steps
from initbench.cli import app
from initbench.config.grid import expand
from initbench.errors import DoesNotFit, InputError
from initbench.parts import inits
from initbench.parts.activations import Activation, relu, tanh
from initbench.parts.inits.learned import gradient_quotient
from initbench.parts.start import Start
from initbench.planning.compatibility import build_once
from initbench.planning.sweep import prepare

DATA = ["data.train_size=300", "batch_size=100"]
MLP, RESNET = ["depth=8", "width=30"], ["model=resnet", "depth=2", "width=6"]
LSTM = ["model=lstm", "data=digits_rows", "depth=1", "width=8"]
TRANSFORMER = ["model=transformer", "data=digits_rows", "depth=1", "width=8"]


def config_of(*overrides: str) -> Any:
    return expand([*DATA, *overrides]).runs[0].config


def started(*overrides: str) -> tuple[Start, dict[str, Any]]:
    """A `Start` on the batch that the initializer got, and what the initializer reports."""
    config, report = config_of(*overrides), {}
    data = build.data(config)
    model = build.initialized(config, data, report=report)
    index = build.Batches([config["seed"]], len(data.y_train), config["batch_size"], torch.device("cpu")).at(0)[0]
    generator = build.stream(config["seed"], "start")
    return Start(model, data.x_train[index], data.y_train[index], data.objective.loss, generator), report


@pytest.mark.parametrize("network", [MLP, RESNET, LSTM, TRANSFORMER, [*MLP, "norm=batch", "regularize.dropout=0.2"]])
def test_lsuv_gives_every_layer_unit_variance(network):
    start, report = started(*network, "init=lsuv", "init.tol=0.05", "init.iterations=20")
    layers = [layer for name, layer in start.pre_activations().items() if "recurrent" not in name]
    variances = [torch.cat([values for _, values in layer], 1).var() for layer in layers]
    assert max(abs(float(variance) - 1) for variance in variances) == pytest.approx(report["largest_deviation_from_1"])
    assert report["largest_deviation_from_1"] < 0.05 and report["rescalings"] >= len(variances) - 1
    assert all((matrix.bias == 0).all() for matrix in inits.matrices(start.model) if matrix.bias is not None)


def test_lsuv_keeps_orthogonal_directions_and_its_cap():
    start, _ = started(*MLP, "init=lsuv")
    weight = start.model.get_parameter("layers.3.linear.weight").detach()
    gram = weight @ weight.T
    torch.testing.assert_close(gram / gram[0, 0], torch.eye(30), rtol=0, atol=1e-5)
    assert started(*MLP, "init=lsuv", "init.iterations=1")[1]["rescalings"] <= 9


@pytest.mark.parametrize("network", [MLP, [*MLP, "act=tanh"], ["model=cnn", "depth=2", "width=6"]])
def test_krahenbuhl_makes_all_layers_learn_at_one_rate(network):
    def apart(start: Start) -> float:
        weights = {name: own.detach() for name, own in start.model.named_parameters() if own.ndim > 1}
        rates = [float(start.gradients()[name].norm() / weight.norm()) for name, weight in weights.items()]
        return max(rates) / min(rates)

    start, report = started(*network, "init=krahenbuhl")
    assert apart(start) == pytest.approx(report["rates_apart"], rel=1e-3) and apart(start) < 1.06
    assert apart(started(*network, "init=he")[0]) > 1.4


def test_krahenbuhl_without_scalings_gives_each_unit_mean_0_and_variance_1():
    start, _ = started(*MLP, "init=krahenbuhl", "init.iterations=0", "init.bias=0.25")
    for ((_, values),) in start.pre_activations().values():
        alive = values.std(0) > 0
        torch.testing.assert_close(values.mean(0)[alive], torch.full((int(alive.sum()),), 0.25), rtol=0, atol=1e-4)
        torch.testing.assert_close(values.std(0, correction=0)[alive], torch.ones(int(alive.sum())), rtol=0, atol=1e-3)


def test_autoinit_is_the_inverse_second_moment_of_each_layers_input():
    """ReLU of N(0, 1): 1/2. Then dropout of one half doubles it. The sum with a block that has variance 1: 2, and
    E[max(x, 0)^2] of it 1."""
    x = torch.randn(5000, 10, generator=torch.Generator().manual_seed(1)) * 2 + 1
    block = inits.residual.Residual({"act": Activation(relu), "linear": nn.Linear(40, 40)}, scale())
    model = nn.Sequential(
        *(nn.Linear(10, 40), Activation(relu), nn.Linear(40, 40), block, Activation(relu)),
        *(dropout(0.5), nn.Linear(40, 40), Activation(tanh), nn.Linear(40, 5000)),
    )
    generator = torch.Generator().manual_seed(0)
    inits.autoinit(model, x, generator, start=Start(model, x, x, F.mse_loss, generator))
    weights = [own for name, own in model.named_parameters() if own.ndim > 1]
    squares = [float(x.square().mean()), 1 / 2, 1 / 2, 2.0, 0.394294]  # E[tanh(z)^2] = 1 / 1.5925^2
    for weight, square in zip(weights, squares, strict=True):
        n = weight.shape[1]
        expected = 1 / (n * square)
        assert float(weight.detach().square().mean()) == pytest.approx(expected, rel=5 * math.sqrt(2 / weight.numel()))


def scale() -> Any:
    from initbench.parts.models.residual import Scale

    return Scale(1.0, False)


def dropout(share: float) -> nn.Module:
    from initbench.parts.dropout import Dropout

    return Dropout(share)


@pytest.mark.parametrize("act", ["relu", "tanh", "sigmoid", "silu"])
def test_autoinit_keeps_unit_variance_in_a_deep_network(act):
    start, _ = started("depth=10", "width=300", f"act={act}", "init=autoinit")
    variances = [float(values.var()) for ((_, values),) in start.pre_activations().values()]
    assert all(0.5 < variance < 2 for variance in variances)


def test_the_gradient_quotient_is_that_of_a_quadratic():
    """L = (3 a^2 + b^2) / 2 at (2, 5): g = (6, 5), H g = (18, 5), so |(g - H g) / g - 1| = (3, 1), of mean 2."""
    a, b = torch.tensor([2.0], requires_grad=True), torch.tensor([5.0], requires_grad=True)
    quotient = gradient_quotient(((3 * a**2 + b**2) / 2).sum(), {"a": a, "b": b})
    assert quotient.item() == pytest.approx(2, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("network", [MLP, RESNET, LSTM])
def test_metainit_lowers_the_gradient_quotient(network):
    _, report = started(*network, "init=metainit", "init.steps=60")
    assert report["quotient_after"] < 0.5 * report["quotient_before"]


def test_metainit_changes_norms_alone():
    start, _ = started(*MLP, "init=metainit", "init.steps=5")
    he, _ = started(*MLP, "init=he")
    changed = 0
    for name, own in start.model.named_parameters():
        if own.ndim > 1:
            ratio = own.detach() / he.model.get_parameter(name).detach()
            assert float(ratio.std() / ratio.mean()) < 1e-3
            changed += abs(float(ratio.mean()) - 1) > 1e-3
        else:
            assert not own.any()
    assert changed > 0


@pytest.mark.slow
@pytest.mark.parametrize("network", [MLP, RESNET, LSTM, TRANSFORMER])
def test_gradinit_lowers_the_loss_after_a_step_and_bounds_the_gradient(network):
    _, free = started(*network, "init=gradinit", "init.gamma=1e6", "init.steps=15")
    assert free["loss_after_step_after"] < free["loss_after_step_before"]
    _, bound = started(*network, "init=gradinit", "init.gamma=0.1", "init.steps=15")
    assert bound["norm_after"] < bound["norm_before"]


REFUSED = [
    ("krahenbuhl", LSTM, "is for fully connected and convolutional layers, and this model has gates"),
    ("krahenbuhl", TRANSFORMER, "this model has projections"),
    ("autoinit", LSTM, "does not know what LSTM does to a signal"),
    ("autoinit", ["model=gru", "data=copy", "depth=1"], "this data has tokens"),
    ("metainit", [*MLP, "norm=batch"], "needs third derivatives, which batch normalization lacks"),
    ("metainit", [*MLP, "norm=weight"], "scales weights, whose norms are apart with norm=weight"),
    ("gradinit", [*MLP, "norm=weight"], "set norm=none"),
]


@pytest.mark.parametrize(("init", "network", "message"), REFUSED)
def test_what_they_cannot_do_is_refused_in_one_line_before_training(init, network, message):
    config = config_of(*network, f"init={init}")
    with pytest.raises(DoesNotFit, match=message) as caught:
        build_once(config, build.data(config))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "override",
    [
        *("init=lsuv init.tol=-1", "init=krahenbuhl init.iterations=0.5", "init=metainit init.momentum=1"),
        *("init=gradinit init.eta=0", "init=gradinit init.optimizer=adamw"),
    ],
)
def test_bad_parameters_are_found_before_training(override):
    config = config_of(*MLP, *override.split())
    with pytest.raises(InputError, match=override.split()[1].partition("=")[0].replace(".", r"\.")):
        build_once(config, build.data(config))


def test_planning_makes_no_pass(monkeypatch):
    monkeypatch.setattr(F, "linear", None)
    config = config_of(*MLP, "init=lsuv")
    build.initialized(config, build.data(config), look_at_data=False)


@pytest.mark.slow
def test_a_run_records_what_they_did_and_how_long_it_took(tmp_path):
    overrides = [*DATA, *MLP, "init=lsuv,he", "steps=20", "--out", str(tmp_path), "--workers", "1", "--quiet"]
    done = CliRunner().invoke(app, ["run", *overrides])
    assert done.exit_code == 0, done.output
    runs = load(tmp_path).runs.set_index("init")
    assert json.loads(runs.loc["lsuv", "init_report"])["rescalings"] > 5
    assert runs["init_report"].isna().tolist() == [False, True] and (runs["init_seconds"] > 0).all()


def test_the_time_of_a_start_is_charged_as_steps():
    """Two runs took 11 s, 1 s of it for their starts: 100 steps of both took 10 s, so a run's step 0.05 s."""
    runs = pd.DataFrame(
        {"stack_id": "a", "init_seconds": [0.2, 0.8], "steps": 100, "stack_size": 2, "stack_seconds": 11.0}
    )
    assert init_steps(runs).tolist() == pytest.approx([4, 16])
    with pytest.raises(InputError, match="--charge-init: these results do not record the time"):
        init_steps(runs.assign(init_seconds=[0.2, None]))


def test_a_plan_counts_what_initializers_do_before_training(tmp_path):
    """By passes: 51 forward passes of lsuv are 17 steps; a metainit step differentiates three times, 27 passes."""
    overrides = ["depth=50", "width=20", "steps=1000"]
    sweep = prepare([*overrides, "init=he,lsuv,metainit,gradinit", "init.steps=60"], out=tmp_path)
    assert sweep.start_costs == {"lsuv": 17, "metainit": 540, "gradinit": 160}
    plain = prepare([*overrides, "init=he"], out=tmp_path)
    assert plain.start_costs == {}
    (he,), shape = plain.stacks, next(iter(plain.shapes.values()))
    (metainit,) = prepare([*overrides, "init=metainit", "init.steps=60"], out=tmp_path).stacks
    assert sweep.seconds(metainit) - plain.seconds(he) == pytest.approx(shape.seconds(1, 540, "cpu"))
