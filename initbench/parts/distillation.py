"""Distillation: the outputs of a teacher are learned beside the labels. Hinton, Vinyals & Dean 2015."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from initbench.parts.checks import number
from initbench.parts.losses import UNSCORED, Loss, Targets, TrainingObjective

TEMPERATURE, WEIGHT = 2.0, 0.5  # where `distill.temperature` and `distill.weight` are null


class Taught(NamedTuple):
    """Labels with what a teacher says of the same examples."""

    y: Tensor  # (B,), or (B, T) with T positions
    teacher: Tensor  # (B, C) or (B, T, C): log-probabilities at the temperature of the distillation


@dataclass(frozen=True)
class Distillation:
    """The loss (1 - w) CE(y) + w T^2 KL(p || q): the teacher's p and the student's q are softmax(outputs / T).

    T^2 keeps the size of its gradient, whatever T is (section 2.1 of the paper).
    """

    teacher: Tensor  # (n, C) or (n, T, C): of all training examples, in their order
    temperature: float = TEMPERATURE
    weight: float = WEIGHT

    def __post_init__(self):
        number("distill.temperature", self.temperature, "(0, inf)")
        number("distill.weight", self.weight, "[0, 1]")

    def targets(self, y: Tensor, dtype: torch.dtype) -> Taught:
        """The labels of all training examples with the teacher's outputs, on the labels' device."""
        return Taught(y, self.teacher.to(y.device, dtype))

    def objective(self, objective: TrainingObjective) -> TrainingObjective:
        """The objective for targets that are `Taught`; what curves record is the loss of the labels alone."""

        def loss(outputs: Tensor, targets: Taught) -> Tensor:
            soft = self.divergence(outputs, targets)
            return (1 - self.weight) * objective.loss(outputs, targets.y) + self.weight * self.temperature**2 * soft

        return TrainingObjective(loss, of_labels(objective.recorded), None)

    def divergence(self, outputs: Tensor, targets: Taught) -> Tensor:
        """KL(p || q) in nats, the mean over all labels that are scored."""
        log_q = (outputs / self.temperature).log_softmax(-1)
        scored = (targets.y != UNSCORED).to(outputs.dtype)
        each = (targets.teacher.exp() * (targets.teacher - log_q)).sum(-1)
        return (each * scored).sum() / scored.sum()


def of_labels(loss: Loss) -> Loss:
    def plain(outputs: Tensor, targets: Targets) -> Tensor:
        return loss(outputs, targets.y)

    return plain


def log_probabilities(outputs: Sequence[Tensor], temperature: float) -> Tensor:
    """The log of the mean of softmax(outputs / T) over several teachers, (..., C); finite where their outputs are."""
    each = torch.stack([(output / temperature).log_softmax(-1) for output in outputs])
    return each.logsumexp(0) - math.log(len(outputs))
