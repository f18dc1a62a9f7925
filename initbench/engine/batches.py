"""Which examples each run's minibatch holds, by position: the batch of a step can be asked for in any order."""

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from initbench.randomness import stream


class Batches:
    """Minibatches of R runs; each epoch is a new permutation of the examples, drawn from the run's own stream.

    Runs of one seed see the same batches in the same order, whatever else is in the stack. Examples that do not fill a
    batch at the end of an epoch are left out of it.
    """

    def __init__(self, seeds: Sequence[int], examples: int, batch_size: int, device: torch.device):
        self.seeds = list(dict.fromkeys(seeds))
        row = {seed: i for i, seed in enumerate(self.seeds)}
        self.rows = torch.tensor([row[seed] for seed in seeds], device=device)
        self.examples, self.batch_size, self.device = examples, batch_size, device
        self.per_epoch = examples // batch_size
        self._restart()

    def at(self, step: int) -> Tensor:
        """Indices of examples (R, B) of the minibatch of update number `step` = 0, 1, ...

        Cheap within an epoch; a later epoch costs a permutation per epoch between, an earlier one starts again at 0.
        """
        epoch, place = divmod(step, self.per_epoch)
        if epoch < self.epoch:
            self._restart()
        while self.epoch < epoch:
            orders = [torch.randperm(self.examples, generator=generator) for generator in self.generators]
            self.epoch += 1
            if self.epoch == epoch:
                self.order = torch.stack(orders).to(self.device)
        start = place * self.batch_size
        return self.order[:, start : start + self.batch_size][self.rows]

    def __iter__(self) -> Iterator[Tensor]:
        """The minibatches from step 0 on, without end."""
        return map(self.at, itertools.count())

    def _restart(self) -> None:
        self.generators = [stream(seed, "order") for seed in self.seeds]
        self.epoch = -1
