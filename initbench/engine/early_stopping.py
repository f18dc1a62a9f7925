"""Early stopping: a run that no longer gets better stops counting, while the others of its stack go on."""

from typing import Any

import numpy as np
import torch

from initbench.engine.state import Stacked


class EarlyStopping:
    """Stops a run after `patience` evaluations in a row without a new lowest validation loss. Prechelt 1998.

    What counts is the step with the lowest validation loss, `best_step` (R,), whose weights `restore` brings back.
    `stopped_step` (R,) is the step at which a run stopped, or -1. Steps count updates made.
    """

    def __init__(self, patience: int, state: Stacked):
        self.patience, self.state, self.best = patience, state, state.copy()
        self.lowest = np.full(state.runs, np.inf)
        self.waited = np.zeros(state.runs, dtype=int)
        self.best_step = np.zeros(state.runs, dtype=int)
        self.stopped_step = np.full(state.runs, -1)

    def update(self, step: int, losses: np.ndarray) -> None:
        """Take note of an evaluation: the validation losses (R,) of the weights that the state holds now."""
        running = self.stopped_step < 0
        better = running & (losses < self.lowest)  # NaN is not
        self.lowest[better] = losses[better]
        self.best_step[better] = step
        self.waited = np.where(better, 0, self.waited + 1)
        self.stopped_step[running & (self.waited >= self.patience)] = step
        rows = torch.from_numpy(better).to(self.state.weights.device)
        self.best.weights[rows] = self.state.weights[rows]
        for name, buffer in self.state.buffers.items():
            self.best.buffers[name][rows] = buffer[rows]

    @property
    def all_stopped(self) -> bool:
        return bool((self.stopped_step >= 0).all())

    def restore(self) -> None:
        """Give every run its best weights."""
        self.state.restore(self.best)

    def tensors(self) -> dict[str, Any]:
        """All that it remembers: live arrays and tensors."""
        names = ("lowest", "waited", "best_step", "stopped_step")
        return {name: getattr(self, name) for name in names} | {"best": self.best._asdict()}
