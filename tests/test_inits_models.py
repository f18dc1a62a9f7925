"""Initializers of models that are more than linear layers: fans, embeddings, gates, normalization."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from initbench import build
from initbench.config.grid import expand
from initbench.errors import InputError
from initbench.parts import inits
from initbench.parts.models.attention import Block
from initialized_layers import ALL, RELU, TANH, generator, has_moments, initialized, sample
from small_models import GRU, LSTM, MLP, RNN, Transformer

# Kernels, gates, projections, embeddings: each matrix has its own fans.


@pytest.mark.parametrize(
    "layer", [nn.Linear(7, 5), nn.Conv1d(3, 5, 7), nn.Conv2d(3, 5, (3, 2)), nn.Conv2d(6, 8, 3, groups=2)]
)
def test_fans_are_torchs(layer):
    assert inits.fans(layer.weight) == nn.init._calculate_fan_in_and_fan_out(layer.weight)


def test_he_on_a_convolution_counts_the_receptive_field():
    weight = initialized(inits.he, nn.Conv2d(16, 64, 3)).weight.detach()
    assert has_moments(weight, 2 / (16 * 9))


WIDE = 120  # units
KINDS = [  # what stacks or looks up: its parameter, and the variances of xavier_normal, lecun and he_fan_out
    (lambda: nn.Conv2d(16, 48, 3), "weight", 2 / (9 * 16 + 9 * 48), 1 / (9 * 16), 2 / (9 * 48)),
    (lambda: nn.Conv1d(30, 70, 5), "weight", 2 / (5 * 30 + 5 * 70), 1 / 150, 2 / 350),
    (lambda: LSTM((60, 5), 3, 1, WIDE, lambda: TANH), "layers.0.input.weight", 2 / (60 + WIDE), 1 / 60, 2 / WIDE),
    (lambda: LSTM((60, 5), 3, 1, WIDE, lambda: TANH), "layers.0.recurrent.weight", 1 / WIDE, 1 / WIDE, 2 / WIDE),
    (lambda: GRU((60, 5), 3, 1, WIDE, lambda: TANH), "layers.0.input.weight", 2 / (60 + WIDE), 1 / 60, 2 / WIDE),
    (lambda: nn.LSTM(60, WIDE), "weight_ih_l0", 2 / (60 + WIDE), 1 / 60, 2 / WIDE),
    (lambda: nn.GRUCell(60, WIDE), "weight_ih", 2 / (60 + WIDE), 1 / 60, 2 / WIDE),
    (lambda: nn.MultiheadAttention(WIDE, 4), "in_proj_weight", 1 / WIDE, 1 / WIDE, 2 / WIDE),
    (lambda: Block(WIDE, 4, 50, lambda: RELU, True), "attention.key.weight", 1 / WIDE, 1 / WIDE, 2 / WIDE),
    (lambda: Block(WIDE, 4, 50, lambda: RELU, True), "feedforward.up.weight", 2 / (WIDE + 50), 1 / WIDE, 2 / 50),
    (lambda: nn.Embedding(300, WIDE), "weight", 2 / (1 + WIDE), 1, 2 / WIDE),
]


@pytest.mark.parametrize(("make", "name", "xavier", "lecun", "he_fan_out"), KINDS)
def test_every_kind_of_weight_has_its_fans(make, name, xavier, lecun, he_fan_out):
    assert has_moments(sample(inits.xavier_normal, make(), name), xavier)
    assert has_moments(sample(inits.lecun, make(), name), lecun)
    assert has_moments(sample(inits.he_fan_out, make(), name), he_fan_out)


def test_a_one_hot_input_keeps_its_variance_in_an_embedding():
    """lecun: entries of variance 1, so that each unit of each token has variance 1, as a linear layer gives it."""
    table = initialized(inits.lecun, nn.Embedding(200, 300)).weight
    tokens = torch.arange(200)
    assert has_moments(nn.functional.embedding(tokens, table).detach(), 1)


def test_a_tied_embedding_is_initialized_as_the_head_and_once():
    model = initialized(inits.lecun, Transformer((7,), 300, 1, 64, lambda: RELU, 300, 7, tied_embeddings=True))
    assert has_moments(model.head.weight.detach(), 1 / 64)
    shared = nn.Embedding(300, 64)
    head = nn.Linear(64, 300, bias=False)
    head.weight = shared.weight
    assert len(list(inits.matrices(nn.Sequential(shared, head)))) == 1


@pytest.mark.parametrize(("tie", "variance"), [("module", 1 / 24), ("product", 1 / 24), ("none", 1)])
def test_an_embedding_that_is_the_head_too_has_its_fans_in_a_users_model(tie, variance):
    """It was taken for a lookup, n = 1: 24 times the variance at width 24. A head's bias was not written at all."""
    overrides = ["model=own_parts.Reader", f"model.tie={tie}", "data=text", "width=24", "init=lecun", "init.bias=0.5"]
    config = expand(overrides).runs[0].config
    model = build.initialized(config, build.data(config))
    assert has_moments(model.get_parameter("embedding.weight").detach(), variance)
    assert all((bias == 0.5).all() for name, bias in model.named_parameters() if name.endswith("bias"))


def test_every_module_that_shares_a_weight_gets_its_bias():
    first, second, third = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 5)
    second.weight = third.weight = first.weight
    third.bias = first.bias
    model = initialized(inits.he, nn.Sequential(first, second, third), bias=0.25)
    (matrix,) = inits.matrices(model)
    assert len(matrix.biases) == 2 and all((bias == 0.25).all() for bias in (first.bias, second.bias))


# What is written, and what is left.


@pytest.mark.parametrize("name", sorted(ALL))
def test_normalization_layers_keep_their_own_initialization(name):
    model = nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.LayerNorm(9), nn.PReLU(), nn.Linear(9, 2))
    initialized(ALL[name], model)
    own = {name: parameter.detach() for name, parameter in model.named_parameters()}
    for norm in ("1", "2"):
        assert torch.equal(own[f"{norm}.weight"], torch.ones_like(own[f"{norm}.weight"]))
        assert torch.equal(own[f"{norm}.bias"], torch.zeros_like(own[f"{norm}.bias"]))
    assert own["3.weight"].tolist() == [0.25]
    assert all(parameter.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("model", [nn.RNNCell(3, 4), nn.GRU(3, 4, bidirectional=True), nn.MultiheadAttention(4, 2)])
def test_recurrent_and_attention_weights_are_written_with_their_biases(model):
    initialized(inits.he, model, bias=0.01)
    for name, parameter in model.named_parameters():
        assert parameter.isfinite().all()
        assert ((parameter == 0.01).all()) == ("bias" in name)


def test_a_module_with_a_reset_of_its_own_does_not_undo_the_scheme():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def reset_parameters(self):
            nn.init.ones_(self.linear.weight)

    assert (initialized(inits.zeros, Net()).linear.weight == 0).all()


# Recurrent weights and forget gates apart from the rest.


@pytest.mark.parametrize(("make", "gates"), [(RNN, 1), (LSTM, 4), (GRU, 3)])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_recurrent_weights_can_follow_another_scheme(make, gates, bidirectional):
    model: Any = make((3, 5), 2, 2, 6, lambda: TANH, bidirectional=bidirectional)
    initialized(inits.constant, model, value=0.5)
    parts = inits.recurrent_parts(model)
    assert len(parts) == (4 if bidirectional else 2)
    for part in parts:
        inits.identity(part, torch.zeros(1, 3, 5), generator(), act=TANH)
    for name, parameter in model.named_parameters():
        if "recurrent.weight" in name:
            assert torch.equal(parameter, torch.eye(6).repeat(gates, 1))
        elif "weight" in name:
            assert (parameter == 0.5).all()


def test_only_recurrent_models_have_recurrent_weights():
    for model in (MLP((3,), 2, 2, 4, lambda: RELU), Block(8, 2, 8, lambda: RELU, True)):
        with pytest.raises(InputError, match=r"^init.recurrent needs a model with recurrent weights: model=rnn"):
            inits.recurrent_parts(model)


def test_an_open_forget_gate_adds_everything_up():
    """W = U = 0, candidates tanh(1), input and output gates 1/2: c_T = T tanh(1)/2 if the forget gate is 1, and
    h_T = tanh(c_T)/2; with f = 1/2 it is tanh(1)/2 (1 + 1/2 + ... + 1/2^(T-1))."""
    model: Any = initialized(inits.zeros, LSTM((3, 4), 2, 1, 2, lambda: TANH).double())
    with torch.no_grad():
        gates = dict(inits.gate_biases(model))
        gates["candidate"].fill_(1)
        model.head.weight.copy_(torch.eye(2))
    x = torch.zeros(1, 3, 4).double()
    half = math.tanh(math.tanh(1) / 2 * (1 + 1 / 2 + 1 / 4 + 1 / 8)) / 2
    torch.testing.assert_close(model(x), torch.full((1, 2), half).double())
    inits.set_forget_bias(model, 50)
    torch.testing.assert_close(model(x), torch.full((1, 2), math.tanh(4 * math.tanh(1) / 2) / 2).double())


def test_a_forget_bias_is_written_into_forget_gates_alone():
    model: Any = initialized(inits.zeros, LSTM((3, 4), 2, 2, 5, lambda: TANH, bidirectional=True))
    inits.set_forget_bias(model, 1)
    vector = nn.utils.parameters_to_vector(model.parameters())
    assert vector.sum() == 4 * 5 and vector.count_nonzero() == 4 * 5
    with pytest.raises(InputError, match=r"^init.forget_bias needs a model with forget gates: model=lstm"):
        inits.set_forget_bias(GRU((3, 4), 2, 1, 5, lambda: TANH), 1)
    with pytest.raises(InputError, match=r"^init.forget_bias must be a number, got 'one'"):
        inits.set_forget_bias(model, "one")  # type: ignore[arg-type]


def test_random_biases_go_with_any_weights():
    """N(0, 0.3^2) from a stream of their own: the weights stay what they were; a forget bias comes last."""
    overrides = ["model=lstm", "data=digits_rows", "width=200", "depth=1", "init=orthogonal"]
    plain, drawn, other = (
        build.initialized(config, build.data(config))
        for extra in ([], ["init.bias_std=0.3", "init.forget_bias=1"], ["init.bias_std=0.3", "seed=1"])
        for config in [expand([*overrides, *extra]).runs[0].config]
    )
    assert all(
        torch.equal(a.weight, b.weight) for a, b in zip(inits.matrices(plain), inits.matrices(drawn), strict=True)
    )
    gates = dict(inits.gate_biases(drawn))
    assert (gates.pop("forget") == 1).all()
    assert has_moments(torch.cat(list(gates.values())).double(), 0.09)
    assert not torch.equal(gates["input"], dict(inits.gate_biases(other))["input"])
    with pytest.raises(InputError, match=r"init.bias_std must be a number in \[0, inf\), got -1"):
        inits.draw_biases(plain, generator(), -1)
