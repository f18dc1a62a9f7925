"""The general program and the reference: any module, written for one run, under `torch.func.vmap`."""

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from initbench.engine.observation import LayerSnapshot, snapshot
from initbench.engine.precision import autocast
from initbench.engine.programs.autograd import AutogradProgram
from initbench.engine.programs.lstm import batched_runs, use_fused_lstm
from initbench.engine.state import by_run
from initbench.parts.dropout import attach_source
from initbench.parts.observe import LayerHooks


class VmapProgram(AutogradProgram):
    """All runs in one forward pass under `vmap`, differentiated by autograd.

    The pre-activations that hooks record are returned from `vmap` and differentiated outside of it, so that dL/ds costs
    no extra pass.
    """

    def prepare(self) -> None:
        self.hooks = LayerHooks(self.model)
        use_fused_lstm(self.model, batched_runs)

    def step(self, x: Tensor, y: Tensor, log: bool, scale: Tensor | None = None) -> tuple[Tensor, LayerSnapshot | None]:
        """As `Program` has it."""
        state = self.state
        self.model.train()
        self.hooks.recording = log
        parameters = {name: rows.detach().requires_grad_() for name, rows in state.parameters.items()}
        bytes = self.masks.rows(self.model, x[0]) if self.masks else y.new_empty((state.runs, 0))

        def one(parameters, buffers, x, y, bytes):
            attach_source(self.stochastic, bytes)
            outputs, buffers = self.forward(parameters, buffers, x)
            return self.losses(outputs, y), self.hooks.pre_activations() if log else [], buffers

        with autocast(self.precision, x.device):
            (losses, recorded), pairs, buffers = vmap(one)(parameters, state.buffers, x, y, bytes)
        state.buffers = {name: rows.detach().contiguous() for name, rows in buffers.items()}
        wanted = [*parameters.values(), *(pre for pre, _ in pairs)]
        total = losses.sum() if scale is None else (losses * scale).sum()
        gradients = torch.autograd.grad(total, wanted, materialize_grads=True)
        if scale is not None:
            gradients = tuple(gradient / by_run(scale, gradient) for gradient in gradients)
        for rows, gradient in zip(state.gradients.values(), gradients, strict=False):
            rows.copy_(gradient)
        return recorded.detach(), snapshot(self.hooks, pairs, gradients[len(parameters) :]) if log else None

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        """As `Program` has it."""
        self.model.eval()
        self.hooks.recording = False
        with autocast(self.precision, x.device):
            outputs, _ = vmap(self.forward, in_dims=(0, 0, None))(self.state.parameters, self.state.buffers, x)
        return outputs.to(self.state.weights.dtype)

    def forward(
        self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The outputs, and the buffers afterwards: the same tensors, or those that the model has put in their place."""
        self.hooks.records.clear()
        own = {**parameters, **buffers}
        outputs = functional_call(self.model, own, (x,))
        return outputs, {name: own[name] for name in buffers}
