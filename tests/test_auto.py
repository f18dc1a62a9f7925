"""init=auto: what it measures, what it picks, and what it says of it."""

import importlib
import json
import math
from typing import Any

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import Generator, nn

from initbench import build
from initbench.analysis.diagnosis import conditions
from initbench.analysis.picks import picks
from initbench.config.grid import expand
from initbench.errors import InputError
from initbench.parts import inits
from initbench.parts.activations import Activation, linear, tanh
from initbench.parts.inits.auto import Attempts, Tried, preferred
from initbench.parts.models import MLP, ModelSpec
from initbench.parts.signs import distance, signs
from initbench.parts.start import Start

FACTOR = conditions.FACTOR
NETWORKS = {
    "cnn": ["model=cnn", "depth=2", "width=6", "norm=batch"],
    "resnet": ["model=resnet", "depth=2", "width=4"],
    "rnn": ["model=rnn", "data=digits_rows", "depth=1", "width=8", "act=tanh"],
    "lstm": ["model=lstm", "data=digits_rows", "depth=1", "width=8"],
    "transformer": ["model=transformer", "data=digits_rows", "depth=1", "width=8", "regularize.dropout=0.2"],
    "logistic": ["model=logistic"],
}


class Own(nn.Module):
    """Somebody's model, whose activations are functions."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 3)

    def forward(self, x):
        return self.third(torch.tanh(self.second(torch.tanh(self.first(x)))))


def start_of(model: nn.Module, size: int = 12) -> Start:
    generator = Generator().manual_seed(0)
    x = torch.randn(40, size, generator=generator)
    return Start(model, x, torch.arange(40) % 3, F.cross_entropy, generator)


def mlp(phi, depth: int) -> nn.Module:
    return MLP(ModelSpec((12,), 3, depth, 12, lambda: Activation(phi)))


def initialized(*overrides: str) -> tuple[nn.Module, dict[str, Any]]:
    report: dict[str, Any] = {}
    config = expand(["data.train_size=200", "batch_size=50", *overrides]).runs[0].config
    return build.initialized(config, build.data(config), report=report), report


@pytest.mark.parametrize("gain", [0.5, 1, 2])
def test_signs_of_orthogonal_linear_layers_are_powers_of_their_gain(gain):
    """Four hidden layers: 3 steps between the first and the last."""
    model = mlp(linear, 4)
    inits.orthogonal(model, None, Generator().manual_seed(0), gain=gain)
    found = signs(start_of(model))
    assert found["grad_ratio"] == pytest.approx(gain**3, rel=1e-4)
    assert found["signal_ratio"] == pytest.approx(gain**3, rel=1e-4)


@pytest.mark.parametrize("model", [mlp(tanh, 2), Own()], ids=["ours", "own"])
def test_signs_are_those_that_autograd_gives(model):
    inits.xavier(model, None, Generator().manual_seed(0))
    start = start_of(model)
    w1, w2, w3 = (matrix.weight for matrix in inits.matrices(model))
    s1 = (start.x @ w1.T).requires_grad_()  # biases are 0
    a1 = s1.tanh()
    s2 = a1 @ w2.T
    a2 = s2.tanh()
    outputs = a2 @ w3.T
    first, last = torch.autograd.grad(F.cross_entropy(outputs, start.y), (s1, s2))

    def spread(values):
        return float(values.detach().var(0, correction=0).mean().sqrt())

    expected = {
        "grad_ratio": float(first.norm() / last.norm()),
        "signal_ratio": spread(a2) / spread(a1),
        "output_gain": spread(outputs) / float(start.x.square().mean().sqrt()),
        "contrast": spread(outputs) / float(outputs.detach().square().mean().sqrt()),
    }
    assert signs(start) == pytest.approx(expected, rel=1e-4)


def test_the_threshold_is_that_of_the_diagnosis():
    assert pytest.approx(math.exp(3)) == FACTOR
    assert distance("grad_ratio", FACTOR) == distance("grad_ratio", 1 / FACTOR) == pytest.approx(1)
    assert distance("output_gain", 0.1) == distance("contrast", 10.0) == 0  # bad on one side alone
    assert distance("grad_ratio", 0.0) == distance("contrast", math.nan) == math.inf


def test_of_about_equals_the_first_is_preferred():
    tried = [
        Tried(name, {"grad_ratio": FACTOR**power}, {}, {}) for name, power in (("a", 0.9), ("b", 0.28), ("c", 0.2))
    ]
    assert preferred(tried).name == "b"
    assert preferred(tried[:1]).name == "a"


@pytest.mark.parametrize(("act", "picked"), [("relu", "lsuv"), ("sigmoid", "critical")])
def test_the_pick_is_what_the_scheme_writes_by_itself(act, picked):
    """For ReLU variance 1 per layer; for sigmoid weights whose gradients don't vanish: sigma_w = 10.15."""
    network = ["depth=10", "width=60", f"act={act}"]
    model, report = initialized(*network, "init=auto", "init.search=false")
    alone, _ = initialized(*network, f"init={picked}")
    assert report["picked"] == picked and report["gain"] == 1
    assert all(map(torch.equal, model.parameters(), alone.parameters()))
    assert f"{picked} {report['distance']:.2f}" in report["tried"]


def test_the_gain_of_orthogonal_linear_layers_is_found():
    model = mlp(linear, 8)
    attempts = Attempts(model, start_of(model).x, Generator().manual_seed(0), start_of(model), Activation(linear), 0)
    (drawn,) = (each for each in attempts.schemes() if each.name == "orthogonal")
    attempts.write({name: 0.2 * value for name, value in drawn.values.items()})
    shrunk = attempts.judged("orthogonal", {})
    assert attempts.searched(shrunk).gain == pytest.approx(5, rel=0.05) and shrunk.distance > 3


def test_where_every_scheme_has_a_fault_gains_are_searched(monkeypatch):
    """Variance 1 / n halves the squares of signals in each ReLU layer (He et al. 2015): the gain is near sqrt(2)."""
    monkeypatch.setattr(importlib.import_module("initbench.parts.inits.auto"), "SCHEMES", [inits.lecun])
    network = ["depth=12", "width=60", "act=relu"]
    _, without = initialized(*network, "init=auto", "init.search=false")
    model, report = initialized(*network, "init=auto")
    assert without["distance"] > 1 and report["distance"] < 0.5
    assert report["picked"] == "lecun" and report["gain"] == pytest.approx(2**0.5, rel=0.1)
    alone, _ = initialized(*network, "init=lecun", f"init.gain={report['gain']}")
    for own, other in zip(model.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("network", NETWORKS)
def test_it_picks_for_every_kind_of_network(network):
    model, report = initialized(*NETWORKS[network], "init=auto")
    assert report["distance"] < 1
    assert report["because"].startswith(f"the sign farthest from 1 is {report['worst_value']:.3g} (")
    assert ("delta_orthogonal" in report["tried"]) == (network in ("cnn", "resnet"))
    assert ("gpt2" in report["tried"]) == (network == "transformer")
    assert all(own.isfinite().all() for own in model.parameters())


def test_it_picks_for_a_model_of_your_own():
    model = Own()
    start = start_of(model)
    inits.auto(model, start.x, Generator().manual_seed(0), start=start)
    said: dict[str, Any] = start.report
    assert "critical" not in said["tried"] and said["distance"] < 1


def test_bad_parameters_are_found_in_planning():
    with pytest.raises(InputError, match=r"init\.bias"):
        initialized("init=auto", "init.bias=much", "depth=2", "width=5")


def test_the_report_says_what_was_picked():
    reports = [json.dumps({"picked": name}) for name in ("he", "he", "lsuv", "critical")]
    runs = pd.DataFrame({"label": "auto", "act": ["relu"] * 3 + ["tanh"], "init_report": reports})
    other = pd.DataFrame({"label": ["he", "lsuv"], "act": "relu", "init_report": [None, '{"rescalings": 3}']})
    assert picks(pd.concat([runs, other], ignore_index=True)) == [
        "auto picked he in 2 and lsuv in 1 of 3 runs with relu; critical in 1 of 1 run with tanh."
    ]
    assert picks(pd.DataFrame(runs.iloc[:2])) == ["auto picked he in 2 of 2 runs."]
    assert picks(other) == [] and picks(runs.reindex(columns=["label", "act"])) == []
