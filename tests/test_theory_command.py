"""`initbench theory`: its JSON, its sentences, its figures, and what it refuses."""

import json
import math

import numpy as np
import pytest
from typer.testing import CliRunner

from initbench.cli import app
from initbench.config.registry import choices
from initbench.theory.activations import activation
from initbench.theory.mean_field import MeanField
from initbench.theory.plane import chi_1_over

KEYS = "act sigma_w sigma_b q_star chi_1 c_star xi_q xi_c phase trainable_depth critical_sigma_w".split()


def theory(*words):
    done = CliRunner().invoke(app, ["theory", *map(str, words)])
    assert done.exit_code == 0, done.output
    return done.output


def asked(*words):
    return json.loads(CliRunner().invoke(app, ["theory", *words, "--json"]).stdout)


def error(*words):
    done = CliRunner().invoke(app, ["theory", *words])
    assert done.exit_code == 2
    return " ".join(done.output.split())


def test_json_has_the_numbers_of_one_setting():
    found = asked("act=tanh", "sigma_w=1.3", "sigma_b=0.3")
    assert set(KEYS) <= found.keys() and found["reason"] is None and found["infinite"] == []
    assert (found["act"], found["sigma_w"], found["sigma_b"], found["phase"]) == ("tanh", 1.3, 0.3, "ordered")
    assert [found[key] for key in ("q_star", "chi_1", "c_star")] == pytest.approx([0.607, 0.940, 1], abs=1e-3)
    assert found["trainable_depth"] == 6 * found["xi_c"]


def test_what_is_infinite_is_null_and_named():
    found = asked("init=he", "act=relu")
    assert found["xi_c"] is None and found["trainable_depth"] is None
    assert set(found["infinite"]) == {"xi_q", "xi_c", "trainable_depth"}
    assert asked("act=gelu", "sigma_w=2")["infinite"] == ["q_star"]
    assert asked("act=gelu", "sigma_w=1")["critical_sigma_w"] is None  # there is none, which is not infinite


def test_grids_are_lists_and_each_setting_comes_once():
    found = asked("init=he,xavier", "act=relu,tanh", "seed=range(0,3)", "lr=0.1,0.2")
    assert [(each["init"], each["act"]) for each in found] == [
        (init, act) for init in ("he", "xavier") for act in ("relu", "tanh")
    ]
    assert [each["chi_1"] for each in asked("act=relu", "sigma_w=1,2", "sigma_b=0")] == pytest.approx([0.5, 2])


def test_every_initializer_has_its_theory_or_the_reason_why_not():
    found = asked("init=glob(*)", "act=tanh")
    assert {each["init"] for each in found} == set(choices("init"))
    assert all(each["reason"] or math.isfinite(each["chi_1"]) for each in found)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["norm=batch"], "norm=batch: it sets the variance itself"),
        (["model=lstm", "data=adding"], "model=lstm: its gates multiply signals"),
        (["model=cnn"], "model=cnn: zero padding"),
        (["init=constant"], "init=constant: the weights are all equal"),
        (["model.tied=true"], "model.tied: the layers share weights"),
        (["regularize.dropconnect=0.1"], "regularize.dropconnect: "),
        (["depth=0"], "depth=0: there is no hidden layer"),
        (["act=torch.sign"], "act=torch.sign jumps"),
        (["act=tanh", "sigma_w=1e200"], "init=mean_field: its variance, sigma_w^2 / n, is inf for act=tanh"),
    ],
)
def test_what_is_not_covered_has_a_reason(words, reason):
    assert asked(*words)["reason"].startswith(reason)


def test_what_is_not_covered_is_said_beside_the_rest():
    said = " ".join(theory("norm=none,batch", "act=tanh").split())
    assert "not covered: norm=batch: it sets the variance itself" in said and "tanh he" in said


def test_layers_have_variance_and_correlation():
    rows = asked("init=lecun", "act=relu", "depth=4", "--layers", "--c0", "0")["layers"]
    assert [row["q"] for row in rows] == pytest.approx([1, 1 / 2, 1 / 4, 1 / 8])
    assert rows[1]["c"] == pytest.approx(1 / math.pi)  # the arc-cosine kernel at a right angle
    blocks = asked("model=residual_mlp", "model.branch_layers=2", "depth=7", "--layers")["layers"]
    assert [row["mean_square"] for row in blocks] == pytest.approx([4, 8, 16])


def test_residual_networks_have_growth_and_no_phase():
    found = asked("model=residual_mlp", "model.branch_layers=2", "depth=7")
    assert found["phase"] is None and found["q_star"] is None
    assert found["growth"] == pytest.approx({"blocks": 3, "signal": 8, "gradient": 8, "signal_last_block": 2})
    assert "multiplied by 8" in theory("model=residual_mlp", "model.branch_layers=2", "depth=7")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (
            ["act=tanh", "sigma_w=1.3", "sigma_b=0.3"],
            ["settles at 0.607", "The critical sigma_w for sigma_b 0.3 is 1.396."],
        ),
        (["act=tanh", "sigma_w=4", "sigma_b=0.3"], ["approach the correlation 0.0297"]),
        (["init=he", "act=relu"], ["The gradient keeps its size from layer to layer."]),
        (["init=lecun", "act=relu", "depth=10"], ["over 10 layers by 0.000977", "10 layers are beyond it"]),
        (["act=tanh", "sigma_w=1.3", "regularize.dropout=0.1"], ["With dropout no sigma_w is critical"]),
        (["act=softplus", "sigma_w=1", "sigma_b=0"], ["no sigma_w is critical for softplus"]),
    ],
)
def test_sentences_say_what_the_numbers_mean(words, parts):
    said = " ".join(theory(*words).split())
    assert all(part in said for part in parts)


def test_dropout_is_that_of_the_masks():
    found = asked("act=relu", "sigma_w=1", "sigma_b=0.5", "regularize.dropout=0.1")
    keep = 1 - 26 / 256  # as masks are drawn
    assert found["q_star"] == pytest.approx(0.25 / (1 - 0.5 / keep))


def test_ones_own_activation(tmp_path, monkeypatch):
    (tmp_path / "mywaves.py").write_text("import torch\n\ndef sine(x, k=1.0):\n    return torch.sin(k * x)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = asked("act=mywaves.sine", "sigma_w=1", "sigma_b=0.2")
    q = found["q_star"]  # E[sin^2] = (1 - exp(-2 q)) / 2, E[cos^2] = (1 + exp(-2 q)) / 2
    assert q == pytest.approx((1 - math.exp(-2 * q)) / 2 + 0.04)
    assert found["chi_1"] == pytest.approx((1 + math.exp(-2 * q)) / 2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["act=tnh"], "no act 'tnh'; did you mean 'tanh'?"),
        (["sigma=1"], "there is no key 'sigma'"),
        (["--c0", "2", "act=tanh"], "--c0 2.0: a correlation between -1 and 1"),
        (["--figure", "x.jpg", "act=tanh"], "'.jpg' is no format of figures"),
        (["--figure", "x.png", "norm=batch"], "theory covers none of the settings"),
        (["act=tanh", "sigma_w=-1"], "init.sigma_w must be a number of at least 0, got -1"),
        (["init=lecun", "init.gain=-2"], "init.gain must be a number above 0, got -2"),
        (["regularize.dropout=1"], "regularize.dropout must be a number in [0, 1), got 1"),
        (["model.branch_scale=x"], "model.branch_scale must be a number, got 'x'"),
        (["act=nowhere.phi"], "act=nowhere.phi can't be imported"),
    ],
)
def test_bad_input_is_one_line(words, message):
    assert message in error(*words)


@pytest.mark.slow
def test_figures(tmp_path):
    theory("act=tanh,relu", "sigma_w=0.8,1.5", "--figure", tmp_path / "all")
    assert {file.name for file in (tmp_path / "all").iterdir()} == {
        f"{name}.{kind}" for name in ("phase_diagram", "profiles") for kind in ("png", "svg")
    }
    diagram = (tmp_path / "all/phase_diagram.svg").read_text()
    for text in ("ordered", "chaotic", "tanh", "relu", "mean_field sigma_w=0.8", "torch_default", "he, he_uniform"):
        assert text in diagram, text
    theory("--figure", tmp_path / "one.svg")
    assert "<svg" in (tmp_path / "one.svg").read_text()


@pytest.mark.parametrize("name", ["tanh", "relu", "sigmoid", "elu"])
def test_the_plane_agrees_with_its_points(name):
    phi, sigma_w, sigma_b = activation(name), np.array([0.5, 1.2, 3.0]), np.array([0.1, 0.6])
    chi_1, q_star = chi_1_over(phi, sigma_w, sigma_b)
    for row, b in enumerate(sigma_b):
        for column, w in enumerate(sigma_w):
            one = MeanField(phi, w, b)
            assert chi_1[row, column] == pytest.approx(one.chi_1, rel=0.01)
            assert q_star[row, column] == pytest.approx(one.q_star, rel=0.01)
