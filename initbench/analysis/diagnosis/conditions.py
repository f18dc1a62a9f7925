"""Thresholds and conditions of the rules: failed runs to truths; a number that is NaN meets no condition.

Thresholds come from principles, not from examples:

- A factor of e^3 = 20 between the first and the last hidden layer. Squared signals and gradients fade as exp(-L/xi)
  over L layers, and networks train up to about L = 6 xi (Schoenholz et al. 2017): e^-6 in the square is e^-3 in the
  norm. The same factor the other way is exploding. Between the first and the last time step of a recurrent layer, where
  gradients fade as powers of the recurrent weights (Hochreiter 1991; Bengio et al. 1994; Pascanu et al. 2013), it is
  the same factor; to explode they must also grow by more than T over T steps, since as many losses may add up there.
- An update of 0.001 of the weights' norm is the rule of thumb for a healthy step; a hundred times that is large.
- float32 resolves 1.2e-7 of a number: units that differ by less than ten times that are equal.
- Initializers assume inputs of size 1: ten times more or less is off scale.
"""

import math
from typing import Any

import numpy as np
import pandas as pd

from initbench.analysis.diagnosis.measurements import setting
from initbench.outcomes import falling

FACTOR = math.exp(3)  # between the first and the last hidden layer: 20, or 1/20
EQUAL = 1e-6  # of a unit's size
OFF_SCALE = 10.0
MOST_DEAD = 0.9  # of a layer's units: less than a tenth of it works
MOST_SATURATED = 0.75  # of all (example, unit) pairs; of a ReLU's, half are flat by design
NEARLY_ALL_SATURATED = 0.95  # of one layer's: a bottleneck
CLIMB = 1.5  # times the first loss, and times the loss of the best constant prediction
LARGE_UPDATE = 0.1  # of a layer's weights in one step
NO_DISTANCE = 0.01  # of a layer's weights in all steps
ALIKE = 0.05  # nats: logits that differ less between examples predict the same for all; numbers: of their deviation
# Only for results that lack the column `act_rectifies`, which later versions record with each run.
RECTIFIERS_OF_OLD_RESULTS = ("relu", "leaky_relu", "gelu", "silu", "mish", "softplus")

Runs = pd.DataFrame  # one row per failed run: its configuration, and NUMBERS
Cell = dict[str, Any]  # the same of one cell: numbers are medians over the runs that agree on the fault


def rectifies(runs: Runs) -> pd.Series:
    """Whether the activation is off on one side of 0, where a unit that is flat for every example is a dead one."""
    recorded = setting(runs, "act_rectifies", pd.NA).astype("boolean")
    return recorded.fillna(runs["act"].isin(RECTIFIERS_OF_OLD_RESULTS)).astype("bool")


def predicts_numbers(runs: Runs) -> pd.Series:
    return setting(runs, "task", "labels") == "numbers"


def vanishing(runs: Runs) -> Any:
    return (runs["grad_ratio"] <= 1 / FACTOR) | (runs["signal_ratio"] <= 1 / FACTOR)


def vanishing_over_time(runs: Runs) -> Any:
    return runs["time_ratio"] <= 1 / FACTOR


def died(runs: Runs) -> Any:
    """Whether units of some layer became dead or saturated after step 0."""
    dead = (runs["dead_at_end"] >= MOST_DEAD) & (runs["dead"] < MOST_DEAD)
    flat = (runs["saturated_at_end"] >= NEARLY_ALL_SATURATED) & (runs["saturated"] < NEARLY_ALL_SATURATED)
    return dead | flat


def nothing_to_learn(runs: Runs) -> Any:
    least = np.where(predicts_numbers(runs), EQUAL**2, EQUAL)
    return (runs["input_std"] == 0) | (runs["constant_loss"].abs() < least)


def symmetric(runs: Runs) -> Any:
    return (runs["inequality"] <= EQUAL) & (setting(runs, "width", 2) != 1)


def saturated(runs: Runs) -> Any:
    most = (runs["saturated_mean"] >= MOST_SATURATED) | (runs["saturated"] >= NEARLY_ALL_SATURATED)
    return most & ~rectifies(runs)


def exploding(runs: Runs) -> Any:
    amplified = runs["output_spread"] / runs["input_size"]
    overflow = (runs["nonfinite"] > 0) & (runs["signal_growth"] > 1)
    return (runs["grad_ratio"] >= FACTOR) | (runs["signal_ratio"] >= FACTOR) | (amplified >= FACTOR) | overflow


def dominated(runs: Runs) -> Any:
    alike = (runs["output_spread"] <= runs["output_size"] / FACTOR) & (runs["output_size"] >= 1)
    return alike & ~vanishing(runs)


def rate_too_high(runs: Runs) -> Any:
    """The loss climbed, or overflowed after the first update; or large updates led nowhere."""
    climbed = runs["peak_loss"] >= CLIMB * np.fmax(runs["first_loss"], runs["constant_loss"])
    restless = (runs["largest_update"] >= LARGE_UPDATE) & ~falling(runs)
    faded = vanishing(runs) | vanishing_over_time(runs)
    return climbed | (runs["diverged_step"] > 0) | (restless & (died(runs) | ~faded))


def became_constant(runs: Runs) -> Any:
    size = np.where(predicts_numbers(runs), np.sqrt(runs["constant_loss"]), 1)
    return runs["output_spread_at_end"] <= ALIKE * size
