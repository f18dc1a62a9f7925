"""Initializers: closed-form variances, bounds, orthogonality, and what libraries do differently."""

import inspect
import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from initbench.errors import InputError
from initbench.parts import activations, inits
from initbench.parts.activations import Activation
from initbench.parts.models import GRU, LSTM, MLP, RNN, Transformer
from initbench.parts.models.attention import Block

N, M = 37, 53  # fan_in and fan_out: odd, and different
RELU = Activation(activations.relu)
LEAKY = Activation(activations.leaky_relu, slope=0.3)
TANH = Activation(activations.tanh)
SIGMOID = Activation(activations.sigmoid)

RESIDUAL = {"fixup", "skipinit", "rezero"}  # for residual branches alone: tests/test_residual.py
ALL = {
    name: function
    for name, function in inspect.getmembers(inits, inspect.isfunction)
    if list(inspect.signature(function).parameters)[:3] == ["model", "batch", "generator"] and name not in RESIDUAL
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def initialized(scheme, model: nn.Module, *, seed: int = 0, act: Activation = RELU, **parameters) -> Any:
    """`model` after `scheme`, its parameters NaN before."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(math.nan)
    if "act" in inspect.signature(scheme).parameters:
        parameters["act"] = act
    scheme(model, torch.zeros(2, N), generator(seed), **parameters)
    return model


def weights(scheme, **parameters) -> torch.Tensor:
    """The weights that a scheme gives to a stack of 16 layers: (16, M, N), float64."""
    model = nn.Sequential(*(nn.Linear(N, M) for _ in range(16))).double()
    return torch.stack([layer.weight.detach() for layer in initialized(scheme, model, **parameters)])


def biases(scheme, **parameters) -> torch.Tensor:
    """The biases that a scheme gives to a stack of 64 layers: (64, M), float64."""
    model = nn.Sequential(*(nn.Linear(N, M) for _ in range(64))).double()
    return torch.stack([layer.bias.detach() for layer in initialized(scheme, model, **parameters)])


def has_moments(sample: torch.Tensor, variance: float, kurtosis: float = 3.0) -> bool:
    """Are mean and variance within 5 standard errors of 0 and `variance`? kurtosis: 3 normal, 1.8 uniform."""
    n = sample.numel()
    mean_ok = abs(float(sample.mean())) < 5 * math.sqrt(variance / n)
    return mean_ok and abs(float(sample.var()) / variance - 1) < 5 * math.sqrt((kurtosis - 1) / n)


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
]


@pytest.mark.parametrize(("name", "parameters", "act", "variance"), NORMAL)
def test_normal_schemes_have_their_variance(name, parameters, act, variance):
    sample = weights(ALL[name], act=act, **parameters)
    assert has_moments(sample, variance)
    assert stats.kstest(sample.numpy().ravel(), "norm", (0, math.sqrt(variance))).pvalue > 1e-4


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
    assert stats.kstest(sample.numpy().ravel(), "uniform", (-bound, 2 * bound)).pvalue > 1e-4


def test_trunc_normal_is_cut_at_two_and_keeps_its_deviation():
    sample = weights(inits.trunc_normal, std=0.1)
    cut = 2 * 0.1 / 0.87962566
    assert has_moments(sample, 0.01)
    assert 0.99 * cut < sample.abs().max() <= cut * (1 + 1e-6)


def test_zeros_and_constant():
    assert (weights(inits.zeros) == 0).all()
    assert (weights(inits.constant, value=0.25) == 0.25).all()


def test_ratio_he_scales_row_0():
    he, xavier = weights(inits.ratio_he), weights(inits.ratio_xavier)
    torch.testing.assert_close(he[:, 0], xavier[:, 0] * math.tanh(1.5))  # 2/(1 + e^-3) - 1
    assert torch.equal(he[:, 1:], xavier[:, 1:])


@pytest.mark.parametrize("shape", [(N, M), (M, N), (64, 64), (1, 9), (9, 1)])
@pytest.mark.parametrize("gain", [1, 1.7])
def test_orthogonal_rows_or_columns_in_float32(shape, gain):
    m, n = shape
    q = initialized(inits.orthogonal, nn.Linear(n, m), gain=gain).weight.detach() / gain
    gram = q @ q.T if m <= n else q.T @ q
    torch.testing.assert_close(gram, torch.eye(min(m, n)), rtol=0, atol=1e-6)


def test_orthogonal_is_uniformly_distributed():
    """Without the correction of signs, the diagonal of Q is never positive (Householder's reflections)."""
    corners = [initialized(inits.orthogonal, nn.Linear(3, 3), seed=seed).weight[0, 0].item() for seed in range(400)]
    # the first coordinate of a random direction in 3 dimensions is uniform in (-1, 1): Archimedes
    assert stats.kstest(corners, "uniform", (-1, 2)).pvalue > 1e-3


def test_orthogonal_kernels_are_rows():
    weight = initialized(inits.orthogonal, nn.Conv2d(3, 8, 3)).weight.detach().flatten(1)
    torch.testing.assert_close(weight @ weight.T, torch.eye(8), rtol=0, atol=1e-6)


# Biases.


@pytest.mark.parametrize("name", sorted(ALL.keys() - {"torch_default", "mean_field"}))
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


# Fans.


@pytest.mark.parametrize(
    "layer", [nn.Linear(7, 5), nn.Conv1d(3, 5, 7), nn.Conv2d(3, 5, (3, 2)), nn.Conv2d(6, 8, 3, groups=2)]
)
def test_fans_are_torchs(layer):
    assert inits.fans(layer.weight) == nn.init._calculate_fan_in_and_fan_out(layer.weight)


def test_he_on_a_convolution_counts_the_receptive_field():
    weight = initialized(inits.he, nn.Conv2d(16, 64, 3)).weight.detach()
    assert has_moments(weight, 2 / (16 * 9))


# The same as PyTorch, and not.


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


# Random numbers.


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_parameter_is_written(name):
    model = initialized(ALL[name], MLP((1, 8, 8), 10, depth=3, width=17, act=lambda: RELU))
    assert all(parameter.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("name", sorted(ALL))
def test_global_random_state_is_neither_read_nor_changed(name):
    results = []
    for seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = MLP((9,), 4, depth=2, width=7, act=lambda: RELU)
            torch_state, numpy_state = torch.get_rng_state(), repr(np.random.get_state())
            results.append(nn.utils.parameters_to_vector(initialized(ALL[name], model).parameters()))
            assert torch.equal(torch.get_rng_state(), torch_state)
            assert repr(np.random.get_state()) == numpy_state
    assert torch.equal(*results)


@pytest.mark.parametrize("name", sorted(ALL.keys() - {"zeros", "constant", "identity"}))
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


# Models that are more than linear layers.


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


# Kernels, gates, projections, embeddings: each matrix has its own fans.


def sample(scheme, model: nn.Module, name: str, **parameters) -> torch.Tensor:
    """The values that a scheme gives to one parameter of a model, float64."""
    return initialized(scheme, model.double(), **parameters).get_parameter(name).detach()


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
    model = initialized(inits.lecun, Transformer((7,), 300, 1, 64, lambda: RELU, 300, 7, tied=True))
    assert has_moments(model.head.weight.detach(), 1 / 64)
    shared = nn.Embedding(300, 64)
    head = nn.Linear(64, 300, bias=False)
    head.weight = shared.weight
    assert len(list(inits.matrices(nn.Sequential(shared, head)))) == 1


@pytest.mark.parametrize("scheme", [inits.orthogonal, inits.delta_orthogonal])
def test_each_gate_is_orthogonal(scheme):
    model = initialized(scheme, LSTM((3, 5), 2, 1, 9, lambda: TANH))
    for gate in model.layers[0].recurrent.weight.detach().view(4, 9, 9):
        torch.testing.assert_close(gate @ gate.T, torch.eye(9), rtol=0, atol=1e-6)
    # taken as one matrix, the gates would share the norm: rows of length 1/2
    torch.testing.assert_close(model.layers[0].recurrent.weight.detach().norm(dim=1), torch.ones(36))


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
    assert two_sample_p(theirs(lstm, "bias_ih_l0"), ours(own_lstm(), "layers.0.input.bias")) > 1e-3
    for name in ("query", "key", "value"):
        assert two_sample_p(theirs(attention, "in_proj_weight"), ours(own_block(), f"attention.{name}.weight")) > 1e-3
        assert (ours(own_block(), f"attention.{name}.bias") == 0).all()
    assert two_sample_p(theirs(attention, "out_proj.weight"), ours(own_block(), "attention.output.weight")) > 1e-3
    assert (theirs(attention, "out_proj.bias") == 0).all() and (ours(own_block(), "attention.output.bias") == 0).all()
    embedding = partial(nn.Embedding, 70, 40)
    assert two_sample_p(theirs(embedding, "weight"), ours(embedding(), "weight")) > 1e-3


# Isometries of convolutions, the identity.


@pytest.mark.parametrize(("channels", "kernel"), [((4, 9), 3), ((5, 5), 5), ((3, 7), (3, 1))])
def test_a_delta_orthogonal_convolution_keeps_norms_and_an_orthogonal_one_does_not(channels, kernel):
    x = torch.randn(2, channels[0], 8, 8, generator=generator(1))
    norms = {}
    for scheme in (inits.delta_orthogonal, inits.orthogonal):
        conv = initialized(scheme, nn.Conv2d(*channels, kernel, padding="same", padding_mode="circular"))
        norms[scheme] = float(conv(x).norm().detach() / x.norm())
    assert norms[inits.delta_orthogonal] == pytest.approx(1, abs=1e-6)
    assert norms[inits.orthogonal] != pytest.approx(1, abs=0.01)


def test_identity_is_the_identity():
    x = torch.randn(2, 3, 8, 8, generator=generator(1))
    wider = initialized(inits.identity, nn.Conv2d(3, 5, 3, padding=1))(x).detach()
    torch.testing.assert_close(wider[:, :3], x)
    assert (wider[:, 3:] == 0).all()
    for layer in (nn.Conv1d(4, 4, 5), nn.Conv2d(3, 5, (3, 5)), nn.Conv2d(5, 3, 2)):
        expected = nn.init.dirac_(torch.empty(layer.weight.shape))
        assert torch.equal(initialized(inits.identity, layer, gain=2).weight, 2 * expected)
    assert torch.equal(initialized(inits.identity, nn.Linear(3, 5)).weight, torch.eye(5, 3))
    gru = initialized(inits.identity, GRU((3, 5), 2, 1, 4, lambda: TANH))
    assert torch.equal(gru.layers[0].recurrent.weight, torch.eye(4).repeat(3, 1))


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
        ("he", {"bias": None}, "init.bias must be a number, got None"),
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
