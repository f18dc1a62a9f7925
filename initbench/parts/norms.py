"""Normalizations: what a model puts before or after the activation of each hidden layer.

To add one, write a function of keyword parameters that returns a `Norm`, and name it in `conf/norm/NAME.yaml`:

    _target_: initbench.parts.norms.NAME
    position: before

The build calls it with the YAML's keys and passes the `Norm` to every model that has a parameter `norm` (None for
norm=none). A batch smaller than its `least_batch` is refused. After the initializer the build calls
`sync_weight_norm(model)`.

Normalizations of units have a gain that starts at 1 and, except rms, a bias that starts at 0. eps is 1e-5; for rms it
is the precision's own. All but batch normalization compute the same in evaluation as in training.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from initbench.errors import DoesNotFit
from initbench.parts.checks import choice, integer, number
from initbench.parts.computed_weights import sync_gains

Kind = TypeVar("Kind", bound=nn.Module)


@dataclass(frozen=True)
class Norm:
    """How a model normalizes its hidden layers.

    make        (units, dimensions) to a new module for (B, N, ...) with that many dimensions after N; None if the
                weights are normalized instead of the units
    position    `before` or `after` the activation
    least_batch the smallest batch that can be normalized
    classes     for normalized weights: the layer class to use for a plain one (`weighted` looks it up)
    """

    make: Callable[[int, int], nn.Module | None]
    position: str = "before"
    least_batch: int = 1
    classes: Mapping[type[nn.Module], type[nn.Module]] = field(default_factory=dict)

    def __post_init__(self):
        choice("norm.position", self.position, ("before", "after"))


def batch(*, position: str = "before", momentum: float = 0.1) -> Norm:
    """Each unit over the batch, and over the positions of a map. Ioffe & Szegedy 2015.

    Evaluation uses running means of the training batches' statistics: r <- (1 - momentum) r + momentum (new).
    """
    momentum = number("norm.momentum", momentum, "(0, 1]")

    def make(units: int, dimensions: int) -> nn.Module:
        return (nn.BatchNorm2d if dimensions == 2 else nn.BatchNorm1d)(units, momentum=momentum)

    return Norm(make, position, least_batch=2)


def layer(*, position: str = "before") -> Norm:
    """Over the units of each example; over the whole map, with a gain and a bias per channel. Ba et al. 2016."""
    return Norm(lambda units, dimensions: nn.GroupNorm(1, units) if dimensions else nn.LayerNorm(units), position)


def group(*, position: str = "before", groups: int = 4) -> Norm:
    """Each example over each of `groups` equal groups of its units (channels, with their places). Wu & He 2018."""
    integer("norm.groups", groups, "[1, inf)")

    def make(units: int, dimensions: int) -> nn.Module:
        if units % groups:
            raise DoesNotFit(f"norm=group: norm.groups={groups} doesn't divide width={units}")
        return nn.GroupNorm(groups, units)

    return Norm(make, position)


def rms(*, position: str = "before") -> Norm:
    """Each example (place of a map) by the root mean square of its units, without a bias. Zhang & Sennrich 2019."""
    return Norm(lambda units, dimensions: ChannelRMSNorm(units) if dimensions else nn.RMSNorm(units), position)


def weight() -> Norm:
    """W = g v / ||v|| for each unit of a hidden layer; at birth W is the drawn v. Salimans & Kingma 2016 eq. 2."""
    return Norm(lambda units, dimensions: None, classes=WEIGHT_NORMED)


class ChannelRMSNorm(nn.RMSNorm):
    """RMSNorm over the channels of (B, N, ...), at each place."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class WeightNorm(nn.Module):
    """A linear layer or a convolution with W = g v / ||v||: `weight` is v, and `gain` is g, (m,).

    A unit whose v is 0 has W = 0 and no gradient. `sync_gain` makes W the v that an initializer wrote.
    """

    weight: Tensor

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.gain = nn.Parameter(self.norms().detach().flatten())

    @torch.no_grad()
    def sync_gain(self) -> None:
        self.gain.copy_(self.norms().flatten())

    def norms(self) -> Tensor:
        """||v|| of each unit, (m, 1, ...)."""
        return torch.linalg.vector_norm(self.weight, dim=tuple(range(1, self.weight.ndim)), keepdim=True)

    def normalized(self) -> Tensor:
        """W."""
        norms = self.norms()
        return self.weight * (self.gain.view_as(norms) / norms.clamp(min=torch.finfo(norms.dtype).tiny))


class WeightNormLinear(WeightNorm, nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.normalized(), self.bias)


class WeightNormConv1d(WeightNorm, nn.Conv1d):
    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.normalized(), self.bias)


class WeightNormConv2d(WeightNorm, nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.normalized(), self.bias)


def sync_weight_norm(model: nn.Module) -> None:
    """Set every gain so that W is the v that an initializer wrote, torch's own gains in somebody's model too.

    The build calls it after the initializer.
    """
    for module in model.modules():
        if isinstance(module, WeightNorm):
            module.sync_gain()
    sync_gains(model)


NORMALIZATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, WeightNorm)
WEIGHT_NORMED = {nn.Linear: WeightNormLinear, nn.Conv1d: WeightNormConv1d, nn.Conv2d: WeightNormConv2d}


def weighted(kind: type[Kind], norm: Norm | None) -> type[Kind]:
    """The layer class to use for `kind`: its weight-normalized one if the norm is one of weights."""
    return kind if norm is None else norm.classes.get(kind, kind)  # type: ignore[return-value]


def normalized(
    act: nn.Module, norm: Norm | None, units: int, dimensions: int = 0, suffix: str = ""
) -> dict[str, nn.Module | None]:
    """An activation `act` and a new normalization `norm` by name, in the order in which they are called."""
    own = None if norm is None else norm.make(units, dimensions)
    both = {f"norm{suffix}": own, f"act{suffix}": act}
    return both if norm is None or norm.position == "before" else dict(reversed(both.items()))
