"""Objectives: the loss of a model's outputs, and how many of them are right.

Written for one run. Labels are y (B,) for outputs (B, C), or y (B, T), one label per position, for outputs (B, T, C); a
position labelled `UNSCORED` is not counted. Numbers are y (B,), float32, for outputs (B, 1). Both objectives have

    name                   `labels` or `numbers`
    loss(outputs, y)       the mean loss over the scored entries, a scalar in the outputs' dtype; NaN without entries
    smoothed(share)        the objective with this share of each target spread over all classes in `loss`
    count(y)               the number of scored entries, int64
    total(outputs, y)      the sum of their losses, float64; NaN where an output is not finite
    right(outputs, y)      the number of right predictions, float64; NaN where an output is not finite
    constant_loss(y)       the mean loss of the best prediction that is the same for every example
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from initbench.errors import DoesNotFit

UNSCORED = -100  # the label of a position whose prediction doesn't matter: F.cross_entropy's own default
CLOSE = 0.04  # a predicted number is right if its error is smaller: Hochreiter & Schmidhuber 1997, sec. 5.4


@dataclass(frozen=True)
class Classification:
    """Classes, by cross-entropy in nats; a prediction is right if the largest output is that of the label."""

    name: str = "labels"
    smoothing: float = 0.0  # Szegedy et al. 2016 sec. 7

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        logits, smoothing = outputs.flatten(0, -2), self.smoothing
        return F.cross_entropy(logits, y.flatten(), ignore_index=UNSCORED, label_smoothing=smoothing)

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
        """The entropy of the labels; with a label per position, the mean of the positions' entropies."""
        positions = y.reshape(len(y), -1)
        scored = positions != UNSCORED
        classes = int(positions.max()) + 1
        cell = torch.arange(positions.shape[1]) * classes + positions  # a number for each position and class
        counts = torch.bincount(cell[scored], minlength=positions.shape[1] * classes).reshape(-1, classes).double()
        share = counts / counts.sum(1, keepdim=True).clamp(min=1)
        return -float(torch.xlogy(counts, share).sum() / counts.sum())


@dataclass(frozen=True)
class Regression:
    """One number per example, by squared error; a prediction is right if its error is below `CLOSE`."""

    name: str = "numbers"

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        return self._errors(outputs, y).square().mean()

    def smoothed(self, share: float) -> "Regression":
        """DoesNotFit: there are no classes."""
        raise DoesNotFit(f"regularize.label_smoothing={share} needs classes, and this dataset has numbers to predict")

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
    """0, or NaN if an output is not finite, to be added: the argmax of NaN would count as a prediction."""
    return torch.where(outputs.isfinite().all(), 0.0, math.nan).double()


Objective = Classification | Regression
CLASSIFICATION, REGRESSION = Classification(), Regression()
