"""The training objective: what runs minimise, composed from the data's own loss and from what a recipe asks for."""

from initbench.engine.recipe import Recipe
from initbench.parts.data import Dataset
from initbench.parts.losses import CLASSIFICATION, TrainingObjective
from initbench.parts.mixup import mixup_objective


def training_objective(data: Dataset, recipe: Recipe) -> TrainingObjective:
    """What runs of this recipe minimise on these data, from the inside out.

    Each further part is a function from one `TrainingObjective` to the next: class weights and focal loss change the
    loss of plain labels; a distillation and mixup take targets of their own (NamedTuples that hold the targets of the
    objective inside), in the order in which `Minibatches` wraps them. Each sets `label_smoothing` to None, since the
    closed form of cross-entropy is then not the loss.
    """
    objective = of_labels(data, recipe)
    if recipe.distill is not None:
        objective = recipe.distill.objective(objective)
    return objective if recipe.augment.mixup is None else mixup_objective(objective)


def of_labels(data: Dataset, recipe: Recipe) -> TrainingObjective:
    """The objective of plain labels, without a teacher and unmixed."""
    smoothing = recipe.regularize.label_smoothing
    objective = data.objective.smoothed(smoothing) if smoothing else data.objective
    one_label_each = data.objective == CLASSIFICATION and data.positions is None
    loss, closed = objective.loss, (smoothing or 0.0) if one_label_each else None
    if hasattr(recipe.rebalance, "loss"):
        loss, closed = recipe.rebalance.loss(objective, data.y_train), None
    return TrainingObjective(loss, data.objective.loss, closed)
