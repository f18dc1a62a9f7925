"""Which program trains a stack: one written by hand where there is one, else `vmap` or a loop over runs."""

from collections.abc import Sequence
from functools import partial

from torch import nn

from initbench.engine.noise import Masks
from initbench.engine.objective import training_objective
from initbench.engine.programs.loop import LoopProgram
from initbench.engine.programs.mlp import MLPProgram
from initbench.engine.programs.output_loss import by_autograd, cross_entropy
from initbench.engine.programs.protocol import Program
from initbench.engine.programs.vmap import VmapProgram
from initbench.engine.recipe import Recipe
from initbench.engine.state import Stacked
from initbench.parts.data import Dataset
from initbench.parts.losses import CLASSIFICATION, TrainingObjective


def choose_program(
    model: nn.Module,
    state: Stacked,
    data: Dataset,
    recipe: Recipe,
    seeds: Sequence[int],
    looped: bool = False,
    objective: TrainingObjective | None = None,
) -> Program:
    """The program for R runs of this model and data.

    `looped`: train the runs one after the other instead of under vmap, where there is no hand-written program.
    `objective`: by default the recipe's.
    """
    objective = objective or training_objective(data, recipe)
    masks = Masks(seeds, state.weights.device)
    if has_fast_program(model, data, recipe.precision):
        smoothing = objective.label_smoothing
        output_loss = by_autograd(objective) if smoothing is None else partial(cross_entropy, smoothing=smoothing)
        return MLPProgram(model, state, output_loss, masks)  # type: ignore[arg-type]
    program = LoopProgram if looped else VmapProgram
    return program(model, state, objective.loss, masks, recipe.precision, objective.recorded)


def has_fast_program(model: nn.Module, data: Dataset, precision: str = "float32") -> bool:
    """Whether a hand-written program trains this model on this data."""
    one_label_each = data.objective == CLASSIFICATION and data.positions is None
    return MLPProgram.takes(model) and one_label_each and precision in ("float32", "tf32")
