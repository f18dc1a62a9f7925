"""Initializers that PyTorch has too: what is the same there, and what it does differently."""

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from initbench.parts import activations, inits
from initbench.parts.activations import Activation
from initbench.parts.models.attention import Block
from initialized_layers import RELU, TANH, M, N, biases, generator, has_moments, initialized, sample, weights
from small_models import GRU, LSTM, RNN


@pytest.mark.parametrize(
    ("scheme", "theirs"),
    [
        (inits.he, partial(nn.init.kaiming_normal_, nonlinearity="relu")),
        (inits.he_uniform, partial(nn.init.kaiming_uniform_, nonlinearity="relu")),
        (inits.xavier, nn.init.xavier_uniform_),
        (inits.xavier_normal, nn.init.xavier_normal_),
        (inits.orthogonal, nn.init.orthogonal_),
        (inits.glorot_standard, partial(nn.init.kaiming_uniform_, a=math.sqrt(5))),
    ],
)
def test_equals_torch_given_the_same_generator(scheme, theirs):
    expected = theirs(torch.empty(M, N), generator=generator(3))
    ours = initialized(scheme, nn.Linear(N, M), seed=3).weight.detach()
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)


def test_torch_default_is_distributed_as_nn_linear():
    torch_weights = np.stack([_torch_linear(seed).weight.detach().numpy() for seed in range(20)])
    torch_biases = np.stack([_torch_linear(seed).bias.detach().numpy() for seed in range(20)])
    assert two_sample_p(torch_weights, weights(inits.torch_default)) > 1e-3
    assert two_sample_p(torch_biases, biases(inits.torch_default)) > 1e-3


def two_sample_p(a: np.ndarray, b: torch.Tensor) -> float:
    result: Any = stats.ks_2samp(a.ravel(), b.numpy().ravel())
    return result.pvalue


def _torch_linear(seed: int) -> nn.Linear:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Linear(N, M)


def test_torch_default_is_distributed_as_torchs_recurrent_attention_and_embedding_layers():
    def theirs(make, name: str) -> np.ndarray:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return make().get_parameter(name).detach().numpy()

    def ours(model: nn.Module, name: str) -> torch.Tensor:
        return sample(inits.torch_default, model, name).float()

    lstm, attention = partial(nn.LSTM, 30, 50), partial(nn.MultiheadAttention, 60, 4)
    own_lstm, own_block = partial(LSTM, (30, 5), 2, 1, 50, lambda: TANH), partial(Block, 60, 4, 9, lambda: RELU, True)
    for make, name in ((own_lstm, "layers.0.input"), (own_lstm, "layers.0.recurrent")):
        assert two_sample_p(theirs(lstm, "weight_ih_l0"), ours(make(), f"{name}.weight")) > 1e-3
    for name in ("query", "key", "value"):
        assert two_sample_p(theirs(attention, "in_proj_weight"), ours(own_block(), f"attention.{name}.weight")) > 1e-3
        assert (ours(own_block(), f"attention.{name}.bias") == 0).all()
    assert two_sample_p(theirs(attention, "out_proj.weight"), ours(own_block(), "attention.output.weight")) > 1e-3
    assert (theirs(attention, "out_proj.bias") == 0).all() and (ours(own_block(), "attention.output.bias") == 0).all()
    embedding = partial(nn.Embedding, 70, 40)
    assert two_sample_p(theirs(embedding, "weight"), ours(embedding(), "weight")) > 1e-3


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_torch_default_has_the_biases_that_torchs_recurrent_layers_add_up(kind):
    """b of rnn and lstm is PyTorch's b_ih + b_hh, of variance 2 / (3 N). A gru has both: r multiplies one of b_hh."""
    width, seeds = 23, range(40)
    torchs = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[kind]
    own = {"rnn": RNN, "lstm": LSTM, "gru": GRU}[kind]

    def theirs(seed: int) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return torchs(7, width)

    def ours(seed: int) -> nn.Module:
        return initialized(inits.torch_default, own((7, 5), 2, 1, width, lambda: TANH), seed=seed)

    def drawn(make, *names: str) -> torch.Tensor:
        """The sum of some biases, of every seed."""
        return torch.stack([torch.stack([make(seed).get_parameter(name) for name in names]).sum(0) for seed in seeds])

    pairs = [(["bias_ih_l0", "bias_hh_l0"], "layers.0.input.bias")]
    if kind == "gru":
        pairs = [(["bias_ih_l0"], "layers.0.input.bias"), (["bias_hh_l0"], "layers.0.recurrent.bias")]
    for torch_names, name in pairs:
        expected, found = drawn(theirs, *torch_names).detach(), drawn(ours, name).detach()
        assert two_sample_p(expected.numpy(), found) > 1e-3
        kurtosis = 1.8 if kind == "gru" else 2.4  # of a uniform number, of the sum of two
        assert has_moments(found, len(torch_names) / (3 * width), kurtosis)


def test_bare_kaiming_is_he_but_calculate_gain_of_leaky_relu_is_not():
    """Bare kaiming_normal_ says leaky_relu with slope 0, gain sqrt 2; calculate_gain alone has slope 0.01."""
    bare = nn.init.kaiming_normal_(torch.empty(M, N), generator=generator())
    torch.testing.assert_close(initialized(inits.he, nn.Linear(N, M)).weight.detach(), bare)
    assert nn.init.calculate_gain("leaky_relu") == pytest.approx(Activation(activations.leaky_relu).gain)
    assert nn.init.calculate_gain("leaky_relu") != pytest.approx(math.sqrt(2), abs=1e-6)


def test_torchs_gains_for_tanh_and_selu_are_not_the_theorys():
    """5/3 on tanh is chaotic, chi_1 = 1.21 (phi'(0)^2 sigma_w^2 > 1); 3/4 on SELU was found empirically."""
    assert nn.init.calculate_gain("tanh") == pytest.approx(5 / 3)
    assert TANH.gain == pytest.approx(1.5925, abs=1e-4)
    assert nn.init.calculate_gain("selu") == pytest.approx(3 / 4)
    assert Activation(activations.selu).gain == pytest.approx(1, abs=1e-4)


def test_torchs_trunc_normal_cuts_at_absolute_values_and_loses_variance():
    std = 0.02
    uncut = nn.init.trunc_normal_(torch.empty(200, 200), std=std, generator=generator())
    assert uncut.abs().max() > 3 * std  # a = -2, b = 2 are 100 deviations away
    cut = nn.init.trunc_normal_(torch.empty(200, 200), std=std, a=-2 * std, b=2 * std, generator=generator())
    assert float(cut.std()) / std == pytest.approx(0.8796, abs=0.01)
    assert float(weights(inits.trunc_normal, std=std).std()) / std == pytest.approx(1, abs=0.02)
