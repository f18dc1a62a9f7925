"""Unbalanced classes: data thinned to a long tail, and scores that count every class alike."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score

from initbench import build
from initbench.config.grid import expand
from initbench.engine.evaluation import scores
from initbench.errors import DoesNotFit, InputError
from initbench.parts import data
from initbench.parts.data import Raw, prepare
from initbench.parts.losses import CLASSIFICATION, REGRESSION, UNSCORED


def equal(n: int, classes: int = 5, test: bool = True) -> Raw:
    """n examples of each class, each with a number of its own; the test part, where it has one, is as large."""
    y = torch.arange(n * classes) % classes
    x = torch.arange(len(y), dtype=torch.float32).unsqueeze(1)
    return Raw(x, y, *((x + len(y), y) if test else ()), classes=classes)


def counts(y: torch.Tensor) -> list[int]:
    return torch.bincount(y).tolist()


def test_classes_become_the_long_tail_of_the_paper():
    """Cui et al. 2019: n mu^(k / (C - 1)), by hand for n = 100, C = 5, mu = 0.01: 100, 31.6, 10, 3.16, 1."""
    dataset = prepare(equal(100), imbalance=0.01)
    assert counts(dataset.y_train) == [100, 31, 10, 3, 1]
    assert counts(dataset.y_test) == [100] * 5
    assert counts(prepare(equal(100), imbalance=1).y_train) == [100] * 5


def test_validation_is_as_unbalanced_as_training_and_no_test_example_is_touched():
    raw = equal(250, test=False)
    plain, thinned = prepare(raw), prepare(raw, imbalance=0.1, val_fraction=0.2)
    assert counts(thinned.y_train) == [160, 90, 50, 28, 16] and counts(thinned.y_val) == [40, 22, 13, 7, 4]
    assert torch.equal(plain.y_test, thinned.y_test)
    test, train = prepare(raw, standardize="none").x_test, prepare(raw, standardize="none", imbalance=0.1).x_train
    assert not set(test.flatten().tolist()) & set(train.flatten().tolist())


def test_the_seed_of_the_split_decides_which_examples_stay():
    raw = equal(100)
    first, again, other = (prepare(raw, imbalance=0.1, split_seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.x_train, again.x_train) and counts(first.y_train) == counts(other.y_train)
    assert not torch.equal(first.x_train, other.x_train)
    assert first.drawn and not prepare(raw).drawn


def test_digits_as_the_docs_say():
    labels = counts(prepare(data.digits(), imbalance=0.05).y_train)
    assert (sum(labels), labels[0], labels[-1]) == (484, 142, 7)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"imbalance": 0}, r"data.imbalance must be a number in \(0, 1\]"),
        ({"imbalance": 0.009}, "leaves none of the 100 examples of class 4; it takes at least 0.01"),
        ({"imbalance": 0.01, "val_fraction": 0.6}, "no example of class 4 is left in the training part"),
    ],
)
def test_a_class_without_examples_is_an_error(keys, message):
    with pytest.raises(InputError, match=message):
        prepare(equal(100), **keys)
    assert counts(prepare(equal(100), imbalance=0.01).y_train)[4] == 1


def test_only_labelled_examples_have_classes_to_thin():
    x = torch.randn(10, 3)
    numbers = Raw(x, torch.randn(10), classes=1, objective=REGRESSION)
    positions = Raw(x, torch.zeros(10, 3, dtype=torch.int64), classes=2)
    for raw in (numbers, positions):
        with pytest.raises(DoesNotFit, match=r"data\.imbalance=0\.1 thins classes"):
            prepare(raw, imbalance=0.1)


def test_the_key_reaches_the_data():
    (run,) = expand(["imbalance_ratio=0.05"]).runs
    assert run.config["data"]["imbalance"] == 0.05
    assert len(build.data(run.config).y_train) == 484


# Scores that count every class alike.


def test_balanced_accuracy_and_macro_f1_are_scikit_learns():
    """Of three runs at once, in chunks, with a class that never occurs, one never predicted and positions unscored."""
    draw = torch.Generator().manual_seed(0)
    outputs = torch.randn(3, 60, 2, 6, generator=draw)
    outputs[..., 4] -= 9
    y = torch.randint(5, (60, 2), generator=draw).square() // 4  # 0, 0, 1, 2, 4: class 3 and class 5 never occur
    y[::7, 1] = UNSCORED
    x = torch.arange(60)
    found = scores(lambda some: outputs[:, some], x, y, CLASSIFICATION, 17)
    for run, said in enumerate(outputs.argmax(-1)):
        true, told = y[y != UNSCORED], said[y != UNSCORED]
        assert found.acc[run] == pytest.approx(float((true == told).float().mean()))
        assert found.f1[run] == pytest.approx(f1_score(true, told, average="macro"))
        with warnings.catch_warnings(action="ignore"):  # y_pred contains classes not in y_true
            assert found.balanced_acc[run] == pytest.approx(balanced_accuracy_score(true, told))


def test_scores_by_hand_and_none_of_numbers():
    """Recalls 1, 1/2 and 0; F1 2/3, 1/2 and 0."""
    y = torch.tensor([0, 1, 1, 2])
    outputs = torch.eye(3)[torch.tensor([[0, 1, 0, 1]])]
    found = scores(lambda some: outputs[:, some], torch.arange(4), y, CLASSIFICATION, 3)
    assert (found.acc[0], found.balanced_acc[0]) == (0.5, 0.5)
    assert found.f1[0] == pytest.approx((2 / 3 + 1 / 2) / 3)
    outputs[0, 1, 2] = torch.inf
    assert all(np.isnan(scores(lambda some: outputs[:, some], torch.arange(4), y, CLASSIFICATION, 3)))
    numbers = scores(lambda some: outputs[:, some, :1], torch.arange(4), y.float(), REGRESSION, 3)
    assert np.isnan(numbers.balanced_acc[0]) and np.isnan(numbers.f1[0]) and numbers.loss[0] >= 0
