"""Initializers that run a batch through the network: unit variances, and equal rates of learning."""

import math
from collections import Counter

import torch
from torch import Tensor

from initbench.errors import DoesNotFit
from initbench.parts.checks import integer, number
from initbench.parts.inits.matrix import Matrix, matrices
from initbench.parts.inits.scaling import normal
from initbench.parts.inits.structured import orthogonal
from initbench.parts.start import PreActivation, Start

ALIKE = 0.05  # of the rates: the largest difference of their logarithms that counts as equal


@torch.no_grad()
def lsuv(model, batch, generator, *, start: Start, tol: float = 0.1, iterations: int = 10, bias: float = 0) -> None:
    """orthogonal, then layer by layer W /= sqrt(Var[W x + b]), until that variance of the batch is within tol of 1.

    At most `iterations` times per layer. Mishkin & Matas 2016, algorithm 1. Gates that share a parameter share a scale.
    Recurrent weights stay orthonormal: their scale decides what is remembered, and need not have a solution.
    """
    number("init.tol", tol, "(0, inf)")
    integer("init.iterations", iterations, "[1, inf)")
    orthogonal(model, batch, generator, bias=bias)
    layers = start.pre_activations()
    names, tried = [name for name in layers if not is_recurrent(name)], Counter[str]()
    for name in names:
        while not abs(variance_of(layers[name]) - 1) < tol and tried[name] < iterations:
            variance = variance_of(layers[name])
            if not (0 < variance < math.inf):
                break  # no scale helps a layer whose outputs are constant or overflow
            for matrix, _ in layers[name]:
                matrix.weight.div_(math.sqrt(variance))
            tried[name] += 1
            layers = start.pre_activations()
    last = [abs(variance_of(layers[name]) - 1) for name in names]
    start.report |= {"rescalings": tried.total(), "largest_deviation_from_1": max(last, default=0.0)}


def is_recurrent(name: str) -> bool:
    """Whether a parameter is a recurrent weight, of initbench's cells or PyTorch's."""
    return "recurrent" in name.split(".") or name.rpartition(".")[2].startswith("weight_hh")


def variance_of(layer: list[PreActivation]) -> float:
    """The variance over the batch and all units of a weight."""
    return float(torch.cat([values for _, values in layer], 1).var())


@torch.no_grad()
def krahenbuhl(model, batch, generator, *, start: Start, iterations: int = 10, bias: float = 0) -> None:
    """W ~ N(0, 1), then rescaled unit by unit and layer by layer, until all layers learn at the same rate.

    First W and b of each unit are such that W x + b has mean `bias` and variance 1 on the batch. Then layers are scaled
    until |dL/dW| / |W| is the same for all: W by the square root of its ratio over their geometric mean, b by all
    factors up to its layer. That keeps the outputs of a ReLU network; for other networks it is an approximation, and
    the most even of at most `iterations` states is kept. Krähenbühl et al. 2016, algorithms 1 and 2, without the PCA
    and k-means of the first. DoesNotFit for recurrent layers and attention.
    """
    integer("init.iterations", iterations, "[0, inf)")
    bias = number("init.bias", bias)
    for matrix in matrices(model):
        if matrix.kind not in ("dense", "convolution"):
            raise DoesNotFit(
                f"init=krahenbuhl is for fully connected and convolutional layers, and this model has {matrix.kind}s"
            )
    normal(model, batch, generator, bias=0)
    names = list(start.pre_activations())
    for name in names:
        for matrix, values in start.pre_activations()[name]:
            standardize(matrix, values, bias)
    passes = even_out(start, names, iterations)
    start.report |= {"scalings": passes, "rates_apart": spread(rates(start, names))}


def standardize(matrix: Matrix, values: Tensor, mean: float) -> None:
    """Give each unit variance 1 and this mean. values: its pre-activations (rows, m)."""
    std = values.std(0, correction=0)
    std = torch.where(std > 0, std, 1)  # a unit that is constant on the batch
    matrix.weight.div_(std.view(-1, *[1] * (matrix.weight.ndim - 1)))
    for own in matrix.biases:
        own.copy_(mean - values.mean(0) / std)


def rates(start: Start, names: list[str]) -> Tensor:
    """|dL/dW| / |W| of each weight, (weights,)."""
    gradients = start.gradients()
    return torch.stack([gradients[name].norm() / start.model.get_parameter(name).norm() for name in names])


def spread(found: Tensor) -> float:
    """The largest factor between two rates; infinite where one is 0 or not finite."""
    return float(found.max() / found.min()) if bool((found > 0).all() and found.isfinite().all()) else math.inf


def even_out(start: Start, names: list[str], iterations: int) -> int:
    """Scale the weights until their rates are equal; the number of scalings. The most even state is kept."""
    own = dict(start.model.named_parameters())
    apart, kept, passes = math.inf, {}, 0
    while True:
        found = rates(start, names)
        if spread(found) < apart:
            apart, kept = spread(found), {name: parameter.clone() for name, parameter in own.items()}
        usable = bool((found > 0).all() and found.isfinite().all())
        if passes == iterations or not usable or math.log(apart) < ALIKE:
            break
        scale_layers(start, names, (found / found.log().mean().exp()).sqrt().tolist())
        passes += 1
    for name, values in kept.items():
        own[name].copy_(values)
    return passes


def scale_layers(start: Start, names: list[str], factors: list[float]) -> None:
    """Multiply each weight by its factor, and its biases by all factors up to it."""
    by_weight = {own.data_ptr(): name for name, own in start.model.named_parameters()}
    biases = {by_weight[matrix.weight.data_ptr()]: matrix.biases for matrix in matrices(start.model)}
    together = 1.0
    for name, factor in zip(names, factors, strict=True):
        together *= factor
        start.model.get_parameter(name).mul_(factor)
        for own in biases[name]:
            own.mul_(together)
