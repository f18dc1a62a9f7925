"""A dataset as it is found, and as it is trained on."""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from initbench.errors import InputError
from initbench.parts.data.inspection import SeenInputs, seen_inputs
from initbench.parts.data.neighbours import LabelAgreement, label_agreement
from initbench.parts.losses import CLASSIFICATION, Objective


@dataclass(frozen=True)
class Raw:
    """A dataset as found, with a test part if it has one.

    x (n, ...) holds float32 numbers or, with a `vocabulary`, int64 tokens below it. For `CLASSIFICATION` y holds int64
    labels below `classes`, one per example (n,) or one per position (n, T), where `UNSCORED` counts nowhere. For
    `REGRESSION` y (n,) is float32, and `classes` is 1.
    """

    x: Tensor
    y: Tensor
    x_test: Tensor | None = None
    y_test: Tensor | None = None
    classes: int = field(kw_only=True)
    vocabulary: int | None = field(default=None, kw_only=True)
    objective: Objective = field(default=CLASSIFICATION, kw_only=True)

    def __post_init__(self):
        for x, y in ((self.x, self.y), (self.x_test, self.y_test)):
            if x is None or y is None:
                continue
            self._check_inputs(x)
            self.objective.check(x, y, self.classes)

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


@dataclass(frozen=True)
class Dataset:
    """A dataset to train on: x (n, *shape) and y (n,) or (n, T) of three parts; validation may have 0 rows."""

    x_train: Tensor
    y_train: Tensor
    x_val: Tensor
    y_val: Tensor
    x_test: Tensor
    y_test: Tensor
    classes: int  # 1 for numbers
    input_mean: float | None  # of all training inputs before they were standardized; tokens have none
    input_std: float | None
    vocabulary: int | None = field(default=None, kw_only=True)  # x are tokens below it; None: x are numbers
    objective: Objective = field(default=CLASSIFICATION, kw_only=True)
    drawn: bool = field(default=True, kw_only=True)  # whether `data.split_seed` decided which examples are where

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return tuple(self.x_train.shape[1:])

    @property
    def positions(self) -> int | None:
        """The number T of labels per example if each position has one; else None."""
        return self.y_train.shape[1] if self.y_train.ndim == 2 else None

    @cached_property
    def seen(self) -> SeenInputs:
        """The training inputs as a network sees them."""
        return seen_inputs(self.x_train)

    @cached_property
    def label_agreement(self) -> LabelAgreement:
        """How often similar training inputs have the same label."""
        return label_agreement(self.x_train, self.y_train)

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
