"""Whether inputs tell labels apart at all: how often the most similar other example has the same label."""

from typing import NamedTuple

import numpy as np
from torch import Tensor

MOST = 1_000  # examples that are compared with each other, evenly spread over the training part
TIE = 1e-9  # squared distances that differ by less, relatively, are equal: the last digits depend on the machine


class LabelAgreement(NamedTuple):
    """Shares of pairs with equal labels. None where x are no numbers, or there isn't one label per example."""

    nearest: float | None  # an example and the one most similar to it, by Euclidean distance
    chance: float | None  # any two examples


def label_agreement(x: Tensor, y: Tensor) -> LabelAgreement:
    """Of inputs (n, ...) as the network sees them, and their labels (n,). Cover & Hart 1967.

    Of several examples that are equally near, each counts in part.
    """
    if not x.is_floating_point() or y.is_floating_point() or y.ndim != 1 or len(y) < 2:
        return LabelAgreement(None, None)
    stride = -(-len(y) // MOST)
    rows, labels = x[::stride].flatten(1).numpy().astype(np.float64), y[::stride].numpy()
    rows -= rows.mean(0)
    squares = np.square(rows).sum(1)
    distances = np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0)
    np.fill_diagonal(distances, np.inf)
    nearest = distances <= distances.min(1, keepdims=True) + TIE * squares.mean()
    equal = labels[:, None] == labels
    n = len(labels)
    right = (nearest & equal).sum(1) / nearest.sum(1)
    return LabelAgreement(nearest=float(right.mean()), chance=float((equal.sum() - n) / (n * (n - 1))))
