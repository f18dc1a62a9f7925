"""The score by which runs are ranked: test accuracy where labels are predicted, test error where numbers are."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from initbench.text import percent


@dataclass(frozen=True)
class Measure:
    """A score, of which more is better, in words.

    name: "test accuracy". text: a score as it is written; number: without its unit, which is `of_numbers`, or a
    difference of two, whose unit is `unit`; gap: a difference with its unit. scale: how many of these units a score
    of 1 has. better: on which side of a score what is better lies, "above" or "below". axis: the label of an axis of
    scores. least: figures draw lower scores as they draw this one. chance: the best constant prediction, which knows
    nothing of the inputs.
    """

    name: str
    text: Callable[[float], str]
    number: Callable[[float], str]
    gap: Callable[[float], str]
    unit: str
    of_numbers: str
    better: str
    scale: float
    axis: str
    least: float
    chance: str


def points(difference: float) -> str:
    """ "2.3 points": a difference of accuracies in percentage points."""
    return f"{_points(difference)} point{'' if _points(abs(difference)) == '1.0' else 's'}"


def _points(fraction: float) -> str:
    return f"{100 * fraction:.1f}".replace("-", "−")


def _error(score: float) -> str:
    return f"{abs(score):.3g}"


def _signed(difference: float) -> str:
    return f"{difference:.3g}".replace("-", "−")


ACCURACY = Measure(
    name="test accuracy",
    text=percent,
    number=_points,
    gap=points,
    unit="percentage points",
    of_numbers="per cent",
    better="above",
    scale=100,
    axis="test accuracy",
    least=0.0,
    chance="always predicting the commonest label",
)
ERROR = Measure(
    name="test error",
    text=_error,
    number=_signed,
    gap=_signed,
    unit="standard deviations of the targets",
    of_numbers="standard deviations of the targets",
    better="below",
    scale=1,
    axis="test error (standard deviations of the targets)",
    least=-2.0,  # twice the error of the best constant prediction
    chance="always predicting the mean",
)
MEASURES = {each.name: each for each in (ACCURACY, ERROR)}


def predicts_numbers(runs: pd.DataFrame) -> pd.Series:
    """Which runs predict numbers; results of the first version don't say, and are of labels."""
    return runs["task"].eq("numbers").fillna(False) if "task" in runs else pd.Series(False, index=runs.index)


def in_nats(runs: pd.DataFrame) -> pd.Series:
    """Which runs have a cross-entropy as their loss, so that a guess among C classes has ln C."""
    return runs["loss_unit"].eq("nats").fillna(False) if "loss_unit" in runs else ~predicts_numbers(runs)


def measure(runs: pd.DataFrame) -> Measure:
    """By what the runs of one contest are ranked; a run that isn't finished says nothing of it."""
    known = predicts_numbers(runs[runs["task"].notna()] if "task" in runs else runs)
    return ERROR if len(known) and known.all() else ACCURACY


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
