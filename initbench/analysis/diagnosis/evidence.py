"""How a fault shows: of a cell that has it, the sentence that cites its numbers."""

import math
from typing import Any

import pandas as pd

from initbench.analysis.axes import value_text
from initbench.analysis.diagnosis import conditions
from initbench.analysis.diagnosis.conditions import CLIMB, FACTOR, LARGE_UPDATE, MOST_DEAD, NEARLY_ALL_SATURATED
from initbench.text import rough, rough_percent

Cell = dict[str, Any]  # what Runs hold, of a cell: the numbers as medians over the runs that agree


def unlearnable(cell: Cell) -> str:
    if cell["input_std"] == 0:
        return f"All inputs are equal ({rough(cell['input_mean'])}): nothing tells one class from another."
    if cell["task"] == "numbers":
        return "All numbers to predict are equal: a constant prediction has loss 0, and there is nothing to learn."
    return "All training labels are of one class: a constant prediction has loss 0, and there is nothing to learn."


def symmetric(cell: Cell) -> str:
    if math.isnan(cell["update_ratio"]):
        return "All weights start at 0: the units of a layer are equal, get equal updates and stay equal."
    size = f"by at most {rough(cell['inequality'])} of their size" if cell["inequality"] else "not at all"
    return f"At step 0 the units of a layer differ {size}: they get equal updates and stay equal."


def off_scale(cell: Cell) -> str:
    return (
        f"Inputs have mean {rough(cell['input_mean'])} and deviation {rough(cell['input_std'])} and are not "
        f"standardized: their root mean square is {rough(cell['input_size'])}, where initializers assume 1."
    )


def dead(cell: Cell) -> str:
    biased = f"; biases start at {rough(bias(cell))}" if bias(cell) else ""
    return f"At step 0 {rough_percent(cell['dead'])} of a layer's units are off for every example of the batch{biased}."


def saturated(cell: Cell) -> str:
    biased = f"; biases start at {rough(bias(cell))}" if abs(bias(cell)) >= 1 else ""
    steep = not 1 / FACTOR < cell["grad_ratio"] < FACTOR and not math.isnan(cell["grad_growth"])
    gradients = f"; {_gradients(cell)}" if steep else ""
    return (
        f"At step 0 {cell['act']} is flat (|phi'| < 0.05) at {rough_percent(cell['saturated_mean'])} of the pairs of "
        f"example and unit, at {rough_percent(cell['saturated'])} in the worst layer{biased}{gradients}."
    )


def exploding(cell: Cell) -> str:
    if cell["grad_ratio"] >= FACTOR and not cell["signal_ratio"] >= FACTOR:
        return f"{_capital(_gradients(cell))}; {_who(cell)}."
    if cell["nonfinite"] > 0:
        return f"{_growth(cell)} and overflow at step 0; {_who(cell)}."
    growth = f"{_growth(cell)}: o" if cell["signal_growth"] > 1 else "O"
    return (
        f"{growth}utputs differ between examples by {rough(cell['output_spread'])} at step 0, and the first loss is "
        f"{_loss(cell, 'first_loss')} (a constant prediction's: {_loss(cell, 'constant_loss')}); {_who(cell)}."
    )


def drowned(cell: Cell) -> str:
    biased = f"; biases start at {rough(bias(cell))}" if bias(cell) else ""
    return (
        f"At step 0 outputs have a root mean square of {rough(cell['output_size'])} and differ between examples by "
        f"{rough(cell['output_spread'])} only{biased}."
    )


def too_high(cell: Cell) -> str:
    where = f"at lr={value_text(cell['lr'])} with {cell['optim']}"
    update = f"; one update changed a layer's weights by {_part(cell['largest_update'])} their norm"
    update = update if cell["largest_update"] >= LARGE_UPDATE else ""
    first, peak, last = (_loss(cell, name) for name in ("first_loss", "peak_loss", "train_loss"))
    if not math.isnan(cell["diverged_step"]):
        return f"The loss was {first} at the start and overflowed at step {cell['diverged_step']:.0f} {where}{update}."
    if cell["peak_loss"] >= CLIMB * max(cell["first_loss"], cell["constant_loss"]):
        return f"The loss rose from {first} to {peak} {where} and ended at {last}{update}{_lost(cell)}."
    return f"The loss ended at {last}, not falling, {where}{update}{_lost(cell)}."


def vanishing(cell: Cell) -> str:
    parts = []
    if cell["grad_ratio"] <= 1 / FACTOR:
        parts.append(_gradients(cell))
    if cell["signal_ratio"] <= 1 / FACTOR:
        first, last = rough(cell["signal_first"]), rough(cell["signal_last"])
        parts.append(f"examples differ by {first} at {cell['first_layer']} and by {last} at {cell['last_layer']}")
    return f"{_capital('; '.join(parts))}; {_who(cell)}.{still_falling(cell)}"


def over_time(cell: Cell) -> str:
    steps, where = f"{cell['time_steps']:.0f} time steps", f"{cell['recurrent_layer']}; {_who(cell)}"
    truncate = pd.to_numeric(cell.get("model.truncate"), errors="coerce")
    if truncate is not None and truncate < cell["time_steps"]:
        return f"model.truncate={truncate:.0f} keeps gradients from the first of {steps} of {where}."
    growth = "" if math.isnan(cell["time_growth"]) else f" by {rough(cell['time_growth'])} a time step"
    return (
        f"Gradients {'grow' if cell['time_ratio'] > 1 else 'shrink'}{growth} on their way back in time: "
        f"{rough(cell['time_last'])} at the last of {steps}, {_gradient(cell['time_first'])} at the first, of {where}."
    )


def faded_over_time(cell: Cell) -> str:
    return (
        f"At the end gradients at the first of {cell['time_steps']:.0f} time steps of {cell['recurrent_layer']} are "
        f"{rough(cell['time_ratio_at_end'])} of those at the last; at step 0 it was {rough(cell['time_ratio'])}."
    )


def died(cell: Cell) -> str:
    return f"{_capital(_lost(cell).removeprefix('; '))}."


def too_slow(cell: Cell) -> str:
    if falling := still_falling(cell).strip():
        return f"{falling[:-1]}; it started at {_loss(cell, 'first_loss')}."
    return (
        f"At the pace of the first update, {cell['steps']:.0f} steps change no layer's weights by more than "
        f"{rough_percent(cell['distance'])} of their norm."
    )


def constant(cell: Cell) -> str:
    return (
        f"At the end outputs differ between examples by {rough(cell['output_spread_at_end'])} only, and the loss is "
        f"{_loss(cell, 'train_loss')} (a constant prediction's: {_loss(cell, 'constant_loss')})."
    )


def unexplained(cell: Cell) -> str:
    if math.isnan(cell["output_size"]):
        return "No rule applies: there are no layer statistics of step 0."
    return (
        f"No rule applies: gradients at step 0 are {rough(cell['grad_first'])} at {cell['first_layer']} and "
        f"{rough(cell['grad_last'])} at {cell['last_layer']}; the loss ended at {_loss(cell, 'train_loss')}."
    )


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
    return "below 1e-38" if norm == 0 else "above 3e38" if norm == math.inf else rough(norm)


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
    return f"{cell['act']} with {cell['label']} at depth {value_text(cell['depth'])}"


def still_falling(cell: Cell) -> str:
    """That the loss was falling at the end, if it was."""
    if not conditions.falling(pd.DataFrame([cell])).any():
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


def bias(cell: Cell) -> float:
    """What every bias starts at; 0 where the initializer draws them."""
    value = pd.to_numeric(cell.get("init.bias"), errors="coerce")
    return 0.0 if value is None or pd.isna(value) else float(value)
