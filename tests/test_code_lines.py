"""Lines of code for other frameworks, against numbers worked out by hand; tests/test_frameworks.py runs them."""

import json
from typing import Any

import pytest

from initbench.analysis.code_lines import initializer_lines
from initbench.analysis.winners_code import _lines
from initbench.config.grid import expand
from initbench.config.registry import describe
from initbench.theory.activations import activation

CHOICES = {choice.name: choice for choice in describe("init")}


def lines(name: str, act: str = "relu", slope: float | None = None, **parameters: Any) -> dict[str, str]:
    phi = activation(act) if slope is None else activation(act, slope=slope)
    return initializer_lines(CHOICES[name].facts, CHOICES[name].parameters | parameters, phi)


def test_the_gain_is_filled_in():
    assert lines("he")["JAX"] == 'kernel_init=jax.nn.initializers.variance_scaling(2, "fan_in", "normal")'
    leaky = lines("he", "leaky_relu", 0.5, gain=0.5)  # 0.5^2 * 2 / (1 + 0.25) = 0.4
    assert "VarianceScaling(0.4," in leaky["Keras"]
    assert leaky["PyTorch"] == (
        "nn.init.kaiming_normal_(layer.weight, a=0.5); layer.weight.data.mul_(0.5); nn.init.zeros_(layer.bias)"
    )
    assert "orthogonal_(layer.weight, gain=1.592537)" in lines("orthogonal", "tanh", gain="auto")["PyTorch"]
    assert "orthogonal_(layer.weight)" in lines("orthogonal")["PyTorch"]


def test_biases_are_set():
    assert lines("xavier", bias=0.1)["PyTorch"].endswith("; nn.init.constant_(layer.bias, 0.1)")
    assert lines("xavier", bias_std=0.2)["Keras"].endswith(
        "bias_initializer=keras.initializers.RandomNormal(stddev=0.2)"
    )
    assert lines("mean_field", sigma_b=0.5)["JAX"].endswith("bias_init=jax.nn.initializers.normal(0.5)")
    assert lines("torch_default")["PyTorch"] == "layer.reset_parameters()"
    assert lines("torch_default", bias=0)["PyTorch"] == "layer.reset_parameters(); nn.init.zeros_(layer.bias)"
    assert "# biases: of variance 1 / (3 * n)" in lines("torch_default")["Keras"]


@pytest.mark.parametrize("setting", [{"recurrent": "orthogonal"}, {"forget_bias": 1}, {"mine": 3}])
def test_what_a_line_knows_nothing_of_leaves_none(setting):
    assert lines("he", **setting) == {}


def test_what_no_framework_has_has_no_line():
    assert lines("lsuv") == lines("random_walk") == lines("zero") == {}
    assert lines("sparse").keys() == {"PyTorch"} and not lines("sparse", connections=5)


def test_a_winners_lines_are_those_of_its_run():
    def of(*overrides: str) -> dict[str, str] | None:
        [run] = expand(overrides).runs
        found = _lines({**run.choices, "config": json.dumps(run.config)})
        return None if found is None else dict(found)

    assert "VarianceScaling(1.6," in (of("init=he", "act=leaky_relu", "act.slope=0.5") or {})["Keras"]
    assert "inits has init=lsuv" in (of("init=lsuv") or {})["JAX"]
    assert of("init=he", "model=lstm", "data=digits_rows") is None  # gates
