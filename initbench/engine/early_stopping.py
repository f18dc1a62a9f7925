"""Early stopping: a run that no longer gets better stops counting, and its stack goes on."""

import numpy as np
import torch

from initbench.engine.state import Stacked


class EarlyStopping:
    """Stops a run after `patience` evaluations without a lower validation loss than its lowest. Prechelt 1998.

    What counts of a run is where its validation loss was lowest: `best_step`, whose weights `restore` brings back.
    `stopped_step` (R,) is where a run stopped, or -1. Steps count the updates made.
    """

    def __init__(self, patience: int, state: Stacked):
        self.patience, self.state, self.best = patience, state, state.copy()
        self.lowest = np.full(state.runs, np.inf)
        self.waited = np.zeros(state.runs, dtype=int)
        self.best_step = np.zeros(state.runs, dtype=int)
        self.stopped_step = np.full(state.runs, -1)

    def update(self, step: int, losses: np.ndarray) -> None:
        """After an evaluation, whose validation losses (R,) belong to what the state holds now."""
        running = self.stopped_step < 0
        better = running & (losses < self.lowest)  # NaN is not
        self.lowest = np.where(better, losses, self.lowest)
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
