"""Data: datasets as whole tensors in memory, split and standardized.

To add one, write a function `f(**parameters) -> Raw` here and name it in `conf/data/NAME.yaml` with the keys that
all data have (those of `prepare`). A loader returns natural values and shapes; a missing folder, package or
network raises InputError with one line that says what to do.
"""

import contextlib
import gzip
import math
import random
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor

from ..errors import InputError, nearest

TEST_FRACTION = 0.2  # of a dataset that comes without a test part
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


@dataclass(frozen=True)
class Raw:
    """A dataset as it is found: x (n, ...) float32, y (n,) int64 in 0..classes - 1, and a test part if it has one."""

    x: Tensor
    y: Tensor
    x_test: Tensor | None = None
    y_test: Tensor | None = None
    classes: int = field(kw_only=True)


@dataclass(frozen=True)
class Dataset:
    """A dataset to train on: standardized x (n, *shape) float32 and y (n,) int64 of each part; validation may be empty."""

    x_train: Tensor
    y_train: Tensor
    x_val: Tensor
    y_val: Tensor
    x_test: Tensor
    y_test: Tensor
    classes: int
    input_mean: float  # of the training part before it was standardized
    input_std: float

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return tuple(self.x_train.shape[1:])

    @property
    def constant_loss(self) -> float:
        """The training loss, in nats, of the best constant prediction: the entropy of the training labels."""
        share = torch.bincount(self.y_train, minlength=self.classes).double() / len(self.y_train)
        return -float(torch.xlogy(share, share).sum())


def prepare(
    raw: Raw,
    *,
    standardize: str = "global",
    val_fraction: float = 0.0,
    split_seed: int = 0,
    train_size: int | None = None,
) -> Dataset:
    """Splits a dataset by class, takes `train_size` training examples and standardizes with the training part's numbers.

    Without a test part of its own 20 % become one; `val_fraction` of the training part becomes the validation part.
    `split_seed` alone decides what goes where. standardize: `global` takes one mean and deviation from all
    entries of x, `feature` one of each entry's own (a constant entry becomes 0), `none` leaves the values.
    """
    if standardize not in ("global", "feature", "none"):
        raise InputError(f"data.standardize={standardize} is unknown{nearest(str(standardize), ('global', 'feature', 'none'))}")
    if not 0 <= val_fraction < 1:
        raise InputError(f"data.val_fraction must be in [0, 1), got {val_fraction}")
    if not 0 <= split_seed < 2**32:
        raise InputError(f"data.split_seed must be in [0, 2^32), got {split_seed}")

    train = raw.x, raw.y
    if raw.x_test is None or raw.y_test is None:
        train, test = _split(*train, TEST_FRACTION, split_seed)
    else:
        test = raw.x_test, raw.y_test
    val = train[0][:0], train[1][:0]
    if val_fraction > 0:
        train, val = _split(*train, val_fraction, split_seed)
