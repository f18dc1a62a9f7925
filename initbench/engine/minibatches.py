"""What R runs see at each step: their examples, and what they are to predict."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import vmap
from torch.utils._pytree import tree_map

from initbench.engine.batches import Batches
from initbench.engine.recipe import Recipe
from initbench.engine.samplers import Sampler, choose_sampler
from initbench.engine.state import Stacked
from initbench.parts.data import Dataset
from initbench.parts.data.augmentation import Augmentation
from initbench.parts.losses import Targets, rows
from initbench.randomness import stream


def minibatches_of(
    x: Tensor, y: Tensor, data: Dataset, state: Stacked, recipe: Recipe, seeds: Sequence[int]
) -> "Minibatches":
    """What the runs in `state` see of a dataset as a recipe asks for: sampled, with a teacher's outputs, augmented.

    x, y: its training part as `state` casts it.
    """
    x, y = with_made(x, y, data, state)
    targets = y if recipe.distill is None else recipe.distill.targets(y, state.weights.dtype)
    sampler, augmentation = choose_sampler(data, recipe, seeds, x.device), recipe.augment.fitted(data)
    return Minibatches(x, targets, recipe, seeds, sampler, augmentation)


class Minibatches:
    """The minibatches of R runs. Each is a function of (seed, step): runs of one seed see the same, in any stack, steps
    may be asked for in any order, and a checkpoint saves nothing of them. Evaluations do not go through here.

    It is made in the order of `at`, and each part joins at its line:

    1. A *sampler* says which positions (R, B) a batch holds, see `choose_sampler`; by default it is `Batches`.
    2. Targets are gathered by position, whatever they are: a *distillation* gives the teacher's outputs for all
       examples, as a NamedTuple with y.
    3. An *augmentation* changes examples, and perhaps their targets: once for all runs of a seed.

    What is then done with the targets, `training_objective` says.
    """

    def __init__(
        self,
        x: Tensor,  # (n, ...): the training examples, on the device of the runs
        targets: Targets,  # of the same examples: y (n, ...), or a NamedTuple of tensors (n, ...)
        recipe: Recipe,
        seeds: Sequence[int],  # R
        sampler: Sampler | None = None,
        augmentation: Augmentation | None = None,
    ):
        self.x, self.targets, self.augmentation = x, targets, augmentation
        self.positions = sampler or Batches(seeds, len(x), recipe.batch_size, x.device)
        self.seeds = list(dict.fromkeys(seeds))
        self.first = torch.tensor([list(seeds).index(seed) for seed in self.seeds], device=x.device)  # run of each seed
        self.rows = torch.tensor([self.seeds.index(seed) for seed in seeds], device=x.device)  # seed of each run

    def at(self, step: int) -> tuple[Tensor, Targets]:
        """Examples (R, B, ...) and targets (R, B, ...) for update number `step` = 0, 1, ..."""
        index = self.positions.at(step)
        return self.taken(index) if self.augmentation is None else self.augmented(index, step, self.augmentation)

    def taken(self, index: Tensor) -> tuple[Tensor, Targets]:
        """The examples at these positions, and their targets."""
        return self.x.index_select(0, index.flatten()).unflatten(0, index.shape), rows(self.targets, index)

    def augmented(self, index: Tensor, step: int, augmentation: Augmentation) -> tuple[Tensor, Targets]:
        """The examples as they are changed, once per seed; numbers are drawn on the CPU, so that devices agree."""
        x, targets = self.taken(index[self.first])
        generators = (stream(seed, f"augmentation/{step}") for seed in self.seeds)
        drawn = [augmentation.draw(x.shape[1:], generator) for generator in generators]
        stacked = tree_map(lambda *of_seeds: torch.stack(of_seeds).to(x.device), *drawn)
        x, targets = vmap(augmentation.apply)(x, targets, stacked)
        return x[self.rows], rows(targets, self.rows)


def with_made(x: Tensor, y: Tensor, data: Dataset, state: Stacked) -> tuple[Tensor, Tensor]:
    """The training part on the runs' device, and behind it the examples that were made of it."""
    if data.made is None:
        return x, y
    made_x, made_y = map(state.cast, data.made)
    return torch.cat([x, made_x]), torch.cat([y, made_y])
