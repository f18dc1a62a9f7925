"""Datasets before and after preparation: `Raw` as a function returns it, `Dataset` as runs train on it."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from initbench.errors import InputError
from initbench.parts.data.difficulty import logistic_losses
from initbench.parts.data.inspection import SeenInputs, seen_inputs
from initbench.parts.data.neighbours import LabelAgreement, label_agreement
from initbench.parts.losses import CLASSIFICATION, Objective


@dataclass(frozen=True)
class Raw:
    """A dataset as found, with a test part if it has one.

    x (n, ...) holds float32 numbers or, with a `vocabulary`, int64 tokens below it. For `CLASSIFICATION` y holds int64
    labels below `classes`, one per example (n,) or one per position (n, T), where `UNSCORED` counts nowhere. For
    `REGRESSION` y (n,) is float32, and `classes` is 1; for `VECTORS` y is (n, classes).
    """

    x: Tensor
    y: Tensor
    x_test: Tensor | None = None
    y_test: Tensor | None = None
    classes: int = field(kw_only=True)
    vocabulary: int | None = field(default=None, kw_only=True)
    objective: Objective = field(default=CLASSIFICATION, kw_only=True)

    def __post_init__(self):
        self._check_part(self.x, self.y)
        if (self.x_test is None) != (self.y_test is None):
            there, lacking = ("y", "x") if self.x_test is None else ("x", "y")
            raise InputError(f"data has {there}_test and no {lacking}_test: give both, or none for a split")
        if self.x_test is not None and self.y_test is not None:
            self._check_part(self.x_test, self.y_test)
            self._check_test_shapes(self.x_test, self.y_test)

    def _check_part(self, x: Tensor, y: Tensor):
        self._check_inputs(x)
        self.objective.check(x, y, self.classes)

    def _check_test_shapes(self, x_test: Tensor, y_test: Tensor):
        """Examples of both parts have one shape, and as many targets each."""
        for name, train, test in (("x", self.x, x_test), ("y", self.y, y_test)):
            if train.shape[1:] != test.shape[1:]:
                shapes = f"{tuple(train.shape[1:])} and in {name}_test {tuple(test.shape[1:])}"
                raise InputError(f"data must have examples of one shape; in {name} they are {shapes}")
        if not len(y_test):
            raise InputError("data has a test part without examples: give some, or no test part for a split")

    def _check_inputs(self, x: Tensor):
        if self.vocabulary is None and x.dtype != torch.float32:
            raise InputError("data must have x in float32, or tokens in int64 and a vocabulary")
        if self.vocabulary is None and not x.isfinite().all():
            raise InputError(f"data holds {int((~x.isfinite()).sum()):,} values that are NaN or infinite")
        if self.vocabulary is not None:
            if x.dtype != torch.int64:
                raise InputError("data with a vocabulary must have tokens x in int64")
            if x.numel() and not 0 <= x.min() <= x.max() < self.vocabulary:
                raise InputError(f"data must have tokens from 0 to {self.vocabulary - 1}")


class Standardization(NamedTuple):
    """Inputs as a network sees them are factor * raw + offset; both are () or have the shape of one example."""

    factor: Tensor = torch.ones(())
    offset: Tensor = torch.zeros(())

    def times(self, factor: Tensor) -> "Standardization":
        """The same, where the inputs are then multiplied by a factor."""
        return Standardization(self.factor * factor, self.offset * factor)


@dataclass(frozen=True)
class Dataset:
    """A dataset to train on: x (n, *shape) and y (n,), (n, T) or (n, C) of three parts; validation may have 0 rows."""

    x_train: Tensor
    y_train: Tensor
    x_val: Tensor
    y_val: Tensor
    x_test: Tensor
    y_test: Tensor
    classes: int  # outputs per label or example: 1 for numbers, C for vectors of C numbers
    input_mean: float | None  # of all training inputs before they were standardized; tokens have none
    input_std: float | None
    vocabulary: int | None = field(default=None, kw_only=True)  # x are tokens below it; None: x are numbers
    objective: Objective = field(default=CLASSIFICATION, kw_only=True)
    standardization: Standardization = field(default=Standardization(), kw_only=True)
    made: tuple[Tensor, Tensor] | None = field(default=None, kw_only=True)  # x, y of examples made of the training part
    drawn: bool = field(default=True, kw_only=True)  # whether `data.split_seed` decided which examples are where

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return tuple(self.x_train.shape[1:])

    @property
    def positions(self) -> int | None:
        """The number T of labels per example if each position has one; else None."""
        return self.y_train.shape[1] if self.y_train.ndim == 2 and not self.y_train.is_floating_point() else None

    @property
    def examples(self) -> int:
        """How many examples are trained on: the training part, and behind it those that were made of it."""
        return len(self.y_train) + (len(self.made[1]) if self.made else 0)

    @cached_property
    def logistic_losses(self) -> np.ndarray:
        """How difficult each training example is for a logistic regression."""
        return logistic_losses(self.x_train, self.y_train)

    @cached_property
    def seen(self) -> SeenInputs:
        """The training inputs as a network sees them."""
        return seen_inputs(self.x_train)

    @cached_property
    def label_agreement(self) -> LabelAgreement:
        """How often similar training inputs have the same label."""
        return label_agreement(self.x_train, self.y_train)

    @property
    def class_ratio(self) -> float | None:
        """Training examples of the rarest class over those of the commonest; None without one label per example."""
        if self.y_train.ndim != 1 or self.y_train.is_floating_point():
            return None
        counts = torch.bincount(self.y_train, minlength=self.classes)
        return float(counts.min() / counts.max())

    @property
    def constant_loss(self) -> float:
        """Training loss of the best prediction that is the same for every example."""
        return self.objective.constant_loss(self.y_train)

    @property
    def train_majority(self) -> float | None:
        """Accuracy on the training part of always predicting its most frequent label; None for numbers."""
        return self.objective.constant_accuracy(self.y_train, self.y_train)

    @property
    def majority_acc(self) -> float | None:
        """Accuracy of the same prediction on the test part; None for numbers."""
        return self.objective.constant_accuracy(self.y_train, self.y_test)
