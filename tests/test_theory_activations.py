"""The activations of theory are those that networks have."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from initbench.errors import InputError
from initbench.parts import activations
from initbench.theory.activations import SHIPPED, activation, find_kinks, from_tensors
from initbench.theory.quadrature import gain

X = np.concatenate((np.linspace(-30, 30, 601) + 0.013, [-1e-9, 1e-9, -500.0, 500.0]))


@pytest.mark.parametrize("name", SHIPPED)
def test_values_and_slopes_are_those_of_the_part(name):
    x = torch.from_numpy(X).requires_grad_()
    values = getattr(activations, name)(x)
    (slopes,) = torch.autograd.grad(values.sum(), x)
    assert_allclose(activation(name)(X), values.detach().numpy(), rtol=3e-9, atol=1e-15)  # torch cuts softplus at 20
    assert_allclose(activation(name).slope(X), slopes.numpy(), rtol=3e-9, atol=1e-12)


@pytest.mark.parametrize("name", SHIPPED)
def test_gain_and_what_is_at_zero_are_those_of_the_part(name):
    part, phi = activations.Activation(getattr(activations, name)), activation(name)
    assert gain(phi) == pytest.approx(part.gain, rel=1e-9)
    assert (phi.value0, phi.slope0) == pytest.approx((part.value0, part.slope0), rel=1e-9)


@pytest.mark.parametrize(("name", "constants"), [("leaky_relu", {"slope": 0.2}), ("elu", {"alpha": 0.5})])
def test_constants_are_passed_on(name, constants):
    expected = getattr(activations, name)(torch.from_numpy(X), **constants)
    assert_allclose(activation(name, **constants)(X), expected.numpy(), rtol=1e-12)


def test_an_unknown_activation_is_named_with_the_nearest():
    with pytest.raises(InputError, match=r"no activation 'tann'; did you mean 'tanh'\?"):
        activation("tann")


def test_straight_sides_are_found():
    assert activation("relu").sides == (0, 1)
    assert activation("leaky_relu", slope=0.2).sides == pytest.approx((0.2, 1))
    assert activation("linear").sides == (1, 1)
    assert activation("elu").sides is None
    assert activation("gelu").far_sides == (0, 1)
    assert activation("tanh").far_sides == (0, 0)
    assert activation("selu").far_sides == pytest.approx((0, 1.0507), abs=1e-4)


def hard_tanh(x):
    return x.clamp(-1, 0.7)


def relu_of_torch(x):
    return torch.relu(x)


def test_somebodys_own_has_the_values_and_slopes_of_training():
    own, shipped = from_tensors(relu_of_torch), activation("relu")
    assert_allclose(own(X), shipped(X))
    assert_allclose(own.slope(X), shipped.slope(X))
    assert from_tensors(hard_tanh).kinks == pytest.approx((0, -1, 0.7), abs=1e-9)


def test_kinks_are_not_seen_in_smooth_functions():
    assert find_kinks(activation("tanh").function) == []
    assert find_kinks(lambda x: (np.sin(4 * x), 4 * np.cos(4 * x))) == []


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x - x.mean(), "isn't elementwise"),
        (lambda x: x.sum(), "isn't elementwise"),
        (lambda x: x.detach(), "can't be evaluated and differentiated"),
        (lambda x: x.sqrt(), "isn't finite"),
        (lambda x: x.no_such_thing(), "no_such_thing"),
    ],
)
def test_what_is_no_activation_is_refused_in_one_line(function, message):
    with pytest.raises(InputError, match=message):
        from_tensors(function)
