"""Independent draws: one deviation for all layers, or a variance scaled by the fans."""

import math
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from initbench.errors import InputError
from initbench.parts.activations import Activation
from initbench.parts.checks import number
from initbench.parts.inits.drawing import DrawBias, Gain, initialize, normal_like, truncated_normal_like, uniform_like
from initbench.parts.inits.matrix import Matrix, matrices


def variance_scaling(
    model: nn.Module,
    generator: Generator,
    scale: float,
    fan: Literal["in", "out", "mean", "geometric"],
    distribution: Literal["normal", "uniform", "truncated"],
    *,
    act: Activation | None = None,
    gain: Gain = 1,
    bias: float | None = 0,
    draw_bias: DrawBias | None = None,
) -> None:
    """Weights of mean 0 and variance gain^2 scale / fan, where fan is n, m, (n + m) / 2 or sqrt(n m) of each weight."""
    numbers = {"normal": normal_like, "uniform": uniform_like, "truncated": truncated_normal_like}[distribution]

    def draw(matrix: Matrix) -> Tensor:
        n, m = matrix.n, matrix.m
        fans = {"in": n, "out": m, "mean": (n + m) / 2, "geometric": math.sqrt(n * m)}
        return math.sqrt(scale / fans[fan]) * numbers(matrix.weight, generator)

    initialize(model, draw, act=act, gain=gain, bias=bias, draw_bias=draw_bias)


# All weights equal: the units of a layer never become different from one another (the symmetry problem).


def zeros(model, batch, generator, *, bias: float = 0) -> None:
    """W = 0."""
    initialize(model, lambda matrix: torch.zeros(matrix.weight.shape), bias=bias)


def constant(model, batch, generator, *, value: float = 0.1, bias: float = 0) -> None:
    """W = value."""
    value = number("init.value", value)
    initialize(model, lambda matrix: torch.full(matrix.weight.shape, value), bias=bias)


# The same deviation for all layers, whatever their fans.


def normal(model, batch, generator, *, act=None, std: float = 1, gain: Gain = 1, bias: float = 0) -> None:
    """W ~ N(0, std^2). std 0.01: Krizhevsky et al. 2012 sec. 5."""
    std = number("init.std", std, "[0, inf)")
    initialize(model, lambda matrix: std * normal_like(matrix.weight, generator), act=act, gain=gain, bias=bias)


def uniform(model, batch, generator, *, act=None, a: float = 0.05, gain: Gain = 1, bias: float = 0) -> None:
    """W ~ U(-a, a), of variance a^2 / 3."""
    std = number("init.a", a, "[0, inf)") / math.sqrt(3)
    initialize(model, lambda matrix: std * uniform_like(matrix.weight, generator), act=act, gain=gain, bias=bias)


def trunc_normal(model, batch, generator, *, act=None, std: float = 0.02, gain: Gain = 1, bias: float = 0) -> None:
    """W ~ a normal distribution cut at 2 of its deviations, of deviation std after the cut (as in Keras)."""
    std, numbers = number("init.std", std, "[0, inf)"), truncated_normal_like
    initialize(model, lambda matrix: std * numbers(matrix.weight, generator), act=act, gain=gain, bias=bias)


# A variance scaled by the fans: each scheme is one call of `variance_scaling`.


def xavier(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """W ~ U(-a, a), a = sqrt(6 / (n + m)), of variance 2 / (n + m). Glorot & Bengio 2010 eq. 16."""
    variance_scaling(model, generator, 1, "mean", "uniform", act=act, gain=gain, bias=bias)


def xavier_normal(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """W ~ N(0, 2 / (n + m)). Glorot & Bengio 2010 eq. 12."""
    variance_scaling(model, generator, 1, "mean", "normal", act=act, gain=gain, bias=bias)


def he(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """W ~ N(0, 2 / ((1 + a^2) n)), a the slope of leaky ReLU, else 0. He et al. 2015 eqs 10 and 15."""
    variance_scaling(model, generator, _he_scale(act), "in", "normal", act=act, gain=gain, bias=bias)


def he_uniform(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """W ~ U(-sqrt(3 v), sqrt(3 v)) of he's variance v = 2 / ((1 + a^2) n). He et al. 2015 eqs 10 and 15."""
    variance_scaling(model, generator, _he_scale(act), "in", "uniform", act=act, gain=gain, bias=bias)


def he_fan_out(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """W ~ N(0, 2 / ((1 + a^2) m)), which keeps the gradient's variance. He et al. 2015 eqs 14 and 15."""
    variance_scaling(model, generator, _he_scale(act), "out", "normal", act=act, gain=gain, bias=bias)


def lecun(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """W ~ N(0, 1 / n); with gain=auto any activation's signal keeps its size. LeCun et al. 1998 sec. 4.6."""
    variance_scaling(model, generator, 1, "in", "normal", act=act, gain=gain, bias=bias)


def lecun_uniform(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """W ~ U(-sqrt(3 / n), sqrt(3 / n)), of variance 1 / n. LeCun et al. 1998 sec. 4.6."""
    variance_scaling(model, generator, 1, "in", "uniform", act=act, gain=gain, bias=bias)


def caffe_xavier(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """lecun_uniform, which He et al. (2015) and the LSUV paper call Xavier. Jia et al. 2014, "xavier" filler."""
    lecun_uniform(model, batch, generator, act=act, gain=gain, bias=bias)


def glorot_standard(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """W ~ U(-1 / sqrt(n), 1 / sqrt(n)), the "standard" that Glorot & Bengio 2010 (eq. 1) criticise."""
    variance_scaling(model, generator, 1 / 3, "in", "uniform", act=act, gain=gain, bias=bias)


def torch_default(model, batch, generator, *, act=None, gain: Gain = 1, bias: float | None = None) -> None:
    """W and b ~ U(-1 / sqrt(n), 1 / sqrt(n)): glorot_standard with random biases. PyTorch's nn.Linear and nn.Conv2d.

    PyTorch writes it as kaiming_uniform_(a=sqrt(5)). Gates, W and b ~ U(-1 / sqrt(m), 1 / sqrt(m)): nn.LSTM. Where
    PyTorch adds two such biases and our cell has one (rnn, lstm), that is the sum of two draws, of variance 2 / (3 m).
    Embeddings, N(0, 1): nn.Embedding. Attention's query, key and value, U(-a, a), a = sqrt(6 / (n + 3 m)), and all of
    its biases 0: nn.MultiheadAttention.
    """

    def deviation(matrix: Matrix) -> float:
        match matrix.kind:
            case "embedding":
                return 1
            case "projection":
                return math.sqrt(2 / (matrix.n + 3 * matrix.m))
            case "gate":
                return math.sqrt(1 / (3 * matrix.m))
            case _:
                return math.sqrt(1 / (3 * matrix.n))

    def draw(matrix: Matrix) -> Tensor:
        numbers = normal_like if matrix.kind == "embedding" else uniform_like
        return deviation(matrix) * numbers(matrix.weight, generator)

    def draw_bias(matrix: Matrix, bias: Tensor) -> Tensor:
        if matrix.kind in ("projection", "attention output"):
            return torch.zeros(bias.shape)
        terms = [uniform_like(bias, generator) for _ in range(matrix.bias_terms)]
        return deviation(matrix) * torch.stack(terms).sum(0)

    initialize(model, draw, act=act, gain=gain, bias=bias, draw_bias=draw_bias)


def kumar(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """W ~ N(0, 1 / (n phi'(0)^2 (1 + phi(0)^2))): tanh 1 / n, sigmoid 12.8 / n, ReLU 2 / n. Kumar 2017.

    At ReLU's kink phi'(0)^2 is the mean of the squares on both sides, 1/2, which gives Kumar's 2 / n.
    """
    if act is None or act.slope0 == 0:
        raise InputError("init=kumar needs an activation whose slope at 0 isn't 0")
    scale = 1 / (act.slope0**2 * (1 + act.value0**2))
    variance_scaling(model, generator, scale, "in", "normal", act=act, gain=gain, bias=bias)


def mean_field(
    model, batch, generator, *, sigma_w: float = 1.3, sigma_b: float = 0.3, bias: float | None = None
) -> None:
    """W ~ N(0, sigma_w^2 / n), b ~ N(0, sigma_b^2): the plane of mean-field theory. Poole et al. 2016."""
    sigma_w = number("init.sigma_w", sigma_w, "(0, inf)")
    sigma_b = number("init.sigma_b", sigma_b, "[0, inf)")

    def draw_bias(matrix: Matrix, bias: Tensor) -> Tensor:
        return sigma_b * normal_like(bias, generator)

    variance_scaling(model, generator, sigma_w**2, "in", "normal", bias=bias, draw_bias=draw_bias)


def geometric(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """W ~ N(0, c / sqrt(n m)), the geometric mean of the fans. Defazio & Bottou 2019 (in print 2022).

    It balances the ratio of gradient to weights over the layers. c is he's 2 / (1 + a^2); theirs was not confirmed.
    """
    variance_scaling(model, generator, _he_scale(act), "geometric", "normal", act=act, gain=gain, bias=bias)


# As he, xavier_normal and lecun, cut at 2 deviations and rescaled: what Keras and Flax call normal.


def he_truncated(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """he of a truncated normal distribution. Keras, HeNormal; Flax and JAX, he_normal."""
    variance_scaling(model, generator, _he_scale(act), "in", "truncated", act=act, gain=gain, bias=bias)


def xavier_truncated(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """xavier_normal of a truncated normal distribution. Keras, GlorotNormal; Flax and JAX, glorot_normal."""
    variance_scaling(model, generator, 1, "mean", "truncated", act=act, gain=gain, bias=bias)


def lecun_truncated(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """lecun of a truncated normal distribution. Keras, LecunNormal; Flax's default, lecun_normal."""
    variance_scaling(model, generator, 1, "in", "truncated", act=act, gain=gain, bias=bias)


# Found in tutorials, at odds with the papers that they name; r = n / m.


def ratio_xavier(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """W ~ sqrt(r / n) N(0, 1), r = n / m: variance 1 / m, which is not Xavier's."""
    variance_scaling(model, generator, 1, "out", "normal", act=act, gain=gain, bias=bias)


def ratio_he(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """ratio_xavier with row 0, each layer's first unit, scaled by 2 / (1 + exp(-3)) - 1 = 0.905: not He's."""
    ratio_xavier(model, batch, generator, act=act, gain=gain, bias=bias)
    with torch.no_grad():
        for matrix in matrices(model):
            matrix.weight[0] *= 2 / (1 + math.exp(-3)) - 1


def _he_scale(act: Activation | None) -> float:
    """2 / (1 + a^2): 2 for ReLU, and for activations that He et al. do not treat."""
    slope = act.negative_slope if act else 0.0
    return 2 / (1 + slope**2)
