"""Convolutional models."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from initbench.errors import InputError
from initbench.parts.activations import Activation
from initbench.parts.checks import choice, integer
from initbench.parts.dropout import dropout_layer
from initbench.parts.models.layers import Layer
from initbench.parts.models.residual import Residual, Scale, preactivated
from initbench.parts.models.shapes import image, sequence
from initbench.parts.norms import Norm, normalized, weighted

SMALL = 4  # a map or a signal of this size is not made smaller any more


class Convolution(Layer):
    """A hidden layer, phi(W * x + b), and what makes its map smaller: (B, C, ...) to (B, C', ...).

    Normalization is for each channel, or for all of a place; dropout is for each entry.
    """

    def __init__(
        self,
        conv: nn.Conv1d | nn.Conv2d,
        act: Activation,
        norm: Norm | None = None,
        dropout: float | None = None,
        pool: nn.Module | None = None,
    ):
        activated = normalized(act, norm, conv.out_channels, len(conv.kernel_size))
        super().__init__(conv=conv, **activated, dropout=dropout_layer(dropout), pool=pool)


class Convolutional(nn.Module):
    """Convolutions, layer after layer, and a linear head that reads their maps or signals."""

    layers: nn.ModuleList
    read: Callable[[Tensor], Tensor]
    head: nn.Linear

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.head(self.read(x))


class CNN(Convolutional):
    """`depth` convolutions of `width` channels, kernels 3 x 3 (Simonyan & Zisserman 2015), and a linear head.

    (B, C, H, W) to logits. Every `every`-th layer halves the map, as long as its shorter side is above 4:
    `downsample` by a `stride` of the convolution (rounding up), or by the `max` or `mean` of 2 x 2 (rounding
    down). The head reads the map's entries (`readout` flatten) or each channel's mean.
    """

    def __init__(
        self,
        shape: Sequence[int],
        classes: int,
        depth: int,
        width: int,
        act: Callable[[], Activation],
        norm: Norm | None = None,
        dropout: float | None = None,
        *,
        downsample: str = "stride",
        every: int = 1,
        readout: str = "flatten",
    ):
        super().__init__()
        channels, *size = image("cnn", shape)
        choice("model.downsample", downsample, ("stride", "max", "mean"))
        integer("model.every", every, "[1, inf)")
        integer("width", width, "[1, inf)")
        pool = {"stride": None, "max": nn.MaxPool2d(2), "mean": nn.AvgPool2d(2)}[downsample]
        convolution = weighted(nn.Conv2d, norm)
        layers = []
        for i in range(integer("depth", depth, "[0, inf)")):
            halve = (i + 1) % every == 0 and min(size) > SMALL
            conv = convolution(channels, width, 3, stride=2 if halve and pool is None else 1, padding=1)
            layers.append(Convolution(conv, act(), norm, dropout, pool if halve else None))
            channels = width
            if halve:
                size = [-(-side // 2) if pool is None else side // 2 for side in size]
        self.layers = nn.ModuleList(layers)
        self.read = reader(readout)
        self.head = nn.Linear(channels * (size[0] * size[1] if readout == "flatten" else 1), classes)


class Conv1D(Convolutional):
    """`depth` convolutions of `width` channels along a sequence, and a linear head.

    (B, C, T) to logits. `kernels` are those of the first layers, the last of them that of all others. A layer
    has stride `stride` as long as the signal is longer than 4, else 1. With depth 3, width 25 and ReLU the CNN
    of MNIST-1D (Greydanus & Kobak 2024). `readout`: flatten, or each channel's mean.
    """

    def __init__(
        self,
        shape: Sequence[int],
        classes: int,
        depth: int,
        width: int,
        act: Callable[[], Activation],
        norm: Norm | None = None,
        dropout: float | None = None,
        *,
        kernels: Sequence[int] = (5, 3),
        stride: int = 2,
        padding: int = 1,
        readout: str = "flatten",
    ):
        super().__init__()
        channels, steps = sequence("conv1d", shape)
        integer("model.stride", stride, "[1, inf)")
        integer("model.padding", padding, "[0, inf)")
        integer("width", width, "[1, inf)")
        if not kernels:
            raise InputError("model.kernels must hold one size at least")
        convolution = weighted(nn.Conv1d, norm)
        layers = []
        for i in range(integer("depth", depth, "[0, inf)")):
            kernel = integer("model.kernels", kernels[min(i, len(kernels) - 1)], "[1, inf)")
            step = stride if steps > SMALL else 1
            if kernel > steps + 2 * padding:
                raise InputError(
                    f"model=conv1d: nothing is left of the {shape[1]} steps at layer {i + 1} of depth={depth}; "
                    f"take model.padding={kernel // 2} or fewer layers"
                )
            conv = convolution(channels, width, kernel, stride=step, padding=padding)
            layers.append(Convolution(conv, act(), norm, dropout))
            channels, steps = width, (steps + 2 * padding - kernel) // step + 1
        self.layers = nn.ModuleList(layers)
        self.read = reader(readout)
        self.head = nn.Linear(channels * (steps if readout == "flatten" else 1), classes)


class ResNet(nn.Module):
    """A convolution, `depth` residual blocks of two, all of `width` channels, and a linear head.

    (B, C, H, W) to logits. A block is x + alpha W2 * phi(W1 * phi(x)), alpha a `branch_scale`, which is a parameter of
    each block's own if `learn_scale`. Every `every`-th block halves the map, as long as its shorter side is above 4.
    `readout`: each channel's mean, or flatten.
    """

    def __init__(
        self,
        shape: Sequence[int],
        classes: int,
        depth: int,
        width: int,
        act: Callable[[], Activation],
        norm: Norm | None = None,
        dropout: float | None = None,
        *,
        branch_scale: float = 1.0,
        learn_scale: bool = False,
        every: int = 1,
        readout: str = "mean",
    ):
        super().__init__()
        channels, *size = image("resnet", shape)
        integer("model.every", every, "[1, inf)")
        convolution = weighted(nn.Conv2d, norm)
        self.stem = convolution(channels, integer("width", width, "[1, inf)"), 3, padding=1)
        blocks = []
        for i in range(integer("depth", depth, "[0, inf)")):
            stride = 2 if (i + 1) % every == 0 and min(size) > SMALL else 1
            first = convolution(width, width, 3, stride=stride, padding=1)
            second = convolution(width, width, 3, padding=1)
            branch = preactivated("conv", first, second, act, norm, dropout, width, 2)
            blocks.append(Residual(branch, Scale(branch_scale, learn_scale), stride))
            size = [-(-side // stride) for side in size]
        self.blocks = nn.ModuleList(blocks)
        self.last = Layer(**normalized(act(), norm, width, 2))
        self.read = reader(readout)
        self.head = nn.Linear(width * (size[0] * size[1] if readout == "flatten" else 1), classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.read(self.last(x)))


def reader(readout: str) -> Callable[[Tensor], Tensor]:
    """What a head reads of maps or signals (B, N, ...)."""
    choice("model.readout", readout, ("flatten", "mean"))
    return every_entry if readout == "flatten" else channel_means


def every_entry(x: Tensor) -> Tensor:
    return x.flatten(1)


def channel_means(x: Tensor) -> Tensor:
    return x.flatten(2).mean(2)
