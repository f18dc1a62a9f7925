"""Runs one after the other, where stacking does not pay: a stacked convolution is a grouped one, which is slow."""

import copy

import torch
from torch import Tensor, nn

from initbench.engine.observation import LayerSignal, LayerSnapshot, Recording, side_by_side
from initbench.engine.precision import autocast
from initbench.engine.programs.autograd import AutogradProgram
from initbench.engine.programs.lstm import has_fused_lstm, single_run, use_fused_lstm
from initbench.parts.computed_weights import detach_computed
from initbench.parts.dropout import attach_source, stochastic_modules
from initbench.parts.losses import Targets, rows
from initbench.parts.observe import LayerHooks


class LoopProgram(AutogradProgram):
    """A module per run, whose parameters and buffers are rows of the state."""

    def prepare(self) -> None:
        self.models = [self.one_of(self.model, run) for run in range(self.state.runs)]
        self.hooks = [LayerHooks(model) for model in self.models]
        self.parameters = [list(model.parameters()) for model in self.models]
        self.own = [dict(model.named_parameters()) | dict(model.named_buffers()) for model in self.models]
        self.observed_apart = any(map(has_fused_lstm, self.models))
        self.buffers = [named_owners(model) for model in self.models]
        self.checked = False

    def one_of(self, model: nn.Module, run: int) -> nn.Module:
        """A copy of the model that computes with a run's rows."""
        detach_computed(model)
        one = copy.deepcopy(model)
        use_fused_lstm(one, single_run)
        for name, own in self.state.parameters.items():
            one.get_parameter(name).data = own[run]
        for name, own in self.state.buffers.items():
            one.get_buffer(name).data = own[run]
        return one

    def gradients(
        self, x: Tensor, targets: Targets, bytes: Tensor, log: bool, scale: Tensor | None, write: bool = True
    ) -> tuple[Tensor, LayerSnapshot | None]:
        """As `AutogradProgram` has it."""
        if scale is not None:
            raise NotImplementedError("runs that are trained one by one have no loss scale")
        steps = [
            self.step_of(run, x[run], rows(targets, run), bytes[run], log, write) for run in range(self.state.runs)
        ]
        losses, snapshots = zip(*steps, strict=True)
        return torch.stack(losses), side_by_side(snapshots) if log else None

    def step_of(self, run: int, x: Tensor, targets: Targets, bytes: Tensor, log: bool, write: bool) -> tuple:
        """One run's loss on its minibatch (B, ...) and, at a log step, its layers."""
        model, hooks, parameters = self.models[run], self.hooks[run], self.parameters[run]
        if not model.training:
            model.train()
        hooks.recording = log
        x, data = hooks.traced(x) if log else (x, None)
        if self.masks:
            attach_source(stochastic_modules(model), bytes)
        with autocast(self.precision, x.device):
            with hooks.forward_pass(self.own[run]):
                outputs = self.outputs(model, x)
            loss, recorded = self.losses(outputs, targets)
        self.keep_buffers(run)
        recording, written = Recording.of(hooks, data), parameters if write else []
        wanted, kept = [*written, *recording.pre], recording.needs_graph
        gradients = torch.autograd.grad(loss, wanted, materialize_grads=True, retain_graph=kept)
        for own, gradient in zip(self.state.gradients.values(), gradients[: len(written)], strict=False):
            own[run].copy_(gradient)
        if not log:
            return recorded.detach(), None
        return recorded.detach(), recording.snapshot(gradients[len(written) :])

    def pre_activations(self, x: Tensor) -> list[LayerSignal]:
        """As `Program` has it."""
        before, bytes = {name: own.clone() for name, own in self.state.buffers.items()}, self.mask_bytes(x)
        of_runs = [self.signals_of(run, x[run], bytes[run]) for run in range(self.state.runs)]
        for name, own in before.items():
            self.state.buffers[name].copy_(own)
        layers = zip(*of_runs, strict=True)
        return [layer[0]._replace(pre=torch.cat([run.pre for run in layer])) for layer in layers]

    def signals_of(self, run: int, x: Tensor, bytes: Tensor) -> list[LayerSignal]:
        """One run's layers on a batch (B, ...)."""
        model, hooks = self.models[run].train(), self.hooks[run]
        hooks.recording = True
        x, data = hooks.traced(x)
        if self.masks:
            attach_source(stochastic_modules(model), bytes)
        with autocast(self.precision, x.device), hooks.forward_pass(self.own[run]):
            model(x)
        self.keep_buffers(run)
        return Recording.of(hooks, data).signals(len(x))

    def keep_buffers(self, run: int) -> None:
        """A tensor that the forward pass has put in the place of a buffer is copied into the run's row instead."""
        for owner, name, buffer in self.buffers[run]:
            if (other := owner.get_buffer(name)) is not buffer:
                buffer.copy_(other.detach())
                setattr(owner, name, buffer)

    def outputs(self, model: nn.Module, inputs: Tensor) -> Tensor:
        """The model's; RuntimeError where they would depend on its neighbours' random numbers, as under `vmap`."""
        if self.checked:
            return model(inputs)
        self.checked, before = True, random_states(inputs.device)
        outputs = model(inputs)
        if not all(map(torch.equal, before, random_states(inputs.device))):
            raise RuntimeError("the model draws random numbers from torch's global generator in its forward pass")
        return outputs

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        """As `Program` has it."""
        for hooks in self.hooks:
            hooks.recording = False
        with autocast(self.precision, x.device):
            outputs = torch.stack([model.eval()(x) for model in self.models])
        return outputs.to(self.state.weights.dtype)


def named_owners(model: nn.Module) -> list[tuple[nn.Module, str, Tensor]]:
    """Of each buffer: the module that has it, its name there, and itself."""
    return [
        (module, name, buffer) for module in model.modules() for name, buffer in module.named_buffers(recurse=False)
    ]


def random_states(device: torch.device) -> list[Tensor]:
    """The states of torch's global generators that a forward pass on this device may draw from."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]
