"""What runs are ranked by: test accuracy where labels are predicted, test error where numbers are."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from initbench.text import percent


@dataclass(frozen=True)
class Measure:
    """A score, of which more is better, in words.

    name: "test accuracy". text: a score as it is written. gap: a difference of two scores. chance: the best constant
    prediction, which knows nothing of the inputs.
    """

    name: str
    text: Callable[[float], str]
    gap: Callable[[float], str]
    chance: str


def points(difference: float) -> str:
    """ "2.3 points": a difference of accuracies in percentage points."""
    return f"{100 * difference:.1f} point{'' if f'{100 * abs(difference):.1f}' == '1.0' else 's'}".replace("-", "−")


def _error(score: float) -> str:
    return f"{abs(score):.3g}"


ACCURACY = Measure("test accuracy", percent, points, "always predicting the commonest label")
ERROR = Measure("test error", _error, _error, "always predicting the mean")


def predicts_numbers(runs: pd.DataFrame) -> pd.Series:
    """Which runs predict numbers; results of the first version don't say, and are of labels."""
    return runs["task"].eq("numbers").fillna(False) if "task" in runs else pd.Series(False, index=runs.index)


def measure(runs: pd.DataFrame) -> Measure:
    """By what the runs of one contest are ranked."""
    return ERROR if len(runs) and predicts_numbers(runs).all() else ACCURACY


def largest_gap(scores: np.ndarray) -> float:
    """The largest difference that two scores can have: 1 of accuracies; errors, which are below 0, have no bound."""
    scores = np.asarray(scores, float)
    return math.inf if (scores[np.isfinite(scores)] < 0).any() else 1.0


def test_error(runs: pd.DataFrame) -> pd.Series:
    """The error on the test part, in standard deviations of the training targets (1: as good as their mean).

    The root of the mean squared error over the root of the best constant's; of another loss the plain ratio. NaN where
    labels are predicted.
    """
    numbers = predicts_numbers(runs)  # of labels of one class the constant's loss is 0
    ratio = (runs["test_loss"] / runs["constant_loss"].where(numbers)).astype("float64")
    squared = runs["loss_unit"].eq("squared error").fillna(True) if "loss_unit" in runs else True
    return pd.Series(np.where(squared, np.sqrt(ratio), ratio), index=runs.index)


def chance(runs: pd.DataFrame) -> float:
    """The score of the best constant prediction: the commonest label's accuracy, or an error of 1; NaN if unknown."""
    if measure(runs) is ERROR:
        return -1.0
    known = runs["majority_acc"].dropna() if "majority_acc" in runs else pd.Series(dtype="float64")
    return float(known.median()) if len(known) else math.nan


def at_chance(score: float, runs: pd.DataFrame) -> bool:
    """Whether a score is hardly better than the best constant prediction's: 2 % of the way to one without errors."""
    level = chance(runs)
    best = 0.0 if measure(runs) is ERROR else 1.0
    return score <= level + 0.02 * (best - level)
