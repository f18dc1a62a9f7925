"""The outcome of a finished run: it learned, was slow, got stuck or diverged.

A run is compared with the best constant prediction: that has a loss (the entropy of the labels, the variance of
numbers) and, for labels, an accuracy, the largest class's share. Both are of the training part, at the end and with the
weights that count, so that dropout, augmentation or an average of the weights don't matter.

- `diverged`: a training loss was not finite.
- `learned`: the loss, or the share of wrong predictions, is at most `learned_ratio` (one half) of the constant's. One
  is enough: a net of 95 % accuracy has learned however unsure it is, and so has one that halved the loss of labels of
  which nine in ten are of one class.
- `slow`: neither, but the loss was still falling at the end, and it or the accuracy had left the constant's.
- `stuck`: none of these. Its accuracy may be above chance: it no longer improves.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

LEARNED, SLOW, STUCK, DIVERGED = "learned", "slow", "stuck", "diverged"
ABOVE_CHANCE = 0.02  # of the way from the best constant prediction to one without errors
FALL = 0.01  # of the constant's loss, from the third to the last quarter of the steps
FALL_ERRORS = 4.0  # standard errors of that difference


def outcome(
    *,
    loss: float,
    constant_loss: float,
    accuracy: float | None,
    majority: float | None,
    losses: np.ndarray,
    learned_ratio: float,
) -> str:
    """`learned`, `slow` or `stuck`, of a run that did not diverge.

    loss, accuracy: over the training part at the end. majority: the accuracy of the best constant prediction there;
    None where what is predicted are numbers, and accuracy is then not looked at. losses (steps,): of the minibatches.
    """
    shares = [_share(loss, constant_loss)]
    if accuracy is not None and majority is not None:
        shares.append(_share(1 - accuracy, 1 - majority))
    if min(shares) <= learned_ratio:
        return LEARNED
    (mean,), (error,) = quarters(losses, np.array([0]), np.array([len(losses)]))
    numbers = fall(mean[None], error[None]) | {"constant_loss": constant_loss}
    return SLOW if min(shares) <= 1 - ABOVE_CHANCE and falling(numbers).all() else STUCK


def _share(value: float, of: float) -> float:
    """The part that is left of what the constant prediction has; of nothing, nothing can be left to learn."""
    return value / of if of > 0 else np.inf


def falling(numbers: Mapping[str, Any]) -> Any:
    """Whether losses were still falling at the end: more than noise, and by an amount that matters.

    numbers: `third_quarter_loss`, `last_quarter_loss`, `fall_errors` and `constant_loss`, each a number or an array of
    them; one that is NaN does not fall.
    """
    by = np.subtract(numbers["third_quarter_loss"], numbers["last_quarter_loss"])
    return (by >= FALL * np.asarray(numbers["constant_loss"])) & (np.asarray(numbers["fall_errors"]) >= FALL_ERRORS)


def fall(mean: np.ndarray, error: np.ndarray) -> dict[str, np.ndarray]:
    """The numbers that `falling` asks for, but the constant's loss: (R,) each, of `quarters`."""
    by, noise = mean[:, 2] - mean[:, 3], np.hypot(error[:, 2], error[:, 3])
    return {
        "third_quarter_loss": mean[:, 2],
        "last_quarter_loss": mean[:, 3],
        "fall_errors": by / np.where(noise > 0, noise, np.nan),
    }


def quarters(losses: np.ndarray, starts: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of the four quarters of each run's losses and their standard errors, (R, 4); NaN with fewer than two.

    losses: those of R runs, one run after the other; a run's begin at `starts` and are `counts` many.
    """
    position = np.arange(len(losses)) - np.repeat(starts, counts)
    quarter = np.repeat(4 * np.arange(len(starts)), counts) + 4 * position // np.repeat(counts, counts)
    size = 4 * len(starts)
    number = np.bincount(quarter, minlength=size).astype("float64")
    number[number < 2] = np.nan
    mean = np.bincount(quarter, losses, size) / number
    squares = np.bincount(quarter, (losses - mean[quarter]) ** 2, size)
    return mean.reshape(-1, 4), np.sqrt(squares / (number - 1) / number).reshape(-1, 4)
