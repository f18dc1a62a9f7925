"""Data, models and initializers that somebody else might bring, some of them with a fault."""

import itertools

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from initbench.parts.data import Raw, digits
from initbench.parts.inits import he


def _random(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


# ---------------------------------------------------------------- data


def shuffled_labels() -> Raw:
    """Digits whose labels were sorted another way than the pictures."""
    raw = digits()
    return Raw(raw.x, raw.y[torch.randperm(len(raw.y), generator=_random())], classes=10)


def noisy_labels(*, share: float = 0.8) -> Raw:
    """Digits of which a share has a label by chance."""
    raw = digits()
    wrong = torch.rand(len(raw.y), generator=_random()) < share
    return Raw(raw.x, torch.where(wrong, torch.randint(10, raw.y.shape, generator=_random(1)), raw.y), classes=10)


def noise() -> Raw:
    """Inputs that have nothing to do with the labels, which are those of the digits."""
    raw = digits()
    return Raw(torch.randn(raw.x.shape, generator=_random()), raw.y, classes=10)


def other_unit(*, factor: float = 1000.0) -> Raw:
    """Digits with one pixel in another unit."""
    raw = digits()
    x = raw.x.clone()
    x[:, 0, 4, 3] *= factor
    return Raw(x, raw.y, classes=10)


def constant_feature(*, value: float = 1e4) -> Raw:
    """Digits with one pixel that is always the same large number."""
    raw = digits()
    x = raw.x.clone()
    x[:, 0, 0, 0] = value
    return Raw(x, raw.y, classes=10)


def same_picture() -> Raw:
    """The first digit again and again, with the labels of all."""
    raw = digits()
    return Raw(raw.x[:1].expand(raw.x.shape).contiguous(), raw.y, classes=10)


def imbalanced(*, rare: int = 1) -> Raw:
    """All zeros among the digits and a few of each other class: 178 and 9 times `rare`."""
    raw = digits()
    rows = [torch.nonzero(raw.y == label).flatten() for label in range(10)]
    kept = torch.cat([rows[0], *(some[:rare] for some in rows[1:])])
    return Raw(raw.x[kept], raw.y[kept], classes=10)


def raw_offset() -> Raw:
    """Digits with 300 added to every pixel."""
    raw = digits()
    return Raw(raw.x + 300, raw.y, classes=10)


def inverted_test_part() -> Raw:
    """Digits in black on white, and for the test part in white on black."""
    raw = digits()
    return Raw(raw.x[:1437], raw.y[:1437], 16 - raw.x[1437:], raw.y[1437:], classes=10)


# ---------------------------------------------------------------- models


def flat(shape, classes: int, depth: int, width: int, *, phi: str = "Sigmoid") -> nn.Sequential:
    """All layers in one `nn.Sequential`, with activations of torch."""
    sizes = [torch.Size(shape).numel(), *[width] * depth]
    hidden = [layer for n, m in itertools.pairwise(sizes) for layer in (nn.Linear(n, m), getattr(nn, phi)())]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(width, classes))


class Functional(nn.Module):
    """Layers whose activations are functions called in `forward`."""

    def __init__(self, shape, classes: int, depth: int, width: int, *, phi: str = "relu", last: str = ""):
        super().__init__()
        sizes = [torch.Size(shape).numel(), *[width] * depth]
        self.hidden = nn.ModuleList(nn.Linear(n, m) for n, m in itertools.pairwise(sizes))
        self.out = nn.Linear(width, classes)
        self.phi, self.last = getattr(torch, phi), last

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for layer in self.hidden:
            x = self.phi(layer(x))
        x = self.out(x)
        return F.softmax(x, -1) if self.last == "softmax" else x


# ---------------------------------------------------------------- initializers


def symmetric_layers(model: nn.Module, batch: Tensor, generator: Generator, *, first: int = 1, many: int = 1) -> None:
    """He's weights, and in some hidden layers all weights equal."""
    he(model, batch, generator)
    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    with torch.no_grad():
        for weight in weights[first : first + many]:
            weight.fill_(1 / weight.shape[1])
