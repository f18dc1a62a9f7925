"""What counts as learned, slow and stuck: hand-made losses and accuracies."""

import math

import numpy as np
import pytest

from initbench.outcomes import falling, outcome, quarters

CHANCE = {"constant_loss": math.log(10), "majority": 0.1, "learned_ratio": 0.5}
FLAT = math.log(10) + 0.01 * np.sin(np.arange(400))
FALLING = np.linspace(2.6, 1.8, 400) + 0.02 * np.sin(np.arange(400))


@pytest.mark.parametrize(
    ("loss", "accuracy", "losses", "expected"),
    [
        (0.2, 0.95, FALLING, "learned"),
        (1.0, 0.40, FLAT, "learned"),  # 1.0 <= 2.303 / 2
        (2.0, 0.56, FLAT, "learned"),  # 0.44 wrong <= 0.9 / 2
        (2.0, 0.54, FLAT, "stuck"),
        (2.0, 0.42, FALLING, "slow"),
        (9.7, 0.38, FLAT, "stuck"),  # its minibatches may have told another story
        (9.7, 0.38, FALLING, "slow"),
        (2.31, 0.11, FALLING, "stuck"),  # at chance: the loss only fell back to the constant's
        (2.30, 0.10, FLAT, "stuck"),
    ],
)
def test_a_run_is_judged_by_its_loss_and_its_accuracy_at_the_end(loss, accuracy, losses, expected):
    assert outcome(loss=loss, accuracy=accuracy, losses=losses, **CHANCE) == expected


def test_with_unequal_classes_ninety_per_cent_may_be_chance():
    rare = {"constant_loss": 0.325, "majority": 0.9, "learned_ratio": 0.5}
    assert outcome(loss=0.33, accuracy=0.90, losses=FLAT, **rare) == "stuck"
    assert outcome(loss=0.30, accuracy=0.951, losses=FLAT, **rare) == "learned"


def test_numbers_are_judged_by_their_loss_alone():
    rule = {"constant_loss": 1 / 6, "majority": None, "learned_ratio": 0.5}
    assert outcome(loss=0.08, accuracy=0.0, losses=FLAT, **rule) == "learned"
    assert outcome(loss=0.16, accuracy=0.9, losses=FLAT / 16, **rule) == "stuck"


def test_the_ratio_of_the_configuration_is_of_wrong_predictions_too():
    assert outcome(loss=2.2, accuracy=0.33, losses=FLAT, **CHANCE | {"learned_ratio": 0.75}) == "learned"  # 0.67 / 0.9


def test_a_loss_falls_if_its_last_quarter_is_lower_beyond_noise():
    noisy = {"third_quarter_loss": 2.30, "last_quarter_loss": 2.20, "constant_loss": 2.3}
    assert falling(noisy | {"fall_errors": 4.0})
    assert not falling(noisy | {"fall_errors": 3.9})
    assert not falling(noisy | {"last_quarter_loss": 2.28, "fall_errors": 9.0})  # 0.02 < 1 % of 2.3
    assert not falling(noisy | {"fall_errors": math.nan})


def test_quarters_are_means_and_standard_errors_of_each_run():
    losses = np.array([1, 3, 2, 4, 5, 5, 0, 8, 7.0, 7, 7, 7, 7, 7, 7, 7])
    mean, error = quarters(losses, np.array([0, 8]), np.array([8, 8]))
    np.testing.assert_allclose(mean, [[2, 3, 5, 4], [7, 7, 7, 7]])
    np.testing.assert_allclose(error, [[1, 1, 0, 4], [0, 0, 0, 0]])
