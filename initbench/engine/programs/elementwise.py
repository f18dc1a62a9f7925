"""What is elementwise in a hand-stacked program: activations and masks, forward and backward, for all runs at once.

An activation stays autograd's business, but for the few whose derivative is a function of their own output: those
work in place.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from initbench.engine.observation import slope
from initbench.parts import activations
from initbench.parts.activations import Activation
from initbench.parts.dropout import MaskSource

aten = torch.ops.aten


class ByAutograd:
    """Any elementwise activation at one layer. What it was given stays as it is."""

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

    def slope(self, given: Tensor) -> Tensor:
        return slope(self.activation, given)


class InPlace:
    """An activation at one layer that overwrites what it is given; its derivative needs its output alone.

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

    def slope(self, given: Tensor) -> Tensor:
        ones = torch.ones_like(given)
        return self.backward_into(ones, given, ones).abs_()


def stacked_activation(activation: Activation) -> InPlace | ByAutograd:
    match activation.function:
        case activations.relu:
            return InPlace(
                lambda s: s.clamp_(min=0),
                lambda d, a, into: aten.threshold_backward.grad_input(d, a, 0, grad_input=into),
            )
        case activations.leaky_relu if (slope := activation.negative_slope) > 0:  # else its sign is lost
            return InPlace(
                partial(F.leaky_relu_, negative_slope=slope),
                lambda d, a, into: aten.leaky_relu_backward.grad_input(d, a, slope, True, grad_input=into),
            )
        case activations.tanh:
            return InPlace(torch.tanh_, lambda d, a, into: aten.tanh_backward.grad_input(d, a, grad_input=into))
        case activations.sigmoid:
            return InPlace(torch.sigmoid_, lambda d, a, into: aten.sigmoid_backward.grad_input(d, a, grad_input=into))
        case activations.linear:
            return InPlace(lambda s: s, lambda d, a, into: into.copy_(d))
    return ByAutograd(activation)


class Mask:
    """Entries that are dropped at random, of a tensor (R, ...) or of nothing."""

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
