"""Classes thinned to a long tail, as real data have it: a few common classes and many rare ones."""

import math

import numpy as np
import torch
from torch import Tensor

from initbench.errors import DoesNotFit
from initbench.parts.checks import number

KEY = "data.imbalance"
STREAM = 2  # of the seed of the split: which examples are kept


def long_tail(y: Tensor, classes: int, imbalance: float, seed: int) -> Tensor:
    """Indices, in their order, of the labels y (n,) that are kept; chance decides which, by the seed.

    Class k of C keeps n_k imbalance^(k / (C - 1)) of its n_k examples, rounded down: of equally large classes the last
    has `imbalance` times as many as the first. Cui et al. 2019, sec. 5.1. DoesNotFit where a class would have none, or
    there isn't one label per example.
    """
    number(KEY, imbalance, "(0, 1]")
    if y.ndim != 1 or y.is_floating_point() or classes < 2:
        raise DoesNotFit(f"{KEY}={imbalance:g} thins classes, and this data has no class for each example")
    there = torch.bincount(y, minlength=classes).tolist()
    counts = [
        math.floor(n * imbalance ** (label / (classes - 1)) + 1e-9)  # 100 * 0.01 is 1, not 0.999...
        for label, n in enumerate(there)
    ]
    if 0 in counts:
        raise DoesNotFit(_left_empty(imbalance, there, counts.index(0)))
    generator = np.random.default_rng([seed, STREAM])
    own = (generator.permutation(np.flatnonzero(y.numpy() == label)) for label in range(classes))
    return torch.from_numpy(np.sort(np.concatenate([each[:n] for each, n in zip(own, counts, strict=True)])))


def _left_empty(imbalance: float, there: list[int], label: int) -> str:
    """Why classes of so many examples can't be thinned so far, and the least that it takes."""
    if 0 in there:
        return f"{KEY}={imbalance:g}: class {there.index(0)} of this data has no example"
    last = len(there) - 1
    least = max((1 / n) ** (last / other) for other, n in enumerate(there) if other)
    left = f"{KEY}={imbalance:g} leaves none of the {there[label]} examples of class {label}"
    return f"{left}; it takes at least {math.ceil(1e4 * least) / 1e4:g}"
