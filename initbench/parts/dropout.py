"""Random masks: dropout and dropconnect. Whoever trains a model attaches a source of random bytes to it.

In training mode a module asks its `source` for random bytes, as many and in the same order in each forward pass; in
evaluation mode it asks for none. A byte below round(256 p) drops its entry: the dropped share is a multiple of 1/256
(0.1 becomes 26/256 = 0.1016). Kept entries are multiplied by 256 / (256 - round(256 p)), the inverse of the kept share.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from initbench.errors import WrongValue
from initbench.parts.checks import number

FLOOR = -1.0507009873554804934193349852946 * 1.6732632423543772848170429916717  # of SELU: -lambda alpha


class Stochastic(nn.Module):
    """A module that needs random bytes in training. `source` takes a shape and returns a uint8 tensor of that shape."""

    source: Callable[[Sequence[int]], Tensor] | None = None

    def bytes(self, shape: Sequence[int]) -> Tensor:
        """Uniform on 0..255, of this shape; RuntimeError without a source."""
        if self.source is None:
            name = type(self).__name__
            raise RuntimeError(
                f"{name} has no source of random bytes; initializers call start.forward(), not the model"
            )
        return self.source(shape)

    def masked(self, x: Tensor, threshold: int) -> Tensor:
        """x, about `threshold` of 256 entries multiplied by 0 and the others by 256 / (256 - threshold)."""
        return x * (self.bytes(x.shape) >= threshold) * (256 / (256 - threshold))


class MaskSource:
    """Random bytes for one forward pass, given out in the order of the requests.

    `bytes` (K,) of one run gives (*shape), (R, K) of R runs (R, *shape). Without bytes it gives zeros and only counts.
    """

    def __init__(self, bytes: Tensor | None = None):
        self.bytes, self.used = bytes, 0

    def __call__(self, shape: Sequence[int]) -> Tensor:
        start, self.used = self.used, self.used + math.prod(shape)
        if self.bytes is None:
            return torch.zeros(tuple(shape), dtype=torch.uint8)
        return self.bytes[..., start : self.used].unflatten(-1, tuple(shape))


def stochastic_modules(model: nn.Module) -> list[Stochastic]:
    """The modules of a model that draw random numbers in training."""
    return [module for module in model.modules() if isinstance(module, Stochastic)]


def attach_source(modules: Sequence[Stochastic], bytes: Tensor | None) -> MaskSource:
    """Let modules take their random bytes, (K,), from one source in the next forward pass; returns the source."""
    source = MaskSource(bytes)
    for module in modules:
        module.source = source
    return source


class Dropout(Stochastic):
    """Drops each entry of (B, ...) independently and scales up the others, in training. Srivastava et al. 2014."""

    key = "regularize.dropout"

    def __init__(self, share: float):
        super().__init__()
        self.threshold = threshold(self.key, share)

    def forward(self, x: Tensor) -> Tensor:
        return self.masked(x, self.threshold) if self.training else x

    def extra_repr(self) -> str:
        return f"{self.threshold}/256"


class AlphaDropout(Dropout):
    """Sets a share of the entries of (B, ...) to `FLOOR`, then scales and shifts all, in training.

    a x + b has the mean and variance of activations x of mean 0 and variance 1, which SELU keeps. With q the share that
    is kept, a = (q + FLOOR^2 q (1 - q))^(-1/2) and b = -a (1 - q) FLOOR. Klambauer et al. 2017, sec. 3.
    """

    key = "regularize.alpha_dropout"

    def __init__(self, share: float):
        super().__init__(share)
        kept = 1 - self.threshold / 256
        self.scale = (kept + FLOOR**2 * kept * (1 - kept)) ** -0.5
        self.shift = -self.scale * (1 - kept) * FLOOR

    def masked(self, x: Tensor, threshold: int) -> Tensor:
        return torch.where(self.bytes(x.shape) >= threshold, x, FLOOR) * self.scale + self.shift


class DropConnect(Stochastic, nn.Linear):
    """W x + b, (B, n) to (B, m), with weights dropped by one mask per batch; biases are kept. Wan et al. 2013.

    The paper draws one mask per example and evaluates with samples from a Gaussian of the outputs. Here, as in other
    ports, the batch shares a mask, and evaluation uses the mean over masks, W.
    """

    def __init__(self, fan_in: int, fan_out: int, share: float, bias: bool = True):
        super().__init__(fan_in, fan_out, bias=bias)
        self.threshold = threshold("regularize.dropconnect", share)

    def forward(self, input: Tensor) -> Tensor:
        weight = self.masked(self.weight, self.threshold) if self.training else self.weight
        return F.linear(input, weight, self.bias)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, {self.threshold}/256"


def threshold(key: str, share: float) -> int:
    """round(256 share), from 1 to 255; InputError for a share outside of that."""
    bytes_below = round(256 * number(key, share, "(0, 1)"))
    if not 0 < bytes_below < 256:
        said = f"{key} is rounded to a multiple of 1/256: it must be between 0.002 and 0.998, got {share!r}"
        raise WrongValue(key, share, said)
    return bytes_below


def dropout_layer(share: float | None) -> Dropout | None:
    """The module that drops this share; None for no share or 0."""
    return Dropout(share) if share else None
