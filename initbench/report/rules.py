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

Thresholds come from principles, not from examples:

- A factor of e^3 = 20 between the first and the last hidden layer. Squared signals and gradients fade as exp(-L/xi)
  over L layers, and networks train up to about L = 6 xi (Schoenholz et al. 2017): e^-6 in the square is e^-3 in the
  norm. The same factor the other way is exploding. Between the first and the last time step of a recurrent layer, where
  gradients fade as powers of the recurrent weights (Hochreiter 1991; Bengio et al. 1994; Pascanu et al. 2013), it is
  the same factor; to explode they must also grow by more than T over T steps, for as many losses may add up there.
- An update of 0.001 of the weights' norm is the rule of thumb for a healthy step; a hundred times that is large.
- float32 resolves 1.2e-7 of a number: units that differ by less than ten times that are equal.
- Initializers assume inputs of size 1: ten times more or less is off scale.
"""

# pandas annotates nearly everything as "Series or DataFrame or unknown": these checks see only that.
# pyright: reportArgumentType=false, reportCallIssue=false, reportReturnType=false
# pyright: reportAttributeAccessIssue=false, reportGeneralTypeIssues=false, reportOperatorIssue=false

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from initbench.report import tables
from initbench.report.symptoms import BLOCK, setting
from initbench.words import rough, rough_percent

FACTOR = math.exp(3)  # between the first and the last hidden layer: 20, or 1/20
EQUAL = 1e-6  # of a unit's size
OFF_SCALE = 10.0
MOST_DEAD = 0.9  # of a layer's units: less than a tenth of it works
MOST_SATURATED = 0.75  # of all (example, unit) pairs; of a ReLU's, half are flat by design
NEARLY_ALL_SATURATED = 0.95  # of one layer's: a bottleneck
CLIMB = 1.5  # times the first loss, and times the loss of the best constant prediction
LARGE_UPDATE = 0.1  # of a layer's weights in one step
NO_DISTANCE = 0.01  # of a layer's weights in all steps
FALL = 0.01  # of a constant prediction's loss, from the third to the last quarter of the steps
FALL_ERRORS = 4.0  # standard errors
ALIKE = 0.05  # nats: logits that differ less between examples predict the same for all; numbers: of their deviation

UNEXPLAINED = "unexplained"
RECTIFIERS = ("relu", "leaky_relu", "gelu", "silu", "mish", "softplus")  # off at 0: a flat unit there is a dead one
# Initializers that train 20 layers of an activation; None where none of those tried did, `lecun` and `auto` elsewhere.
SUGGESTED: dict[str, str | None] = {
    "relu": "he",
    "leaky_relu": "he",
    "tanh": "xavier",
    "softsign": "xavier",
    "selu": "lecun",
    "linear": "orthogonal",
    "sigmoid": "mean_field init.sigma_w=10 init.sigma_b=0",
    "silu": None,
    "softplus": None,
}

REMEMBER = (
    "Recurrent weights that keep lengths (init.recurrent=orthogonal or identity), gated cells (model=lstm or gru), and "
    "for an LSTM a forget gate that starts open (init.forget_bias=1)."
)

Runs = pd.DataFrame  # a row a failing run: its configuration, and NUMBERS
Cell = dict[str, Any]  # the same of a cell, the numbers as medians over the runs that agree


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
    suggested = SUGGESTED.get(cell["act"], "lecun init.gain=auto")
    return None if suggested is None or suggested.split(" ")[0] == cell["init"] else f"init={suggested}"


def _isometry(cell: Cell) -> str | None:
    return None if cell.get("init.recurrent") in ("orthogonal", "identity") else "init.recurrent=orthogonal"


def _no_bias(cell: Cell) -> str | None:
    return "init.bias=0" if _bias(cell) else _another_init(cell)


def _lower_rate(cell: Cell) -> str:
    return f"lr={cell['lr'] / 10:g}"


def _longer(cell: Cell) -> str:
    return f"steps={3 * int(cell['steps'])}" if _still_falling(cell) else f"lr={cell['lr'] * 10:g}"


def _nothing(cell: Cell) -> None:
    return None


# ---------------------------------------------------------------- the rules, one after the other


def _unlearnable(runs: Runs) -> Any:
    numbers = setting(runs, "task", "labels") == "numbers"
    return (runs["input_std"] == 0) | (runs["constant_loss"].abs() < np.where(numbers, EQUAL**2, EQUAL))


def _unlearnable_evidence(cell: Cell) -> str:
    if cell["input_std"] == 0:
        return f"All inputs are equal ({rough(cell['input_mean'])}): nothing tells one class from another."
    if cell["task"] == "numbers":
        return "All numbers to predict are equal: a constant prediction has loss 0, and there is nothing to learn."
    return "All training labels are of one class: a constant prediction has loss 0, and there is nothing to learn."


def _symmetric(runs: Runs) -> Any:
    return (runs["inequality"] <= EQUAL) & (setting(runs, "width", 2) != 1)


def _symmetric_evidence(cell: Cell) -> str:
    if math.isnan(cell["update_ratio"]):
        return "All weights start at 0: the units of a layer are equal, get equal updates and stay equal."
    size = f"by at most {rough(cell['inequality'])} of their size" if cell["inequality"] else "not at all"
    return f"At step 0 the units of a layer differ {size}: they get equal updates and stay equal."


def _off_scale(runs: Runs) -> Any:
    return (runs["input_size"] >= OFF_SCALE) | (runs["input_size"] <= 1 / OFF_SCALE)


def _off_scale_evidence(cell: Cell) -> str:
    return (
        f"Inputs have mean {rough(cell['input_mean'])} and deviation {rough(cell['input_std'])} and are not "
        f"standardized: their root mean square is {rough(cell['input_size'])}, where initializers assume 1."
    )


def _dead(runs: Runs) -> Any:
    return (runs["dead"] >= MOST_DEAD) & _rectifier(runs)


def _dead_evidence(cell: Cell) -> str:
    biased = f"; biases start at {rough(_bias(cell))}" if _bias(cell) else ""
    return f"At step 0 {rough_percent(cell['dead'])} of a layer's units are off for every example of the batch{biased}."


def _saturated(runs: Runs) -> Any:
    most = (runs["saturated_mean"] >= MOST_SATURATED) | (runs["saturated"] >= NEARLY_ALL_SATURATED)
    return most & ~_rectifier(runs)


def _saturated_evidence(cell: Cell) -> str:
    biased = f"; biases start at {rough(_bias(cell))}" if abs(_bias(cell)) >= 1 else ""
    steep = not 1 / FACTOR < cell["grad_ratio"] < FACTOR and not math.isnan(cell["grad_growth"])
    gradients = f"; {_gradients(cell)}" if steep else ""
    return (
        f"At step 0 {cell['act']} is flat (|phi'| < 0.05) at {rough_percent(cell['saturated_mean'])} of the pairs of "
        f"example and unit, at {rough_percent(cell['saturated'])} in the worst layer{biased}{gradients}."
    )


def _exploding(runs: Runs) -> Any:
    amplified = runs["output_spread"] / runs["input_size"]
    overflow = (runs["nonfinite"] > 0) & (runs["signal_growth"] > 1)
    return (runs["grad_ratio"] >= FACTOR) | (runs["signal_ratio"] >= FACTOR) | (amplified >= FACTOR) | overflow


def _exploding_evidence(cell: Cell) -> str:
    if cell["nonfinite"] > 0:
        return f"{_growth(cell)} and overflow at step 0; {_who(cell)}."
    if cell["grad_ratio"] >= FACTOR and not cell["signal_ratio"] >= FACTOR:
        return f"{_capital(_gradients(cell))}; {_who(cell)}."
    growth = f"{_growth(cell)}: o" if cell["signal_growth"] > 1 else "O"
    return (
        f"{growth}utputs differ between examples by {rough(cell['output_spread'])} at step 0, and the first loss is "
        f"{_loss(cell, 'first_loss')} (a constant prediction's: {_loss(cell, 'constant_loss')}); {_who(cell)}."
    )


def _drowned(runs: Runs) -> Any:
    alike = (runs["output_spread"] <= runs["output_size"] / FACTOR) & (runs["output_size"] >= 1)
    return alike & ~_vanishing(runs)


def _drowned_evidence(cell: Cell) -> str:
    biased = f"; biases start at {rough(_bias(cell))}" if _bias(cell) else ""
    return (
        f"At step 0 outputs have a root mean square of {rough(cell['output_size'])} and differ between examples by "
        f"{rough(cell['output_spread'])} only{biased}."
    )


def _too_high(runs: Runs) -> Any:
    """The loss climbed, or overflowed after the first update; or large updates led nowhere."""
    climbed = runs["peak_loss"] >= CLIMB * np.fmax(runs["first_loss"], runs["constant_loss"])
    restless = (runs["largest_update"] >= LARGE_UPDATE) & ~_falling(runs)
    vanishing = _vanishing(runs) | _vanishing_over_time(runs)
    return climbed | (runs["diverged_step"] > 0) | (restless & (_died(runs) | ~vanishing))


def _too_high_evidence(cell: Cell) -> str:
    where = f"at lr={tables.value_text(cell['lr'])} with {cell['optim']}"
    update = f"; one update changed a layer's weights by {_part(cell['largest_update'])} their norm"
    update = update if cell["largest_update"] >= LARGE_UPDATE else ""
    first, peak, last = (_loss(cell, name) for name in ("first_loss", "peak_loss", "train_loss"))
    if not math.isnan(cell["diverged_step"]):
        return f"The loss was {first} at the start and overflowed at step {cell['diverged_step']:.0f} {where}{update}."
    if cell["peak_loss"] >= CLIMB * max(cell["first_loss"], cell["constant_loss"]):
        return f"The loss rose from {first} to {peak} {where} and ended at {last}{update}{_lost(cell)}."
    return f"The loss ended at {last}, not falling, {where}{update}{_lost(cell)}."


def _vanishing(runs: Runs) -> Any:
    return (runs["grad_ratio"] <= 1 / FACTOR) | (runs["signal_ratio"] <= 1 / FACTOR)


def _vanishing_evidence(cell: Cell) -> str:
    parts = []
    if cell["grad_ratio"] <= 1 / FACTOR:
        parts.append(_gradients(cell))
    if cell["signal_ratio"] <= 1 / FACTOR:
        first, last = rough(cell["signal_first"]), rough(cell["signal_last"])
        parts.append(f"examples differ by {first} at {cell['first_layer']} and by {last} at {cell['last_layer']}")
    return f"{_capital('; '.join(parts))}; {_who(cell)}.{_still_falling(cell)}"


def _exploding_over_time(runs: Runs) -> Any:
    return runs["time_ratio"] >= np.fmax(FACTOR, runs["time_steps"])


def _vanishing_over_time(runs: Runs) -> Any:
    return runs["time_ratio"] <= 1 / FACTOR


def _over_time_evidence(cell: Cell) -> str:
    steps, where = f"{cell['time_steps']:.0f} time steps", f"{cell['recurrent_layer']}; {_who(cell)}"
    truncate = pd.to_numeric(cell.get("model.truncate"), errors="coerce")
    if truncate is not None and truncate < cell["time_steps"]:
        return f"model.truncate={truncate:.0f} keeps gradients from the first of {steps} of {where}."
    growth = "" if math.isnan(cell["time_growth"]) else f" by {rough(cell['time_growth'])} a time step"
    return (
        f"Gradients {'grow' if cell['time_ratio'] > 1 else 'shrink'}{growth} on their way back in time: "
        f"{rough(cell['time_last'])} at the last of {steps}, {_gradient(cell['time_first'])} at the first, of {where}."
    )


def _faded_over_time(runs: Runs) -> Any:
    return runs["time_ratio_at_end"] <= 1 / FACTOR


def _faded_over_time_evidence(cell: Cell) -> str:
    return (
        f"At the end gradients at the first of {cell['time_steps']:.0f} time steps of {cell['recurrent_layer']} are "
        f"{rough(cell['time_ratio_at_end'])} of those at the last; at step 0 it was {rough(cell['time_ratio'])}."
    )


def _died(runs: Runs) -> Any:
    dead = (runs["dead_at_end"] >= MOST_DEAD) & (runs["dead"] < MOST_DEAD)
    flat = (runs["saturated_at_end"] >= NEARLY_ALL_SATURATED) & (runs["saturated"] < NEARLY_ALL_SATURATED)
    return dead | flat


def _died_off(runs: Runs) -> Any:
    return _died(runs) & _rectifier(runs)


def _flattened(runs: Runs) -> Any:
    return _died(runs) & ~_rectifier(runs)


def _died_evidence(cell: Cell) -> str:
    return f"{_capital(_lost(cell).removeprefix('; '))}."


def _falling(runs: Runs) -> Any:
    fall = runs["third_quarter_loss"] - runs["last_quarter_loss"]
    return (fall >= FALL * runs["constant_loss"]) & (runs["fall_errors"] >= FALL_ERRORS)


def _too_slow(runs: Runs) -> Any:
    return _falling(runs) | (runs["distance"] < NO_DISTANCE)


def _too_slow_evidence(cell: Cell) -> str:
    if falling := _still_falling(cell).strip():
        return f"{falling[:-1]}; it started at {_loss(cell, 'first_loss')}."
    return (
        f"At the pace of the first update, {cell['steps']:.0f} steps change no layer's weights by more than "
        f"{rough_percent(cell['distance'])} of their norm."
    )


def _constant(runs: Runs) -> Any:
    numbers = setting(runs, "task", "labels") == "numbers"
    return runs["output_spread_at_end"] <= ALIKE * np.where(numbers, np.sqrt(runs["constant_loss"]), 1)


def _constant_evidence(cell: Cell) -> str:
    return (
        f"At the end outputs differ between examples by {rough(cell['output_spread_at_end'])} only, and the loss is "
        f"{_loss(cell, 'train_loss')} (a constant prediction's: {_loss(cell, 'constant_loss')})."
    )


def _anything(runs: Runs) -> Any:
    return np.ones(len(runs), dtype=bool)


def _unexplained_evidence(cell: Cell) -> str:
    if math.isnan(cell["output_size"]):
        return "No rule applies: there are no layer statistics of step 0."
    return (
        f"No rule applies: gradients at step 0 are {rough(cell['grad_first'])} at {cell['first_layer']} and "
        f"{rough(cell['grad_last'])} at {cell['last_layer']}; the loss ended at {_loss(cell, 'train_loss')}."
    )


# ---------------------------------------------------------------- words


def _part(ratio: float) -> str:
    return f"{rough_percent(ratio)} of" if ratio < 1 else f"{rough(ratio)} times"


def _loss(cell: Cell, name: str) -> str:
    """ "2.30 nats"; a squared error has no unit and may be small: "0.167"."""
    if cell["task"] == "numbers":
        return f"{cell[name]:.3g}" if 1e-3 <= abs(cell[name]) < 999 else rough(cell[name])
    return f"{cell[name]:.2f} nats" if abs(cell[name]) < 99.5 else f"{rough(cell[name])} nats"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _gradient(norm: float) -> str:
    return "below 1e-38" if norm == 0 else rough(norm)


def _gradients(cell: Cell) -> str:
    """ "gradients shrink by 0.25 a layer: 0.03 at layer 20, 1e-12 at layer 1" """
    verb, growth = "grow" if cell["grad_growth"] > 1 else "shrink", rough(cell["grad_growth"])
    return (
        f"gradients {verb} by {growth} a {_place(cell)} towards the input: {rough(cell['grad_last'])} at "
        f"{cell['last_layer']}, {_gradient(cell['grad_first'])} at {cell['first_layer']}"
    )


def _growth(cell: Cell) -> str:
    return f"Activations grow by {rough(cell['signal_growth'])} a {_place(cell)}"


def _place(cell: Cell) -> str:
    """What the depth is counted in: the "block" of "block 2, feedforward"."""
    noun = str(cell["last_layer"]).split(",")[0].rpartition(" ")[0]
    return noun or "layer"


def _who(cell: Cell) -> str:
    """ "sigmoid with xavier at depth 20" """
    return f"{cell['act']} with {cell['label']} at depth {tables.value_text(cell['depth'])}"


def _still_falling(cell: Cell) -> str:
    """That the loss was falling at the end, if it was."""
    if not _falling(pd.DataFrame([cell])).any():
        return ""
    third, last = _loss(cell, "third_quarter_loss"), _loss(cell, "last_quarter_loss")
    return f" The loss was still falling: {third} on average in the third quarter of the steps, {last} in the last."


def _lost(cell: Cell) -> str:
    """Which units died on the way, if any did."""
    if cell["dead_at_end"] >= MOST_DEAD > cell["dead"]:
        share, start, what = cell["dead_at_end"], cell["dead"], "units are flat for every example"
    elif cell["saturated_at_end"] >= NEARLY_ALL_SATURATED > cell["saturated"]:
        share, start, what = cell["saturated_at_end"], cell["saturated"], "pairs of example and unit are flat"
    else:
        return ""
    return f"; at the end {rough_percent(share)} of a layer's {what}, {rough_percent(start)} at step 0"


def _bias(cell: Cell) -> float:
    """What every bias starts at; 0 where the initializer draws them."""
    value = pd.to_numeric(cell.get("init.bias"), errors="coerce")
    return 0.0 if value is None or pd.isna(value) else float(value)


def _rectifier(runs: Runs) -> Any:
    return runs["act"].isin(RECTIFIERS)


def _percents(text: str) -> str:
    return text.replace("%", " %")


RULES = [
    Rule(
        "data problem",
        "The training inputs are all equal, or the training labels are of one class, or the numbers to predict equal.",
        "Look at the data: values, labels and splits.",
        _unlearnable,
        _unlearnable_evidence,
        ("data",),
        _nothing,
    ),
    Rule(
        "symmetric units",
        f"At step 0 the units of every hidden layer are equal to {EQUAL:g} of their size, or all weights are 0.",
        "Weights drawn at random break the symmetry.",
        _symmetric,
        _symmetric_evidence,
        ("init",),
        _another_init,
    ),
    Rule(
        "data problem",
        f"The inputs as the network sees them have a root mean square of at least {OFF_SCALE:g} or at most "
        f"{1 / OFF_SCALE:g}; that of standardized inputs is 1.",
        "Standardize the inputs: data.standardize=global, or feature.",
        _off_scale,
        _off_scale_evidence,
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
        _dead,
        _dead_evidence,
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
        _saturated,
        _saturated_evidence,
        ("init", "mitigation"),
        _no_bias,
    ),
    Rule(
        "exploding",
        f"None of the above, and at step 0 gradients by pre-activations grow {FACTOR:.0f}-fold from the last to the "
        f"first hidden layer, or differences between examples {FACTOR:.0f}-fold from the first to the last hidden "
        "layer or from the inputs to the outputs, or they overflow.",
        "Smaller weights: a variance that goes with 1 / fan; normalization helps too.",
        _exploding,
        _exploding_evidence,
        ("init", "mitigation"),
        _another_init,
    ),
    Rule(
        "exploding over time",
        f"None of the above, and at step 0 a recurrent layer's gradients by pre-activations grow {FACTOR:.0f}-fold "
        "from its last to its first time step, and more than they are many (Bengio et al. 1994; Pascanu et al. 2013).",
        "Clipped gradients (Pascanu et al. 2013), or recurrent weights that keep lengths (init.recurrent=orthogonal).",
        _exploding_over_time,
        _over_time_evidence,
        ("init", "mitigation", "model"),
        _isometry,
    ),
    Rule(
        "constant output",
        f"None of the above, and at step 0 outputs of size 1 or more differ between examples by at most 1/{FACTOR:.0f} "
        "of it, though nothing vanished on the way to them.",
        "Biases that start at 0 (init.bias=0) and centred inputs (data.standardize=global).",
        _drowned,
        _drowned_evidence,
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
        _too_high,
        _too_high_evidence,
        ("lr", "optim", "mitigation"),
        _lower_rate,
    ),
    Rule(
        "vanishing",
        f"None of the above, and at step 0 gradients by pre-activations shrink {FACTOR:.0f}-fold from the last to the "
        f"first hidden layer, or differences between examples {FACTOR:.0f}-fold from the first to the last.",
        "Larger weights, fewer layers, or normalization or residual connections.",
        _vanishing,
        _vanishing_evidence,
        ("init", "lr", "mitigation"),
        _another_init,
    ),
    Rule(
        "vanishing over time",
        f"None of the above, and at step 0 a recurrent layer's gradients by pre-activations shrink {FACTOR:.0f}-fold "
        "from its last to its first time step (Hochreiter 1991; Bengio et al. 1994).",
        REMEMBER,
        _vanishing_over_time,
        _over_time_evidence,
        ("init", "model", "mitigation"),
        _isometry,
    ),
    Rule(
        "dead units",
        _percents(f"None of the above, and {MOST_DEAD:.0%} of some hidden layer's units died after step 0."),
        "A lower rate, or an activation that is not flat where it is off (act=leaky_relu).",
        _died_off,
        _died_evidence,
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
        _flattened,
        _died_evidence,
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
        _too_slow,
        _too_slow_evidence,
        ("lr", "steps", "optim", "init"),
        _longer,
    ),
    Rule(
        "vanishing over time",
        f"None of the above, and at the last look a recurrent layer's gradients shrink {FACTOR:.0f}-fold from its last "
        "to its first time step.",
        REMEMBER,
        _faded_over_time,
        _faded_over_time_evidence,
        ("init", "model", "lr"),
        _isometry,
    ),
    Rule(
        "constant output",
        f"None of the above, and at the end outputs differ between examples by at most {ALIKE:g} nats, or {ALIKE:g} of "
        "the deviation of the numbers to predict.",
        "Look at the layers' statistics over training, and try another rate.",
        _constant,
        _constant_evidence,
        ("lr", "init", "act"),
        _nothing,
    ),
    Rule(
        UNEXPLAINED,
        "None of the above.",
        "Look at the loss curve and the layers' statistics over training.",
        _anything,
        _unexplained_evidence,
        ("init", "lr", "optim"),
        _nothing,
    ),
]
FAULTS = tuple(dict.fromkeys(rule.fault for rule in RULES[:-1]))
