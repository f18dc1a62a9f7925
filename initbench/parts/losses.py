"""Objectives: the loss of a model's outputs, and how many of them are right.

To add one, write a class that has what `Objective` asks for, make one instance of it here, and give that to
`Raw(objective=...)` in each dataset that uses it.

Written for one run. Labels are y (B,) for outputs (B, C), or y (B, T), one label per position, for outputs (B, T, C); a
position labelled `UNSCORED` is not counted. Numbers are y (B,), float32, for outputs (B, 1);
vectors y (B, C), float32, for outputs (B, C).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_map

from initbench.errors import DoesNotFit, InputError

UNSCORED = -100  # the label of a position whose prediction doesn't matter: F.cross_entropy's own default
Targets = Any  # a tensor y, or a NamedTuple of targets: what a minibatch is to predict
Loss = Callable[[Tensor, Targets], Tensor]  # outputs (B, ...) and targets of one run's batch -> their mean loss
CLOSE = 0.04  # a predicted number is right if its error is smaller: Hochreiter & Schmidhuber 1997, sec. 5.4


class Objective(Protocol):
    """What a model is trained to predict. Entries are the labels or numbers that are scored."""

    @property
    def name(self) -> str:
        """What is predicted, `labels` or `numbers`: the column `task` of the results."""
        ...

    @property
    def unit(self) -> str:
        """The unit of the loss, as reports show it."""
        ...

    def check(self, x: Tensor, y: Tensor, classes: int) -> None:
        """Raise InputError unless the targets y suit the examples x (n, ...) and the number of classes."""
        ...

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean loss over the entries, a scalar in the outputs' dtype; NaN where there is no entry."""
        ...

    def smoothed(self, share: float) -> "Objective":
        """The objective with a share of each target spread over all classes in `loss`; DoesNotFit without classes."""
        ...

    def count(self, y: Tensor) -> Tensor:
        """The number of entries, int64."""
        ...

    def total(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The sum of the entries' losses, float64; NaN where an output is not finite."""
        ...

    def right(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The number of entries that are predicted right, float64; NaN where an output is not finite."""
        ...

    def by_class(self, outputs: Tensor, y: Tensor) -> Tensor:
        """(3, C) float64: how many entries are of each class, predicted as it, and both; NaN as in `right`.

        (3, 0) without classes.
        """
        ...

    def constant_loss(self, y: Tensor) -> float:
        """The mean loss of the best prediction that is the same for every example; positions may differ."""
        ...

    def constant_accuracy(self, y: Tensor, on: Tensor) -> float | None:
        """The accuracy on targets `on` of always predicting the most frequent label of y; positions may differ.

        None without targets, and for numbers, of which a constant is hardly ever right.
        """
        ...


@dataclass(frozen=True)
class TrainingObjective:
    """What a run minimises, written for one run: the objective of the data, and what a recipe makes of it."""

    loss: Loss  # is differentiated
    recorded: Loss  # the data's own loss of the same outputs: what curves show, comparable between recipes
    label_smoothing: float | None  # where `loss` is the cross-entropy of one label each, so smoothed; else None


def rows(targets: Targets, index: Any) -> Targets:
    """`tensor[index]` of each tensor of the targets."""
    return targets[index] if isinstance(targets, Tensor) else tree_map(lambda tensor: tensor[index], targets)


@dataclass(frozen=True)
class Classification:
    """Classes, by cross-entropy in nats; a prediction is right if the largest output is that of the label."""

    name: str = "labels"
    unit: str = "nats"
    smoothing: float = 0.0  # Szegedy et al. 2016 sec. 7

    def check(self, x: Tensor, y: Tensor, classes: int) -> None:
        if y.dtype != torch.int64 or y.shape not in (x.shape[:1], x.shape[:1] + x.shape[-1:]):
            raise InputError("data must have labels y in int64, one label y for each example or each of its positions")
        scored = y if y.ndim == 1 else y[y != UNSCORED]
        if len(scored) and not 0 <= scored.min() <= scored.max() < classes:
            raise InputError(f"data must have labels from 0 to {classes - 1}")
        if y.ndim == 2 and not (y != UNSCORED).any(1).all():
            raise InputError("data must have a label that is scored in each example")

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(
            outputs.flatten(0, -2), y.flatten(), ignore_index=UNSCORED, label_smoothing=self.smoothing
        )

    def smoothed(self, share: float) -> "Classification":
        return Classification(smoothing=share)

    def count(self, y: Tensor) -> Tensor:
        return (y != UNSCORED).sum()

    def total(self, outputs: Tensor, y: Tensor) -> Tensor:
        losses = F.cross_entropy(outputs.flatten(0, -2), y.flatten(), ignore_index=UNSCORED, reduction="none")
        return losses.sum(dtype=torch.float64) + _nan_unless_finite(outputs)

    def right(self, outputs: Tensor, y: Tensor) -> Tensor:
        # No class has the number UNSCORED, so that such a position is never right.
        return (outputs.argmax(-1) == y).sum() + _nan_unless_finite(outputs)

    def by_class(self, outputs: Tensor, y: Tensor) -> Tensor:
        label, predicted = y.flatten(), outputs.argmax(-1).flatten()
        scored = (label != UNSCORED).double()
        zeros = outputs.new_zeros(outputs.shape[-1], dtype=torch.float64)
        there = zeros.scatter_add(0, label.clamp(min=0), scored)
        claimed = zeros.scatter_add(0, predicted, scored)
        right = zeros.scatter_add(0, predicted, (label == predicted).double())
        return torch.stack([there, claimed, right]) + _nan_unless_finite(outputs)

    def constant_loss(self, y: Tensor) -> float:
        """The entropy of the labels; with a label per position, the mean of the positions' entropies."""
        counts = self._counts(y)
        share = counts / counts.sum(1, keepdim=True).clamp(min=1)
        return -float(torch.xlogy(counts, share).sum() / counts.sum())

    def constant_accuracy(self, y: Tensor, on: Tensor) -> float | None:
        if not len(on):
            return None
        right = self._counts(y).argmax(1) == on.reshape(len(on), -1)
        return float(right.sum() / self.count(on))

    def _counts(self, y: Tensor) -> Tensor:
        """(positions, classes) float64: how often each position has each label."""
        positions = y.reshape(len(y), -1)
        scored = positions != UNSCORED
        classes = int(positions.max()) + 1
        cell = torch.arange(positions.shape[1]) * classes + positions  # a number for each position and class
        return torch.bincount(cell[scored], minlength=positions.shape[1] * classes).reshape(-1, classes).double()


@dataclass(frozen=True)
class SquaredLabels(Classification):
    """Classes, by the squared error of the outputs against 1 for the label and 0 for the others, mean over C outputs.

    A prediction is right if the largest output is that of the label. Hui & Belkin 2021.
    """

    unit: str = "squared error"
    classes: int = field(kw_only=True)

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        return self.errors(outputs, y).sum() / self.count(y)

    def smoothed(self, share: float) -> "SquaredLabels":
        return SquaredLabels(smoothing=share, classes=self.classes)

    def total(self, outputs: Tensor, y: Tensor) -> Tensor:
        return self.errors(outputs, y).sum(dtype=torch.float64) + _nan_unless_finite(outputs)

    def constant_loss(self, y: Tensor) -> float:
        """(1 - sum of p^2) / C, with p the share of each class: p is the best constant; the mean over positions."""
        counts = self._counts(y)
        scored = counts.sum(1)
        left = scored - counts.square().sum(1) / scored.clamp(min=1)
        return float(left.sum() / scored.sum() / self.classes)

    def errors(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The error of each entry, 0 where none is scored."""
        label = y.unsqueeze(-1) == torch.arange(self.classes, device=y.device)
        targets = label.to(outputs.dtype) * (1 - self.smoothing) + self.smoothing / self.classes
        return torch.where(y == UNSCORED, 0, (outputs - targets).square().mean(-1))


@dataclass(frozen=True)
class Regression:
    """One number per example, by squared error; a prediction is right if its error is below `CLOSE`."""

    name: str = "numbers"
    unit: str = "squared error"

    def check(self, x: Tensor, y: Tensor, classes: int) -> None:
        if y.dtype != torch.float32 or y.shape != x.shape[:1] or classes != 1:
            raise InputError("data of numbers must have one y in float32 for each example, and 1 for classes")
        if not y.isfinite().all():
            raise InputError("data of numbers must have a finite y for each example")

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        return self._errors(outputs, y).square().mean()

    def smoothed(self, share: float) -> "Regression":
        raise DoesNotFit(f"regularize.label_smoothing={share} needs classes, and this dataset has numbers to predict")

    def count(self, y: Tensor) -> Tensor:
        return torch.ones_like(y, dtype=torch.int64).sum()

    def total(self, outputs: Tensor, y: Tensor) -> Tensor:
        return self._errors(outputs, y).square().sum(dtype=torch.float64) + _nan_unless_finite(outputs)

    def right(self, outputs: Tensor, y: Tensor) -> Tensor:
        return (self._errors(outputs, y).abs() < CLOSE).sum() + _nan_unless_finite(outputs)

    def by_class(self, outputs: Tensor, y: Tensor) -> Tensor:
        return outputs.new_zeros(3, 0, dtype=torch.float64)

    def constant_loss(self, y: Tensor) -> float:
        """The variance of the numbers: their mean is the best constant."""
        return float(y.double().var(correction=0))

    def constant_accuracy(self, y: Tensor, on: Tensor) -> float | None:
        return None

    def _errors(self, outputs: Tensor, y: Tensor) -> Tensor:
        return outputs.squeeze(-1) - y


@dataclass(frozen=True)
class VectorRegression(Regression):
    """A vector y (B, C) per example for outputs (B, C), by squared error; entries are its numbers."""

    def check(self, x: Tensor, y: Tensor, classes: int) -> None:
        if y.dtype != torch.float32 or y.shape != (len(x), classes):
            raise InputError("data of vectors must have y (n, C) in float32, and C for classes")
        if not y.isfinite().all():
            raise InputError("data of vectors must have finite y")

    def constant_loss(self, y: Tensor) -> float:
        """The variance of each number, mean over the numbers of an example."""
        return float(y.double().var(0, correction=0).mean())

    def _errors(self, outputs: Tensor, y: Tensor) -> Tensor:
        return outputs - y


def _nan_unless_finite(outputs: Tensor) -> Tensor:
    """0, or NaN if an output is not finite, to be added: the argmax of NaN would count as a prediction."""
    return torch.where(outputs.isfinite().all(), 0.0, math.nan).double()


CLASSIFICATION = Classification()
REGRESSION = Regression()
VECTORS = VectorRegression()
