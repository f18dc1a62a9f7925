"""What R runs see at each step: their examples, and what they are to predict."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import vmap
from torch.utils._pytree import tree_map

from initbench.engine.batches import Batches
from initbench.engine.recipe import Recipe
from initbench.parts.data import Dataset
from initbench.parts.losses import Targets, rows
from initbench.randomness import stream


class Minibatches:
    """The minibatches of R runs. Each is a function of (seed, step): runs of one seed see the same, in any stack, steps
    may be asked for in any order, and a checkpoint saves nothing of them. Evaluations do not go through here.

    It is made in the order of `at`, and each part joins at its line:

    1. A *sampler* says which positions (R, B) a batch holds: an object with `at(step)`, chosen by the recipe in place
       of `Batches`, whose random numbers come from the run's stream `order`.
    2. Targets are gathered by position, whatever they are: a *distillation* gives the teacher's outputs for all
       examples, as a NamedTuple with y.
    3. An *augmentation* changes examples, and perhaps their targets: once for all runs of a seed.

    What is then done with the targets, `training_objective` says.
    """

    def __init__(
        self,
        data: Dataset,
        x: Tensor,  # (n, ...): its training examples, on the device of the runs
        targets: Targets,  # of the same examples: y (n, ...), or a NamedTuple of tensors (n, ...)
        recipe: Recipe,
        seeds: Sequence[int],  # R
    ):
        self.x, self.targets, self.augmentation = x, targets, recipe.augment.fitted(data)
        self.seeds = list(dict.fromkeys(seeds))
        self.rows = torch.tensor([self.seeds.index(seed) for seed in seeds], device=x.device)
        drawn_for = self.seeds if self.augmentation else seeds
        self.positions = Batches(drawn_for, len(x), recipe.batch_size, x.device)

    def at(self, step: int) -> tuple[Tensor, Targets]:
        """Examples (R, B, ...) and targets (R, B, ...) for update number `step` = 0, 1, ..."""
        index = self.positions.at(step)
        x = self.x.index_select(0, index.flatten()).unflatten(0, index.shape)
        targets = rows(self.targets, index)
        return self.augmented(x, targets, step) if self.augmentation else (x, targets)

    def augmented(self, x: Tensor, targets: Targets, step: int) -> tuple[Tensor, Targets]:
        """One row per run, of examples and targets that have one per seed. The numbers are drawn on the CPU, so that
        every device sees the same."""
        assert self.augmentation is not None
        generators = (stream(seed, f"augmentation/{step}") for seed in self.seeds)
        drawn = [self.augmentation.draw(x.shape[1:], generator) for generator in generators]
        stacked = tree_map(lambda *of_seeds: torch.stack(of_seeds).to(x.device), *drawn)
        x, targets = vmap(self.augmentation.apply)(x, targets, stacked)
        return x[self.rows], rows(targets, self.rows)
