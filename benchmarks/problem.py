"""The problem that every peer trains: deep ReLU nets on digits, each run with weights and batches of its own.

Every peer starts from `he_weights(..., seed)`, takes SGD with momentum over the seed's batches and records
the loss of each step and, at every tenth, for each layer: the Frobenius norms of dL/dW and dL/ds (s the
pre-activation, L the batch's mean loss), the update-to-weight ratio, and for a hidden one the activation's
mean and variance, its deviation across units and across examples, and the fractions dead and saturated.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

RUNS = 64
CLASSES = 10
BATCH = 100
LR = 0.01
MOMENTUM = 0.9
LOOK_EVERY = 10  # steps from one look at the layers to the next
DEAD = 1e-3  # a unit is dead if |phi'| is below this on every example
SATURATED = 0.05  # an entry is saturated if |phi'| is below this


@dataclass(frozen=True)
class Shape:
    """`depth` hidden layers of `width` units."""

    depth: int
    width: int

    def sizes(self, features: int) -> list[tuple[int, int]]:
        """(fan_in, fan_out) of every weight layer, the head last."""
        widths = [features] + [self.width] * self.depth + [CLASSES]
        return list(itertools.pairwise(widths))

    def __str__(self) -> str:
        return f"{self.depth}x{self.width}"

    @classmethod
    def parse(cls, text: str) -> "Shape":
        depth, width = text.split("x")
        return cls(int(depth), int(width))


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Training part of digits: float32 (1437, 64), one mean and deviation for all pixels; int64 (1437,)."""
    x, y = map(np.asarray, load_digits(return_X_y=True))
    rows, _ = train_test_split(np.arange(len(y)), test_size=0.2, random_state=0, stratify=y)
    x, y = x[rows], y[rows]
    return ((x - x.mean()) / x.std()).astype(np.float32), y.astype(np.int64)


def he_weights(shape: Shape, features: int, seed: int) -> list[np.ndarray]:
    """He normal weights, float32 (fan_out, fan_in) a layer; all biases are zero."""
    random = np.random.default_rng([seed, 0])
    return [
        (random.standard_normal((out, fan_in)) * np.sqrt(2 / fan_in)).astype(np.float32)
        for fan_in, out in shape.sizes(features)
    ]


def batch_order(rows: int, seed: int, steps: int) -> np.ndarray:
    """Rows of each step's batch, int64 (steps, BATCH): a new permutation an epoch, the odd rest left out."""
    random = np.random.default_rng([seed, 1])
    per_epoch = rows // BATCH
    epochs = -(-steps // per_epoch)
    order = [random.permutation(rows)[: per_epoch * BATCH].reshape(per_epoch, BATCH) for _ in range(epochs)]
    return np.concatenate(order)[:steps]
