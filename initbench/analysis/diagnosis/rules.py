"""Why runs failed: rules over what was measured at the start and at the end, each stated in words.

A run that is stuck or diverged takes the first of `RULES` that applies to it, and a cell the fault that most of its
failing runs have. The order puts a cause before what follows from it:

1. Data that can't be learned from; units that start equal and so stay equal; inputs off scale. Whatever else is seen
   in such a network follows.
2. Dead and saturated units, because they are why gradients vanish; then exploding signals, and outputs that a constant
   dominates. Each spoils training at any rate, so a rate is blamed only where the start shows none of these.
3. A rate too high, where the loss climbed: vanishing gradients don't drive a network away from where it started.
   Then vanishing, from layer to layer and from time step to time step.
4. What the end alone shows: units that died, a loss that was still falling, outputs that became constant.
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
    FALL,
    FALL_ERRORS,
    LARGE_UPDATE,
    MOST_DEAD,
    MOST_SATURATED,
    NEARLY_ALL_SATURATED,
    NO_DISTANCE,
    OFF_SCALE,
    RECTIFIERS,
    Runs,
)
from initbench.analysis.diagnosis.evidence import Cell
from initbench.analysis.diagnosis.measurements import BLOCK
from initbench.config.registry import shipped_facts

UNEXPLAINED = "unexplained"
SUGGESTED = "lecun init.gain=auto"  # for an activation whose YAML names no initializer that trains 20 layers of it

REMEMBER = (
    "Recurrent weights that keep lengths (init.recurrent=orthogonal or identity), gated cells (model=lstm or gru), and "
    "for an LSTM a forget gate that starts open (init.forget_bias=1)."
)


@dataclass(frozen=True)
class Rule:
    """A fault: when it is found, in words and as a function, and what to try then.

    applies: runs to truths; a number that wasn't measured is NaN and meets no condition. evidence: a cell to the
    sentence that cites its numbers. choices: what is worth another value, the most promising first. try_next: a
    cell to an override to try where no run of the sweep shows what works.
    """

    fault: str
    statement: str
    advice: str
    applies: Callable[[Runs], Any]
    evidence: Callable[[Cell], str]
    choices: tuple[str, ...]
    try_next: Callable[[Cell], str | None]


def first_rule(runs: Runs) -> np.ndarray:
    """Position in RULES of the first that applies to each run; the last applies to every run."""
    return np.stack([np.asarray(rule.applies(runs), dtype=bool) for rule in RULES]).argmax(0)


# ---------------------------------------------------------------- what to try


def _another_init(cell: Cell) -> str | None:
    suggested = shipped_facts("act").get(cell["act"], {}).get("Initializer", SUGGESTED)
    return None if suggested.split(" ")[0] in ("none", cell["init"]) else f"init={suggested}"


def _isometry(cell: Cell) -> str | None:
    return None if cell.get("init.recurrent") in ("orthogonal", "identity") else "init.recurrent=orthogonal"


def _no_bias(cell: Cell) -> str | None:
    return "init.bias=0" if evidence.bias(cell) else _another_init(cell)


def _lower_rate(cell: Cell) -> str:
    return f"lr={cell['lr'] / 10:g}"


def _longer(cell: Cell) -> str:
    return f"steps={3 * int(cell['steps'])}" if evidence.still_falling(cell) else f"lr={cell['lr'] * 10:g}"


def _nothing(cell: Cell) -> None:
    return None


# ---------------------------------------------------------------- the rules, one after the other


def _percents(text: str) -> str:
    return text.replace("%", " %")


RULES = [
    Rule(
        "data problem",
        "The training inputs are all equal, or the training labels are of one class, or the numbers to predict equal.",
        "Look at the data: values, labels and splits.",
        conditions.unlearnable,
        evidence.unlearnable,
        ("data",),
        _nothing,
    ),
    Rule(
        "symmetric units",
        f"At step 0 the units of every hidden layer are equal to {EQUAL:g} of their size, or all weights are 0.",
        "Weights drawn at random break the symmetry.",
        conditions.symmetric,
        evidence.symmetric,
        ("init",),
        _another_init,
    ),
    Rule(
        "data problem",
        f"The inputs as the network sees them have a root mean square of at least {OFF_SCALE:g} or at most "
        f"{1 / OFF_SCALE:g}; that of standardized inputs is 1.",
        "Standardize the inputs: data.standardize=global, or feature.",
        conditions.off_scale,
        evidence.off_scale,
        ("data",),
        _nothing,
    ),
    Rule(
        "dead units",
        _percents(
            f"At step 0 at least {MOST_DEAD:.0%} of some hidden layer's units are off for every example of the batch "
            f"(|phi'| < 0.001; {', '.join(RECTIFIERS)})."
        ),
        "Biases that start at 0 or above, or an activation that is not flat where it is off (act=leaky_relu).",
        conditions.dead,
        evidence.dead,
        ("init", "mitigation"),
        _no_bias,
    ),
    Rule(
        "saturated",
        _percents(
            f"At step 0 the activation is flat (|phi'| < 0.05) at {MOST_SATURATED:.0%} of the pairs of example and "
            f"unit, over the layers where it ever is, or at {NEARLY_ALL_SATURATED:.0%} of one hidden layer's. Not for "
            "rectifiers, which are flat at half "
            "of them by design."
        ),
        "Smaller weights and biases keep pre-activations where the activation is steep; so does normalization.",
        conditions.saturated,
        evidence.saturated,
        ("init", "mitigation"),
        _no_bias,
    ),
    Rule(
        "exploding",
        f"None of the above, and at step 0 gradients by pre-activations grow {FACTOR:.0f}-fold from the last to the "
        f"first hidden layer, or differences between examples {FACTOR:.0f}-fold from the first to the last hidden "
        "layer or from the inputs to the outputs, or they overflow.",
        "Smaller weights: a variance that goes with 1 / fan; normalization helps too.",
        conditions.exploding,
        evidence.exploding,
        ("init", "mitigation"),
        _another_init,
    ),
    Rule(
        "exploding over time",
        f"None of the above, and at step 0 a recurrent layer's gradients by pre-activations grow {FACTOR:.0f}-fold "
        "from its last to its first time step, and more than they are many (Bengio et al. 1994; Pascanu et al. 2013).",
        "Clipped gradients (Pascanu et al. 2013), or recurrent weights that keep lengths (init.recurrent=orthogonal).",
        conditions.exploding_over_time,
        evidence.over_time,
        ("init", "mitigation", "model"),
        _isometry,
    ),
    Rule(
        "constant output",
        f"None of the above, and at step 0 outputs of size 1 or more differ between examples by at most 1/{FACTOR:.0f} "
        "of it, though nothing vanished on the way to them.",
        "Biases that start at 0 (init.bias=0) and centred inputs (data.standardize=global).",
        conditions.drowned,
        evidence.drowned,
        ("init", "data", "mitigation"),
        _no_bias,
    ),
    Rule(
        "rate too high",
        _percents(
            f"None of the above, and the loss overflowed after the first update, or rose (mean of {BLOCK} steps) to "
            f"{CLIMB:g} times both its first value and a constant prediction's; or an update changed a layer's weights "
            f"by {LARGE_UPDATE:.0%} of their norm and the loss was not falling at the end, where units died on the way "
            "or nothing vanished at step 0."
        ),
        "A lower rate; a warm-up or clipped gradients help too.",
        conditions.too_high,
        evidence.too_high,
        ("lr", "optim", "mitigation"),
        _lower_rate,
    ),
    Rule(
        "vanishing",
        f"None of the above, and at step 0 gradients by pre-activations shrink {FACTOR:.0f}-fold from the last to the "
        f"first hidden layer, or differences between examples {FACTOR:.0f}-fold from the first to the last.",
        "Larger weights, fewer layers, or normalization or residual connections.",
        conditions.vanishing,
        evidence.vanishing,
        ("init", "lr", "mitigation"),
        _another_init,
    ),
    Rule(
        "vanishing over time",
        f"None of the above, and at step 0 a recurrent layer's gradients by pre-activations shrink {FACTOR:.0f}-fold "
        "from its last to its first time step (Hochreiter 1991; Bengio et al. 1994).",
        REMEMBER,
        conditions.vanishing_over_time,
        evidence.over_time,
        ("init", "model", "mitigation"),
        _isometry,
    ),
    Rule(
        "dead units",
        _percents(f"None of the above, and {MOST_DEAD:.0%} of some hidden layer's units died after step 0."),
        "A lower rate, or an activation that is not flat where it is off (act=leaky_relu).",
        conditions.died_off,
        evidence.died,
        ("lr", "act", "init"),
        _lower_rate,
    ),
    Rule(
        "saturated",
        _percents(
            f"None of the above, and {NEARLY_ALL_SATURATED:.0%} of some hidden layer's pairs of example and unit "
            "became flat after step 0."
        ),
        "A lower rate, or smaller weights.",
        conditions.flattened,
        evidence.died,
        ("lr", "init", "act"),
        _lower_rate,
    ),
    Rule(
        "too slow",
        _percents(
            f"None of the above, and from the third to the last quarter of the steps the mean loss fell by {FALL:.0%} "
            f"of a constant prediction's and by {FALL_ERRORS:g} standard errors; or at the pace of the first update no "
            f"layer's weights would change by {NO_DISTANCE:.0%} in all steps."
        ),
        "More steps, or a higher rate.",
        conditions.too_slow,
        evidence.too_slow,
        ("lr", "steps", "optim", "init"),
        _longer,
    ),
    Rule(
        "vanishing over time",
        f"None of the above, and at the last look a recurrent layer's gradients shrink {FACTOR:.0f}-fold from its last "
        "to its first time step.",
        REMEMBER,
        conditions.faded_over_time,
        evidence.faded_over_time,
        ("init", "model", "lr"),
        _isometry,
    ),
    Rule(
        "constant output",
        f"None of the above, and at the end outputs differ between examples by at most {ALIKE:g} nats, or {ALIKE:g} of "
        "the deviation of the numbers to predict.",
        "Look at the layers' statistics over training, and try another rate.",
        conditions.constant,
        evidence.constant,
        ("lr", "init", "act"),
        _nothing,
    ),
    Rule(
        UNEXPLAINED,
        "None of the above.",
        "Look at the loss curve and the layers' statistics over training.",
        conditions.anything,
        evidence.unexplained,
        ("init", "lr", "optim"),
        _nothing,
    ),
]
FAULTS = tuple(dict.fromkeys(rule.fault for rule in RULES[:-1]))
