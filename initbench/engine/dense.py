"""A multilayer perceptron stacked by hand: three batched matrix products a layer, in buffers that are kept.

On a CPU this is several times as fast as the general path, which a test holds it to. What is elementwise stays
autograd's business, but for the few activations whose derivative is a function of their own output: those
work in place.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from initbench.engine.layer import Look, Units, steepness
from initbench.engine.stack import Stacked
from initbench.parts import activations
from initbench.parts.activations import Activation
from initbench.parts.models import MLP, Dense, Logistic

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

    def steepness(self, given: Tensor) -> Tensor:
        return steepness(self.activation, given)


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

    def steepness(self, given: Tensor) -> Tensor:
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


class StackedMLP:
    """A training step of R runs of `MLP`, or of `Logistic`: the mean cross-entropy of each run's batch."""

    def __init__(self, model: MLP | Logistic, state: Stacked, smoothing: float = 0.0):
        self.state, self.smoothing = state, smoothing
        self.acts = [stacked_activation(module) for module in model.modules() if isinstance(module, Activation)]
        self.depth = len(self.acts)
        self.names = [f"layers.{i}" for i in range(self.depth)] + ["head"]
        prefixes = [f"layers.{i}.linear" for i in range(self.depth)] + ["head"]
        self.parameters = [f"{prefix}.weight" for prefix in prefixes]
        self.weights = [state.parameters[name] for name in self.parameters]  # (R, N, n)
        self.biases = [state.parameters[f"{prefix}.bias"].unsqueeze(1) for prefix in prefixes]  # (R, 1, N)
        self.weight_grads = [state.gradients[name] for name in self.parameters]
        self.bias_grads = [state.gradients[f"{prefix}.bias"] for prefix in prefixes]
        self.buffers: dict[str, Tensor] = {}

    @staticmethod
    def takes(model: nn.Module) -> bool:
        """Is it of linear layers and activations alone, each used once, and of no class of somebody's own?"""
        kinds = [type(module) for module in model.modules()]
        if kinds[0] is MLP and set(kinds[1:]) <= {nn.ModuleList, Dense, nn.Linear, Activation}:
            return kinds.count(nn.Linear) == len(model.layers) + 1  # type: ignore[arg-type]
        return kinds[0] is Logistic

    @torch.no_grad()
    def step(self, x: Tensor, y: Tensor, look: bool, scale: Tensor | None = None) -> tuple[Tensor, Look | None]:
        """As `Program` has it."""
        if scale is not None:
            raise NotImplementedError("in float32 a loss needs no scale")
        inputs = [x.flatten(2)]  # of each layer: (R, B, n)
        hidden = self.buffer("hidden", self.depth, inputs[0])
        for i, s in enumerate(hidden):
            torch.baddbmm(self.biases[i], inputs[i], self.weights[i].mT, out=s)
            inputs.append(self.acts[i].forward(s))
        logits = torch.baddbmm(self.biases[-1], inputs[-1], self.weights[-1].mT)
        losses, logits_grad = cross_entropy(logits, y, self.smoothing)

        deltas = self.buffer("deltas", self.depth if look else min(self.depth, 2), inputs[0])
        delta = logits_grad
        for i in reversed(range(self.depth + 1)):
            torch.bmm(delta.mT, inputs[i], out=self.weight_grads[i])
            torch.sum(delta, 1, out=self.bias_grads[i])
            if i > 0:
                below = deltas[(i - 1) % len(deltas)]  # two take turns, unless all are to be looked at
                delta = self.acts[i - 1].backward(torch.bmm(delta, self.weights[i], out=below))
        if not look:
            return losses, None
        units = [Units(logits_grad[None], logits[None], torch.ones_like(logits)[None])]
        if self.depth:
            phi = self.acts[0]
            activation = hidden if phi.keeps_output else torch.stack(inputs[1:])
            units.insert(0, Units(deltas, activation, phi.steepness(hidden)))
        return losses, Look(self.names, self.parameters, units)

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        """As `Program` has it."""
        h = x.flatten(1).expand(self.state.runs, -1, -1)
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            h = torch.baddbmm(bias, h, weight.mT)
            h = self.acts[i].forward(h) if i < len(self.acts) else h
        return h

    def buffer(self, name: str, layers: int, inputs: Tensor) -> Tensor:
        """Room for `layers` hidden layers, (L, R, B, N), the same at every step."""
        shape = (layers, *inputs.shape[:2], self.weights[0].shape[1])
        kept = self.buffers.get(name)
        if kept is None or len(kept) < layers or kept.shape[1:] != shape[1:]:
            kept = self.buffers[name] = inputs.new_empty(shape)
        return kept[:layers]


def cross_entropy(logits: Tensor, y: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """The mean cross-entropies (R,) of logits (R, B, C) at labels (R, B), and their gradient (R, B, C).

    `smoothing` is the share of each target that is spread over all classes.
    """
    labels, sharp = y.unsqueeze(2), 1 - smoothing
    log_p = F.log_softmax(logits, 2)
    losses = -log_p.gather(2, labels).mean((1, 2))
    if smoothing:
        losses = sharp * losses - smoothing * log_p.mean((1, 2))
    delta = log_p.exp_()
    delta.scatter_add_(2, labels, delta.new_full((1, 1, 1), -sharp).expand(labels.shape))
    if smoothing:
        delta -= smoothing / logits.shape[2]
    return losses, delta.div_(logits.shape[1])
