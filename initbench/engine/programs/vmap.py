"""The general program and the reference: any module, written for one run, under `torch.func.vmap`."""

import torch
from torch import Tensor
from torch._C._functorch import get_unwrapped, maybe_get_bdim
from torch.func import functional_call, vmap

from initbench.engine.observation import LayerSignal, LayerSnapshot, Recording
from initbench.engine.precision import autocast
from initbench.engine.programs.autograd import AutogradProgram
from initbench.engine.programs.lstm import batched_runs, has_fused_lstm, use_fused_lstm
from initbench.engine.state import by_run
from initbench.parts.dropout import attach_source
from initbench.parts.losses import Targets
from initbench.parts.observe import LayerHooks

# Some functions are slow under vmap: a user can do nothing about it.
torch._C._functorch._set_vmap_fallback_warning_enabled(False)  # type: ignore[attr-defined]


class VmapProgram(AutogradProgram):
    """All runs in one forward pass under `vmap`, differentiated by autograd.

    The pre-activations that hooks record are taken out of `vmap` and differentiated outside of it, so that dL/ds costs
    no extra pass.
    """

    def prepare(self) -> None:
        self.hooks = LayerHooks(self.model)
        use_fused_lstm(self.model, batched_runs)
        self.observed_apart = has_fused_lstm(self.model)

    def gradients(
        self, x: Tensor, targets: Targets, bytes: Tensor, log: bool, scale: Tensor | None, write: bool = True
    ) -> tuple[Tensor, LayerSnapshot | None]:
        """As `AutogradProgram` has it."""
        state = self.state
        self.model.train()
        self.hooks.recording = log
        parameters = {name: rows.detach().requires_grad_() for name, rows in state.parameters.items()}
        x, data = self.hooks.traced(x) if log else (x, None)
        recordings: list[Recording] = []

        def one(parameters, buffers, x, targets, bytes):
            attach_source(self.stochastic, bytes)
            outputs, buffers = self.forward(parameters, buffers, x)
            if log:
                recordings.append(Recording.of(self.hooks, data, of_all_runs))
            return self.losses(outputs, targets), buffers

        with autocast(self.precision, x.device):
            (losses, recorded), buffers = vmap(one)(parameters, state.buffers, x, targets, bytes)
        state.buffers = {name: rows.detach().contiguous() for name, rows in buffers.items()}
        written = list(parameters.values()) if write else []
        wanted = [*written, *(pre for recording in recordings for pre in recording.pre)]
        total = losses.sum() if scale is None else (losses * scale).sum()
        kept = any(recording.needs_graph for recording in recordings)
        gradients = torch.autograd.grad(total, wanted, materialize_grads=True, retain_graph=kept)
        if scale is not None:
            gradients = tuple(gradient / by_run(scale, gradient) for gradient in gradients)
        for rows, gradient in zip(state.gradients.values(), gradients[: len(written)], strict=False):
            rows.copy_(gradient)
        return recorded.detach(), recordings[0].snapshot(gradients[len(written) :]) if log else None

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        """As `Program` has it."""
        self.model.eval()
        self.hooks.recording = False
        with autocast(self.precision, x.device):
            outputs, _ = vmap(self.forward, in_dims=(0, 0, None))(self.state.parameters, self.state.buffers, x)
        return outputs.to(self.state.weights.dtype)

    def pre_activations(self, x: Tensor) -> list[LayerSignal]:
        """As `Program` has it."""
        self.model.train()
        self.hooks.recording = True
        parameters = {name: rows.detach().requires_grad_() for name, rows in self.state.parameters.items()}
        buffers = {name: rows.clone() for name, rows in self.state.buffers.items()}
        bytes = self.mask_bytes(x)
        x, data = self.hooks.traced(x)
        recordings: list[Recording] = []

        def one(parameters, buffers, x, bytes):
            attach_source(self.stochastic, bytes)
            outputs, _ = self.forward(parameters, buffers, x)
            recordings.append(Recording.of(self.hooks, data, of_all_runs))
            return outputs

        with autocast(self.precision, x.device):
            vmap(one)(parameters, buffers, x, bytes)
        return recordings[0].signals(x.shape[1])

    def forward(
        self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The outputs, and the buffers afterwards: the same tensors, or those that the model has put in their place."""
        own = {**parameters, **buffers}
        with self.hooks.forward_pass(own):
            outputs = functional_call(self.model, own, (x,))
        return outputs, {name: own[name] for name in buffers}


def of_all_runs(tensor: Tensor) -> tuple[Tensor, int | None]:
    """The tensor of all runs that is behind one run's inside `vmap`, and the dimension of the runs.

    It is where autograd knows it: what `vmap` returns may be a copy with the runs in front, from which no loss is
    computed.
    """
    return get_unwrapped(tensor), maybe_get_bdim(tensor)
