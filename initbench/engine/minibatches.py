"""What R runs see at each step: their examples, and what they are to predict."""

from collections.abc import Sequence

import torch
from torch import Tensor

from initbench.engine.batches import Batches
from initbench.engine.recipe import Recipe
from initbench.engine.samplers import Sampler
from initbench.engine.state import Stacked
from initbench.parts.data import Dataset
from initbench.parts.losses import Targets, rows


class Minibatches:
    """The minibatches of R runs. Each is a function of (seed, step): runs of one seed see the same, in any stack, steps
    may be asked for in any order, and a checkpoint saves nothing of them. Evaluations do not go through here.

    It is made in the order of `at`, and each part joins at its line:

    1. A *sampler* says which positions (R, B) a batch holds, see `choose_sampler`; by default it is `Batches`.
    2. Targets are gathered by position, whatever they are: a *distillation* gives the teacher's outputs for all
       examples, as a NamedTuple with y.
    3. An *augmentation* changes examples, and perhaps their targets, after that.

    What is then done with the targets, `training_objective` says.
    """

    def __init__(
        self,
        x: Tensor,  # (n, ...): the training examples, on the device of the runs
        targets: Targets,  # of the same examples: y (n, ...), or a NamedTuple of tensors (n, ...)
        recipe: Recipe,
        seeds: Sequence[int],  # R
        sampler: Sampler | None = None,
    ):
        self.x, self.targets = x, targets
        self.positions = sampler or Batches(seeds, len(x), recipe.batch_size, x.device)

    def at(self, step: int) -> tuple[Tensor, Targets]:
        """Examples (R, B, ...) and targets (R, B, ...) for update number `step` = 0, 1, ..."""
        index = self.positions.at(step)
        x = self.x.index_select(0, index.flatten()).unflatten(0, index.shape)
        return x, rows(self.targets, index)


def with_made(x: Tensor, y: Tensor, data: Dataset, state: Stacked) -> tuple[Tensor, Tensor]:
    """The training part on the runs' device, and behind it the examples that were made of it."""
    if data.made is None:
        return x, y
    made_x, made_y = map(state.cast, data.made)
    return torch.cat([x, made_x]), torch.cat([y, made_y])
