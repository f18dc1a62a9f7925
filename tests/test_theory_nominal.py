"""The variances that YAMLs state are those of the weights that are drawn."""

import math

import pytest
import torch
from torch import nn

from initbench.config.registry import choices, shared_keys, shipped_choice, shipped_facts
from initbench.errors import InputError
from initbench.parts import activations, inits
from initbench.parts.activations import Activation
from initbench.theory.activations import Phi, activation
from initbench.theory.coverage import NotCovered
from initbench.theory.nominal import Scheme, evaluate

STATED = [name for name, facts in shipped_facts("init").items() if "Variance" in facts]
SHAPES = [(300, 200), (200, 300), (250, 250)]  # n, m


def scheme(name, **changed):
    choice = shipped_choice("init", name)
    return Scheme.of(name, choice.facts, choice.parameters | changed)


def drawn(name, n, m, act, **changed):
    """The weight (m, n) and bias (m,) of a layer that an initializer has written."""
    layer = nn.Linear(n, m)
    own = shipped_choice("init", name).parameters.items()
    parameters = {key: value for key, value in own if key not in shared_keys("init")}
    target = getattr(inits, "normal" if name == "normal_small" else name)
    if "act" in target.__code__.co_varnames[: target.__code__.co_argcount + target.__code__.co_kwonlyargcount]:
        parameters["act"] = act
    target(layer, torch.zeros(2, n), torch.Generator().manual_seed(1), **parameters | changed)
    return layer.weight.detach().double(), layer.bias.detach().double()


@pytest.mark.parametrize("name", choices("init"))
def test_every_initializer_states_its_variance_or_why_not(name):
    facts = shipped_facts("init")[name]
    assert ("Variance" in facts) != ("Theory" in facts), f"conf/init/{name}.yaml needs '# Variance:' or '# Theory:'"


@pytest.mark.parametrize(("n", "m"), SHAPES)
@pytest.mark.parametrize("act", ["relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("name", STATED)
def test_weights_have_the_variance_that_is_stated(name, act, n, m):
    weight, _ = drawn(name, n, m, Activation(getattr(activations, act)))
    stated = scheme(name).weight_variance(activation(act), n, m)
    assert float(weight.square().mean()) == pytest.approx(stated, rel=5 * math.sqrt(2 / (n * m)) + 1e-3, abs=1e-30)


@pytest.mark.parametrize("name", ["mean_field", "torch_default"])
def test_biases_have_the_variance_that_is_stated(name):
    _, bias = drawn(name, 50, 20_000, Activation(activations.tanh))
    assert float(bias.square().mean()) == pytest.approx(scheme(name).bias(activation("tanh"), 50, 20_000)[1], rel=0.05)
    assert scheme(name, bias=0.1).bias(activation("tanh"), 50, 20) == (0.1, 0)
    assert scheme("he").bias(activation("tanh"), 50, 20) == (0, 0)


@pytest.mark.parametrize(("gain", "factor"), [(2, 4.0), ("auto", 1.5925**2)])
def test_the_gain_multiplies(gain, factor):
    weight, _ = drawn("lecun", 300, 300, Activation(activations.tanh), gain=gain)
    stated = scheme("lecun", gain=gain).weight_variance(activation("tanh"), 300, 300)
    assert stated == pytest.approx(factor / 300, rel=1e-4)
    assert float(weight.square().mean()) == pytest.approx(stated, rel=0.03)


def test_leaky_relu_has_hes_variance_for_its_slope():
    phi = activation("leaky_relu", slope=0.5)
    assert scheme("he").weight_variance(phi, 100, 7) == pytest.approx(2 / (1.25 * 100))
    assert scheme("he").layer(phi, 100, 7).chi(1.0) == pytest.approx(1)


@pytest.mark.parametrize(("act", "times_n"), [("tanh", 1), ("sigmoid", 12.8), ("relu", 2)])
def test_kumars_variance(act, times_n):
    assert 100 * scheme("kumar").weight_variance(activation(act), 100, 7) == pytest.approx(times_n)


def test_a_constant_bias_moves_the_activation():
    """q is the variance around it: E[phi(sqrt(q) z + b)^2] of the layer below."""
    layer = scheme("lecun", bias=0.5).layer(activation("relu"), 100, 100)
    assert layer.q(0.0) == 0.25
    # E[max(z + b, 0)^2] = (1 + b^2) Phi(b) + b phi(b)
    cdf, density = 0.5 * (1 + math.erf(0.5 / math.sqrt(2))), math.exp(-(0.5**2) / 2) / math.sqrt(2 * math.pi)
    assert layer.q(1.0) == pytest.approx((1 + 0.25) * cdf + 0.5 * density, rel=1e-9)


def test_reasons_against_are_said():
    with pytest.raises(NotCovered, match=r"init=constant: the weights are all equal"):
        scheme("constant")
    with pytest.raises(NotCovered, match=r"init=mine.own: no YAML of it states a variance"):
        Scheme.of("mine.own", {}, {})
    with pytest.raises(NotCovered, match=r"init=kumar: its variance, .* is inf for act=flat"):
        scheme("kumar").weight_variance(Phi("flat", lambda x: (x**2, 2 * x)), 10, 10)


def test_formulas_are_arithmetic_and_nothing_else():
    values = {"n": 4.0, "m": 9.0}
    assert evaluate("1 / sqrt(n * m)", values, "") == pytest.approx(1 / 6)
    assert evaluate("2^-n + max(n, m)", values, "") == 9.0625
    for formula in ["n.real", "__import__('os')", "k / n", "n if m else 1", "'a'", "2 n"]:
        with pytest.raises(InputError, match="init=x: "):
            evaluate(formula, values, "init=x")
