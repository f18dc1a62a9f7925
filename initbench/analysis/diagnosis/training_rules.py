"""A learning rate too high, and the faults that are blamed only where the rate is not.

To add a rule, write its condition, its sentence and the rule here, and put it in its place in TRAINING_RULES.
"""

import math
from typing import Any

import numpy as np

from initbench.analysis.axes import value_text
from initbench.analysis.diagnosis import conditions
from initbench.analysis.diagnosis.conditions import (
    ALIKE,
    CLIMB,
    FACTOR,
    FALL,
    FALL_ERRORS,
    LARGE_UPDATE,
    MOST_DEAD,
    NEARLY_ALL_SATURATED,
    NO_DISTANCE,
    Cell,
    Runs,
)
from initbench.analysis.diagnosis.evidence import (
    capitalized,
    gradients,
    loss,
    network,
    over_time,
    still_falling,
    units_lost,
)
from initbench.analysis.diagnosis.measurements import BLOCK
from initbench.analysis.diagnosis.rule import FaultRule, another_init, isometry, longer, lower_rate, percents
from initbench.text import rough, rough_percent

KEEP_MEMORY = (
    "Use recurrent weights that keep lengths (init.recurrent=orthogonal or identity), gated cells (model=lstm or gru), "
    "or an LSTM whose forget gate starts open (init.forget_bias=1)."
)

# ---------------------------------------------------------------- a rate too high


def _too_high(runs: Runs) -> Any:
    """The loss climbed, or overflowed after the first update; or large updates led nowhere."""
    climbed = runs["peak_loss"] >= CLIMB * np.fmax(runs["first_loss"], runs["constant_loss"])
    restless = (runs["largest_update"] >= LARGE_UPDATE) & ~conditions.falling(runs)
    faded = conditions.vanishing(runs) | conditions.vanishing_over_time(runs)
    return climbed | (runs["diverged_step"] > 0) | (restless & (conditions.died(runs) | ~faded))


def _what_the_loss_did(cell: Cell) -> str:
    where = f"at lr={value_text(cell['lr'])} with {cell['optim']}"
    ratio = cell["largest_update"]
    share = f"{rough_percent(ratio)} of" if ratio < 1 else f"{rough(ratio)} times"
    update = f"; one update changed one layer's weights by {share} their norm" if ratio >= LARGE_UPDATE else ""
    first, peak, last = (loss(cell, name) for name in ("first_loss", "peak_loss", "train_loss"))
    if not math.isnan(cell["diverged_step"]):
        return f"The loss was {first} at the start and overflowed at step {cell['diverged_step']:.0f} {where}{update}."
    if cell["peak_loss"] >= CLIMB * max(cell["first_loss"], cell["constant_loss"]):
        return f"The loss rose from {first} to {peak} {where} and ended at {last}{update}{units_lost(cell)}."
    return f"The loss ended at {last} and was not falling, {where}{update}{units_lost(cell)}."


RATE_TOO_HIGH = FaultRule(
    fault="rate too high",
    statement=percents(
        f"None of the above, and the loss overflowed after the first update, or rose (mean of {BLOCK} steps) to "
        f"{CLIMB:g} times both its first value and that of the best constant prediction; or an update changed a "
        f"layer's weights by {LARGE_UPDATE:.0%} of their norm and the loss was not falling at the end, and units died "
        "on the way or nothing vanished at step 0."
    ),
    applies=_too_high,
    evidence=_what_the_loss_did,
    advice="Use a lower rate, a warm-up, or clipped gradients.",
    choices=("lr", "optim", "mitigation"),
    try_next=lower_rate,
)

# ---------------------------------------------------------------- signals or gradients that vanish


def _what_vanishes(cell: Cell) -> str:
    parts = []
    if cell["grad_ratio"] <= 1 / FACTOR:
        parts.append(gradients(cell))
    if cell["signal_ratio"] <= 1 / FACTOR:
        first, last = rough(cell["signal_first"]), rough(cell["signal_last"])
        parts.append(
            f"by {cell['last_layer']} all examples look almost alike (they differ by {last}; at {cell['first_layer']} "
            f"by {first})"
        )
    return f"{capitalized('; '.join(parts))}; {network(cell)}.{still_falling(cell)}"


VANISHING = FaultRule(
    fault="vanishing",
    statement=f"None of the above, and at step 0 gradients by pre-activations shrink {FACTOR:.0f}-fold from the last "
    f"to the first hidden layer, or differences between examples shrink {FACTOR:.0f}-fold from the first to the last.",
    applies=conditions.vanishing,
    evidence=_what_vanishes,
    advice="Use larger weights, fewer layers, normalization, or residual connections.",
    choices=("init", "lr", "mitigation"),
    try_next=another_init,
)

VANISHING_OVER_TIME = FaultRule(
    fault="vanishing over time",
    statement="None of the above, and at step 0 a recurrent layer's gradients by pre-activations shrink "
    f"{FACTOR:.0f}-fold from its last to its first time step (Hochreiter 1991; Bengio et al. 1994).",
    applies=conditions.vanishing_over_time,
    evidence=over_time,
    advice=KEEP_MEMORY,
    choices=("init", "model", "mitigation"),
    try_next=isometry,
)

# ---------------------------------------------------------------- units that died on the way


def _which_died(cell: Cell) -> str:
    return f"{capitalized(units_lost(cell).removeprefix('; '))}."


DIED = FaultRule(
    fault="dead units",
    statement=percents(
        "None of the above, the activation is a rectifier, and "
        f"{MOST_DEAD:.0%} of some hidden layer's units died after step 0."
    ),
    applies=lambda runs: conditions.died(runs) & conditions.rectifies(runs),
    evidence=_which_died,
    advice="Use a lower rate, or an activation that is not flat where it is off (act=leaky_relu).",
    choices=("lr", "act", "init"),
    try_next=lower_rate,
)

BECAME_SATURATED = FaultRule(
    fault="saturated",
    statement=percents(
        f"None of the above, and the activation became flat after step 0 for {NEARLY_ALL_SATURATED:.0%} of some hidden "
        "layer's pairs of example and unit."
    ),
    applies=lambda runs: conditions.died(runs) & ~conditions.rectifies(runs),
    evidence=_which_died,
    advice="Use a lower rate, or smaller weights.",
    choices=("lr", "init", "act"),
    try_next=lower_rate,
)

# ---------------------------------------------------------------- too little progress


def _how_slow(cell: Cell) -> str:
    if falling := still_falling(cell).strip():
        return f"{falling[:-1]}; it started at {loss(cell, 'first_loss')}."
    return (
        f"At the pace of the first update, {cell['steps']:.0f} steps change no layer's weights by more than "
        f"{rough_percent(cell['distance'])} of their norm."
    )


TOO_SLOW = FaultRule(
    fault="too slow",
    statement=percents(
        f"None of the above, and from the third to the last quarter of the steps the mean loss fell by {FALL:.0%} of "
        f"the best constant prediction's and by {FALL_ERRORS:g} standard errors; or at the pace of the first update no "
        f"layer's weights would change by {NO_DISTANCE:.0%} in all steps."
    ),
    applies=lambda runs: conditions.falling(runs) | (runs["distance"] < NO_DISTANCE),
    evidence=_how_slow,
    advice="Train more steps, or use a higher rate.",
    choices=("lr", "steps", "optim", "init"),
    try_next=longer,
)

# ---------------------------------------------------------------- what only the end shows

FADED_OVER_TIME = FaultRule(
    fault="vanishing over time",
    statement="None of the above, and at the last log step a recurrent layer's gradients shrink "
    f"{FACTOR:.0f}-fold from its last to its first time step.",
    applies=lambda runs: runs["time_ratio_at_end"] <= 1 / FACTOR,
    evidence=lambda cell: (
        f"At the end the gradient at the first of {cell['time_steps']:.0f} time steps of {cell['recurrent_layer']} is "
        f"{rough(cell['time_ratio_at_end'])} of that at the last; at step 0 it was {rough(cell['time_ratio'])}."
    ),
    advice=KEEP_MEMORY,
    choices=("init", "model", "lr"),
    try_next=isometry,
)


def _became_constant(runs: Runs) -> Any:
    size = np.where(conditions.predicts_numbers(runs), np.sqrt(runs["constant_loss"]), 1)
    return runs["output_spread_at_end"] <= ALIKE * size


BECAME_CONSTANT = FaultRule(
    fault="constant output",
    statement=f"None of the above, and at the end outputs differ between examples by at most {ALIKE:g} nats, or by "
    f"{ALIKE:g} of the standard deviation of the numbers to predict.",
    applies=_became_constant,
    evidence=lambda cell: (
        f"At the end outputs differ between examples by only {rough(cell['output_spread_at_end'])}, and the loss is "
        f"{loss(cell, 'train_loss')} (best constant prediction: {loss(cell, 'constant_loss')})."
    ),
    advice="Look at the layers' statistics over training, and try another rate.",
    choices=("lr", "init", "act"),
)


# ---------------------------------------------------------------- none of these


def _without_rule(cell: Cell) -> str:
    if math.isnan(cell["output_size"]):
        return "No rule applies: layer statistics of step 0 are missing."
    return (
        f"No rule applies: gradients at step 0 are {rough(cell['grad_first'])} at {cell['first_layer']} and "
        f"{rough(cell['grad_last'])} at {cell['last_layer']}; the loss ended at {loss(cell, 'train_loss')}."
    )


UNEXPLAINED = FaultRule(
    fault="unexplained",
    statement="None of the above.",
    applies=lambda runs: np.ones(len(runs), dtype=bool),
    evidence=_without_rule,
    advice="Look at the loss curve and the layers' statistics over training.",
    choices=("init", "lr", "optim"),
)

TRAINING_RULES = [
    RATE_TOO_HIGH,
    VANISHING,
    VANISHING_OVER_TIME,
    DIED,
    BECAME_SATURATED,
    TOO_SLOW,
    FADED_OVER_TIME,
    BECAME_CONSTANT,
    UNEXPLAINED,
]
