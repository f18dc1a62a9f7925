"""Multilayer perceptrons of R runs, forward and backward written by hand: three batched products per layer.

On a CPU this is several times as fast as `VmapProgram`, with which tests compare it.
"""

import torch
from torch import Tensor, nn

from initbench.engine.noise import Masks
from initbench.engine.observation import LayerSignal, LayerSnapshot, Units
from initbench.engine.programs.elementwise import Mask, stacked_activation, stacked_dropout
from initbench.engine.programs.output_loss import OutputLoss, cross_entropy
from initbench.engine.state import Stacked
from initbench.parts.activations import Activation
from initbench.parts.dropout import AlphaDropout, DropConnect, Dropout, MaskSource, stochastic_modules
from initbench.parts.losses import Targets
from initbench.parts.models import MLP, Dense, Logistic
from initbench.parts.models.residual import Residual, Scale
from initbench.parts.observe import ActivationFacts, is_as_written


class StackedLinear:
    """W x + b of R runs, (R, B, n) to (R, B, N); with dropconnect some entries of W are dropped."""

    def __init__(self, linear: nn.Linear, state: Stacked, prefix: str):
        self.weight = state.parameters[f"{prefix}.weight"]  # (R, N, n)
        self.bias = state.parameters[f"{prefix}.bias"].unsqueeze(1)  # (R, 1, N)
        self.weight_grad = state.gradients[f"{prefix}.weight"]
        self.bias_grad = state.gradients[f"{prefix}.bias"]
        self.mask = Mask(linear.threshold) if isinstance(linear, DropConnect) else None

    def forward(self, x: Tensor, bytes: MaskSource, into: Tensor | None = None) -> Tensor:
        self.input, self.used = x, self.weight if self.mask is None else self.mask.forward(self.weight, bytes)
        return torch.baddbmm(self.bias, x, self.used.mT, out=into)

    def backward(self, delta: Tensor, below: Tensor | None, add: bool = False) -> None:
        """Write the gradients of W and b and, unless it is None, write or add that of the input: `below`."""
        torch.bmm(delta.mT, self.input, out=self.weight_grad)
        if self.mask is not None:
            self.mask.backward(self.weight_grad)
        torch.sum(delta, 1, out=self.bias_grad)
        if below is not None:
            below.baddbmm_(delta, self.used, beta=int(add))

    def predict(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight.mT)


class StackedScale:
    """x + alpha h of R runs; alpha is a number, or a parameter of each run."""

    def __init__(self, scale: Scale, state: Stacked, prefix: str):
        self.alpha = scale.start
        if scale.alpha is not None:
            self.alpha = state.parameters[f"{prefix}.alpha"].unsqueeze(2)  # (R, 1, 1)
            self.gradient = state.gradients[f"{prefix}.alpha"]  # (R, 1)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        self.branch = h
        return self.sum(x, h)

    def sum(self, x: Tensor, h: Tensor) -> Tensor:
        return torch.addcmul(x, self.alpha, h) if isinstance(self.alpha, Tensor) else x.add(h, alpha=self.alpha)

    def backward(self, delta: Tensor) -> Tensor:
        """dL/d(x + alpha h) becomes dL/dh, in place."""
        if isinstance(self.alpha, Tensor):
            torch.sum((delta * self.branch).flatten(1), 1, keepdim=True, out=self.gradient)
        return delta if isinstance(self.alpha, float) and self.alpha == 1 else delta.mul_(self.alpha)


class Hidden:
    """A hidden layer of R runs: h = phi(W x + b), perhaps with outputs dropped, perhaps as x + alpha h."""

    def __init__(self, layer: Dense | Residual, state: Stacked, prefix: str):
        parts = dict(layer.named_children())
        self.linear = StackedLinear(parts["linear"], state, f"{prefix}.linear")  # type: ignore[arg-type]
        self.act = stacked_activation(parts["act"])  # type: ignore[arg-type]
        self.dropout = stacked_dropout(parts["dropout"]) if "dropout" in parts else None  # type: ignore[arg-type]
        self.scale = StackedScale(layer.scale, state, f"{prefix}.scale") if isinstance(layer, Residual) else None

    def forward(
        self, x: Tensor, bytes: MaskSource, into: Tensor | None = None, seen: list[Tensor] | None = None
    ) -> Tensor:
        """The output; `into` receives the pre-activations, and may hold the activations afterwards.

        seen: a copy of the pre-activations is added to it, if it is given.
        """
        s = self.linear.forward(x, bytes, into)
        if seen is not None:
            seen.append(s.clone())
        h = self.act.forward(s)
        if self.dropout is not None:
            h = self.dropout.forward(h, bytes)
        return h if self.scale is None else self.scale.forward(x, h)

    def backward(self, delta: Tensor, below: Tensor | None) -> None:
        """dL/d(output) becomes dL/d(pre-activation), in place; dL/dx is written into `below`, unless that is None."""
        if self.scale is not None:
            if below is not None:
                below.copy_(delta)
            delta = self.scale.backward(delta)
        if self.dropout is not None:
            delta = self.dropout.backward(delta)
        self.linear.backward(self.act.backward(delta), below, add=self.scale is not None)

    def predict(self, x: Tensor) -> Tensor:
        h = self.act.forward(self.linear.predict(x))
        return h if self.scale is None else self.scale.sum(x, h)


class MLPProgram:
    """R runs of `MLP`, or of `Logistic`; the backward pass starts from the gradient at the outputs."""

    evaluation_chunk = 500

    def __init__(
        self,
        model: MLP | Logistic,
        state: Stacked,
        output_loss: OutputLoss = cross_entropy,
        masks: Masks | None = None,
    ):
        self.model, self.state, self.output_loss = model, state, output_loss
        self.masks = masks if stochastic_modules(model) else None
        layers = getattr(model, "layers", [])
        self.names = [f"layers.{i}" for i in range(len(layers))]
        self.layers = [Hidden(layer, state, name) for layer, name in zip(layers, self.names, strict=True)]
        self.head = StackedLinear(model.head, state, "head")
        self.activations = [*(ActivationFacts.of(layer.act) for layer in layers), ActivationFacts()]
        self.parameters = [*(f"{name}.linear.weight" for name in self.names), "head.weight"]
        self.buffers: dict[str, Tensor] = {}
        self.seen: list[Tensor] | None = None  # if it is a list, a log step adds copies of the pre-activations to it

    @staticmethod
    def takes(model: nn.Module) -> bool:
        """Whether the model is one of initbench's own whose layers are all `Hidden`, each with weights of its own, and
        all of one width."""
        if type(model) not in (MLP, Logistic) or not (is_as_written(model) and is_linear(model.head)):
            return False
        layers = getattr(model, "layers", [])
        weights = [weight for layer in layers for weight in layer.parameters()]
        plain = getattr(model, "last", None) is None and len(set(weights)) == len(weights)
        return plain and all(map(is_hidden, layers)) and len({layer.linear.out_features for layer in layers}) <= 1

    @torch.no_grad()
    def step(
        self, x: Tensor, targets: Targets, log: bool, scale: Tensor | None = None
    ) -> tuple[Tensor, LayerSnapshot | None]:
        """As `Program` has it."""
        if scale is not None:
            raise NotImplementedError("in float32 a loss needs no scale")
        h, depth = x.flatten(2), len(self.layers)
        bytes = self.mask_source(x)
        hidden = self.buffer("hidden", depth, h)
        seen = self.seen if log else None
        for layer, into in zip(self.layers, hidden, strict=True):
            h = layer.forward(h, bytes, into, seen)
        logits = self.head.forward(h, bytes)
        if seen is not None:
            seen.append(logits)
        losses, logits_grad = self.output_loss(logits, targets)

        deltas = self.buffer("deltas", depth if log else min(depth, 2), x)  # two take turns, but at a log step
        delta = [deltas[i % len(deltas)] for i in range(depth)]
        self.head.backward(logits_grad, delta[-1] if depth else None)
        for i in reversed(range(depth)):
            self.layers[i].backward(delta[i], delta[i - 1] if i else None)
        if not log:
            return losses, None
        units = [Units(logits_grad[None], logits[None], torch.ones_like(logits)[None])]
        if depth:
            acts = [layer.act for layer in self.layers]
            activations = hidden if acts[0].keeps_output else torch.stack([act.output for act in acts])
            units.insert(0, Units(deltas, activations, acts[0].slope(hidden)))
        names = [*self.names, "head"]
        return losses, LayerSnapshot(names, self.parameters, units, activations=self.activations)

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        """As `Program` has it."""
        h = x.flatten(1).expand(self.state.runs, -1, -1)
        for layer in self.layers:
            h = layer.predict(h)
        return self.head.predict(h)

    @torch.no_grad()
    def pre_activations(self, x: Tensor) -> list[LayerSignal]:
        """As `Program` has it."""
        h, bytes, seen = x.flatten(2), self.mask_source(x), []
        for layer in self.layers:
            h = layer.forward(h, bytes, seen=seen)
        return self.signals([*seen, self.head.forward(h, bytes)])

    def signals(self, seen: list[Tensor]) -> list[LayerSignal]:
        """The layers' pre-activations (R, B, N) by their names."""
        return [LayerSignal(name, s.unsqueeze(2)) for name, s in zip([*self.names, "head"], seen, strict=True)]

    def mask_source(self, x: Tensor) -> MaskSource:
        """The random bytes for the masks of one forward pass on batches (R, B, ...)."""
        rows = self.masks.rows(self.model, x[0]) if self.masks else x.new_empty((self.state.runs, 0), dtype=torch.uint8)
        return MaskSource(rows)

    def buffer(self, name: str, layers: int, inputs: Tensor) -> Tensor:
        """Memory for `layers` hidden layers, (L, R, B, N), the same at every step."""
        shape = (layers, *inputs.shape[:2], self.head.weight.shape[2])
        kept = self.buffers.get(name)
        if kept is None or len(kept) < layers or kept.shape[1:] != shape[1:]:
            kept = self.buffers[name] = inputs.new_empty(shape)
        return kept[:layers]


def is_hidden(layer: nn.Module) -> bool:
    """Whether `Hidden` computes this layer: as a user's activation may not, phi must look at one input at a time."""
    known = {
        "linear": (nn.Linear, DropConnect),
        "act": (Activation,),
        "dropout": (Dropout, AlphaDropout),
        "scale": (Scale,),
    }
    parts = dict(layer.named_children())
    return (
        type(layer) in (Dense, Residual)
        and list(parts) == [name for name in known if name in parts]
        and {"linear", "act"} <= set(parts)
        and all(type(part) in known[name] for name, part in parts.items())
        and is_linear(parts["linear"])
        and parts["act"].elementwise  # type: ignore[union-attr]
    )


def is_linear(layer: object) -> bool:
    """Whether `StackedLinear` computes this layer."""
    return isinstance(layer, nn.Linear) and type(layer) in (nn.Linear, DropConnect) and layer.bias is not None
