"""The rules of diagnosis in their order: a run that is stuck or diverged has the first fault whose rule applies to it.

A cell has the fault that most of its failed runs have. The order puts a cause before what follows from it:

1. Data that can't be learned from; units that start equal and so stay equal; inputs off scale. Whatever else is seen
   in such a network follows.
2. Dead and saturated units, because they are why gradients vanish; then exploding signals, and outputs that a constant
   dominates. Each spoils training at any rate, so a rate is blamed only where the start shows none of these.
3. A rate too high, where the loss climbed: vanishing gradients don't drive a network away from where it started.
   Then vanishing, from layer to layer and from time step to time step.
4. What the end alone shows: units that died, a loss that was still falling, outputs that became constant.

To add a rule, put it in its place in RULES; its condition goes to `conditions`, its sentence to `evidence`, unless they
are one line.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from initbench.analysis.diagnosis import conditions, evidence
from initbench.analysis.diagnosis.conditions import (
    ALIKE,
    CLIMB,
    EQUAL,
    FACTOR,
    LARGE_UPDATE,
    MOST_DEAD,
    MOST_SATURATED,
    NEARLY_ALL_SATURATED,
    NO_DISTANCE,
    OFF_SCALE,
    Cell,
    Runs,
)
from initbench.analysis.diagnosis.measurements import BLOCK
from initbench.config.registry import shipped_facts
from initbench.outcomes import FALL, FALL_ERRORS
from initbench.text import percent, rough, rough_percent

SUGGESTED = "lecun init.gain=auto"  # for an activation whose YAML names no initializer that trains 20 layers of it


@dataclass(frozen=True)
class FaultRule:
    """One fault: when a run has it, how it shows, and what to try."""

    fault: str  # its name; several rules may find the same fault.
    statement: str  # a sentence that says when the rule applies.
    # failed runs to truths; a number that wasn't measured is NaN and meets no condition.
    applies: Callable[[Runs], Any]
    evidence: Callable[[Cell], str]  # a cell to the sentence that cites its numbers.
    advice: str  # what to do, in the imperative.
    choices: tuple[str, ...]  # the keys and groups worth another value, the most promising first.
    # a cell to an override to try where no run of the sweep shows what works; None: nothing comes to mind.
    try_next: Callable[[Cell], str | None] = lambda cell: None


def another_init(cell: Cell) -> str | None:
    """The initializer that trains deep networks of this activation."""
    suggested = shipped_facts("act").get(cell["act"], {}).get("Initializer", SUGGESTED)
    return None if suggested.split(" ")[0] in ("none", cell["init"]) else f"init={suggested}"


def isometry(cell: Cell) -> str | None:
    """Recurrent weights that keep lengths."""
    return None if cell.get("init.recurrent") in ("orthogonal", "identity") else "init.recurrent=orthogonal"


def no_bias(cell: Cell) -> str | None:
    return "init.bias=0" if evidence.bias(cell) else another_init(cell)


def lower_rate(cell: Cell) -> str:
    return f"lr={cell['lr'] / 10:g}"


def longer(cell: Cell) -> str:
    """More steps where the loss was still falling, else a higher rate."""
    return f"steps={3 * int(cell['steps'])}" if evidence.still_falling(cell) else f"lr={cell['lr'] * 10:g}"


KEEP_MEMORY = (
    "Use recurrent weights that keep lengths (init.recurrent=orthogonal or identity), gated cells (model=lstm or gru), "
    "or an LSTM whose forget gate starts open (init.forget_bias=1)."
)

RULES = [
    FaultRule(
        fault="data problem",
        statement="All training inputs are equal, or all training labels are of one class, or all numbers to predict "
        "are equal.",
        applies=conditions.nothing_to_learn,
        evidence=evidence.what_is_equal,
        advice="Check the data: values, labels and splits.",
        choices=("data",),
    ),
    FaultRule(
        fault="symmetric units",
        statement=f"At step 0 the units of every hidden layer differ by at most {EQUAL:g} of their size, or all "
        "weights are 0.",
        applies=conditions.symmetric,
        evidence=evidence.how_equal,
        advice="Draw the weights at random: this breaks the symmetry.",
        choices=("init",),
        try_next=another_init,
    ),
    FaultRule(
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
    ),
    FaultRule(
        fault="dead units",
        statement=f"The activation is a rectifier, and at step 0 at least {percent(MOST_DEAD, 0)} of some hidden "
        "layer's units are off for every example of the batch (|phi'| < 0.001).",
        applies=lambda runs: (runs["dead"] >= MOST_DEAD) & conditions.rectifies(runs),
        evidence=lambda cell: (
            f"At step 0 {rough_percent(cell['dead'])} of one layer's units are off for every example of the "
            f"batch{evidence.biases(cell)}."
        ),
        advice="Start biases at 0 or above, or use an activation that is not flat where it is off (act=leaky_relu).",
        choices=("init", "mitigation"),
        try_next=no_bias,
    ),
    FaultRule(
        fault="saturated",
        statement=f"At step 0 the activation is flat (|phi'| < 0.05) for {percent(MOST_SATURATED, 0)} of the pairs of "
        f"example and unit, over the layers where it ever is, or for {percent(NEARLY_ALL_SATURATED, 0)} in one hidden "
        "layer. Not for rectifiers, which are flat for half of the pairs by design.",
        applies=conditions.saturated,
        evidence=evidence.how_flat,
        advice="Use smaller weights and biases, which keep pre-activations where the activation is steep, or "
        "normalize.",
        choices=("init", "mitigation"),
        try_next=no_bias,
    ),
    FaultRule(
        fault="exploding",
        statement=f"None of the above, and at step 0 gradients by pre-activations grow {FACTOR:.0f}-fold from the last "
        f"to the first hidden layer, or differences between examples grow {FACTOR:.0f}-fold from the first to the last "
        "hidden layer or from the inputs to the outputs, or they overflow.",
        applies=conditions.exploding,
        evidence=evidence.what_explodes,
        advice="Use smaller weights (variance proportional to 1/fan-in), or normalize.",
        choices=("init", "mitigation"),
        try_next=another_init,
    ),
    FaultRule(
        fault="exploding over time",
        statement="None of the above, and at step 0 a recurrent layer's gradients by pre-activations grow "
        f"{FACTOR:.0f}-fold from its last to its first time step, and by more than the number of time steps (Bengio et "
        "al. 1994; Pascanu et al. 2013).",
        applies=lambda runs: runs["time_ratio"] >= np.fmax(FACTOR, runs["time_steps"]),
        evidence=evidence.over_time,
        advice="Clip gradients (Pascanu et al. 2013), or use recurrent weights that keep lengths "
        "(init.recurrent=orthogonal).",
        choices=("init", "mitigation", "model"),
        try_next=isometry,
    ),
    FaultRule(
        fault="constant output",
        statement="None of the above, and at step 0 outputs of size 1 or more differ between examples by at most "
        f"1/{FACTOR:.0f} of their size, although nothing vanished on the way to them.",
        applies=conditions.dominated,
        evidence=lambda cell: (
            f"At step 0 outputs have a root mean square of {rough(cell['output_size'])}, but differ between examples "
            f"by only {rough(cell['output_spread'])}{evidence.biases(cell)}."
        ),
        advice="Start biases at 0 (init.bias=0) and centre the inputs (data.standardize=global).",
        choices=("init", "data", "mitigation"),
        try_next=no_bias,
    ),
    FaultRule(
        fault="rate too high",
        statement=f"None of the above, and the loss overflowed after the first update, or rose (mean of {BLOCK} steps) "
        f"to {CLIMB:g} times both its first value and that of the best constant prediction; or an update changed a "
        f"layer's weights by {percent(LARGE_UPDATE, 0)} of their norm and the loss was not falling at the end, and "
        "units died on the way or nothing vanished at step 0.",
        applies=conditions.rate_too_high,
        evidence=evidence.what_the_loss_did,
        advice="Use a lower rate, a warm-up, or clipped gradients.",
        choices=("lr", "optim", "mitigation"),
        try_next=lower_rate,
    ),
    FaultRule(
        fault="vanishing",
        statement=f"None of the above, and at step 0 gradients by pre-activations shrink {FACTOR:.0f}-fold from the "
        f"last to the first hidden layer, or differences between examples shrink {FACTOR:.0f}-fold from the first to "
        "the last.",
        applies=conditions.vanishing,
        evidence=evidence.what_vanishes,
        advice="Use larger weights, fewer layers, normalization, or residual connections.",
        choices=("init", "lr", "mitigation"),
        try_next=another_init,
    ),
    FaultRule(
        fault="vanishing over time",
        statement="None of the above, and at step 0 a recurrent layer's gradients by pre-activations shrink "
        f"{FACTOR:.0f}-fold from its last to its first time step (Hochreiter 1991; Bengio et al. 1994).",
        applies=conditions.vanishing_over_time,
        evidence=evidence.over_time,
        advice=KEEP_MEMORY,
        choices=("init", "model", "mitigation"),
        try_next=isometry,
    ),
    FaultRule(
        fault="dead units",
        statement=f"None of the above, the activation is a rectifier, and {percent(MOST_DEAD, 0)} of some hidden "
        "layer's units died after step 0.",
        applies=lambda runs: conditions.died(runs) & conditions.rectifies(runs),
        evidence=evidence.which_units_died,
        advice="Use a lower rate, or an activation that is not flat where it is off (act=leaky_relu).",
        choices=("lr", "act", "init"),
        try_next=lower_rate,
    ),
    FaultRule(
        fault="saturated",
        statement="None of the above, and the activation became flat after step 0 for "
        f"{percent(NEARLY_ALL_SATURATED, 0)} of some hidden layer's pairs of example and unit.",
        applies=lambda runs: conditions.died(runs) & ~conditions.rectifies(runs),
        evidence=evidence.which_units_died,
        advice="Use a lower rate, or smaller weights.",
        choices=("lr", "init", "act"),
        try_next=lower_rate,
    ),
    FaultRule(
        fault="too slow",
        statement="None of the above, and from the third to the last quarter of the steps the mean loss fell by "
        f"{percent(FALL, 0)} of the best constant prediction's and by {FALL_ERRORS:g} standard errors; or at the pace "
        f"of the first update no layer's weights would change by {percent(NO_DISTANCE, 0)} in all steps.",
        applies=lambda runs: conditions.falling(runs) | (runs["distance"] < NO_DISTANCE),
        evidence=evidence.how_slow,
        advice="Train more steps, or use a higher rate.",
        choices=("lr", "steps", "optim", "init"),
        try_next=longer,
    ),
    FaultRule(
        fault="vanishing over time",
        statement=f"None of the above, and at the last log step a recurrent layer's gradients shrink {FACTOR:.0f}-fold "
        "from its last to its first time step.",
        applies=lambda runs: runs["time_ratio_at_end"] <= 1 / FACTOR,
        evidence=lambda cell: (
            f"At the end the gradient at the first of {cell['time_steps']:.0f} time steps of {cell['recurrent_layer']} "
            f"is {rough(cell['time_ratio_at_end'])} of that at the last; at step 0 it was {rough(cell['time_ratio'])}."
        ),
        advice=KEEP_MEMORY,
        choices=("init", "model", "lr"),
        try_next=isometry,
    ),
    FaultRule(
        fault="constant output",
        statement=f"None of the above, and at the end outputs differ between examples by at most {ALIKE:g} nats, or by "
        f"{ALIKE:g} of the standard deviation of the numbers to predict.",
        applies=conditions.became_constant,
        evidence=lambda cell: (
            f"At the end outputs differ between examples by only {rough(cell['output_spread_at_end'])}, and the loss "
            f"is {evidence.against_constant(cell, 'train_loss')}."
        ),
        advice="Look at the layers' statistics over training, and try another rate.",
        choices=("lr", "init", "act"),
    ),
    FaultRule(
        fault="unexplained",
        statement="None of the above.",
        applies=lambda runs: np.ones(len(runs), dtype=bool),
        evidence=evidence.without_rule,
        advice="Look at the loss curve and the layers' statistics over training.",
        choices=("init", "lr", "optim"),
    ),
]


def first_rule(runs: Runs) -> np.ndarray:
    """Position in RULES of the first that applies to each run; the last applies to every run."""
    return np.stack([np.asarray(rule.applies(runs), dtype=bool) for rule in RULES]).argmax(0)
