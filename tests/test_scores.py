"""By which score a report ranks runs: accuracy, balanced accuracy, macro F1."""

import numpy as np
import pandas as pd
import pytest

from initbench.analysis import measure
from initbench.analysis.cells import score
from initbench.errors import InputError


def runs(ratio: float | None = 0.05, **columns) -> pd.DataFrame:
    """Two runs of ten classes, of which the first is better by accuracy and the second by balanced accuracy."""
    facts = {"status": "done", "outcome": "learned", "task": "labels", "test_acc": [0.9, 0.8], "classes": 10}
    facts |= {"test_balanced_acc": [0.6, 0.7], "test_f1": [0.5, 0.4], "majority_acc": 0.25, "class_ratio": ratio}
    facts |= {"test_loss": 1.0, "constant_loss": 1.0}
    return pd.DataFrame(facts | columns, index=range(2))


@pytest.mark.parametrize(
    ("ratio", "asked", "best", "chance"),
    [
        (0.05, None, [0.6, 0.7], 0.1),
        (0.9, None, [0.9, 0.8], 0.25),
        (None, None, [0.9, 0.8], 0.25),
        (0.05, "test_acc", [0.9, 0.8], 0.25),
        (0.9, "balanced", [0.6, 0.7], 0.1),
        (0.9, "test_f1", [0.5, 0.4], 0.04),  # 2 * 0.25 / 1.25 / 10
    ],
)
def test_the_score_is_the_one_asked_for_or_balanced_where_classes_are(ratio, asked, best, chance):
    chosen = measure.scored(runs(ratio), asked)
    assert score(chosen).tolist() == best
    assert measure.chance(chosen) == pytest.approx(chance)
    assert score(measure.scored(runs(ratio, outcome="diverged"), asked)).tolist() == [-np.inf] * 2


def test_a_sentence_says_why():
    assert measure.why_scored(measure.scored(runs(0.9))) == []
    (why,) = measure.why_scored(measure.scored(runs(0.05)))
    assert why.startswith("Scored by balanced test accuracy") and "20 times" in why
    (advice,) = measure.why_scored(measure.scored(runs(0.05), "test_acc"))
    assert "--score balanced" in advice


def test_what_cannot_be_scored_so_is_refused_and_numbers_keep_their_error():
    with pytest.raises(InputError, match="--score accuracy: there is no such score"):
        measure.scored(runs(), "accuracy")
    old = runs().drop(columns=["test_balanced_acc", "class_ratio"])
    with pytest.raises(InputError, match="some of these runs do not have it"):
        measure.scored(old, "balanced")
    assert score(measure.scored(old)).tolist() == [0.9, 0.8]
    numbers = runs(task="numbers", test_balanced_acc=np.nan)
    assert score(measure.scored(numbers, "balanced")).tolist() == [-1, -1]
