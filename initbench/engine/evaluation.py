"""Losses, accuracies and probabilities of R runs over whole parts of the data."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from initbench.parts.losses import Objective

Predict = Callable[[Tensor], Tensor]  # examples (n, ...) that all runs share -> outputs (R, n, ...)


def scores(predict: Predict, x: Tensor, y: Tensor, objective: Objective, chunk: int) -> tuple[np.ndarray, np.ndarray]:
    """Each run's mean loss and accuracy over examples (n, ...), float64; NaN where an output is not finite."""
    losses = right = torch.zeros((), dtype=torch.float64, device=x.device)
    for some, labels in zip(x.split(chunk), y.split(chunk), strict=True):
        outputs = predict(some)
        losses = losses + vmap(objective.total, (0, None))(outputs, labels)
        right = right + vmap(objective.right, (0, None))(outputs, labels)
    count = objective.count(y)
    return (losses / count).cpu().numpy(), (right / count).cpu().numpy()


def probabilities(predict: Predict, x: Tensor, chunk: int) -> np.ndarray:
    """Each run's probabilities of the classes, float32 (R, n, C); (R, n T, C) with T positions per example."""
    parts = [predict(some).softmax(-1).flatten(1, -2) for some in x.split(chunk)]
    return torch.cat(parts, 1).float().cpu().numpy()
