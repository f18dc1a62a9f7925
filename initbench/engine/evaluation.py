"""Losses, accuracies and probabilities of R runs over whole parts of the data."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from initbench.engine.state import Stacked
from initbench.parts.data import Dataset
from initbench.parts.losses import Objective

TRAIN_EXAMPLES = 5_000  # about so many training examples are evaluated, evenly spread over the training part
Predict = Callable[[Tensor], Tensor]  # examples (n, ...) that all runs share -> outputs (R, n, ...)
Scores = tuple[np.ndarray, np.ndarray]  # mean losses (R,) in nats (or squared units), accuracies (R,); float64


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

    def scores(self, predict: Predict) -> dict[str, Scores]:
        """Mean loss and accuracy of each run on each part that has examples."""
        parts = self.parts.items()
        return {name: scores(predict, x, y, self.objective, self.chunk) for name, (x, y) in parts if len(y)}

    def probabilities(self, predict: Predict) -> np.ndarray:
        """Each run's probabilities of the test part's classes, float32 (R, n, C); (R, n T, C) with T positions each."""
        x, _ = self.parts["test"]
        chunks = [predict(some).softmax(-1).flatten(1, -2) for some in x.split(self.chunk)]
        return torch.cat(chunks, 1).float().cpu().numpy()


def scores(predict: Predict, x: Tensor, y: Tensor, objective: Objective, chunk: int) -> Scores:
    """Each run's mean loss and accuracy over examples (n, ...); NaN where an output is not finite."""
    losses = right = torch.zeros((), dtype=torch.float64, device=x.device)
    for some, labels in zip(x.split(chunk), y.split(chunk), strict=True):
        outputs = predict(some)
        losses = losses + vmap(objective.total, (0, None))(outputs, labels)
        right = right + vmap(objective.right, (0, None))(outputs, labels)
    count = objective.count(y)
    return (losses / count).cpu().numpy(), (right / count).cpu().numpy()
