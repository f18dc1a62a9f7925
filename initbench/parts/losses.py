"""Tasks: what the outputs of a model are compared with, how wrong they are and how many are right.

Written for one run. Classification are y (B,) with outputs (B, C), or y (B, T), one label a position, with outputs
(B, T, C); a position labelled `UNSCORED` counts nowhere. Numbers are y (B,) float32 with outputs (B, 1).
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from initbench.errors import DoesNotFit

UNSCORED = -100  # the label of a position whose prediction doesn't matter: F.cross_entropy's own default
CLOSE = 0.04  # a number is right when it is nearer: Hochreiter & Schmidhuber 1997, sec. 5.4


class Objective(Protocol):
    """What there is to predict. Entries are the labels or numbers that are scored."""

    @property
    def name(self) -> str:
        """`labels` or `numbers`."""
        ...

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean loss over the entries, a scalar in the outputs' dtype; NaN where there is no entry."""
        ...

    def smoothed(self, share: float) -> "Objective":
        """The same with a share of each target spread over all classes, in `loss` alone; DoesNotFit without classes."""
        ...

    def count(self, y: Tensor) -> Tensor:
        """How many entries there are, int64."""
        ...

    def total(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The sum of the entries' losses, float64; NaN where an output is not finite."""
        ...

    def right(self, outputs: Tensor, y: Tensor) -> Tensor:
        """How many entries are predicted right, float64; NaN where an output is not finite."""
        ...

    def constant_loss(self, y: Tensor) -> float:
        """The mean loss of the best prediction that is the same for every example (each position its own)."""
        ...


@dataclass(frozen=True)
class Classification:
    """Classes, by cross-entropy in nats; right is the class of the largest output."""

    name: str = "labels"
    smoothing: float = 0.0  # Szegedy et al. 2016 sec. 7

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

    def constant_loss(self, y: Tensor) -> float:
        """The entropy of the labels; where each position has one, of each position's labels, on average."""
        positions = y.reshape(len(y), -1)
        scored = positions != UNSCORED
        classes = int(positions.max()) + 1
        cell = torch.arange(positions.shape[1]) * classes + positions  # a number for each position and class
        counts = torch.bincount(cell[scored], minlength=positions.shape[1] * classes).reshape(-1, classes).double()
        share = counts / counts.sum(1, keepdim=True).clamp(min=1)
        return -float(torch.xlogy(counts, share).sum() / counts.sum())


@dataclass(frozen=True)
class Regression:
    """A number an example, by squared error; right is what lies nearer than `CLOSE`."""

    name: str = "numbers"

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        return self._errors(outputs, y).square().mean()

    def smoothed(self, share: float) -> "Regression":
        raise DoesNotFit(f"regularize.label_smoothing={share} is for classes, and this data has numbers to predict")

    def count(self, y: Tensor) -> Tensor:
        return torch.ones_like(y, dtype=torch.int64).sum()

    def total(self, outputs: Tensor, y: Tensor) -> Tensor:
        return self._errors(outputs, y).square().sum(dtype=torch.float64) + _nan_unless_finite(outputs)

    def right(self, outputs: Tensor, y: Tensor) -> Tensor:
        return (self._errors(outputs, y).abs() < CLOSE).sum() + _nan_unless_finite(outputs)

    def constant_loss(self, y: Tensor) -> float:
        """The variance of the numbers: their mean is the best constant."""
        return float(y.double().var(correction=0))

    def _errors(self, outputs: Tensor, y: Tensor) -> Tensor:
        return outputs.squeeze(-1) - y


def _nan_unless_finite(outputs: Tensor) -> Tensor:
    """A zero to add: an argmax over NaN is no accuracy, and its loss no loss."""
    return torch.where(outputs.isfinite().all(), 0.0, math.nan).double()


CLASSIFICATION = Classification()
REGRESSION = Regression()
