"""Frozen layers in a stack: what stays as it is in some runs while the others' is trained."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from initbench.engine.state import Stacked, by_run


class Frozen:
    """The frozen parameters and buffers of R runs; each run has its own.

    Their gradients are those of the loss, and are measured as such; nothing comes of them.
    """

    def __init__(self, state: Stacked):
        self.state = state
        self.mask = torch.zeros_like(state.weights, dtype=torch.bool)  # (R, P): the frozen numbers
        views = state.views(self.mask)
        self.buffers: dict[str, Tensor] = {}  # (R,): in which runs a buffer is frozen, by its name
        for run, names in enumerate(state.frozen):
            for name in names:
                if name in views:
                    views[name][run] = True
                else:
                    of_runs = self.buffers.setdefault(name, torch.zeros_like(self.mask[:, 0]))
                    of_runs[run] = True

    @classmethod
    def of(cls, state: Stacked) -> "Frozen | None":
        """None where no run has a frozen layer, and nothing needs to be done."""
        return cls(state) if any(state.frozen) else None

    def without(self, flat: Tensor) -> Tensor:
        """Numbers (R, P) with 0 in the frozen places, in place."""
        return flat.masked_fill_(self.mask, 0)

    @contextmanager
    def weights_held(self) -> Iterator[None]:
        """Whatever an update writes, the frozen weights are what they were."""
        weights = self.state.weights
        before = weights.clone()
        yield
        weights.copy_(torch.where(self.mask, before, weights))

    @contextmanager
    def buffers_held(self) -> Iterator[None]:
        """Whatever a forward pass writes, running statistics of frozen layers are what they were."""
        before = {name: self.state.buffers[name].clone() for name in self.buffers}
        yield
        for name, of_runs in self.buffers.items():
            rows = self.state.buffers[name]
            rows.copy_(torch.where(by_run(of_runs, rows), before[name], rows))
