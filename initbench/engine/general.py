"""The general path and the reference: any module, written for one run, under `torch.func.vmap`."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.modules.conv import _ConvNd

from initbench.engine.layer import Look, Units, steepness, together
from initbench.engine.stack import Stacked
from initbench.parts.activations import Activation

Loss = Callable[[Tensor, Tensor], Tensor]  # outputs and targets of one run's batch -> their mean loss


class Seen(NamedTuple):
    """What a hook caught: a weight's or an activation's module, and the tensors before and after phi."""

    module: nn.Module
    pre: Tensor
    after: Tensor


class General:
    """A training step of R runs of any `nn.Module`, differentiated by autograd.

    `model` is one module of the runs' shape; only its structure is used. The pre-activations that hooks catch
    are returned from `vmap` and differentiated outside of it, so that dL/ds costs no extra pass.
    """

    def __init__(self, model: nn.Module, state: Stacked, loss: Loss):
        self.model, self.state, self.loss = model, state, loss
        self.names = {module: name for name, module in model.named_modules()}
        self.seen: list[Seen] = []
        for module in self.names:
            if isinstance(module, Activation):
                module.register_forward_hook(lambda m, args, out: self.seen.append(Seen(m, args[0], out)))
            elif owns_weight(module):
                module.register_forward_hook(lambda m, args, out: self.seen.append(Seen(m, out, out)))

    def step(self, x: Tensor, y: Tensor, look: bool) -> tuple[Tensor, Look | None]:
        """Write the gradients of R batches (R, B, ...) into the state; the losses (R,) and, to look, the layers."""
        state = self.state
        self.model.train()
        parameters = {name: rows.detach().requires_grad_() for name, rows in state.parameters.items()}

        def one(parameters, buffers, x, y):
            outputs = self.forward(parameters, buffers, x)
            caught = [(seen.pre, seen.after) for seen in self.seen] if look else []
            return self.loss(outputs, y), caught, buffers

        losses, caught, state.buffers = vmap(one)(parameters, state.buffers, x, y)
        wanted = [*parameters.values(), *(pre for pre, _ in caught)]
        gradients = torch.autograd.grad(losses.sum(), wanted, materialize_grads=True)
        for rows, gradient in zip(state.gradients.values(), gradients, strict=False):
            rows.copy_(gradient)
        return losses.detach(), self.look(caught, gradients[len(parameters) :]) if look else None

    def look(self, caught: list[tuple[Tensor, Tensor]], gradients: tuple[Tensor, ...]) -> Look:
        """The layers, from what the hooks caught and the gradients of the pre-activations."""
        names, parameters, units = [], [], []
        for weight, activation, i in pairs([seen.module for seen in self.seen]):
            (pre, after), channels = caught[i], isinstance(weight, _ConvNd)
            steep = torch.ones_like(pre) if activation is None else steepness(activation, pre)
            names.append(self.names[weight] if activation is None else self.common(weight, activation))
            parameters.append(f"{self.names[weight]}.weight")
            units.append(Units(*(by_unit(t.detach(), channels) for t in (gradients[i], after, steep))))
        return Look(names, parameters, together(units))

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        """The outputs (R, n, ...) for examples (n, ...) that all runs share."""
        self.model.eval()
        return vmap(self.forward, in_dims=(0, 0, None))(self.state.parameters, self.state.buffers, x)

    def forward(self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
        self.seen.clear()
        return functional_call(self.model, (parameters, buffers), (x,))

    def common(self, weight: nn.Module, activation: nn.Module) -> str:
        """The innermost module that holds both, `layers.3`; the weight's own name where that is the whole model."""
        block = self.names[weight].rpartition(".")[0]
        return block if block and self.names[activation].startswith(block + ".") else self.names[weight]


def owns_weight(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, nn.Parameter) and weight.ndim >= 2


def pairs(modules: list[nn.Module]):
    """Each weight with the activation that follows before the next weight, or None, and where phi's input is."""
    pending = None
    for i, module in enumerate(modules):
        if not isinstance(module, Activation):
            if pending is not None:
                yield modules[pending], None, pending
            pending = i
        elif pending is not None:
            yield modules[pending], module, i
            pending = None
    if pending is not None:
        yield modules[pending], None, pending


def by_unit(x: Tensor, channels: bool) -> Tensor:
    """(R, B, ..., N), or (R, B, N, ...) of a convolution, to (1, R, examples, N)."""
    return (x.movedim(2, -1) if channels else x).flatten(1, -2).unsqueeze(0)
