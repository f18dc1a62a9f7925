"""Every initializer: closed-form variances and bounds, biases, random numbers, bad input."""

import inspect
import math

import pytest
import torch
from scipy import stats
from torch import nn

from initbench.errors import InputError
from initbench.parts import activations, inits
from initbench.parts.activations import Activation
from initialized_layers import ALL, RELU, TANH, M, N, biases, generator, has_moments, initialized, weights
from small_models import MLP

LEAKY = Activation(activations.leaky_relu, slope=0.3)
SIGMOID = Activation(activations.sigmoid)
SOFTSIGN, SELU, ELU, LINEAR = map(
    Activation, (activations.softsign, activations.selu, activations.elu, activations.linear)
)

NORMAL = [
    ("normal", {}, RELU, 1),
    ("normal", {"std": 0.01}, RELU, 1e-4),
    ("xavier_normal", {}, RELU, 2 / (N + M)),
    ("he", {}, RELU, 2 / N),
    ("he", {}, TANH, 2 / N),
    ("he", {}, LEAKY, 2 / ((1 + 0.3**2) * N)),
    ("he_fan_out", {}, RELU, 2 / M),
    ("he_fan_out", {}, LEAKY, 2 / ((1 + 0.3**2) * M)),
    ("lecun", {}, RELU, 1 / N),
    ("lecun", {"gain": 3}, RELU, 9 / N),
    ("lecun", {"gain": "auto"}, RELU, 2 / N),
    ("lecun", {"gain": "auto"}, TANH, 1.5925**2 / N),
    ("lecun", {"gain": "auto"}, SIGMOID, 1.8462**2 / N),
    ("kumar", {}, TANH, 1 / N),
    ("kumar", {}, SIGMOID, 12.8 / N),
    ("kumar", {}, RELU, 2 / N),
    ("mean_field", {"sigma_w": 1.5}, RELU, 1.5**2 / N),
    ("ratio_xavier", {}, RELU, 1 / M),
    ("geometric", {}, RELU, 2 / math.sqrt(N * M)),
    ("geometric", {}, LEAKY, 2 / ((1 + 0.3**2) * math.sqrt(N * M))),
    ("unit_variance", {}, TANH, 1.5925**2 / N),
    ("unit_variance", {}, SOFTSIGN, 2.3375**2 / N),
    ("unit_variance", {}, SELU, 1 / N),
    ("critical", {}, RELU, 2 / N),
    ("critical", {"sigma_b": 0.2}, TANH, 1.303**2 / N),
    ("critical", {"sigma_b": 0.2}, ELU, 1.228**2 / N),
    ("random_walk", {}, LINEAR, math.exp(1 / N) / N),
    ("random_walk", {}, RELU, 2 * math.exp(2 * 1.2 / (N - 2.4)) / N),
]


@pytest.mark.parametrize(("name", "parameters", "act", "variance"), NORMAL)
def test_normal_schemes_have_their_variance(name, parameters, act, variance):
    sample = weights(ALL[name], act=act, **parameters)
    assert has_moments(sample, variance)
    assert stats.kstest(sample.numpy().ravel(), stats.norm(0, math.sqrt(variance)).cdf).pvalue > 1e-4


UNIFORM = [
    ("uniform", {"a": 0.3}, RELU, 0.3),
    ("xavier", {}, RELU, math.sqrt(6 / (N + M))),
    ("he_uniform", {}, RELU, math.sqrt(6 / N)),
    ("he_uniform", {}, LEAKY, math.sqrt(6 / ((1 + 0.3**2) * N))),
    ("lecun_uniform", {}, RELU, math.sqrt(3 / N)),
    ("caffe_xavier", {}, RELU, math.sqrt(3 / N)),
    ("glorot_standard", {}, RELU, 1 / math.sqrt(N)),
    ("torch_default", {}, RELU, 1 / math.sqrt(N)),
    ("torch_default", {"gain": 2}, RELU, 2 / math.sqrt(N)),
]


@pytest.mark.parametrize(("name", "parameters", "act", "bound"), UNIFORM)
def test_uniform_schemes_have_their_bounds_and_variance(name, parameters, act, bound):
    sample = weights(ALL[name], act=act, **parameters)
    assert has_moments(sample, bound**2 / 3, kurtosis=1.8)
    assert 0.999 * bound < sample.abs().max() <= bound * (1 + 1e-12)
    assert stats.kstest(sample.numpy().ravel(), stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-4


@pytest.mark.parametrize(
    ("name", "variance"),
    [("trunc_normal", 0.02**2), ("he_truncated", 2 / N), ("xavier_truncated", 2 / (N + M)), ("lecun_truncated", 1 / N)],
)
def test_truncated_schemes_are_cut_at_two_and_keep_their_deviation(name, variance):
    """As Keras has them: tf.keras.initializers.HeNormal() divides by 0.87962566."""
    sample = weights(ALL[name])
    cut = 2 * math.sqrt(variance) / 0.87962566
    assert has_moments(sample, variance)
    assert 0.99 * cut < sample.abs().max() <= cut * (1 + 1e-6)


def test_zeros_and_constant():
    assert (weights(inits.zeros) == 0).all()
    assert (weights(inits.constant, value=0.25) == 0.25).all()


def test_ratio_he_scales_row_0():
    he, xavier = weights(inits.ratio_he), weights(inits.ratio_xavier)
    torch.testing.assert_close(he[:, 0], xavier[:, 0] * math.tanh(1.5))  # 2/(1 + e^-3) - 1
    assert torch.equal(he[:, 1:], xavier[:, 1:])


# Biases.


@pytest.mark.parametrize("name", sorted(ALL.keys() - {"torch_default", "mean_field", "critical", "rai"}))
def test_biases_are_zero_unless_asked(name):
    assert (biases(ALL[name]) == 0).all()


@pytest.mark.parametrize("name", sorted(ALL))
def test_biases_can_be_set(name):
    assert (biases(ALL[name], bias=0.01) == 0.01).all()
    assert torch.equal(weights(ALL[name], bias=0.01), weights(ALL[name]))


def test_torch_default_and_mean_field_draw_their_biases():
    drawn = biases(inits.torch_default)
    assert has_moments(drawn, 1 / (3 * N), kurtosis=1.8) and drawn.abs().max() <= 1 / math.sqrt(N)
    assert has_moments(biases(inits.mean_field, sigma_b=0.3), 0.09)
    assert (biases(inits.mean_field, sigma_b=0) == 0).all()


# Random numbers.


@pytest.mark.parametrize("name", sorted(ALL.keys() - {"zeros", "constant", "identity", "zero"}))
def test_the_seed_decides_and_no_two_layers_are_alike(name):
    """deepxde#2086: an initializer that ignores its seed. keras-hub#352: one reused, layers identical."""
    first, again, other = (weights(ALL[name], seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert all(not torch.equal(first[i], first[j]) for i in range(16) for j in range(i))

    one_generator = generator()
    twice = [nn.Linear(N, M), nn.Linear(N, M)]
    for model in twice:
        arguments = {"act": RELU} if "act" in inspect.signature(ALL[name]).parameters else {}
        ALL[name](model, torch.zeros(2, N), one_generator, **arguments)
    assert not torch.equal(twice[0].weight, twice[1].weight)


@pytest.mark.parametrize(
    "names",
    [
        ("normal", "he", "he_fan_out", "lecun", "xavier_normal", "kumar", "ratio_xavier", "mean_field"),
        ("uniform", "he_uniform", "lecun_uniform", "xavier", "glorot_standard", "torch_default"),
    ],
)
def test_schemes_of_one_distribution_differ_in_scale_only(names):
    models = [MLP((5,), 3, depth=2, width=7, act=lambda: RELU) for _ in names]
    schemes = [initialized(ALL[name], model) for name, model in zip(names, models, strict=True)]
    for first, *others in zip(*(inits.matrices(scheme) for scheme in schemes), strict=True):
        for other in others:
            torch.testing.assert_close(other.weight / other.weight.norm(), first.weight / first.weight.norm())


def test_weights_are_drawn_in_the_parameters_dtype():
    for dtype in (torch.float32, torch.float64):
        weight = initialized(inits.he, nn.Linear(N, M).to(dtype)).weight.detach()
        expected = torch.empty(M, N, dtype=dtype).normal_(generator=generator()) * math.sqrt(2 / N)
        torch.testing.assert_close(weight, expected)


# Bad input.


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("normal", {"std": -1}, r"init.std must be a number in \[0, inf\), got -1"),
        ("normal", {"std": "a"}, "init.std must be a number"),
        ("normal", {"std": math.nan}, "init.std"),
        ("uniform", {"a": -0.1}, "init.a "),
        ("trunc_normal", {"std": -0.1}, "init.std"),
        ("constant", {"value": math.inf}, "init.value must be a number, got inf"),
        ("mean_field", {"sigma_w": 0}, r"init.sigma_w must be a number in \(0, inf\)"),
        ("mean_field", {"sigma_b": -1}, "init.sigma_b"),
        ("he", {"gain": "automatic"}, "init.gain must be a number or 'auto', got 'automatic'"),
        ("he", {"gain": 0}, r"init.gain must be a number in \(0, inf\), got 0"),
        ("he", {"gain": True}, "init.gain"),
        ("he", {"bias": None}, "init.bias must be a number, got null"),
        ("torch_default", {"bias": "none"}, "init.bias must be a number"),
    ],
)
def test_bad_parameters_say_so(name, parameters, message):
    with pytest.raises(InputError, match=message) as caught:
        initialized(ALL[name], nn.Linear(3, 2), **parameters)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "parameters"), [("lecun", {"gain": "auto"}), ("kumar", {})])
def test_what_needs_an_activation_says_so(name, parameters):
    with pytest.raises(InputError, match="needs an activation"):
        ALL[name](nn.Linear(3, 2), torch.zeros(1, 3), generator(), **parameters)
