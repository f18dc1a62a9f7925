"""Thresholds and conditions of the rules: functions from runs to booleans. A number that is NaN meets no condition.

Thresholds come from principles, not from examples:

- FACTOR, e^3 = 20, between the first and the last hidden layer (`initbench.theory.thresholds` says why). The same
  factor the other way is exploding. Between the first and the last time step of a recurrent layer, where gradients fade
  as powers of the recurrent weights (Hochreiter 1991; Bengio et al. 1994; Pascanu et al. 2013), it is the same factor;
  to explode they must also grow by more than T over T steps, since as many losses may add up there.
- The same factor for settings. Dropout keeps q of each layer's outputs and divides them by q, so that over L layers the
  root mean square of signals grows by q^(-L/2); clipping that leaves a twentieth of the gradient makes every step as
  much shorter; momentum that remembers more than twenty steps and a twentieth of the training can't turn in time; a
  batch a twentieth of the default makes steps as much noisier (Goyal et al. 2017; Smith et al. 2018), and a twentieth
  of the default steps is hardly a beginning.
- An update of 0.001 of the weights' norm is the rule of thumb for a healthy step; a hundred times that is large.
- float32 resolves 1.2e-7 of a number: units that differ by less than ten times that are equal.
- Initializers assume inputs of size 1 whose entries are alike, and losses that start near that of a guess: ten times
  more or less is off scale. Biases of 1 are as large as the pre-activations that they are added to.
- A penalty is too strong if by itself it would shrink weights e-fold or to 0 within the training, and they did shrink.
- Labels that agree between nearest neighbours no more than a tenth of the way from chance to always say that inputs
  tell labels hardly apart; 3 standard errors are not chance, and there must be so many examples that these would show.
  A nearest neighbour errs at most twice as often as the best classifier, given enough examples (Cover & Hart 1967).
- Memorized: on test examples the loss is worse than without looking at them, and less than a quarter of what the
  training examples gained in accuracy carries over; where labels are noisy, less than half.
- Labels of which three in four are of one class: the others hardly move the loss.
"""

import math
from typing import Any

import numpy as np
import pandas as pd

from initbench.analysis.diagnosis.measurements import setting
from initbench.analysis.diagnosis.settings import number
from initbench.config import registry
from initbench.outcomes import ABOVE_CHANCE, LEARNED, falling
from initbench.theory.thresholds import FACTOR

EQUAL = 1e-6  # of a unit's size
OFF_SCALE = 10.0
LARGE_BIAS = 1.0
MOST_DEAD = 0.9  # of a layer's units: less than a tenth of it works
MOST_SATURATED = 0.75  # of all (example, unit) pairs; of a ReLU's, half are flat by design
NEARLY_ALL_SATURATED = 0.95  # of one layer's: a bottleneck
CLIMB = 1.5  # times the first loss, and times the loss of the best constant prediction
LARGE_UPDATE = 0.1  # of a layer's weights in one step
NO_DISTANCE = 0.01  # of a layer's weights in all steps
ALIKE = 0.05  # nats: logits that differ less between examples predict the same for all; numbers: of their deviation
LITTLE = 0.1  # of the way from chance to always
STANDARD_ERRORS = 3.0
_CONFIG = registry.read(registry.CONF / "config.yaml")
DEFAULT_BATCH, DEFAULT_STEPS = _CONFIG["batch_size"], _CONFIG["steps"]  # which default rates are made for
NEIGHBOURS = 1000  # examples whose neighbours were looked at, at most
CARRIED_OVER = 0.25  # of the gain in accuracy on the training part
IMBALANCED = 0.75  # of the labels
UNSCALED = ("sgd", "lookahead")  # optimizers whose steps are as long as their gradients
# Only for results that lack the column `act_rectifies`, which later versions record with each run.
RECTIFIERS_OF_OLD_RESULTS = ("relu", "leaky_relu", "gelu", "silu", "mish", "softplus")

Runs = pd.DataFrame  # one row per run: its configuration, its outcome, and NUMBERS
Cell = dict[str, Any]  # the same of one cell: numbers are medians over the runs that agree on the fault


def amount(runs: Runs, key: str) -> pd.Series:
    """A setting as a number; where a run has none, what that means: 0, or 1 for a factor."""
    return setting(runs, key, None).map(lambda value: number(key, value)).astype("float64")


def rectifies(runs: Runs) -> pd.Series:
    """Whether an activation is off on one side of 0, where a unit that is flat for every example is a dead one."""
    recorded = setting(runs, "act_rectifies", pd.NA).astype("boolean")
    return recorded.fillna(runs["act"].isin(RECTIFIERS_OF_OLD_RESULTS)).astype("bool")


def saturates(runs: Runs) -> pd.Series:
    """Whether an activation is flat on both sides, or may be: a model can have activations of both kinds."""
    return ~rectifies(runs) | (setting(runs, "rectifying", 1.0).astype("float64") < 1)


def in_nats(runs: Runs) -> pd.Series:
    """Whether the loss is a cross-entropy, of which a guess among C classes has ln C."""
    unit = setting(runs, "loss_unit", pd.NA)
    return unit.eq("nats").where(unit.notna(), ~predicts_numbers(runs)).astype("bool")


def predicts_numbers(runs: Runs) -> pd.Series:
    return setting(runs, "task", "labels") == "numbers"


def learned(runs: Runs) -> pd.Series:
    return setting(runs, "outcome", None) == LEARNED


# ---------------------------------------------------------------- data


def nothing_to_learn(runs: Runs) -> Any:
    least = np.where(predicts_numbers(runs), EQUAL**2, EQUAL)
    equal_inputs = (runs["input_std"] == 0) | (runs["seen_std"] == 0) | (runs["seen_distinct"] == 1)
    return equal_inputs | (runs["constant_loss"].abs() < least)


def inputs_off_scale(runs: Runs) -> Any:
    """Whether all of the inputs are too large or too small, and not one of their entries alone.

    Of a network that learned it is a fault where it had to get over the first loss.
    """
    size = (runs["input_size"] >= OFF_SCALE) | (runs["input_size"] <= 1 / OFF_SCALE)
    one = runs["seen_std_max"] >= OFF_SCALE * runs["seen_std_median"]
    return size & ~one & (~learned(runs) | first_loss_off_scale(runs))


def features_off_scale(runs: Runs) -> Any:
    """Whether one entry of the inputs varies, or lies away from 0, ten times as far as the typical one varies."""
    return np.fmax(runs["seen_std_max"], runs["seen_mean_max"]) >= OFF_SCALE * runs["seen_std_median"]


def informative(runs: Runs | Cell) -> Any:
    """How far labels of neighbours agree, from 0, as by chance, to 1, always."""
    return (runs["neighbour_agreement"] - runs["neighbour_chance"]) / (1 - runs["neighbour_chance"])


def enough_neighbours(runs: Runs) -> Any:
    """Whether labels that agree a little would be told from chance, and most examples have others of their label."""
    examples = np.fmin(runs["seen_distinct"], NEIGHBOURS)
    shows = STANDARD_ERRORS * chance_error(runs) <= LITTLE * (1 - runs["neighbour_chance"])
    return shows & (runs["neighbour_chance"] * examples >= 1 / LITTLE)


def chance_error(runs: Runs) -> pd.Series:
    """The standard error of the share of neighbours whose labels agree by chance."""
    chance, examples = runs["neighbour_chance"], np.fmin(runs["seen_distinct"], NEIGHBOURS)
    return np.sqrt((chance * (1 - chance)).clip(lower=0) / examples)  # rounding may leave chance above 1


def unrelated(runs: Runs) -> Any:
    """Whether neighbours' labels agree as by chance, and so do the network's answers on the test part."""
    by_chance = runs["neighbour_agreement"] <= runs["neighbour_chance"] + STANDARD_ERRORS * chance_error(runs)
    above = carried_over(runs["test_acc"], runs["majority_acc"]) > LITTLE
    return by_chance & enough_neighbours(runs) & (runs["train_majority"] < IMBALANCED) & ~above


def noisy(runs: Runs) -> Any:
    alike = (informative(runs) <= LITTLE) & enough_neighbours(runs)
    return alike & (by_heart(runs, 2 * CARRIED_OVER) | ~(falling(runs) | learned(runs)))


def carried_over(accuracy: Any, majority: Any) -> Any:
    """How far an accuracy is, from 0, that of always predicting the commonest label, to 1."""
    return (accuracy - majority) / (1 - majority)


def by_heart(runs: Runs, share: float) -> Any:
    """Whether less than this share of the gain in accuracy on the training part is there on the test part, where the
    loss is worse than without looking."""
    train = carried_over(runs["train_acc"], runs["train_majority"])
    test = carried_over(runs["test_acc"], runs["majority_acc"])
    worse = runs["test_loss"] >= runs["constant_loss"]
    return (train > ABOVE_CHANCE) & (test < share * train) & worse & ~predicts_numbers(runs)


def memorized(runs: Runs) -> Any:
    """Whether a network knows its training examples and little beyond them."""
    numbers = predicts_numbers(runs) & (runs["full_train_loss"] <= 0.5 * runs["constant_loss"])
    return by_heart(runs, CARRIED_OVER) | (numbers & (runs["test_loss"] >= runs["constant_loss"]))


def imbalanced(runs: Runs) -> Any:
    """Whether most labels are of one class, and the network does no better on the test part than always saying it."""
    at_majority = carried_over(runs["test_acc"], runs["majority_acc"]) <= ABOVE_CHANCE
    return (runs["train_majority"] >= IMBALANCED) & at_majority


def squashed(runs: Runs) -> pd.Series:
    return setting(runs, "output_kind", None).notna()


# ---------------------------------------------------------------- the start


def symmetric(runs: Runs) -> Any:
    """Whether the units of every hidden layer, or of one of them, are equal."""
    return (np.fmin(runs["inequality"], runs["least_inequality"]) <= EQUAL) & (setting(runs, "width", 2) != 1)


def saturated(runs: Runs) -> Any:
    most = (runs["saturated_mean"] >= MOST_SATURATED) | (runs["saturated"] >= NEARLY_ALL_SATURATED)
    return most & saturates(runs)


def large_biases(runs: Runs) -> Any:
    return amount(runs, "init.bias").abs() >= LARGE_BIAS


def exploding(runs: Runs) -> Any:
    amplified = (runs["output_spread"] >= FACTOR * runs["input_size"]) & ~exploding_over_time(runs)  # or it is by time
    overflow = (runs["nonfinite"] > 0) & (runs["signal_growth"] > 1)
    return (runs["grad_ratio"] >= FACTOR) | (runs["signal_ratio"] >= FACTOR) | amplified | overflow


def exploding_over_time(runs: Runs) -> Any:
    return runs["time_ratio"] >= np.fmax(FACTOR, runs["time_steps"])


def first_loss_off_scale(runs: Runs) -> Any:
    """Whether the first loss is far above that of a guess among all classes, ln C: many times the constant's may be
    little where labels are of one class."""
    guess = np.fmax(runs["constant_loss"], np.log(runs["classes"].fillna(1)).where(in_nats(runs), 0))
    return (runs["first_loss"] >= OFF_SCALE * guess) & ~predicts_numbers(runs)


def vanishing(runs: Runs) -> Any:
    return (runs["grad_ratio"] <= 1 / FACTOR) | (runs["signal_ratio"] <= 1 / FACTOR)


def vanishing_over_time(runs: Runs) -> Any:
    return runs["time_ratio"] <= 1 / FACTOR


def dominated(runs: Runs) -> Any:
    alike = (runs["output_spread"] <= runs["output_size"] / FACTOR) & (runs["output_size"] >= 1)
    return alike & ~vanishing(runs)


# ---------------------------------------------------------------- settings of the training


def pace(runs: Runs) -> pd.Series:
    """How far a constant gradient of 1 moves a weight in the training: rate times steps, over 1 - momentum."""
    return amount(runs, "lr") * amount(runs, "steps") / (1 - amount(runs, "optim.momentum"))


def shrinking(runs: Runs) -> pd.Series:
    """How often weight decay by itself would divide the weights by e."""
    at_once = amount(runs, "regularize.decoupled") + amount(runs, "optim.weight_decay")
    return amount(runs, "regularize.weight_decay") * pace(runs) + at_once * amount(runs, "lr") * amount(runs, "steps")


def pulled_to_0(runs: Runs) -> pd.Series:
    """How far a penalty by itself would move a weight, in parts of a typical one, 1 over the root of the width.

    An optimizer that scales its steps takes a penalty's pull, however small, as far as any gradient's.
    """
    l1, decay = amount(runs, "regularize.l1"), amount(runs, "regularize.weight_decay")
    pull = l1.mask((l1 + decay > 0) & ~setting(runs, "optim", "sgd").isin(UNSCALED), 1.0)
    return pull * pace(runs) * np.sqrt(amount(runs, "width"))


def faded(runs: Runs) -> Any:
    """Whether outputs became alike, or twenty times more so than at the start."""
    return became_constant(runs) | (runs["output_spread_at_end"] <= runs["output_spread"] / FACTOR)


def penalized(runs: Runs) -> Any:
    return (np.fmax(shrinking(runs), pulled_to_0(runs)) >= 1) & faded(runs)


def noise_of_dropout(runs: Runs) -> pd.Series:
    """By how much dropout and dropconnect multiply the root mean square of signals on their way to the output."""
    kept = (1 - amount(runs, "regularize.dropout")) * (1 - amount(runs, "regularize.dropconnect"))
    return kept ** (-runs["hidden_layers"].fillna(amount(runs, "depth")) / 2)


def clipped(runs: Runs) -> Any:
    """Whether clipping took nearly all of the gradient, of a network whose weights hardly moved."""
    limits = amount(runs, "gradient.clip_norm") + amount(runs, "gradient.clip_value")
    return (limits > 0) & (runs["gradient_kept"] <= 1 / FACTOR) & (runs["distance"] < 1)


def memory(runs: Runs) -> pd.Series:
    """Over how many steps momentum averages the gradients."""
    return 1 / (1 - np.fmax(amount(runs, "optim.momentum"), amount(runs, "optim.beta1")))


def slow_to_turn(runs: Runs) -> Any:
    return (memory(runs) >= FACTOR) & (memory(runs) >= amount(runs, "steps") / FACTOR)


def small_batches(runs: Runs) -> Any:
    batch = setting(runs, "batch_size", math.nan).astype("float64")
    return (batch <= DEFAULT_BATCH / FACTOR) & ~falling(runs)


# ---------------------------------------------------------------- what training did


def died(runs: Runs) -> Any:
    """Whether units of some layer became dead or saturated after step 0."""
    dead = (runs["dead_at_end"] >= MOST_DEAD) & (runs["dead"] < MOST_DEAD)
    flat = (runs["saturated_at_end"] >= NEARLY_ALL_SATURATED) & (runs["saturated"] < NEARLY_ALL_SATURATED)
    return dead | flat


def climbed(runs: Runs | Cell) -> Any:
    return runs["peak_loss"] >= CLIMB * np.fmax(runs["first_loss"], runs["constant_loss"])


def rate_too_high(runs: Runs) -> Any:
    """The loss climbed, or overflowed after the first update; or large updates led nowhere."""
    restless = (runs["largest_update"] >= LARGE_UPDATE) & ~falling(runs)
    fading = vanishing(runs) | vanishing_over_time(runs)
    return climbed(runs) | (runs["diverged_step"] > 0) | (restless & (died(runs) | ~fading))


def became_constant(runs: Runs) -> Any:
    size = np.where(~in_nats(runs), np.sqrt(runs["constant_loss"]), 1)
    return runs["output_spread_at_end"] <= ALIKE * size


def too_slow(runs: Runs) -> Any:
    """The loss was falling, weights can't have moved, or there were too few steps to see whether it falls."""
    steps = setting(runs, "steps", math.nan).astype("float64")
    hardly_begun = (steps <= DEFAULT_STEPS / FACTOR) & (runs["last_quarter_loss"] < runs["first_loss"])
    return falling(runs) | (runs["distance"] < NO_DISTANCE) | hardly_begun
