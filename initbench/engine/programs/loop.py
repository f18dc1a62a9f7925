"""Runs one after the other, where stacking does not pay: a convolution stacked is a grouped one, which is slow."""

import copy

import torch
from torch import Tensor, nn

from initbench.engine.observation import LayerSnapshot, side_by_side, snapshot
from initbench.engine.precision import halved
from initbench.engine.programs.autograd import AutogradProgram
from initbench.engine.programs.lstm import single_run, use_fused_lstm
from initbench.parts.dropout import attach_source, stochastic_modules
from initbench.parts.observe import LayerHooks


class LoopProgram(AutogradProgram):
    """A training step of one run after the other: a module a run, whose parameters are rows of the state."""

    def prepare(self) -> None:
        self.models = [self.one_of(self.model, run) for run in range(self.state.runs)]
        self.hooks = [LayerHooks(one) for one in self.models]
        self.parameters = [list(one.parameters()) for one in self.models]
        self.checked = False

    def one_of(self, model: nn.Module, run: int) -> nn.Module:
        """A copy of the model that computes with a run's rows."""
        one = copy.deepcopy(model)
        use_fused_lstm(one, single_run)
        for name, rows in self.state.parameters.items():
            one.get_parameter(name).data = rows[run]
        for name, rows in self.state.buffers.items():
            one.get_buffer(name).data = rows[run]
        return one

    def step(self, x: Tensor, y: Tensor, log: bool, scale: Tensor | None = None) -> tuple[Tensor, LayerSnapshot | None]:
        """As `Program` has it."""
        if scale is not None:
            raise NotImplementedError("runs that are trained one by one have no loss scale")
        bytes = self.masks.rows(self.model, x[0]) if self.masks and self.drawing else [None] * len(self.models)
        losses, snapshots = [], []
        for run, (model, hooks, own, inputs, labels) in enumerate(
            zip(self.models, self.hooks, bytes, x, y, strict=True)
        ):
            if not model.training:
                model.train()
            hooks.records.clear()
            hooks.recording = log
            if own is not None:
                attach_source(stochastic_modules(model), own)
            with halved(self.precision, x.device):
                loss, recorded = self.losses(self.outputs(model, inputs), labels)
            caught = hooks.pre_activations()
            parameters = self.parameters[run]
            wanted = [*parameters, *(pre for pre, _ in caught)]
            gradients = torch.autograd.grad(loss, wanted, materialize_grads=True)
            for rows, gradient in zip(self.state.gradients.values(), gradients, strict=False):
                rows[run].copy_(gradient)
            losses.append(recorded.detach())
            if log:
                pairs = [(pre.unsqueeze(0), after.unsqueeze(0)) for pre, after in caught]
                snapshots.append(
                    snapshot(hooks, pairs, tuple(part.unsqueeze(0) for part in gradients[len(parameters) :]))
                )
        return torch.stack(losses), side_by_side(snapshots) if log else None

    def outputs(self, model: nn.Module, inputs: Tensor) -> Tensor:
        """The model's; RuntimeError where they would depend on its neighbours' random numbers, as `vmap` has it."""
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
        with halved(self.precision, x.device):
            outputs = torch.stack([model.eval()(x) for model in self.models])
        return outputs.to(self.state.weights.dtype)


def random_states(device: torch.device) -> list[Tensor]:
    """The states of torch's global generators that a forward pass on this device may draw from."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]
