"""Remedies for unbalanced classes: which examples are drawn, what each counts, and examples made of others.

To add one, write a class with keyword parameters and name it in `conf/rebalance/NAME.yaml`. It has one of

    epoch(y, generator) -> positions      of the examples (n,) that an epoch holds, in the order of their use
    loss(objective, y) -> loss            the function of one run's outputs (B, C) and labels (B,) that is minimised
    made(x, y, seed) -> (x, y)            examples that are made of those, and trained on beside them

where y (n,) are the labels of the training part: there is one per example.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from initbench.errors import DoesNotFit, InputError
from initbench.parts.checks import integer, number
from initbench.parts.losses import Classification, Loss, Objective, SquaredLabels
from initbench.text import plural

INSTALL = "needs the package imbalanced-learn: pip install 'initbench[rebalance]'"
WAYS = ("epoch", "loss", "made")


class Oversample:
    """Each class as often as the commonest: all of its examples, and some of them again, drawn anew in each epoch."""

    def epoch(self, y: Tensor, generator: torch.Generator) -> Tensor:
        groups = by_class(y)
        most = max(map(len, groups))
        drawn = [
            torch.cat([own, own[torch.randint(len(own), (most - len(own),), generator=generator)]]) for own in groups
        ]
        return shuffled(torch.cat(drawn), generator)


class Undersample:
    """Each class as often as the rarest: some of its examples, drawn anew in each epoch."""

    def epoch(self, y: Tensor, generator: torch.Generator) -> Tensor:
        groups = by_class(y)
        least = min(map(len, groups))
        return shuffled(torch.cat([shuffled(own, generator)[:least] for own in groups]), generator)


class ClassWeights:
    """The loss of an example of class k counts w_k = n / (C n_k), for n_k of the n examples; its mean stays the mean
    over the batch. King & Zeng 2001.
    """

    def loss(self, objective: Objective, y: Tensor) -> Loss:
        weight_of, losses = on_device_of(class_weights(y)), loss_of_each(objective)
        return lambda outputs, labels: (weight_of(outputs)[labels] * losses(outputs, labels)).mean()


class Focal:
    """-(1 - p)^gamma log p of an example whose class has the probability p. Lin et al. 2017, eq. 4."""

    def __init__(self, *, gamma: float = 2.0):
        self.gamma = number("rebalance.gamma", gamma, "[0, inf)")

    def loss(self, objective: Objective, y: Tensor) -> Loss:
        if type(objective) is not Classification or objective.smoothing:
            what = "is a change of cross-entropy with one label each"
            raise DoesNotFit(f"rebalance=focal {what}: leave out data.loss and regularize.label_smoothing")
        return self._focal

    def _focal(self, outputs: Tensor, y: Tensor) -> Tensor:
        log_p = -F.cross_entropy(outputs, y, reduction="none")
        wrong = (-torch.expm1(log_p)).clamp(min=torch.finfo(outputs.dtype).tiny)  # a power below 1 has no slope at 0
        return -(wrong**self.gamma * log_p).mean()


class Smote:
    """New examples of the rarer classes, as many as the commonest has, each on the line from an example to one of its
    nearest neighbours of the same class. Chawla et al. 2002, by imbalanced-learn.
    """

    def __init__(self, *, neighbours: int = 5):
        self.neighbours = integer("rebalance.neighbours", neighbours, "[1, inf)")

    def made(self, x: Tensor, y: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        return made_by("SMOTE", x, y, self.neighbours, seed)


class Adasyn:
    """As SMOTE, but more of the examples that have neighbours of other classes. He et al. 2008, by imbalanced-learn."""

    def __init__(self, *, neighbours: int = 5):
        self.neighbours = integer("rebalance.neighbours", neighbours, "[1, inf)")

    def made(self, x: Tensor, y: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        return made_by("ADASYN", x, y, self.neighbours, seed)


def check_rebalance(part: Any, y: Tensor) -> None:
    """DoesNotFit where there isn't one label per example; InputError for a part that does nothing."""
    name = type(part).__name__.lower()
    if not any(hasattr(part, way) for way in WAYS):
        raise InputError(f"rebalance: {type(part).__name__} has none of {', '.join(WAYS)}")
    if y.ndim != 1 or y.is_floating_point():
        raise DoesNotFit(f"rebalance={name} balances classes, and this data has no class for each example")


def class_weights(y: Tensor) -> Tensor:
    """n / (C n_k) of each class k from 0 on, float64; 0 of one without examples. C: the classes that have some."""
    counts = torch.bincount(y).double()
    return torch.where(counts > 0, len(y) / ((counts > 0).sum() * counts), 0)


def by_class(y: Tensor) -> list[Tensor]:
    """The positions of the examples of each class that has some."""
    return [torch.nonzero(y == label).flatten() for label in y.unique()]


def shuffled(positions: Tensor, generator: torch.Generator) -> Tensor:
    return positions[torch.randperm(len(positions), generator=generator)]


def on_device_of(values: Tensor) -> Callable[[Tensor], Tensor]:
    """The values on the device and in the type of other numbers; copied once for all steps."""
    kept: dict[tuple, Tensor] = {}

    def like(numbers: Tensor) -> Tensor:
        where = numbers.device, numbers.dtype
        if where not in kept:
            kept[where] = values.to(*where)
        return kept[where]

    return like


def loss_of_each(objective: Objective) -> Loss:
    """The loss of each of one run's examples (B,)."""
    if isinstance(objective, SquaredLabels):
        return objective.errors
    smoothing = objective.smoothing if isinstance(objective, Classification) else 0.0
    return lambda outputs, y: F.cross_entropy(outputs, y, reduction="none", label_smoothing=smoothing)


def made_by(sampler: str, x: Tensor, y: Tensor, neighbours: int, seed: int) -> tuple[Tensor, Tensor]:
    """The rows that imbalanced-learn's over-sampler adds to inputs (n, ...) and labels (n,).

    DoesNotFit where it can add none: tokens, too few examples for so many neighbours, classes that are equally large.
    """
    where, counts = f"rebalance={sampler.lower()}", torch.bincount(y)
    if not x.is_floating_point():
        raise DoesNotFit(f"{where}: tokens are no numbers, between which there is something")
    if (counts[counts > 0] == counts.max()).all():
        raise DoesNotFit(f"{where}: each class has {int(counts.max())} training examples, so none is to be made")
    fewest = int(torch.where(counts > 0, counts, counts.max()).argmin())
    if counts[fewest] <= neighbours:
        has = f"class {fewest} has {plural(int(counts[fewest]), 'training example')}"
        enough = f"; rebalance.neighbours={counts[fewest] - 1} would do" if counts[fewest] > 1 else ""
        raise DoesNotFit(f"{where}: {has}, and each needs {neighbours} neighbours of its own class{enough}")
    resampler = _samplers(where)[sampler](**{NEIGHBOURS[sampler]: neighbours}, random_state=seed)
    try:
        rows, labels = resampler.fit_resample(x.flatten(1).numpy(), y.numpy())
    except (ValueError, RuntimeError) as error:  # ADASYN: no example has a neighbour of another class
        raise DoesNotFit(f"{where}: imbalanced-learn says: {' '.join(str(error).split())}") from error
    made = torch.from_numpy(np.ascontiguousarray(rows[len(y) :], np.float32)).unflatten(1, x.shape[1:])
    return made, torch.from_numpy(np.asarray(labels[len(y) :]))


NEIGHBOURS = {"SMOTE": "k_neighbors", "ADASYN": "n_neighbors"}  # imbalanced-learn's names


def _samplers(where: str) -> dict[str, Any]:
    """imbalanced-learn's over-samplers; it takes a second to import."""
    try:
        from imblearn.over_sampling import ADASYN, SMOTE
    except ModuleNotFoundError as error:
        if error.name != "imblearn":
            raise
        raise DoesNotFit(f"{where} {INSTALL}") from error
    return {"SMOTE": SMOTE, "ADASYN": ADASYN}
