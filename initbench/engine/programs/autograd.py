"""Programs that autograd differentiates: what the general path and the loop have in common."""

from collections.abc import Callable

from torch import Tensor, nn

from initbench.engine.noise import Masks
from initbench.engine.state import Stacked
from initbench.parts.dropout import stochastic_modules

Loss = Callable[[Tensor, Tensor], Tensor]  # outputs and targets of one run's batch -> their mean loss


class AutogradProgram:
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
        self.masks, self.drawing = masks, stochastic_modules(model)
        self.prepare()

    def prepare(self) -> None:
        """What there is to do once."""

    def losses(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Of one run's batch: the loss to differentiate, and the one to record."""
        outputs = outputs.to(self.state.weights.dtype)
        loss = self.loss(outputs, y)
        return loss, loss if self.recorded is self.loss else self.recorded(outputs, y)
