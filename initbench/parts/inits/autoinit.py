"""AutoInit: the mean and the variance of the signal, carried through a network without running it."""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats
from torch import Tensor, nn

from initbench.errors import DoesNotFit
from initbench.parts.activations import Activation
from initbench.parts.dropout import Dropout
from initbench.parts.inits.drawing import initialize, normal_like
from initbench.parts.inits.matrix import Matrix
from initbench.parts.inits.signal import phi_of
from initbench.parts.models.convolutional import Convolutional, ResNet
from initbench.parts.models.dense import MLP, Logistic
from initbench.parts.models.residual import Residual
from initbench.parts.norms import NORMALIZATIONS
from initbench.parts.observe import own_weight
from initbench.parts.start import Start
from initbench.theory.quadrature import mean

IN_ORDER = (nn.Sequential, nn.ModuleList, MLP, Logistic, Convolutional, ResNet)  # call their parts in order
LEAST = 1e-12  # variance of a signal that is taken for constant


class Signal(NamedTuple):
    """Of the entries that a layer gets or gives."""

    mean: float
    variance: float

    @property
    def square(self) -> float:
        return self.mean**2 + self.variance


def autoinit(model, batch, generator, *, start: Start, bias: float = 0) -> None:
    """W ~ N(0, 1 / (n (mu^2 + nu))): mu and nu are mean and variance of the layer's inputs, so that outputs have 1.

    Those of the data are the batch's. They are carried through activations by Gaussian integration, through dropout,
    pooling, normalization and the sums of residual branches. Bingham & Miikkulainen 2023, written from the paper.
    Zero-padding is ignored, and a head that reads channel means is taken to read single places. DoesNotFit where the
    way of a signal is not known: recurrent layers, attention, and models of your own but `nn.Sequential`.
    """
    if not start.x.is_floating_point():
        raise DoesNotFit("init=autoinit starts from mean and variance of the inputs, and this data has tokens")
    inputs: dict[int, Signal] = {}
    carried(model, Signal(float(start.x.mean()), float(start.x.var())), inputs)

    def draw(matrix: Matrix) -> Tensor:
        square = inputs[matrix.weight.data_ptr()].square
        return normal_like(matrix.weight, generator) / math.sqrt(matrix.n * max(square, LEAST))

    initialize(model, draw, bias=bias)


def carried(module: nn.Module, signal: Signal, inputs: dict[int, Signal]) -> Signal:
    """The signal after a module. inputs: what each weight gets is noted here, by the weight's memory."""
    weight = own_weight(module)
    if isinstance(module, Residual):
        parts = [part for part in module.children() if part is not module.scale]
        branch = through(parts, signal, inputs)
        alpha = module.scale.start
        return Signal(signal.mean + alpha * branch.mean, signal.variance + alpha**2 * branch.variance)
    if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d) and weight is not None:
        inputs.setdefault(weight.data_ptr(), signal)
        return Signal(0, 1)
    if isinstance(module, NORMALIZATIONS):
        return Signal(0, 1)
    match module:
        case Activation():
            return activated(module, signal)
        case Dropout():  # 0 for a share of the entries, the others over the rest of 1
            return Signal(signal.mean, signal.square / (1 - module.threshold / 256) - signal.mean**2)
        case nn.MaxPool2d():
            return largest(signal, positions(module.kernel_size))
        case nn.AvgPool2d():
            return Signal(signal.mean, signal.variance / positions(module.kernel_size))
        case nn.Identity() | nn.Flatten():
            return signal
    if isinstance(module, IN_ORDER):
        return through(list(module.children()), signal, inputs)
    fits = "it takes mlp, cnn, conv1d, resnet and nn.Sequential"
    raise DoesNotFit(f"init=autoinit does not know what {type(module).__name__} does to a signal; {fits}")


def through(modules: list[nn.Module], signal: Signal, inputs: dict[int, Signal]) -> Signal:
    for module in modules:
        signal = carried(module, signal, inputs)
    return signal


def activated(act: Activation, signal: Signal) -> Signal:
    """Mean and variance of phi(x), x ~ N(mean, variance)."""
    phi, variance = phi_of(act).shifted(signal.mean), max(signal.variance, LEAST)
    first = mean(phi, phi, variance)
    return Signal(first, mean(phi, lambda x: (phi(x) - first) ** 2, variance))


def largest(signal: Signal, count: int) -> Signal:
    """Mean and variance of the largest of `count` independent Gaussians, by their order statistic."""
    z = np.linspace(-9, 9, 4001)
    density = count * stats.norm.pdf(z) * stats.norm.cdf(z) ** (count - 1) * (z[1] - z[0])
    first = float(density @ z)
    second = float(density @ (z - first) ** 2)
    return Signal(signal.mean + math.sqrt(signal.variance) * first, signal.variance * second)


def positions(kernel: int | tuple[int, int]) -> int:
    return kernel**2 if isinstance(kernel, int) else math.prod(kernel)
