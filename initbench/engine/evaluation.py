"""Losses, accuracies, F1 scores and probabilities of R runs over whole parts of the data."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from initbench.engine.state import Stacked
from initbench.parts.data import Dataset
from initbench.parts.losses import Objective

TRAIN_EXAMPLES = 5_000  # about so many training examples are evaluated, evenly spread over the training part
Predict = Callable[[Tensor], Tensor]  # examples (n, ...) that all runs share -> outputs (R, n, ...)


class PartScores(NamedTuple):
    """Of R runs on one part of the data, float64 (R,) each; NaN where an output is not finite."""

    loss: np.ndarray  # mean, in nats (or squared units)
    acc: np.ndarray  # share that is predicted right
    balanced_acc: np.ndarray  # mean over the classes of the share of each that is predicted right; NaN without classes
    f1: np.ndarray  # mean over the classes of 2 right / (there + predicted); NaN without classes


class Evaluation:
    """The parts of a dataset on the runs' device, to be passed through their models `chunk` examples at a time."""

    def __init__(self, data: Dataset, state: Stacked, chunk: int):
        self.objective, self.chunk = data.objective, chunk
        self.x_train, self.y_train = state.cast(data.x_train), state.cast(data.y_train)
        stride = max(1, round(len(self.y_train) / TRAIN_EXAMPLES))
        self.parts = {
            "train": (self.x_train[::stride], self.y_train[::stride]),
            "val": (state.cast(data.x_val), state.cast(data.y_val)),
            "test": (state.cast(data.x_test), state.cast(data.y_test)),
        }

    def scores(self, predict: Predict) -> dict[str, PartScores]:
        """The scores of each run on each part that has examples."""
        parts = self.parts.items()
        return {name: scores(predict, x, y, self.objective, self.chunk) for name, (x, y) in parts if len(y)}

    def probabilities(self, predict: Predict) -> np.ndarray:
        """Each run's probabilities of the test part's classes, float32 (R, n, C); (R, n T, C) with T positions each."""
        x, _ = self.parts["test"]
        chunks = [predict(some).softmax(-1).flatten(1, -2) for some in x.split(self.chunk)]
        return torch.cat(chunks, 1).float().cpu().numpy()


def scores(predict: Predict, x: Tensor, y: Tensor, objective: Objective, chunk: int) -> PartScores:
    """Each run's scores over examples (n, ...)."""
    losses = right = by_class = torch.zeros((), dtype=torch.float64, device=x.device)
    for some, labels in zip(x.split(chunk), y.split(chunk), strict=True):
        outputs = predict(some)
        losses = losses + vmap(objective.total, (0, None))(outputs, labels)
        right = right + vmap(objective.right, (0, None))(outputs, labels)
        by_class = by_class + vmap(objective.by_class, (0, None))(outputs, labels)
    count = objective.count(y)
    found = losses / count, right / count, balanced_accuracy(by_class), macro_f1(by_class)
    return PartScores(*(each.cpu().numpy() for each in found))


def balanced_accuracy(by_class: Tensor) -> Tensor:
    """The mean recall (R,) of the classes that occur, of counts (R, 3, C). Brodersen et al. 2010."""
    there, _, right = by_class.unbind(1)
    return _mean_of_classes(right, there)


def macro_f1(by_class: Tensor) -> Tensor:
    """The mean F1 (R,) of the classes that occur or are predicted, of counts (R, 3, C)."""
    there, predicted, right = by_class.unbind(1)
    return _mean_of_classes(2 * right, there + predicted)


def _mean_of_classes(part: Tensor, of: Tensor) -> Tensor:
    """The mean share (R,) over the classes with a denominator; counts (R, C), all NaN of a run without numbers."""
    there = of != 0
    return torch.where(there, part / of, 0).sum(1) / there.sum(1)
