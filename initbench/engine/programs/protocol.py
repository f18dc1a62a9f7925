"""The interface of a program: the code that computes losses and gradients of R runs at once."""

from typing import Protocol

from torch import Tensor

from initbench.engine.noise import Masks
from initbench.engine.observation import LayerSignal, LayerSnapshot
from initbench.parts.losses import Targets


class Program(Protocol):
    """Computes the forward and backward passes of R runs whose weights are the rows of a `Stacked` state."""

    evaluation_chunk: int  # examples that an evaluation passes through the models at once, if a minibatch is smaller

    @property
    def masks(self) -> Masks | None:
        """The random bytes of its dropout masks; None where the model needs none."""
        ...

    def step(
        self, x: Tensor, targets: Targets, log: bool, scale: Tensor | None = None
    ) -> tuple[Tensor, LayerSnapshot | None]:
        """Write the gradients of R minibatches (R, B, ...) into the state; return the losses (R,).

        Those that are returned are the losses that the objective records. At a log step also the layers. `scale` (R,)
        multiplies the losses during the backward pass, so that small gradients survive in float16; the gradients that
        are written are divided by it again.
        """
        ...

    def predict(self, x: Tensor) -> Tensor:
        """The outputs (R, n, ...) for examples (n, ...) that all runs share, in evaluation mode."""
        ...

    def pre_activations(self, x: Tensor) -> list[LayerSignal]:
        """The layers' pre-activations for R batches (R, B, ...), in training mode; weights and buffers stay.

        Of somebody's own model only after a `step` that logged, which finds the layers.
        """
        ...
