"""A multilayer perceptron stacked by hand: three batched matrix products a layer, in buffers that are kept.

On a CPU this is several times as fast as the general path, which a test holds it to. What is elementwise stays
autograd's business, but for the few activations whose derivative is a function of their own output: those
work in place.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from initbench.engine.layer import Layer, slope_of
from initbench.engine.stack import Stacked
from initbench.parts import activations
from initbench.parts.activations import Activation
from initbench.parts.models import MLP

aten = torch.ops.aten


class ByAutograd:
    """Any elementwise activation: forward, backward and slope at the input it saw last."""

    def __init__(self, activation: Activation):
        self.activation = activation

    def forward(self, s: Tensor) -> Tensor:
        self.input = s.detach().requires_grad_()
        with torch.enable_grad():
            self.output = self.activation(self.input)
        return self.output.detach()

    def backward(self, delta: Tensor) -> Tensor:
        (delta,) = torch.autograd.grad(self.output, self.input, delta)
        return delta

    def slope(self) -> Tensor:
        return slope_of(self.activation, self.input)


class InPlace:
    """An activation that overwrites its input and whose derivative needs its output alone.

    `backward_into(delta, output, into)` writes delta * phi' into `into`.
    """

    def __init__(self, forward_: Callable[[Tensor], Tensor], backward_into: Callable[[Tensor, Tensor, Tensor], Tensor]):
        self.forward_, self.backward_into = forward_, backward_into

    def forward(self, s: Tensor) -> Tensor:
        self.output = self.forward_(s)
        return self.output

    def backward(self, delta: Tensor) -> Tensor:
        return self.backward_into(delta, self.output, delta)

    def slope(self) -> Tensor:
        ones = torch.ones_like(self.output)
        return self.backward_into(ones, self.output, ones)


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


class StackedMLP:
    """A training step of R runs of `MLP` under the mean cross-entropy of each run's batch."""

    def __init__(self, model: MLP, state: Stacked):
        self.state = state
        self.acts = [stacked_activation(module) for module in model.modules() if isinstance(module, Activation)]
        self.names = [f"layers.{i}" for i in range(len(self.acts))] + ["head"]
        self.prefixes = [f"layers.{i}.linear" for i in range(len(self.acts))] + ["head"]
        self.weights = [state.parameters[f"{p}.weight"] for p in self.prefixes]  # (R, N, n)
        self.biases = [state.parameters[f"{p}.bias"].unsqueeze(1) for p in self.prefixes]  # (R, 1, N)
        self.weight_grads = [state.gradients[f"{p}.weight"] for p in self.prefixes]
        self.bias_grads = [state.gradients[f"{p}.bias"] for p in self.prefixes]
        self.buffers: dict[str, Tensor] = {}

    @torch.no_grad()
    def step(self, x: Tensor, y: Tensor, look: bool) -> tuple[Tensor, list[Layer]]:
        """Write the gradients of R batches (R, B, ...) into the state; the losses (R,) and, to look, the layers."""
        h = x.flatten(2)
        inputs = []  # of each layer: (R, B, n)
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            inputs.append(h)
            s = torch.baddbmm(bias, h, weight.mT, out=self.buffer(f"layer {i}", h, weight))
            h = self.acts[i].forward(s) if i < len(self.acts) else s
        losses, delta = cross_entropy(h, y)

        layers = []
        for i in reversed(range(len(self.weights))):
            hidden = i < len(self.acts)
            if hidden:
                above = self.weights[i + 1]
                into = self.buffer(f"delta {i if look else i % 2}", delta, above.mT)
                delta = self.acts[i].backward(torch.bmm(delta, above, out=into))
            torch.bmm(delta.mT, inputs[i], out=self.weight_grads[i])
            torch.sum(delta, 1, out=self.bias_grads[i])
            if look:
                layers.append(
                    Layer(
                        self.names[i],
                        f"{self.prefixes[i]}.weight",
                        weight=self.weights[i],
                        weight_grad=self.weight_grads[i],
                        pre_grad=delta,
                        activation=inputs[i + 1] if hidden else h,
                        slope=self.acts[i].slope() if hidden else torch.ones_like(h),
                    )
                )
        return losses, layers[::-1]

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        """The logits (R, n, C) for examples (n, ...) that all runs share."""
        h = x.flatten(1).expand(self.state.runs, -1, -1)
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            h = torch.baddbmm(bias, h, weight.mT)
            h = self.acts[i].forward(h) if i < len(self.acts) else h
        return h

    def buffer(self, name: str, rows: Tensor, weight: Tensor) -> Tensor:
        """A tensor for the product of (R, B, n) rows with a (R, N, n) weight, the same one at every step."""
        shape = (*rows.shape[:2], weight.shape[1])
        kept = self.buffers.get(name)
        if kept is None or kept.shape != shape:
            kept = self.buffers[name] = rows.new_empty(shape)
        return kept


def cross_entropy(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The mean cross-entropies (R,) of logits (R, B, C) at labels (R, B), and their gradient (R, B, C)."""
    labels = y.unsqueeze(2)
    log_p = F.log_softmax(logits, 2)
    losses = -log_p.gather(2, labels).mean((1, 2))
    delta = log_p.exp_()
    delta.scatter_add_(2, labels, delta.new_full((1, 1, 1), -1.0).expand(labels.shape))
    return losses, delta.div_(logits.shape[1])
