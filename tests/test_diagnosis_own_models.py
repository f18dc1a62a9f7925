"""Planted faults in models as people write them: found, and told in numbers that a plain loop confirms."""

# pandas annotates nearly everything as "Series or DataFrame or unknown": these checks see only that.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from pathlib import Path

import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from initbench import build
from initbench.analysis.contests import Contests
from initbench.analysis.diagnosis.diagnose import diagnose
from initbench.config.grid import expand
from initbench.engine.batches import Batches
from initbench.planning.sweep import prepare
from initbench.results.load import Results, load

SMALL = "steps=60 batch_size=50 log_every=20 eval_every=60 width=30 depth=4 init=he lr=0.02".split()


def trained(folder: Path, name: str, overrides: str, seeds: int = 1) -> Results:
    asked = dict(setting.split("=", 1) for setting in [*SMALL, f"model=somebodys_models.{name}", *overrides.split()])
    given = [f"{key}={value}" for key, value in asked.items()]
    sweep = prepare(given, seeds=seeds, out=folder, workers=1, timed=False)
    sweep.save()
    list(sweep.train(lambda stack, step: None))
    results = load(folder)
    assert (results.runs["status"] == "done").all()
    return results


def diagnosed(results: Results) -> dict:
    (cell,) = diagnose(Contests.of(results)).to_dict("records")
    return cell


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, overrides, fault",
    [
        ("FlatReLU", "init.bias=-10", "dead units"),  # nn.ReLU in one nn.Sequential
        ("NamedReLU", "init.bias=-10", "dead units"),  # F.relu
        ("FlatTanh", "init.bias=10", "saturated"),
        ("NamedTanh", "init=normal init.std=3", "saturated"),  # torch.tanh
        ("FlatReLU", "init=normal", "exploding"),
        ("NamedReLU", "init=normal", "exploding"),
        ("Nested", "init=xavier depth=10", "vanishing"),
        ("OwnLayers", "init=xavier depth=10", "vanishing"),
        ("Raw", "init=xavier depth=10", "vanishing"),
        ("Shared", "init=normal_small depth=6", "vanishing"),  # in depth, not over time
        ("FlatReLU", "init=zeros", "symmetric units"),
        ("Elman", "data=digits_rows init=lecun init.gain=0.3 depth=1", "vanishing over time"),
    ],
)
def test_a_planted_fault_is_found(tmp_path, name, overrides, fault):
    cell = diagnosed(trained(tmp_path, name, overrides))
    assert cell["fault"] == fault, cell["evidence"]


def test_eight_sigmoid_layers_vanish_by_the_factor_of_a_plain_loop(tmp_path):
    settings = "depth=8 init=xavier width=30"
    cell = diagnosed(results := trained(tmp_path, "Flat", settings))
    assert cell["fault"] == "vanishing"
    assert cell["hidden_layers"] == 8
    assert cell["first_layer"] == "layer 1 (net.1, Linear)" and cell["last_layer"] == "layer 8 (net.15, Linear)"
    assert "layer 1 (net.1, Linear)" in cell["evidence"] and "layer 8 (net.15, Linear)" in cell["evidence"]

    config = expand(["model=somebodys_models.Flat", "batch_size=50", *settings.split()]).runs[0].config
    data = build.data(config)
    model = build.initialized(config, data)
    index = Batches([0], len(data.y_train), 50, torch.device("cpu")).at(0)[0]
    h, norms, spreads = data.x_train[index].flatten(1), [], []
    steps = []
    for module in model.net[1:]:
        h = module(h)
        if isinstance(module, torch.nn.Linear):
            h.retain_grad()
            steps.append(h)
        else:
            spreads.append(float(h.detach().double().var(0, correction=0).mean().sqrt()))
    F.cross_entropy(h, data.y_train[index]).backward()
    norms = [float(s.grad.double().norm()) for s in steps[:-1]]
    assert cell["grad_first"] == pytest.approx(norms[0], rel=1e-4)
    assert cell["grad_last"] == pytest.approx(norms[-1], rel=1e-4)
    assert cell["grad_growth"] == pytest.approx((norms[0] / norms[-1]) ** (1 / 7), rel=1e-4)
    assert cell["signal_growth"] == pytest.approx((spreads[-1] / spreads[0]) ** (1 / 7), rel=1e-3)
    assert cell["grad_growth"] == pytest.approx(0.25, abs=0.03)  # Xavier's weights of variance 1/n, sigmoid' = 1/4

    (run,) = results.runs.to_dict("records")
    assert run["act_rectifies"] is False or not run["act_rectifies"]
    layers = results.layers[results.layers["step"] == 0]
    assert layers["activation"].tolist()[:-1] == ["sigmoid"] * 8 and pd.isna(layers["activation"].iloc[-1])


def test_what_is_recorded_of_the_activation_is_what_the_model_computes(tmp_path):
    """`act` is relu by default, and the models don't ask for it."""
    tanh = trained(tmp_path / "tanh", "NamedTanh", "steps=2")
    relu = trained(tmp_path / "relu", "NamedReLU", "steps=2")
    assert [bool(results.runs["act_rectifies"].iloc[0]) for results in (tanh, relu)] == [False, True]
    assert relu.layers["rectifies"].dropna().all() and not tanh.layers["rectifies"].dropna().any()
