"""The elementwise parts of `MLPProgram`: activations and masks, forward and backward, for all runs at once.

Most activations are differentiated by autograd. The few whose derivative is a function of their output work in place.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from initbench.engine.observation import slope
from initbench.parts import activations
from initbench.parts.activations import Activation
from initbench.parts.dropout import FLOOR, AlphaDropout, Dropout, MaskSource

aten = torch.ops.aten


class AutogradActivation:
    """Any elementwise activation at one layer, differentiated by autograd. Its input stays as it is."""

    keeps_output = False

    def __init__(self, activation: Activation):
        self.activation = activation

    def forward(self, s: Tensor) -> Tensor:
        # Not detach(): layers are rows of one buffer, and writing the next would count as changing this one.
        self.input = s.data.requires_grad_()
        with torch.enable_grad():
            self.output = self.activation(self.input)
        return self.output.detach()

    def backward(self, delta: Tensor) -> Tensor:
        """delta * phi', in place."""
        (gradient,) = torch.autograd.grad(self.output, self.input, delta)
        return delta.copy_(gradient)

    def slope(self, kept: Tensor) -> Tensor:
        """|phi'| at what `forward` left where its input was."""
        return slope(self.activation, kept)


class InPlaceActivation:
    """An activation at one layer that overwrites its input; its derivative is a function of its output.

    `backward_into(delta, output, into)` writes delta * phi' into `into`.
    """

    keeps_output = True

    def __init__(self, forward_: Callable[[Tensor], Tensor], backward_into: Callable[[Tensor, Tensor, Tensor], Tensor]):
        self.forward_, self.backward_into = forward_, backward_into

    def forward(self, s: Tensor) -> Tensor:
        self.output = self.forward_(s)
        return self.output

    def backward(self, delta: Tensor) -> Tensor:
        """delta * phi', in place."""
        return self.backward_into(delta, self.output, delta)

    def slope(self, kept: Tensor) -> Tensor:
        """|phi'| at what `forward` left where its input was."""
        ones = torch.ones_like(kept)
        return self.backward_into(ones, kept, ones).abs_()


def stacked_activation(activation: Activation) -> InPlaceActivation | AutogradActivation:
    """The fastest way to compute an activation, which keeps what one layer's backward pass needs."""
    match activation.function:
        case activations.relu:
            return InPlaceActivation(
                lambda s: s.clamp_(min=0),
                lambda d, a, into: aten.threshold_backward.grad_input(d, a, 0, grad_input=into),
            )
        case activations.leaky_relu if (slope := activation.negative_slope) > 0:  # else its sign is lost
            return InPlaceActivation(
                partial(F.leaky_relu_, negative_slope=slope),
                lambda d, a, into: aten.leaky_relu_backward.grad_input(d, a, slope, True, grad_input=into),
            )
        case activations.tanh:
            return InPlaceActivation(
                torch.tanh_, lambda d, a, into: aten.tanh_backward.grad_input(d, a, grad_input=into)
            )
        case activations.sigmoid:
            return InPlaceActivation(
                torch.sigmoid_, lambda d, a, into: aten.sigmoid_backward.grad_input(d, a, grad_input=into)
            )
        case activations.linear:
            return InPlaceActivation(lambda s: s, lambda d, a, into: into.copy_(d))
    return AutogradActivation(activation)


class Mask:
    """Drops entries of a tensor (R, ...) at random."""

    def __init__(self, threshold: int):
        self.threshold = threshold

    def forward(self, x: Tensor, bytes: MaskSource) -> Tensor:
        """x, as `dropout.Stochastic.masked` has it."""
        kept = bytes(x.shape[1:]) >= self.threshold
        self.weights = kept.to(x.dtype).mul_(256 / (256 - self.threshold))
        return x * self.weights

    def backward(self, delta: Tensor) -> Tensor:
        """In place."""
        return delta.mul_(self.weights)


class AlphaMask(Mask):
    """Sets entries of a tensor (R, ...) to SELU's lowest value at random, then scales and shifts all."""

    def __init__(self, dropout: AlphaDropout):
        super().__init__(dropout.threshold)
        self.scale, self.shift = dropout.scale, dropout.shift

    def forward(self, x: Tensor, bytes: MaskSource) -> Tensor:
        """As `dropout.AlphaDropout.masked` has it."""
        kept = bytes(x.shape[1:]) >= self.threshold
        self.weights = kept.to(x.dtype).mul_(self.scale)
        return torch.where(kept, x, FLOOR).mul_(self.scale).add_(self.shift)


def stacked_dropout(dropout: Dropout) -> Mask:
    """What a dropout layer does to R runs."""
    return AlphaMask(dropout) if isinstance(dropout, AlphaDropout) else Mask(dropout.threshold)
