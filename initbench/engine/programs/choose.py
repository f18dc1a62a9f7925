"""Which program trains a stack: one written by hand where there is one, else `vmap` or a loop over runs."""

from collections.abc import Sequence

from torch import nn

from initbench.engine.noise import Masks
from initbench.engine.programs.loop import LoopProgram
from initbench.engine.programs.mlp import MLPProgram
from initbench.engine.programs.protocol import Program
from initbench.engine.programs.vmap import VmapProgram
from initbench.engine.recipe import Recipe
from initbench.engine.state import Stacked
from initbench.parts.data import Dataset
from initbench.parts.losses import CLASSIFICATION


def choose_program(
    model: nn.Module, state: Stacked, data: Dataset, recipe: Recipe, seeds: Sequence[int], looped: bool = False
) -> Program:
    """The program for R runs of this model and data.

    `looped`: train the runs one after the other instead of under vmap, where there is no hand-written program.
    """
    smoothing = recipe.regularize.label_smoothing or 0.0
    masks = Masks(seeds, state.weights.device)
    if has_fast_program(model, data, recipe.precision):
        return MLPProgram(model, state, smoothing, masks)  # type: ignore[arg-type]
    objective = data.objective.smoothed(smoothing) if smoothing else data.objective
    return (LoopProgram if looped else VmapProgram)(
        model, state, objective.loss, masks, recipe.precision, data.objective.loss
    )


def has_fast_program(model: nn.Module, data: Dataset, precision: str = "float32") -> bool:
    """Whether a hand-written program trains this model on this data."""
    one_label_each = data.objective == CLASSIFICATION and data.positions is None
    return MLPProgram.takes(model) and one_label_each and precision in ("float32", "tf32")
