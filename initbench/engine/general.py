"""The general path and the reference: any module, written for one run, under `torch.func.vmap`.

Where stacking does not pay (a convolution stacked is a grouped convolution, which is slow), `Looped` takes the runs
one after the other instead, and shares everything else.
"""

import copy
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.modules.conv import _ConvNd
from torch.utils.hooks import RemovableHandle

from initbench.engine.chance import Masks, drawing, hand
from initbench.engine.layer import Look, Units, one_layer, side_by_side, steepness, together
from initbench.engine.lstm import alone, hasten, stacked
from initbench.engine.precision import halved
from initbench.engine.stack import Stacked
from initbench.parts.activations import Activation

Loss = Callable[[Tensor, Tensor], Tensor]  # outputs and targets of one run's batch -> their mean loss


class Seen(NamedTuple):
    """What a hook caught: a weight's or an activation's module, and the tensors before and after phi."""

    module: nn.Module
    pre: Tensor
    after: Tensor


class Differentiated:
    """R runs of any `nn.Module`: what the general path and the loop have in common.

    `model` is one module of the runs' shape; only its structure is used. `loss` is differentiated and `recorded`
    returned, where that is another.
    """

    def __init__(
        self,
        model: nn.Module,
        state: Stacked,
        loss: Loss,
        masks: Masks | None = None,
        precision: str = "float32",
        recorded: Loss | None = None,
    ):
        self.model, self.state, self.precision = model, state, precision
        self.loss, self.recorded = loss, recorded or loss
        self.masks, self.drawing = masks, drawing(model)
        self.prepare()

    def prepare(self) -> None:
        """What there is to do once."""

    def losses(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Of one run's batch: the loss to differentiate, and the one to record."""
        outputs = outputs.to(self.state.weights.dtype)
        loss = self.loss(outputs, y)
        return loss, loss if self.recorded is self.loss else self.recorded(outputs, y)


class General(Differentiated):
    """A training step under `vmap`, differentiated by autograd.

    The pre-activations that hooks catch are returned from `vmap` and differentiated outside of it, so that dL/ds costs
    no extra pass.
    """

    def prepare(self) -> None:
        self.layers = Layers(self.model)
        hasten(self.model, stacked)

    def step(self, x: Tensor, y: Tensor, look: bool, scale: Tensor | None = None) -> tuple[Tensor, Look | None]:
        """As `Program` has it."""
        state = self.state
        self.model.train()
        self.layers.watching = look
        parameters = {name: rows.detach().requires_grad_() for name, rows in state.parameters.items()}
        bytes = self.masks.rows(self.model, x[0]) if self.masks and self.drawing else y.new_empty((state.runs, 0))

        def one(parameters, buffers, x, y, bytes):
            hand(self.drawing, bytes)
            outputs = self.forward(parameters, buffers, x)
            return self.losses(outputs, y), self.layers.caught() if look else [], buffers

        with halved(self.precision, x.device):
            (losses, recorded), caught, state.buffers = vmap(one)(parameters, state.buffers, x, y, bytes)
        wanted = [*parameters.values(), *(pre for pre, _ in caught)]
        total = losses.sum() if scale is None else (losses * scale).sum()
        gradients = torch.autograd.grad(total, wanted, materialize_grads=True)
        if scale is not None:
            gradients = tuple(gradient / by_run(scale, gradient) for gradient in gradients)
        for rows, gradient in zip(state.gradients.values(), gradients, strict=False):
            rows.copy_(gradient)
        return recorded.detach(), self.layers.look(caught, gradients[len(parameters) :]) if look else None

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        """As `Program` has it."""
        self.model.eval()
        self.layers.watching = False
        with halved(self.precision, x.device):
            outputs = vmap(self.forward, in_dims=(0, 0, None))(self.state.parameters, self.state.buffers, x)
        return outputs.to(self.state.weights.dtype)

    def forward(self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
        self.layers.seen.clear()
        return functional_call(self.model, (parameters, buffers), (x,))


class Looped(Differentiated):
    """A training step of one run after the other: a module a run, whose parameters are rows of the state."""

    def prepare(self) -> None:
        self.models = [self.one_of(self.model, run) for run in range(self.state.runs)]
        self.layers = [Layers(one) for one in self.models]
        self.parameters = [list(one.parameters()) for one in self.models]
        self.checked = False

    def one_of(self, model: nn.Module, run: int) -> nn.Module:
        """A copy of the model that computes with a run's rows."""
        one = copy.deepcopy(model)
        hasten(one, alone)
        for name, rows in self.state.parameters.items():
            one.get_parameter(name).data = rows[run]
        for name, rows in self.state.buffers.items():
            one.get_buffer(name).data = rows[run]
        return one

    def step(self, x: Tensor, y: Tensor, look: bool, scale: Tensor | None = None) -> tuple[Tensor, Look | None]:
        """As `Program` has it."""
        if scale is not None:
            raise NotImplementedError("runs that are trained one by one have no loss scale")
        bytes = self.masks.rows(self.model, x[0]) if self.masks and self.drawing else [None] * len(self.models)
        losses, looks = [], []
        for run, (model, layers, own, inputs, labels) in enumerate(
            zip(self.models, self.layers, bytes, x, y, strict=True)
        ):
            if not model.training:
                model.train()
            layers.seen.clear()
            layers.watching = look
            if own is not None:
                hand(drawing(model), own)
            with halved(self.precision, x.device):
                loss, recorded = self.losses(self.outputs(model, inputs), labels)
            caught = layers.caught()
            parameters = self.parameters[run]
            wanted = [*parameters, *(pre for pre, _ in caught)]
            gradients = torch.autograd.grad(loss, wanted, materialize_grads=True)
            for rows, gradient in zip(self.state.gradients.values(), gradients, strict=False):
                rows[run].copy_(gradient)
            losses.append(recorded.detach())
            if look:
                alone = [(pre.unsqueeze(0), after.unsqueeze(0)) for pre, after in caught]
                looks.append(layers.look(alone, tuple(part.unsqueeze(0) for part in gradients[len(parameters) :])))
        return torch.stack(losses), side_by_side(looks) if look else None

    def outputs(self, model: nn.Module, inputs: Tensor) -> Tensor:
        """The model's; RuntimeError where they would depend on its neighbours' random numbers, as `vmap` has it."""
        if self.checked:
            return model(inputs)
        self.checked, before = True, torch.get_rng_state()
        outputs = model(inputs)
        if not torch.equal(before, torch.get_rng_state()):
            raise RuntimeError("the model draws random numbers from torch's global generator in its forward pass")
        return outputs

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        """As `Program` has it."""
        for layers in self.layers:
            layers.watching = False
        with halved(self.precision, x.device):
            outputs = torch.stack([model.eval()(x) for model in self.models])
        return outputs.to(self.state.weights.dtype)


class Layers:
    """The layers of a module, found by hooks: what they saw in the last forward pass is in `seen`."""

    def __init__(self, model: nn.Module):
        self.hooks: list[RemovableHandle] = []
        self.seen: list[Seen] = []
        self.names = {module: name for name, module in model.named_modules()}
        names = {parameter: name for name, parameter in model.named_parameters()}  # a tied weight has one name
        self.weights = {module: names[weight] for module in self.names if (weight := own_weight(module)) is not None}

    @property
    def watching(self) -> bool:
        return bool(self.hooks)

    @watching.setter
    def watching(self, look: bool) -> None:
        """Have hooks only to look: a model may compute in another way, and faster, what nobody watches."""
        if look == self.watching:
            return
        for hook in self.hooks:
            hook.remove()
        self.hooks = [
            module.register_forward_hook(self.see)
            for module in self.names
            if look and (isinstance(module, Activation) or module in self.weights)
        ]

    def see(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self.seen.append(Seen(module, inputs[0] if isinstance(module, Activation) else output, output))

    def caught(self) -> list[tuple[Tensor, Tensor]]:
        """Each weight's use: the pre-activation, and what came of it."""
        return [(self.seen[i].pre, self.seen[i].after) for *_, i in self.pairs()]

    def look(self, caught: list[tuple[Tensor, Tensor]], gradients: tuple[Tensor, ...]) -> Look:
        """The layers, from the (R, ...) tensors that were `caught` and the gradients of the pre-activations.

        A weight that is used at T time steps is one layer of T times as many examples.
        """
        uses: dict[nn.Module, list[tuple[nn.Module | None, int]]] = {}
        for i, (weight, activation, _) in enumerate(self.pairs()):
            uses.setdefault(weight, []).append((activation, i))
        names, units, times = [], [], {}
        for weight, at in uses.items():
            activation, channels = at[0][0], isinstance(weight, _ConvNd)
            names.append(self.names[weight] if activation is None else self.common(weight, activation))
            steps = [
                Units(*(by_unit(t.detach(), channels) for t in (gradients[i], after, slope(phi, pre))))
                for phi, i in at
                for pre, after in [caught[i]]
            ]
            if len(steps) > 1:
                times[len(names) - 1] = torch.cat([step.pre_grad_norm for step in steps])
            units.append(steps[0] if len(steps) == 1 else one_layer(steps))
        return Look(names, [self.weights[weight] for weight in uses], together(units), times)

    def pairs(self) -> Iterator[tuple[nn.Module, nn.Module | None, int]]:
        """Each use of a weight with the activation that follows before the next, or None, and where phi's input is."""
        weight, at = None, 0
        for i, seen in enumerate(self.seen):
            if not isinstance(seen.module, Activation):
                if weight is not None:
                    yield weight, None, at
                weight, at = seen.module, i
            elif weight is not None:
                yield weight, seen.module, i
                weight = None
        if weight is not None:
            yield weight, None, at

    def common(self, weight: nn.Module, activation: nn.Module) -> str:
        """The innermost module that holds both, `layers.3`; the weight's own name where that is the whole model."""
        block = self.names[weight].rpartition(".")[0]
        return block if block and self.names[activation].startswith(block + ".") else self.names[weight]


def by_run(numbers: Tensor, like: Tensor) -> Tensor:
    """(R,) as (R, 1, ..., 1), to multiply a tensor (R, ...)."""
    return numbers.view(-1, *[1] * (like.ndim - 1))


def slope(activation: nn.Module | None, pre: Tensor) -> Tensor:
    return torch.ones_like(pre) if activation is None else steepness(activation, pre)


def own_weight(module: nn.Module) -> nn.Parameter | None:
    """The matrix, or kernel, of a module that has one."""
    weight = getattr(module, "weight", None)
    return weight if isinstance(weight, nn.Parameter) and weight.ndim >= 2 else None


def by_unit(x: Tensor, channels: bool) -> Tensor:
    """(R, B, ..., N), or (R, B, N, ...) of a convolution, to (1, R, examples, N)."""
    return (x.movedim(2, -1) if channels else x).flatten(1, -2).unsqueeze(0)
