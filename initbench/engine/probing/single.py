"""One run of a stack as an ordinary module, for what is measured of runs one after the other."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from initbench.engine.state import Stacked
from initbench.parts.dropout import stochastic_modules
from initbench.parts.models.recurrent import LSTMCell


class SingleRuns:
    """The runs of a state, each as a function of its inputs; in training mode, but without dropout's masks."""

    def __init__(self, model: nn.Module, state: Stacked):
        self.model, self.state = copy.deepcopy(model).train(), state
        for module in stochastic_modules(self.model):
            module.eval()
        for module in self.model.modules():
            if isinstance(module, LSTMCell):
                module.fused = None  # whose backward pass can't be differentiated again

    def parameters(self, run: int) -> dict[str, Tensor]:
        """Copies of a run's parameters that gradients are asked of."""
        return {name: rows[run].detach().clone().requires_grad_() for name, rows in self.state.parameters.items()}

    def outputs(self, run: int, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        """The outputs (B, ...) on a batch; the run's buffers stay as they are."""
        buffers = {name: rows[run].clone() for name, rows in self.state.buffers.items()}
        return functional_call(self.model, parameters | buffers, (x,))

    def each(self, measure: Callable[[int], Tensor]) -> Tensor:
        """What `measure` makes of each run, (R, ...)."""
        return torch.stack([measure(run) for run in range(self.state.runs)])
