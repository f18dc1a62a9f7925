"""Initializers: the values that a model's weights and biases start from.

To add one, write a function

    f(model, batch, generator, *, act=None, **parameters) -> None

that writes `model` in place, and name it in `conf/init/NAME.yaml`. `model` is an ordinary module, `batch`
(B, ...) some of its inputs, `generator` the only source of random numbers, and `act` the model's
`Activation`, given to a function that has it in its signature. Whatever is wrong with a parameter raises
InputError.

In the formulas, n is a weight's fan_in, m its fan_out, N(0, v) a normal distribution of variance v, and
U(-a, a) a uniform one. Every hidden layer and the head follow the scheme, matrix by matrix (`Matrix`):

- a convolution's n and m count each position of its kernel;
- gates and attention projections that share one parameter are matrices of their own, each with its own fans;
- an embedding's input is one-hot: n = 1, m is its width. One that is tied to the head is the head.

What most schemes have in common:

- `gain` multiplies the weights; `auto` is the activation's own gain, E[phi(z)^2]^(-1/2).
- `bias` is written into every bias; null, where that is the default, draws them as the scheme says.
- Weights are drawn on the CPU in module order, then biases. Given equal generators, schemes of one
  distribution (he, lecun and xavier_normal, say) thus differ in nothing but scale: a paired comparison.
- A module without weights (a normalization layer) is reset to the initialization that it comes with.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from initbench.errors import DoesNotFit, InputError
from initbench.parts.activations import Activation
from initbench.parts.checks import number
from initbench.parts.models.attention import Attention
from initbench.parts.models.residual import Residual
from initbench.parts.norms import NORMALIZATIONS, WeightNorm

Gain = float | Literal["auto"]
Kind = Literal["dense", "convolution", "gate", "projection", "attention output", "embedding"]


@dataclass(frozen=True)
class Matrix:
    """A weight matrix or kernel as schemes see it: `weight` and `bias` are views into the model's parameters."""

    weight: Tensor  # (m, n), (m, n / positions, *kernel) of a convolution, (vocabulary, m) of an embedding
    bias: Tensor | None  # (m,)
    n: int  # fan_in
    m: int  # fan_out
    kind: Kind


Draw = Callable[[Matrix], Tensor]  # the values of its weight
DrawBias = Callable[[Matrix, Tensor], Tensor]  # the values of its bias, which comes second

# Everything equal: the units of a layer never become different from one another, the symmetry problem.


def zeros(model, batch, generator, *, bias: float = 0) -> None:
    """W = 0."""
    initialize(model, lambda matrix: torch.zeros(matrix.weight.shape), bias=bias)


def constant(model, batch, generator, *, value: float = 0.1, bias: float = 0) -> None:
    """W = value."""
    value = number("init.value", value)
    initialize(model, lambda matrix: torch.full(matrix.weight.shape, value), bias=bias)


# One deviation for all layers, whatever their fans.


def normal(model, batch, generator, *, act=None, std: float = 1, gain: Gain = 1, bias: float = 0) -> None:
    """W ~ N(0, std^2). std 0.01: Krizhevsky et al. 2012 sec. 5."""
    std = number("init.std", std, "[0, inf)")
    initialize(model, lambda matrix: std * _normal(matrix.weight, generator), act=act, gain=gain, bias=bias)


def uniform(model, batch, generator, *, act=None, a: float = 0.05, gain: Gain = 1, bias: float = 0) -> None:
    """W ~ U(-a, a), of variance a^2 / 3."""
    std = number("init.a", a, "[0, inf)") / math.sqrt(3)
    initialize(model, lambda matrix: std * _uniform(matrix.weight, generator), act=act, gain=gain, bias=bias)


def trunc_normal(model, batch, generator, *, act=None, std: float = 0.02, gain: Gain = 1, bias: float = 0) -> None:
    """W ~ a normal distribution cut at 2 of its deviations, of deviation std after the cut (as in Keras)."""
    std = number("init.std", std, "[0, inf)")
    initialize(model, lambda matrix: std * _truncated_normal(matrix.weight, generator), act=act, gain=gain, bias=bias)


# One variance scaled by the fans.


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
    """W ~ U(-sqrt(3 / n), sqrt(3 / n)): lecun_uniform by another name. Jia et al. 2014, "xavier" filler.

    What the papers of He et al. (2015) and LSUV mean by Xavier.
    """
    variance_scaling(model, generator, 1, "in", "uniform", act=act, gain=gain, bias=bias)


def glorot_standard(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """W ~ U(-1 / sqrt(n), 1 / sqrt(n)), of variance 1 / (3 n). Glorot & Bengio 2010 eq. 1.

    The "standard" initialization that their paper criticises.
    """
    variance_scaling(model, generator, 1 / 3, "in", "uniform", act=act, gain=gain, bias=bias)


def torch_default(model, batch, generator, *, act=None, gain: Gain = 1, bias: float | None = None) -> None:
    """W and b ~ U(-1 / sqrt(n), 1 / sqrt(n)): glorot_standard with random biases. PyTorch's nn.Linear and nn.Conv2d.

    PyTorch writes it as kaiming_uniform_(a=sqrt(5)). Gates, W and b ~ U(-1 / sqrt(m), 1 / sqrt(m)): nn.LSTM.
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
        numbers = _normal if matrix.kind == "embedding" else _uniform
        return deviation(matrix) * numbers(matrix.weight, generator)

    def draw_bias(matrix: Matrix, bias: Tensor) -> Tensor:
        if matrix.kind in ("projection", "attention output"):
            return torch.zeros(bias.shape)
        return deviation(matrix) * _uniform(bias, generator)

    initialize(model, draw, act=act, gain=gain, bias=bias, draw_bias=draw_bias)


def kumar(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """W ~ N(0, 1 / (n phi'(0)^2 (1 + phi(0)^2))): tanh 1 / n, sigmoid 12.8 / n, ReLU 2 / n. Kumar 2017.

    At ReLU's kink phi'(0)^2 is the mean of its squares on both sides, 1/2, which gives Kumar's 2 / n.
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
        return sigma_b * _normal(bias, generator)

    variance_scaling(model, generator, sigma_w**2, "in", "normal", bias=bias, draw_bias=draw_bias)


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


# More than independent draws.


def orthogonal(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """W with orthonormal rows (n >= m) or columns (n <= m): Q of a Gaussian's QR. Saxe et al. 2014.

    R's diagonal is made positive, or else Q would not be uniformly distributed (Mezzadri 2007). A
    convolution's kernels are taken as rows of length n, which doesn't make the convolution an isometry.
    """

    def draw(matrix: Matrix) -> Tensor:
        return _orthonormal(matrix.weight.flatten(1), generator).reshape(matrix.weight.shape)

    initialize(model, draw, act=act, gain=gain, bias=bias)


def delta_orthogonal(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """Convolutions: orthonormal at the kernel's centre, 0 elsewhere, an isometry. Else orthogonal. Xiao et al. 2018."""

    def draw(matrix: Matrix) -> Tensor:
        values = torch.zeros_like(matrix.weight, device="cpu")
        values[_centre(matrix.weight)] = _orthonormal(matrix.weight[_centre(matrix.weight)], generator)
        return values

    initialize(model, draw, act=act, gain=gain, bias=bias)


def identity(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """W = I, or as much of it as fits; a convolution has it at its kernel's centre, else 0. Le et al. 2015.

    With m > n the units above n start equal; on convolutions it is PyTorch's dirac_.
    """

    def draw(matrix: Matrix) -> Tensor:
        values = torch.zeros_like(matrix.weight, device="cpu")
        values[_centre(matrix.weight)].fill_diagonal_(1)
        return values

    initialize(model, draw, act=act, gain=gain, bias=bias)


# For residual branches, x + alpha F(x).


@torch.no_grad()
def fixup(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """he, with each of B branches' last W 0, its other m' - 1 times B^(-1 / (2 m' - 2)), head 0. Zhang et al. 2019.

    Those of their rules that are about weights: `model.learn_scale` is their multiplier, and instead of their scalar
    biases every layer has one for each unit.
    """
    branches = residual_branches("fixup", model)
    for branch in branches:
        if not branch.ends_linear():
            reason = "init=fixup sets a branch's last weights to 0, and ReLU after them would pass no gradient on"
            raise DoesNotFit(f"{reason}: set model.branch_layers=2")
        if any(isinstance(module, WeightNorm) for module in branch.modules()):
            raise DoesNotFit("init=fixup sets weights to 0, which have no direction to learn with norm=weight")
    he(model, batch, generator, act=act, gain=gain, bias=bias)
    factors = {}  # one for each weight, which branches may share
    for branch in branches:
        *others, last = branch.weights()
        factors |= {weight: len(branches) ** (-1 / (2 * len(others))) for weight in others} | {last: 0}
    *_, head = (parameter for parameter in model.parameters() if parameter.ndim >= 2)
    for weight, factor in (factors | {head: 0}).items():
        weight.mul_(factor)


def skipinit(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """he, with each branch's learned alpha 0, whatever `model.branch_scale` is. De & Smith 2020."""
    scales = learned_scales("skipinit", model)
    he(model, batch, generator, act=act, gain=gain, bias=bias)
    for alpha in scales:
        nn.init.zeros_(alpha)


def rezero(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """As skipinit, in a model without normalization, whose place it takes. Bachlechner et al. 2020."""
    scales = learned_scales("rezero", model)
    if any(isinstance(module, NORMALIZATIONS) for module in model.modules()):
        raise DoesNotFit("init=rezero takes the place of normalization: set norm=none")
    he(model, batch, generator, act=act, gain=gain, bias=bias)
    for alpha in scales:
        nn.init.zeros_(alpha)


def learned_scales(scheme: str, model: nn.Module) -> list[nn.Parameter]:
    """The alphas of a model's residual branches; DoesNotFit where they aren't parameters."""
    scales = [branch.scale.alpha for branch in residual_branches(scheme, model)]
    if None in scales:
        raise DoesNotFit(f"init={scheme} starts the branches' scales at 0, to be learned: set model.learn_scale=true")
    return [alpha for alpha in scales if alpha is not None]


def residual_branches(scheme: str, model: nn.Module) -> list[Residual]:
    """A model's residual branches with a scale; DoesNotFit if there are none."""
    branches = [module for module in model.modules() if isinstance(module, Residual)]
    if not branches:
        fits = "model=resnet, or model=mlp with model.branch_scale=1 and a depth above 1"
        raise DoesNotFit(f"init={scheme} needs residual branches with a scale: {fits}")
    return branches


# Parts of a recurrent model that can start apart from the rest, whatever its scheme: the keys `init.recurrent` (the
# name of another scheme) and `init.forget_bias`, which every choice has and the build sees to.

SEPARATE_KEYS = ("recurrent", "forget_bias")


def recurrent_parts(model: nn.Module) -> list[nn.Module]:
    """The modules that hold recurrent weights: those named `recurrent`. InputError if there are none."""
    parts = [module for name, module in model.named_modules() if name.rpartition(".")[2] == "recurrent"]
    if not parts:
        raise InputError("init.recurrent needs a model with recurrent weights: model=rnn, lstm or gru")
    return parts


@torch.no_grad()
def set_forget_bias(model: nn.Module, value: float) -> None:
    """Write every forget gate's bias (1: Gers et al. 2000; Jozefowicz et al. 2015). InputError if there is none."""
    number("init.forget_bias", value)
    biases = [bias for gate, bias in gate_biases(model) if gate == "forget"]
    if not biases:
        raise InputError("init.forget_bias needs a model with forget gates: model=lstm")
    for bias in biases:
        bias.fill_(value)


def gate_biases(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The name and the bias (N,) of every gate that has one."""
    for module in model.modules():
        gates, bias = getattr(module, "gates", None), getattr(module, "bias", None)
        if isinstance(gates, tuple) and bias is not None:
            yield from zip(gates, bias.detach().chunk(len(gates)), strict=True)


# What the schemes are made of, for your own ones too.


def variance_scaling(
    model: nn.Module,
    generator: Generator,
    scale: float,
    fan: Literal["in", "out", "mean"],
    distribution: Literal["normal", "uniform"],
    *,
    act: Activation | None = None,
    gain: Gain = 1,
    bias: float | None = 0,
    draw_bias: DrawBias | None = None,
) -> None:
    """Weights of mean 0 and variance gain^2 scale / fan, where fan is n, m or (n + m) / 2 of each weight."""
    numbers = {"normal": _normal, "uniform": _uniform}[distribution]

    def draw(matrix: Matrix) -> Tensor:
        fans = {"in": matrix.n, "out": matrix.m, "mean": (matrix.n + matrix.m) / 2}
        return math.sqrt(scale / fans[fan]) * numbers(matrix.weight, generator)

    initialize(model, draw, act=act, gain=gain, bias=bias, draw_bias=draw_bias)


@torch.no_grad()
def initialize(
    model: nn.Module,
    draw: Draw,
    *,
    act: Activation | None = None,
    gain: Gain = 1,
    bias: float | None = 0,
    draw_bias: DrawBias | None = None,
) -> None:
    """Writes gain * draw(matrix) into every weight, then every bias, and resets modules without weights.

    Biases get the number `bias`, or where that is None what `draw_bias` draws.
    """
    factor = _gain(gain, act)
    layers = list(matrices(model))
    for matrix in layers:
        matrix.weight.copy_(factor * draw(matrix))
    for matrix in layers:
        if matrix.bias is None:
            continue
        if bias is None and draw_bias is not None:
            matrix.bias.copy_(draw_bias(matrix, matrix.bias))
        else:
            matrix.bias.fill_(number("init.bias", bias))
    for module in model.modules():
        reset = getattr(module, "reset_parameters", None)
        is_leaf = not any(True for _ in module.children())
        if is_leaf and callable(reset) and all(own.ndim < 2 for own in module.parameters()):
            reset()


def matrices(model: nn.Module) -> Iterator[Matrix]:
    """Every weight (a parameter of 2 or more dimensions) with its bias, None for none, in module order.

    A parameter that stacks gates or projections is as many matrices; one that modules share comes once.
    """
    of_attention = _of_attention(model)
    seen = set()
    for module in model.modules():
        own = dict(module.named_parameters(recurse=False))
        for name, weight in own.items():
            if weight.ndim < 2 or weight in seen:
                continue
            seen.add(weight)
            bias = own.get(name.replace("weight", "bias")) if "weight" in name else None
            kind, count = (of_attention[module], 1) if module in of_attention else _kind(module, name, weight)
            biases = [None] * count if bias is None else bias.detach().chunk(count)
            for part, part_bias in zip(weight.detach().chunk(count), biases, strict=True):
                n, m = (1, weight.shape[1]) if kind == "embedding" else fans(part)
                yield Matrix(part, part_bias, n, m, kind)


def _of_attention(model: nn.Module) -> dict[nn.Module, Kind]:
    """The linear layers that attention consists of, ours and PyTorch's own."""
    kinds: dict[nn.Module, Kind] = {}
    for module in model.modules():
        if isinstance(module, Attention):
            kinds |= dict.fromkeys([module.query, module.key, module.value], "projection")
            kinds[module.output] = "attention output"
        elif isinstance(module, nn.MultiheadAttention):
            kinds[module.out_proj] = "attention output"
    return kinds


def _kind(module: nn.Module, name: str, weight: Tensor) -> tuple[Kind, int]:
    """What a module's weight is, and how many matrices are stacked in it: our modules' and PyTorch's own."""
    if isinstance(module, nn.Embedding):
        return "embedding", 1
    if isinstance(getattr(module, "gates", None), tuple):
        return "gate", len(module.gates)  # type: ignore[arg-type]
    if isinstance(module, nn.RNNBase | nn.RNNCellBase) and name.startswith("weight_"):
        return "gate", weight.shape[0] // module.hidden_size  # type: ignore[operator]
    if isinstance(module, nn.MultiheadAttention):
        return "projection", 3 if name == "in_proj_weight" else 1
    return ("convolution" if weight.ndim > 2 else "dense"), 1


def fans(weight: Tensor) -> tuple[int, int]:
    """(n, m) of a linear (m, n) or convolution (m, n, *kernel) weight; each position of a kernel counts."""
    m, n, *kernel = weight.shape
    positions = math.prod(kernel)
    return n * positions, m * positions


def _normal(like: Tensor, generator: Generator) -> Tensor:
    """Numbers of mean 0 and variance 1 of a parameter's shape and dtype, drawn on the CPU."""
    return torch.empty(like.shape, dtype=like.dtype, device="cpu").normal_(generator=generator)


def _uniform(like: Tensor, generator: Generator) -> Tensor:
    """As _normal, from U(-sqrt(3), sqrt(3))."""
    unit = torch.empty(like.shape, dtype=like.dtype, device="cpu").uniform_(-1, 1, generator=generator)
    return unit * math.sqrt(3)


def _truncated_normal(like: Tensor, generator: Generator) -> Tensor:
    """As _normal, from a normal distribution cut at 2 deviations; the cut leaves 0.8796 of its deviation."""
    cut = torch.empty(like.shape, dtype=like.dtype, device="cpu")
    return nn.init.trunc_normal_(cut, 0, 1, -2, 2, generator=generator) / 0.87962566103423978


def _orthonormal(like: Tensor, generator: Generator) -> Tensor:
    """Orthonormal rows or columns of a matrix's shape, uniformly distributed."""
    gaussian = _normal(like, generator).double()  # float64: equal at any number of threads
    wide = gaussian.shape[0] < gaussian.shape[1]
    q, r = torch.linalg.qr(gaussian.T if wide else gaussian)
    q = q * r.diagonal().sign()
    return q.T if wide else q


def _centre(weight: Tensor) -> tuple:
    """The index of a kernel's centre, a matrix (m, n); of a matrix that is all of it."""
    return (..., *(size // 2 for size in weight.shape[2:]))


def _he_scale(act: Activation | None) -> float:
    """2 / (1 + a^2): 2 for ReLU (and for an activation that He et al. say nothing of)."""
    slope = act.negative_slope if act else 0.0
    return 2 / (1 + slope**2)


def _gain(gain: Gain, act: Activation | None) -> float:
    if isinstance(gain, str) and gain != "auto":
        raise InputError(f"init.gain must be a number or 'auto', got {gain!r}")
    if gain != "auto":
        return number("init.gain", gain, "(0, inf)")
    if act is None:
        raise InputError("init.gain=auto needs an activation to take the gain from")
    return act.gain
