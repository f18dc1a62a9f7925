"""Convolutional models."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

from torch import Tensor, nn

from initbench.errors import DoesNotFit, InputError, WrongValue
from initbench.parts.checks import choice, integer
from initbench.parts.models.residual import (
    Layer,
    Residual,
    Scale,
    last_activation,
    preactivated,
    scalar_biases_wanted,
)
from initbench.parts.models.spec import ModelSpec
from initbench.parts.norms import normalized, weighted

SMALL = 4  # a map or a sequence of this size is not halved any further


class Convolution(Layer):
    """A hidden layer, phi(W * x + b), and the pooling after it: (B, C, ...) to (B, C', ...)."""

    def __init__(self, conv: nn.Conv1d | nn.Conv2d, spec: ModelSpec, pool: nn.Module | None = None):
        activated = normalized(spec.act(), spec.norm, conv.out_channels, len(conv.kernel_size))
        super().__init__(conv=conv, **activated, dropout=spec.dropout_layer(), pool=pool)


class Convolutional(nn.Module):
    """Convolutions, layer after layer, and a linear head that reads the last map or sequence."""

    supports = ("widths", "norm", "dropout", "alpha_dropout")
    layers: nn.ModuleList
    read: Callable[[Tensor], Tensor]
    head: nn.Linear

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.head(self.read(x))


class CNN(Convolutional):
    """`depth` 3 x 3 convolutions of `width` channels, or of `widths` (Simonyan & Zisserman 2015), and a linear head.

    (B, C, H, W) to logits. Every `every`-th layer halves the map while its shorter side is above 4: `downsample` by
    a `stride` of the convolution (rounding up), or by the `max` or `mean` of 2 x 2 pixels (rounding down). The head
    reads all entries (`readout` flatten) or the mean of each channel. `kernels` are the odd sizes in the first layers;
    all further layers have the last of them. Around a map are zeros, or, with `padding_mode` circular, its other side
    (Xiao et al. 2018).
    """

    def __init__(
        self,
        spec: ModelSpec,
        *,
        downsample: str = "stride",
        every: int = 1,
        readout: str = "flatten",
        kernels: Sequence[int] | None = None,
        padding_mode: str | None = None,
    ):
        super().__init__()
        sizes = kernel_sizes((3,) if kernels is None else kernels, spec.depth)
        channels, *size = spec.image("cnn")
        choice("model.downsample", downsample, ("stride", "max", "mean"))
        integer("model.every", every, "[1, inf)")
        pool = {"stride": None, "max": nn.MaxPool2d(2), "mean": nn.AvgPool2d(2)}[downsample]
        layers = []
        for i, (kernel, width) in enumerate(zip(sizes, spec.sizes, strict=True)):
            if kernel % 2 == 0:
                said = f"model.kernels must be odd for model=cnn, so that maps keep their size, got {kernel}"
                raise WrongValue("model.kernels", kernel, said)
            halve = (i + 1) % every == 0 and min(size) > SMALL
            stride = 2 if halve and pool is None else 1
            padding = {"padding": kernel // 2, "padding_mode": padded(padding_mode, kernel // 2, size)}
            conv = weighted(nn.Conv2d, spec.norm)(channels, width, kernel, stride=stride, **padding)
            layers.append(Convolution(conv, spec, pool if halve else None))
            channels = width
            if halve:
                size = [-(-side // 2) if pool is None else side // 2 for side in size]
        self.layers = nn.ModuleList(layers)
        self.read, entries = reader(readout, size)
        self.head = nn.Linear(channels * entries, spec.classes)


class Conv1D(Convolutional):
    """`depth` convolutions of `width` channels, or of `widths`, along a sequence, and a linear head.

    (B, C, T) to logits. `kernels` are the sizes in the first layers; all further layers have the last of them. Layers
    have stride `stride` while the sequence is longer than 4 steps, then 1. With depth 3, width 25 and ReLU this is the
    CNN of MNIST-1D (Greydanus & Kobak 2024). `readout`: flatten, or the mean of each channel. Beyond the ends are
    `padding` zeros, or, with `padding_mode` circular, what stands at the other end (Xiao et al. 2018).
    """

    def __init__(
        self,
        spec: ModelSpec,
        *,
        kernels: Sequence[int] = (5, 3),
        stride: int = 2,
        padding: int = 1,
        readout: str = "flatten",
        padding_mode: str | None = None,
    ):
        super().__init__()
        channels, steps = spec.sequence("conv1d")
        integer("model.stride", stride, "[1, inf)")
        integer("model.padding", padding, "[0, inf)")
        layers = []
        for i, (kernel, width) in enumerate(zip(kernel_sizes(kernels, spec.depth), spec.sizes, strict=True)):
            step = stride if steps > SMALL else 1
            if kernel > steps + 2 * padding:
                raise InputError(
                    f"model=conv1d: nothing is left of the {spec.shape[1]} steps at layer {i + 1} of "
                    f"depth={spec.depth}; take model.padding={kernel // 2} or fewer layers"
                )
            mode = padded(padding_mode, padding, [steps])
            conv = weighted(nn.Conv1d, spec.norm)(
                channels, width, kernel, stride=step, padding=padding, padding_mode=mode
            )
            layers.append(Convolution(conv, spec))
            channels, steps = width, (steps + 2 * padding - kernel) // step + 1
        self.layers = nn.ModuleList(layers)
        self.read, entries = reader(readout, [steps])
        self.head = nn.Linear(channels * entries, spec.classes)


class ResNet(nn.Module):
    """A convolution, `depth` residual blocks of two convolutions, all of `width` channels, and a linear head.

    (B, C, H, W) to logits. A block is x + alpha W2 * phi(W1 * phi(x)). alpha is `branch_scale`; with `learn_scale` it
    is a parameter of each block. Every `every`-th block halves the map while its shorter side is above 4. `readout`:
    the mean of each channel, or flatten. `scalar_biases`: in place of each channel's bias, numbers added before each
    phi and each weight after the first, and alphas that are parameters (Zhang, Dauphin & Ma 2019).
    """

    supports = ("norm", "dropout", "alpha_dropout")

    def __init__(
        self,
        spec: ModelSpec,
        *,
        branch_scale: float = 1.0,
        learn_scale: bool = False,
        every: int = 1,
        readout: str = "mean",
        scalar_biases: bool | None = None,
    ):
        super().__init__()
        channels, *size = spec.image("resnet")
        integer("model.every", every, "[1, inf)")
        scalar = scalar_biases_wanted(scalar_biases, spec)
        convolution = partial(weighted(nn.Conv2d, spec.norm), bias=not scalar)
        self.stem = convolution(channels, spec.width, 3, padding=1)
        blocks = []
        for i in range(spec.depth):
            stride = 2 if (i + 1) % every == 0 and min(size) > SMALL else 1
            first = convolution(spec.width, spec.width, 3, stride=stride, padding=1)
            second = convolution(spec.width, spec.width, 3, padding=1)
            branch = preactivated("conv", first, second, spec, 2, scalar)
            blocks.append(Residual(branch, Scale(branch_scale, learn_scale or scalar), stride))
            size = [-(-side // stride) for side in size]
        self.blocks = nn.ModuleList(blocks)
        self.last = last_activation(spec, 2, scalar)
        self.read, entries = reader(readout, size)
        self.head = nn.Linear(spec.width * entries, spec.classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.read(self.last(x)))


def kernel_sizes(kernels: Sequence[int], depth: int) -> list[int]:
    """The kernel's size in each layer: those given, then the last of them."""
    if not isinstance(kernels, Sequence) or isinstance(kernels, str) or not kernels:
        raise WrongValue(
            "model.kernels", kernels, f"model.kernels must hold one size at least, as [5,3], got {kernels!r}"
        )
    return [integer("model.kernels", kernels[min(i, len(kernels) - 1)], "[1, inf)") for i in range(depth)]


def padded(mode: str | None, padding: int, size: Sequence[int]) -> Literal["zeros", "circular"]:
    """How torch calls what stands around a map; DoesNotFit where a map would be wrapped around more than once."""
    if mode is None or choice("model.padding_mode", mode, ("zeros", "circular")) == "zeros":
        return "zeros"
    if padding > min(size):
        raise DoesNotFit(
            f"model.padding_mode=circular can't wrap {min(size)} places by {padding}; take smaller kernels"
        )
    return "circular"


def reader(readout: str, size: Sequence[int]) -> tuple[Callable[[Tensor], Tensor], int]:
    """A function from maps or sequences (B, N, *size) to what the head reads of them, and how many numbers per channel
    that is."""
    if choice("model.readout", readout, ("flatten", "mean")) == "flatten":
        return every_entry, math.prod(size)
    return channel_means, 1


def every_entry(x: Tensor) -> Tensor:
    return x.flatten(1)


def channel_means(x: Tensor) -> Tensor:
    return x.flatten(2).mean(2)
