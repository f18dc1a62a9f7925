"""Which positions a batch holds where the recipe rebalances classes or has a curriculum; else `Batches` says so.

Each is a function of (seed, step), with random numbers of the run's own seed.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from initbench.engine.batches import Batches
from initbench.engine.recipe import Recipe
from initbench.errors import DoesNotFit
from initbench.parts.curricula import LOGISTIC
from initbench.parts.data import Dataset
from initbench.parts.data.difficulty import own_scores, ranking
from initbench.parts.rebalance import WAYS
from initbench.randomness import stream


class Sampler(Protocol):
    """Says which examples each run's minibatch holds."""

    def at(self, step: int) -> Tensor:
        """Positions (R, B) of the examples of update number `step` = 0, 1, ..., in any order of steps."""
        ...


def choose_sampler(data: Dataset, recipe: Recipe, seeds: Sequence[int], device: torch.device) -> Sampler:
    """The sampler of a recipe; DoesNotFit where two of its parts would choose examples."""
    rebalance, curriculum, examples = recipe.rebalance, recipe.curriculum, data.examples
    check_samplers(rebalance, curriculum)
    if hasattr(rebalance, "epoch"):
        return Epochs(lambda generator: rebalance.epoch(data.y_train, generator), seeds, recipe.batch_size, device)
    batches = Batches(seeds, examples, recipe.batch_size, device)
    if curriculum is None:
        return batches
    return Curriculum(curriculum, rankings(curriculum, data, seeds), batches, recipe.steps)


def check_samplers(rebalance: Any, curriculum: Any) -> None:
    """DoesNotFit where both say which examples there are."""
    if curriculum is not None and any(hasattr(rebalance, way) for way in WAYS if way != "loss"):
        name = type(rebalance).__name__.lower()
        raise DoesNotFit(
            f"rebalance={name} and a curriculum both say which examples are drawn; take rebalance=class_weights"
        )


def rankings(curriculum: Any, data: Dataset, seeds: Sequence[int]) -> dict[int, Tensor]:
    """The positions of all examples in the order in which they become available, by seed."""
    if curriculum.order == "random":
        n = len(data.y_train)
        return {seed: torch.randperm(n, generator=stream(seed, "curriculum")) for seed in seeds}
    own = curriculum.difficulty != LOGISTIC
    scores = own_scores(curriculum.difficulty, data.x_train, data.y_train) if own else data.logistic_losses
    return dict.fromkeys(seeds, ranking(scores, curriculum.order))


class Epochs:
    """Minibatches from an endless row of epochs, each drawn anew; a batch may hold the end of one and the next."""

    def __init__(
        self,
        epoch: Callable[[torch.Generator], Tensor],  # the positions of an epoch, always as many
        seeds: Sequence[int],
        batch_size: int,
        device: torch.device,
    ):
        self.epoch, self.seeds, self.batch_size, self.device = epoch, list(seeds), batch_size, device
        self.length = len(self.order(self.seeds[0], 0))
        self.kept: dict[int, Tensor] = {}  # the last epochs that were asked for, (R, length) each

    def at(self, step: int) -> Tensor:
        """As `Sampler` has it."""
        start = step * self.batch_size
        first, last = start // self.length, (start + self.batch_size - 1) // self.length
        self.kept = {
            number: self.kept[number] if number in self.kept else self.drawn(number)
            for number in range(first, last + 1)
        }
        return torch.cat(list(self.kept.values()), 1)[:, start - first * self.length :][:, : self.batch_size]

    def drawn(self, number: int) -> Tensor:
        """Epoch number 0, 1, ... of all runs."""
        orders = {seed: self.order(seed, number) for seed in dict.fromkeys(self.seeds)}
        return torch.stack([orders[seed] for seed in self.seeds]).to(self.device)

    def order(self, seed: int, number: int) -> Tensor:
        return self.epoch(stream(seed, f"order {number}"))


class Curriculum:
    """Minibatches of the examples that are available at a step; once all are, epochs as without a curriculum."""

    def __init__(self, pacing: Any, rankings: dict[int, Tensor], batches: Batches, steps: int):
        self.pacing, self.rankings, self.batches, self.steps = pacing, rankings, batches, steps
        self.whole_from = bisect_left(range(steps), True, key=lambda step: pacing.share(step, steps) >= 1)

    def at(self, step: int) -> Tensor:
        """As `Sampler` has it."""
        if step >= self.whole_from:
            return self.batches.at(step - self.whole_from)
        batches, here = self.batches, self.available(step)
        drawn = []
        for seed in batches.seeds:
            chosen = torch.randperm(here, generator=stream(seed, f"curriculum {step}"))[: batches.batch_size]
            drawn.append(self.rankings[seed][chosen])
        return torch.stack(drawn).to(batches.device)[batches.rows]

    def available(self, step: int) -> int:
        """How many examples, at least a batch, are available at a step."""
        return max(self.batches.batch_size, round(self.pacing.share(step, self.steps) * self.batches.examples))
