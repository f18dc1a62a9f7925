"""Activations: their values, and the gains and slopes at 0 that initializers ask for."""

import inspect
import math

import pytest
import torch
from scipy import integrate, stats

from initbench.errors import InputError
from initbench.parts import activations
from initbench.parts.activations import Activation

ALL = [
    function
    for name, function in inspect.getmembers(activations, inspect.isfunction)
    if function.__module__ == activations.__name__ and not name.startswith("_")
]


@pytest.mark.parametrize(
    ("name", "x", "value"),
    [
        ("sigmoid", 0.0, 0.5),
        ("tanh", 0.5, math.tanh(0.5)),
        ("relu", -2.0, 0.0),
        ("leaky_relu", -2.0, -0.02),
        ("elu", -1.0, math.exp(-1) - 1),
        ("selu", 1.0, 1.0507009873554805),
        ("gelu", -1.0, -stats.norm.cdf(-1)),  # exact: the tanh approximation is 1e-4 away
        ("silu", 2.0, 2 / (1 + math.exp(-2))),
        ("mish", 1.0, math.tanh(math.log(1 + math.e))),
        ("softplus", 0.0, math.log(2)),
        ("softsign", -3.0, -0.75),
        ("linear", -7.0, -7.0),
    ],
)
def test_value(name, x, value):
    y = getattr(activations, name)(torch.tensor([x], dtype=torch.float64))
    assert float(y) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("function", ALL)
def test_works_under_vmap_and_keeps_shape_and_dtype(function):
    x = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    y = torch.func.vmap(function)(x)
    assert y.shape == x.shape and y.dtype == x.dtype
    assert torch.equal(y, function(x))


@pytest.mark.parametrize(
    ("name", "gain"),
    [
        ("tanh", 1.5925),
        ("sigmoid", 1.8462),
        ("softsign", 2.3375),
        ("elu", 1.2452),
        ("gelu", 1.5335),
        ("silu", 1.6765),
        ("selu", 1.0),
        ("relu", math.sqrt(2)),
        ("linear", 1.0),
    ],
)
def test_gain_is_the_published_one(name, gain):
    assert Activation(getattr(activations, name)).gain == pytest.approx(gain, abs=5e-5)


@pytest.mark.parametrize("function", ALL)
def test_gain_agrees_with_adaptive_quadrature(function):
    def integrand(z):
        return float(function(torch.tensor(z, dtype=torch.float64))) ** 2 * stats.norm.pdf(z)

    mean_square = sum(integrate.quad(integrand, a, b, epsabs=1e-11)[0] for a, b in ((-12, 0), (0, 12)))
    assert Activation(function).gain == pytest.approx(mean_square**-0.5, abs=1e-6)


def test_gain_of_leaky_relu_follows_its_slope():
    for slope in (0.0, 0.01, 0.3, 1.0):
        act = Activation(activations.leaky_relu, slope=slope)
        assert act.gain == pytest.approx(math.sqrt(2 / (1 + slope**2)), rel=1e-9)
        assert act.negative_slope == slope


def test_gain_with_kinks_and_a_jump_anywhere():
    def hard(x):
        return x.clamp(-0.3, 0.7123)

    def second_moment(low, high):  # E[clamp(z)^2], by parts
        inside = stats.norm.cdf(high) - stats.norm.cdf(low) - high * stats.norm.pdf(high) + low * stats.norm.pdf(low)
        return inside + low**2 * stats.norm.cdf(low) + high**2 * stats.norm.sf(high)

    assert Activation(hard).gain == pytest.approx(second_moment(-0.3, 0.7123) ** -0.5, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "value0", "slope0"),
    [
        ("tanh", 0, 1),
        ("sigmoid", 0.5, 0.25),
        ("softplus", math.log(2), 0.5),
        ("softsign", 0, 1),
        ("gelu", 0, 0.5),
        ("silu", 0, 0.5),
        ("mish", 0, 0.6),
        ("elu", 0, 1),
        ("linear", 0, 1),
        ("relu", 0, math.sqrt(1 / 2)),  # a kink: root mean square of 0 and 1
        ("leaky_relu", 0, math.sqrt((1 + 0.01**2) / 2)),
    ],
)
def test_value_and_slope_at_zero(name, value0, slope0):
    act = Activation(getattr(activations, name))
    assert act.value0 == pytest.approx(value0, abs=1e-12)
    assert act.slope0 == pytest.approx(slope0, rel=1e-12)


def test_rectifiers_are_off_on_one_side_and_unbounded_on_the_other():
    def rectifies(function, **constants) -> bool:
        return Activation(function, **constants).rectifies

    found = {function.__name__ for function in ALL if rectifies(function)}
    assert found >= {"relu", "leaky_relu", "gelu", "silu", "mish", "softplus"}
    assert found.isdisjoint({"sigmoid", "tanh", "softsign", "elu", "selu", "linear"})
    assert rectifies(lambda x: x.relu() ** 2) and rectifies(lambda x: (-x).relu())
    assert not rectifies(lambda x: x.relu().clamp(max=6)) and not rectifies(lambda x: x**2)
    assert not rectifies(activations.leaky_relu, slope=0.3)


def test_slope_at_zero_keeps_its_sign():
    def falling(x):
        return -3 * x

    assert Activation(falling).slope0 == -3


def test_an_activation_holds_its_constants_and_no_parameters():
    act = Activation(activations.elu, alpha=0.5)
    assert act(torch.tensor([-50.0])) == -0.5
    assert list(act.parameters()) == []
    assert repr(act) == "Activation(elu, alpha=0.5)"
    assert act.negative_slope == 0


def softmax(x):
    return torch.softmax(x, 0)


def rounded_to_int(x):
    return x.round().long()


def nothing(x):
    return 0 * x


def detached(x):
    return x.detach()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (softmax, "softmax isn't elementwise"),
        (torch.sum, "sum isn't elementwise"),
        (rounded_to_int, "rounded_to_int can't be differentiated"),
        (detached, "detached can't be differentiated"),
        (nothing, "nothing has no gain"),
        (torch.log, "log isn't finite"),
    ],
)
def test_what_is_no_activation_says_so_when_the_gain_is_asked(function, message):
    with pytest.raises(InputError, match=message) as caught:
        _ = Activation(function).gain
    assert "\n" not in str(caught.value)


def test_a_constant_is_a_number_or_a_word():
    with pytest.raises(InputError, match=r"act.slope must be a number or a word, got \[1\]"):
        Activation(activations.leaky_relu, slope=[1])


def test_an_unknown_constant_says_so():
    with pytest.raises(InputError, match="relu"):
        _ = Activation(activations.relu, slope=1).gain
