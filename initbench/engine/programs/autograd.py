"""What the programs that autograd differentiates have in common."""

import torch
from torch import Tensor, nn

from initbench.engine.noise import Masks
from initbench.engine.observation import LayerSnapshot
from initbench.engine.state import Stacked
from initbench.parts.dropout import stochastic_modules
from initbench.parts.losses import Loss, Targets


class AutogradProgram:
    """R runs of any `nn.Module`. `VmapProgram` computes them at once, `LoopProgram` one after the other."""

    evaluation_chunk = 1
    observed_apart: bool  # whether the model computes in another way while hooks look, and so needs a pass of its own

    def __init__(
        self,
        model: nn.Module,  # of the runs' shape; only its structure is used
        state: Stacked,
        loss: Loss,  # the loss that is differentiated
        masks: Masks | None = None,
        precision: str = "float32",
        recorded: Loss | None = None,  # the loss that is returned; by default the same
    ):
        self.model, self.state, self.precision = model, state, precision
        self.loss, self.recorded = loss, recorded or loss
        self.stochastic = stochastic_modules(model)
        self.masks = masks if self.stochastic else None
        self.prepare()

    def step(
        self, x: Tensor, targets: Targets, log: bool, scale: Tensor | None = None
    ) -> tuple[Tensor, LayerSnapshot | None]:
        """As `Program` has it. What a log step computes is what it would compute unobserved, to the last bit."""
        bytes = self.mask_bytes(x)
        if not (log and self.observed_apart):
            return self.gradients(x, targets, bytes, log, scale)
        losses, _ = self.gradients(x, targets, bytes, False, scale)
        buffers = {name: rows.clone() for name, rows in self.state.buffers.items()}
        _, snapshot = self.gradients(x, targets, bytes, True, scale, write=False)
        for name, rows in buffers.items():
            self.state.buffers[name].copy_(rows)
        return losses, snapshot

    def gradients(
        self, x: Tensor, targets: Targets, bytes: Tensor, log: bool, scale: Tensor | None, write: bool = True
    ) -> tuple[Tensor, LayerSnapshot | None]:
        """A step, with the random bytes (R, K) of its masks; without `write` the state's gradients stay as they are."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Attach hooks and fused layers to the model, before the first step; say if it is `observed_apart`."""
        raise NotImplementedError

    def mask_bytes(self, x: Tensor) -> Tensor:
        """The random bytes (R, K) for the masks of one forward pass on batches (R, B, ...)."""
        return self.masks.rows(self.model, x[0]) if self.masks else x.new_empty((self.state.runs, 0), dtype=torch.uint8)

    def losses(self, outputs: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        """Of one run's batch: the loss to differentiate, and the one to record."""
        outputs = outputs.to(self.state.weights.dtype)
        loss = self.loss(outputs, targets)
        return loss, loss if self.recorded is self.loss else self.recorded(outputs, targets)
