"""Dense models, written out by hand: multilayer perceptrons, residual ones, logistic regression."""

from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from agreement import act, filled, random
from initbench.errors import InputError
from initbench.parts.activations import Activation, relu
from initbench.parts.models import Dense
from small_models import MLP, Logistic


def test_an_mlp_is_the_formula():
    model: Any = MLP((2, 3), 4, depth=2, width=5, act=act)
    x = torch.randn(7, 2, 3)
    h = x.reshape(7, 6)
    for layer in model.layers:
        h = torch.tanh(h @ layer.linear.weight.T + layer.linear.bias)
    torch.testing.assert_close(model(x), h @ model.head.weight.T + model.head.bias)


def test_its_layers_and_parameters_have_names_and_shapes():
    model: Any = MLP((1, 8, 8), 10, depth=2, width=100, act=act)
    assert {name: tuple(p.shape) for name, p in model.named_parameters()} == {
        "layers.0.linear.weight": (100, 64),
        "layers.0.linear.bias": (100,),
        "layers.1.linear.weight": (100, 100),
        "layers.1.linear.bias": (100,),
        "head.weight": (10, 100),
        "head.bias": (10,),
    }
    assert all(isinstance(layer, Dense) and isinstance(layer.act, Activation) for layer in model.layers)
    assert model.layers[0].act is not model.layers[1].act


def test_depth_0_is_logistic_regression():
    model: Any = MLP((3,), 2, depth=0, width=5, act=act)
    x = torch.randn(4, 3)
    torch.testing.assert_close(model(x), x @ model.head.weight.T + model.head.bias)


def test_it_is_built_on_the_meta_device_without_touching_random_numbers():
    before = torch.get_rng_state()
    with torch.device("meta"):
        model = MLP((1, 8, 8), 10, depth=50, width=1000, act=act)
    assert all(p.is_meta for p in model.parameters())
    assert torch.equal(before, torch.get_rng_state())


def test_no_examples_give_no_logits():
    assert MLP((1, 8, 8), 10, depth=1, width=4, act=act)(torch.zeros(0, 1, 8, 8)).shape == (0, 10)


def test_a_hook_sees_what_an_activation_gets_and_gives():
    model: Any = MLP((3,), 2, depth=1, width=4, act=act)
    seen = []
    for module in model.modules():
        if isinstance(module, Activation):
            module.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0], output)))
    x = torch.randn(5, 3)
    model(x)
    ((s, h),) = seen
    torch.testing.assert_close(s, nn.functional.linear(x, *model.layers[0].linear.parameters()))
    torch.testing.assert_close(h, torch.tanh(s))


@pytest.mark.parametrize(
    ("depth", "width", "key"), [(-1, 4, "depth"), (1, 0, "width"), (1.5, 4, "depth"), (1, "a", "width")]
)
def test_bad_sizes_say_so(depth, width, key):
    with pytest.raises(InputError, match=f"^{key} must be a whole number"):
        MLP((3,), 2, depth=depth, width=width, act=act)


def test_logistic_is_one_linear_layer():
    model = filled(Logistic((2, 3), 4, depth=0))
    x = random(5, 2, 3)
    torch.testing.assert_close(model(x), x.reshape(5, 6) @ model.head.weight.T + model.head.bias)
    with pytest.raises(InputError, match=r"^model=logistic has no hidden layer: set depth=0, not depth=5"):
        Logistic((3,), 2, depth=5)


def test_the_residual_mlp_of_mnist1d():
    """Greydanus & Kobak's code: h1 = relu(W1 x), h2 = h1 + relu(W2 h1), W3 h2; 15,210 weights and biases."""
    model = filled(MLP((1, 40), 10, depth=2, width=100, act=partial(Activation, relu), branch_scale=1))
    assert sum(p.numel() for p in model.parameters()) == 40 * 100 + 100 + 100 * 100 + 100 + 100 * 10 + 10
    x = random(3, 1, 40)
    h1 = torch.relu(F.linear(x[:, 0], *model.layers[0].linear.parameters()))
    h2 = h1 + torch.relu(F.linear(h1, *model.layers[1].linear.parameters()))
    torch.testing.assert_close(model(x), F.linear(h2, *model.head.parameters()))
