"""Faults of step 0 that spoil training at any learning rate.

To add a rule, write its condition, its sentence and the rule here, and put it in its place in START_RULES.
"""

import math
from typing import Any

import numpy as np

from initbench.analysis.diagnosis import conditions
from initbench.analysis.diagnosis.conditions import (
    EQUAL,
    FACTOR,
    MOST_DEAD,
    MOST_SATURATED,
    NEARLY_ALL_SATURATED,
    OFF_SCALE,
    Cell,
    Runs,
)
from initbench.analysis.diagnosis.evidence import (
    activations,
    biases,
    capitalized,
    gradients,
    loss,
    network,
    over_time,
)
from initbench.analysis.diagnosis.measurements import setting
from initbench.analysis.diagnosis.rule import FaultRule, another_init, isometry, no_bias, percents
from initbench.text import rough, rough_percent

# ---------------------------------------------------------------- data that cannot be learned from


def _nothing_to_learn(runs: Runs) -> Any:
    least = np.where(conditions.predicts_numbers(runs), EQUAL**2, EQUAL)
    return (runs["input_std"] == 0) | (runs["constant_loss"].abs() < least)


def _what_is_equal(cell: Cell) -> str:
    if cell["input_std"] == 0:
        return f"All inputs are equal ({rough(cell['input_mean'])}): nothing tells one class from another."
    what = "numbers to predict are equal" if cell["task"] == "numbers" else "training labels are of one class"
    return f"All {what}: a constant prediction has loss 0, and there is nothing to learn."


NOTHING_TO_LEARN = FaultRule(
    fault="data problem",
    statement="All training inputs are equal, or all training labels are of one class, or all numbers to predict are "
    "equal.",
    applies=_nothing_to_learn,
    evidence=_what_is_equal,
    advice="Check the data: values, labels and splits.",
    choices=("data",),
)

# ---------------------------------------------------------------- units that start equal


def _symmetric(runs: Runs) -> Any:
    return (runs["inequality"] <= EQUAL) & (setting(runs, "width", 2) != 1)


def _how_equal(cell: Cell) -> str:
    if math.isnan(cell["update_ratio"]):
        return "All weights start at 0: the units of a layer are equal, get equal updates and stay equal."
    size = f"by at most {rough(cell['inequality'])} of their size" if cell["inequality"] else "not at all"
    return f"At step 0 the units of a layer differ {size}: they get equal updates and stay equal."


SYMMETRIC = FaultRule(
    fault="symmetric units",
    statement=f"At step 0 the units of every hidden layer differ by at most {EQUAL:g} of their size, or all weights "
    "are 0.",
    applies=_symmetric,
    evidence=_how_equal,
    advice="Draw the weights at random: this breaks the symmetry.",
    choices=("init",),
    try_next=another_init,
)

# ---------------------------------------------------------------- inputs off scale

OFF_SCALE_INPUTS = FaultRule(
    fault="data problem",
    statement=f"The inputs that the network sees have a root mean square of at least {OFF_SCALE:g} or at most "
    f"{1 / OFF_SCALE:g}; standardized inputs have 1.",
    applies=lambda runs: (runs["input_size"] >= OFF_SCALE) | (runs["input_size"] <= 1 / OFF_SCALE),
    evidence=lambda cell: (
        f"Inputs are not standardized: mean {rough(cell['input_mean'])}, standard deviation "
        f"{rough(cell['input_std'])}. Their root mean square is {rough(cell['input_size'])}; initializers assume 1."
    ),
    advice="Standardize the inputs: data.standardize=global, or feature.",
    choices=("data",),
)

# ---------------------------------------------------------------- dead units

DEAD = FaultRule(
    fault="dead units",
    statement=percents(
        f"The activation is a rectifier, and at step 0 at least {MOST_DEAD:.0%} of some hidden layer's units are off "
        "for every example of the batch (|phi'| < 0.001)."
    ),
    applies=lambda runs: (runs["dead"] >= MOST_DEAD) & conditions.rectifies(runs),
    evidence=lambda cell: (
        f"At step 0 {rough_percent(cell['dead'])} of one layer's units are off for every example of the "
        f"batch{biases(cell)}."
    ),
    advice="Start biases at 0 or above, or use an activation that is not flat where it is off (act=leaky_relu).",
    choices=("init", "mitigation"),
    try_next=no_bias,
)

# ---------------------------------------------------------------- saturated units


def _saturated(runs: Runs) -> Any:
    most = (runs["saturated_mean"] >= MOST_SATURATED) | (runs["saturated"] >= NEARLY_ALL_SATURATED)
    return most & ~conditions.rectifies(runs)


def _how_flat(cell: Cell) -> str:
    steep = not 1 / FACTOR < cell["grad_ratio"] < FACTOR and not math.isnan(cell["grad_growth"])
    return (
        f"At step 0 {cell['act']} is flat (|phi'| < 0.05) for {rough_percent(cell['saturated_mean'])} of the pairs of "
        f"example and unit, and for {rough_percent(cell['saturated'])} in the worst layer{biases(cell, least=1)}"
        f"{f'; {gradients(cell)}' if steep else ''}."
    )


SATURATED = FaultRule(
    fault="saturated",
    statement=percents(
        f"At step 0 the activation is flat (|phi'| < 0.05) for {MOST_SATURATED:.0%} of the pairs of example and "
        f"unit, over the layers where it ever is, or for {NEARLY_ALL_SATURATED:.0%} in one hidden layer. Not for "
        "rectifiers, which are flat for half of the pairs by design."
    ),
    applies=_saturated,
    evidence=_how_flat,
    advice="Use smaller weights and biases, which keep pre-activations where the activation is steep, or normalize.",
    choices=("init", "mitigation"),
    try_next=no_bias,
)

# ---------------------------------------------------------------- signals or gradients that explode


def _exploding(runs: Runs) -> Any:
    amplified = runs["output_spread"] / runs["input_size"]
    overflow = (runs["nonfinite"] > 0) & (runs["signal_growth"] > 1)
    return (runs["grad_ratio"] >= FACTOR) | (runs["signal_ratio"] >= FACTOR) | (amplified >= FACTOR) | overflow


def _what_explodes(cell: Cell) -> str:
    if cell["grad_ratio"] >= FACTOR and not cell["signal_ratio"] >= FACTOR:
        return f"{capitalized(gradients(cell))}; {network(cell)}."
    if cell["nonfinite"] > 0:
        return f"{activations(cell)} and overflow at step 0; {network(cell)}."
    growth = f"{activations(cell)}: o" if cell["signal_growth"] > 1 else "O"
    return (
        f"{growth}utputs differ between examples by {rough(cell['output_spread'])} at step 0, and the first loss is "
        f"{loss(cell, 'first_loss')} (best constant prediction: {loss(cell, 'constant_loss')}); {network(cell)}."
    )


EXPLODING = FaultRule(
    fault="exploding",
    statement=f"None of the above, and at step 0 gradients by pre-activations grow {FACTOR:.0f}-fold from the last to "
    f"the first hidden layer, or differences between examples grow {FACTOR:.0f}-fold from the first to the last hidden "
    "layer or from the inputs to the outputs, or they overflow.",
    applies=_exploding,
    evidence=_what_explodes,
    advice="Use smaller weights (variance proportional to 1/fan-in), or normalize.",
    choices=("init", "mitigation"),
    try_next=another_init,
)


EXPLODING_OVER_TIME = FaultRule(
    fault="exploding over time",
    statement="None of the above, and at step 0 a recurrent layer's gradients by pre-activations grow "
    f"{FACTOR:.0f}-fold from its last to its first time step, and by more than the number of time steps (Bengio et al. "
    "1994; Pascanu et al. 2013).",
    applies=lambda runs: runs["time_ratio"] >= np.fmax(FACTOR, runs["time_steps"]),
    evidence=over_time,
    advice="Clip gradients (Pascanu et al. 2013), or use recurrent weights that keep lengths "
    "(init.recurrent=orthogonal).",
    choices=("init", "mitigation", "model"),
    try_next=isometry,
)

# ---------------------------------------------------------------- outputs that a constant dominates


def _dominated(runs: Runs) -> Any:
    alike = (runs["output_spread"] <= runs["output_size"] / FACTOR) & (runs["output_size"] >= 1)
    return alike & ~conditions.vanishing(runs)


DOMINATED_OUTPUT = FaultRule(
    fault="constant output",
    statement="None of the above, and at step 0 outputs of size 1 or more differ between examples by at most "
    f"1/{FACTOR:.0f} of their size, although nothing vanished on the way to them.",
    applies=_dominated,
    evidence=lambda cell: (
        f"At step 0 outputs have a root mean square of {rough(cell['output_size'])}, but differ between examples by "
        f"only {rough(cell['output_spread'])}{biases(cell)}."
    ),
    advice="Start biases at 0 (init.bias=0) and centre the inputs (data.standardize=global).",
    choices=("init", "data", "mitigation"),
    try_next=no_bias,
)

START_RULES = [
    NOTHING_TO_LEARN,
    SYMMETRIC,
    OFF_SCALE_INPUTS,
    DEAD,
    SATURATED,
    EXPLODING,
    EXPLODING_OVER_TIME,
    DOMINATED_OUTPUT,
]
