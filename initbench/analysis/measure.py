"""The score by which runs are ranked: of labels the test accuracy, balanced accuracy or macro F1, of numbers the error.

Which of the three a report goes by is decided once, for all of its runs (`scored`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from initbench.errors import InputError, nearest
from initbench.text import percent

SCORED_BY = "scored_by"  # a column of the runs: the name of the measure of those that predict labels
UNBALANCED = 0.5  # classes are, where the rarest has less than this part of the commonest's training examples


@dataclass(frozen=True)
class Measure:
    """A score, of which more is better, in words.

    name: "test accuracy". short: in a narrow column. column: of the runs. share: whether a score is a fraction, shown
    in per cent. text: a score as it is written; number: without its unit, which is `of_numbers`, or a
    difference of two, whose unit is `unit`; gap: a difference with its unit. scale: how many of these units a score
    of 1 has. better: on which side of a score what is better lies, "above" or "below". axis: the label of an axis of
    scores. least: figures draw lower scores as they draw this one. chance: the best constant prediction, which knows
    nothing of the inputs.
    """

    name: str
    short: str
    column: str
    share: bool
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
    short="test acc.",
    column="test_acc",
    share=True,
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
BALANCED = replace(
    ACCURACY,
    name="balanced test accuracy",
    short="bal. test acc.",
    column="test_balanced_acc",
    axis="balanced test accuracy",
)
F1 = replace(ACCURACY, name="macro F1", short="macro F1", column="test_f1", axis="macro F1 on the test part")
ERROR = Measure(
    name="test error",
    short="test error",
    column="test_error",
    share=False,
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
MEASURES = {each.name: each for each in (ACCURACY, BALANCED, F1, ERROR)}
SCORES = {"test_acc": ACCURACY, "balanced": BALANCED, "f1": F1}  # what `--score` takes; columns, too


def scored(runs: pd.DataFrame, score: str | None = None) -> pd.DataFrame:
    """The runs with the column SCORED_BY, if they go by another score than accuracy.

    score: of SCORES; left out, balanced accuracy if there are runs with `unbalanced` classes. InputError where there is
    no such score, or results of an earlier version do not have it.
    """
    labels = runs[_is_scored(runs)]
    if score is None:
        has_it = BALANCED.column in labels and labels[BALANCED.column].notna().all()
        chosen = BALANCED if has_it and unbalanced(labels).any() else ACCURACY
    else:
        chosen = SCORES.get(score) or next((each for each in SCORES.values() if each.column == score), None)
        if chosen is None:
            raise InputError(f"--score {score}: there is no such score{nearest(score, SCORES)}")
        if len(labels) and (chosen.column not in labels or labels[chosen.column].isna().any()):
            raise InputError(f"--score {score}: some of these runs do not have it; train them again with --fresh")
    return runs if chosen is ACCURACY else runs.assign(**{SCORED_BY: chosen.name})


def _is_scored(runs: pd.DataFrame) -> pd.Series:
    """Which runs have scores of labels."""
    return (runs["status"] == "done") & (runs["outcome"] != "diverged") & ~predicts_numbers(runs)


def unbalanced(runs: pd.DataFrame) -> pd.Series:
    """Which runs are of data whose training classes are unbalanced; results of earlier versions don't say."""
    return runs["class_ratio"].astype("float64").lt(UNBALANCED) if "class_ratio" in runs else runs["status"].isna()


def of_labels(runs: pd.DataFrame) -> Measure:
    """By what those runs are ranked that predict labels."""
    return MEASURES[runs[SCORED_BY].iloc[0]] if SCORED_BY in runs and len(runs) else ACCURACY


def why_scored(runs: pd.DataFrame) -> list[str]:
    """Why runs go by another score than accuracy, or may better do so: a sentence, if there is something to say."""
    chosen, unequal = of_labels(runs), runs[_is_scored(runs) & unbalanced(runs)]
    if unequal.empty:
        return [f"Scored by {chosen.name}, as --score says."] if chosen is not ACCURACY else []
    times = 1 / unequal["class_ratio"].min()
    because = f"the commonest training class has {times:.3g} times the examples of the rarest"
    if chosen is ACCURACY:
        return [f"Scored by {chosen.name}; --score balanced counts all classes alike: {because}."]
    if chosen is F1:
        return [f"Scored by {chosen.name}, the mean over the classes of the F1 of each, as --score says; {because}."]
    return [f"Scored by {chosen.name}, the mean over the classes of the share of each that is right: {because}."]


def predicts_numbers(runs: pd.DataFrame) -> pd.Series:
    """Which runs predict numbers; results of the first version don't say, and are of labels."""
    return runs["task"].eq("numbers").fillna(False) if "task" in runs else pd.Series(False, index=runs.index)


def in_nats(runs: pd.DataFrame) -> pd.Series:
    """Which runs have a cross-entropy as their loss, so that a guess among C classes has ln C."""
    return runs["loss_unit"].eq("nats").fillna(False) if "loss_unit" in runs else ~predicts_numbers(runs)


def measure(runs: pd.DataFrame) -> Measure:
    """By what the runs of one contest are ranked; a run that isn't finished says nothing of it."""
    known = predicts_numbers(runs[runs["task"].notna()] if "task" in runs else runs)
    return ERROR if len(known) and known.all() else of_labels(runs)


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
    """The score of the best constant prediction: the commonest label's, or an error of 1; NaN if unknown."""
    known = chances(runs).dropna()
    return float(known.median()) if len(known) else math.nan


def chances(runs: pd.DataFrame) -> pd.Series:
    """Of each run the score of the best constant prediction.

    Always the commonest label, right in a share p of the test part, has an accuracy of p. Of C classes one has a recall
    of 1 and an F1 of 2p / (1 + p), the others 0.
    """
    scored_by = measure(runs)
    if scored_by is ERROR:
        return pd.Series(-1.0, index=runs.index)
    if "majority_acc" not in runs:
        return pd.Series(math.nan, index=runs.index)
    share = runs["majority_acc"].astype("float64")
    if scored_by is ACCURACY:
        return share
    alone = 1.0 if scored_by is BALANCED else 2 * share / (1 + share)
    return (alone / runs["classes"].astype("float64")).where(share.notna())


def at_chance(score: float, runs: pd.DataFrame) -> bool:
    """Whether a score is hardly better than the best constant prediction's: 2 % of the way to one without errors."""
    level = chance(runs)
    best = 0.0 if measure(runs) is ERROR else 1.0
    return score <= level + 0.02 * (best - level)
