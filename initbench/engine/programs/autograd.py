"""What the programs that autograd differentiates have in common."""

from collections.abc import Callable

from torch import Tensor, nn

from initbench.engine.noise import Masks
from initbench.engine.state import Stacked
from initbench.parts.dropout import stochastic_modules

Loss = Callable[[Tensor, Tensor], Tensor]  # outputs and targets of one run's batch -> their mean loss


class AutogradProgram:
    """R runs of any `nn.Module`. `VmapProgram` computes them at once, `LoopProgram` one after the other."""

    evaluation_chunk = 1

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

    def prepare(self) -> None:
        """Attach hooks and fused layers to the model, before the first step."""
        raise NotImplementedError

    def losses(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Of one run's batch: the loss to differentiate, and the one to record."""
        outputs = outputs.to(self.state.weights.dtype)
        loss = self.loss(outputs, y)
        return loss, loss if self.recorded is self.loss else self.recorded(outputs, y)
