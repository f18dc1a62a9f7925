"""Random masks: dropout and dropconnect. Their random numbers are the run's own, handed in by whoever trains.

In training mode a module asks its `source` for random bytes, in one order and of one size at each forward pass;
in evaluation mode it asks for none. A byte below round(256 p) drops its entry, so that the share that is dropped is a
multiple of 1/256 (0.1 is 26/256 = 0.1016), and what is kept has weight 256 / (256 - round(256 p)): exactly the
inverse of the share that is kept.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from initbench.errors import InputError
from initbench.parts.checks import number


class Stochastic(nn.Module):
    """A module whose training needs random bytes: `source` makes a uint8 tensor of the shape that it is asked for."""

    source: Callable[[Sequence[int]], Tensor] | None = None

    def bytes(self, shape: Sequence[int]) -> Tensor:
        """Uniform on 0..255, of this shape; RuntimeError where nobody gave a source."""
        if self.source is None:
            name = type(self).__name__
            raise RuntimeError(
                f"{name} has no source of random bytes; initializers call start.forward(), not the model"
            )
        return self.source(shape)

    def masked(self, x: Tensor, threshold: int) -> Tensor:
        """x with `threshold` of 256 entries times 0, as torch has it, and the others times 256 / (256 - threshold)."""
        return x * (self.bytes(x.shape) >= threshold) * (256 / (256 - threshold))


class MaskSource:
    """The bytes (K,) of one run, or (R, K), for one forward pass, handed out in the order asked: (*shape) or
    (R, *shape). Counts them where there are none yet.
    """

    def __init__(self, bytes: Tensor | None = None):
        self.bytes, self.used = bytes, 0

    def __call__(self, shape: Sequence[int]) -> Tensor:
        start, self.used = self.used, self.used + math.prod(shape)
        if self.bytes is None:
            return torch.zeros(tuple(shape), dtype=torch.uint8)
        return self.bytes[..., start : self.used].unflatten(-1, tuple(shape))


def stochastic_modules(model: nn.Module) -> list[Stochastic]:
    """The modules of a model that draw while it trains."""
    return [module for module in model.modules() if isinstance(module, Stochastic)]


def attach_source(modules: Sequence[Stochastic], bytes: Tensor | None) -> MaskSource:
    """Give modules a run's bytes (K,) for the next forward pass."""
    source = MaskSource(bytes)
    for module in modules:
        module.source = source
    return source


class Dropout(Stochastic):
    """Each entry of (B, ...) is dropped by itself. Srivastava et al. 2014, with the kept ones scaled up in training."""

    def __init__(self, share: float):
        super().__init__()
        self.threshold = threshold("regularize.dropout", share)

    def forward(self, x: Tensor) -> Tensor:
        return self.masked(x, self.threshold) if self.training else x

    def extra_repr(self) -> str:
        return f"{self.threshold}/256"


class DropConnect(Stochastic, nn.Linear):
    """W x + b, (B, n) to (B, m), with weights dropped: one mask a batch, and none for the biases. Wan et al. 2013.

    Their own has a mask for each example, which as ports of it we don't. Evaluation takes the mean of the masks, W,
    where they draw from a Gaussian of the outputs.
    """

    def __init__(self, fan_in: int, fan_out: int, share: float):
        super().__init__(fan_in, fan_out)
        self.threshold = threshold("regularize.dropconnect", share)

    def forward(self, input: Tensor) -> Tensor:
        weight = self.masked(self.weight, self.threshold) if self.training else self.weight
        return F.linear(input, weight, self.bias)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, {self.threshold}/256"


def threshold(key: str, share: float) -> int:
    """round(256 share), from 1 to 255; InputError for a share that is no such part."""
    bytes_below = round(256 * number(key, share, "(0, 1)"))
    if not 0 < bytes_below < 256:
        raise InputError(f"{key} is honoured in 256ths: it must be from 0.002 to 0.998 or so, got {share!r}")
    return bytes_below


def dropout_layer(share: float | None) -> Dropout | None:
    """The module that drops this share; None where there is none to drop."""
    return Dropout(share) if share else None
