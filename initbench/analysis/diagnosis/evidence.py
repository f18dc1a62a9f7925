"""A cell's numbers in words: phrases that several rules share, and the sentences of single rules."""

import math

import pandas as pd

from initbench.analysis.axes import value_text
from initbench.analysis.diagnosis.conditions import (
    CLIMB,
    FACTOR,
    LARGE_UPDATE,
    MOST_DEAD,
    NEARLY_ALL_SATURATED,
    Cell,
)
from initbench.outcomes import falling
from initbench.text import rough, rough_percent


def capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def loss(cell: Cell, name: str) -> str:
    """ "2.30 nats"; a squared error has no unit and may be small: "0.167"."""
    if cell["task"] == "numbers":
        return f"{cell[name]:.3g}" if 1e-3 <= abs(cell[name]) < 999 else rough(cell[name])
    return f"{cell[name]:.2f} nats" if abs(cell[name]) < 99.5 else f"{rough(cell[name])} nats"


def against_constant(cell: Cell, name: str) -> str:
    """ "2.41 nats (best constant prediction: 2.30 nats)" """
    return f"{loss(cell, name)} (best constant prediction: {loss(cell, 'constant_loss')})"


def gradient(norm: float) -> str:
    """The norm of a gradient; float32 has no number for one that is too small or too large."""
    return "below 1e-38" if norm == 0 else "above 3e38" if norm == math.inf else rough(norm)


def gradients(cell: Cell) -> str:
    """ "each layer passes back only 25 % of the gradient: 0.03 at layer 20, 1e-12 at layer 1" """
    place, growth = _place(cell), cell["grad_growth"]
    change = (
        f"the gradient grows {rough(growth)}-fold per {place} towards the input"
        if growth > 1
        else f"each {place} passes back only {rough_percent(growth)} of the gradient"
    )
    return (
        f"{change}: {rough(cell['grad_last'])} at {cell['last_layer']}, "
        f"{gradient(cell['grad_first'])} at {cell['first_layer']}"
    )


def activations(cell: Cell) -> str:
    """ "Activations grow 2.5-fold per layer" """
    return f"Activations grow {rough(cell['signal_growth'])}-fold per {_place(cell)}"


def _place(cell: Cell) -> str:
    """What the depth is counted in: the "block" of "block 2, feedforward"."""
    noun = str(cell["last_layer"]).split(",")[0].rpartition(" ")[0]
    return noun or "layer"


def network(cell: Cell) -> str:
    """ "sigmoid with xavier at depth 20" """
    return f"{cell['act']} with {cell['label']} at depth {value_text(cell['depth'])}"


def over_time(cell: Cell) -> str:
    """How gradients change from the last time step of a recurrent layer to its first."""
    steps, where = f"{cell['time_steps']:.0f} time steps", f"{cell['recurrent_layer']}; {network(cell)}"
    truncate = pd.to_numeric(cell.get("model.truncate"), errors="coerce")
    if truncate is not None and truncate < cell["time_steps"]:
        return f"model.truncate={truncate:.0f} keeps gradients from the first of {steps} of {where}."
    grows, factor = cell["time_ratio"] > 1, cell["time_growth"]
    change = "Gradients grow back in time" if grows else "Gradients shrink back in time"
    if not math.isnan(factor):
        change = (
            f"Gradients grow {rough(factor)}-fold per time step, back in time"
            if grows
            else f"Each time step passes back only {rough_percent(factor)} of the gradient"
        )
    return (
        f"{change}: {rough(cell['time_last'])} at the last of {steps}, {gradient(cell['time_first'])} at the first, "
        f"in {where}."
    )


def bias(cell: Cell) -> float:
    """The value that every bias starts at; 0 where the initializer draws them."""
    value = pd.to_numeric(cell.get("init.bias"), errors="coerce")
    return 0.0 if value is None or pd.isna(value) else float(value)


def biases(cell: Cell, least: float = 0.0) -> str:
    """ "; biases start at -10", where that is not 0, nor smaller than `least`."""
    return f"; biases start at {rough(bias(cell))}" if bias(cell) and abs(bias(cell)) >= least else ""


def still_falling(cell: Cell) -> str:
    """A sentence that the loss was falling at the end; empty where it was not."""
    if not falling(cell):
        return ""
    third, last = loss(cell, "third_quarter_loss"), loss(cell, "last_quarter_loss")
    return f" The loss was still falling: mean {third} over the third quarter of the steps, {last} over the last."


def units_lost(cell: Cell) -> str:
    """Which units died or saturated after step 0; empty where none did."""
    if cell["dead_at_end"] >= MOST_DEAD > cell["dead"]:
        share, start, what = cell["dead_at_end"], cell["dead"], "units are flat for every example"
    elif cell["saturated_at_end"] >= NEARLY_ALL_SATURATED > cell["saturated"]:
        share, start, what = cell["saturated_at_end"], cell["saturated"], "pairs of example and unit are flat"
    else:
        return ""
    return f"; at the end {rough_percent(share)} of one layer's {what}, at step 0 {rough_percent(start)}"


def what_is_equal(cell: Cell) -> str:
    if cell["input_std"] == 0:
        return f"All inputs are equal ({rough(cell['input_mean'])}): nothing tells one class from another."
    what = "numbers to predict are equal" if cell["task"] == "numbers" else "training labels are of one class"
    return f"All {what}: a constant prediction has loss 0, and there is nothing to learn."


def how_equal(cell: Cell) -> str:
    if math.isnan(cell["update_ratio"]):
        return "All weights start at 0: the units of a layer are equal, get equal updates and stay equal."
    size = f"by at most {rough(cell['inequality'])} of their size" if cell["inequality"] else "not at all"
    return f"At step 0 the units of a layer differ {size}: they get equal updates and stay equal."


def how_flat(cell: Cell) -> str:
    steep = not 1 / FACTOR < cell["grad_ratio"] < FACTOR and not math.isnan(cell["grad_growth"])
    return (
        f"At step 0 {cell['act']} is flat (|phi'| < 0.05) for {rough_percent(cell['saturated_mean'])} of the pairs of "
        f"example and unit, and for {rough_percent(cell['saturated'])} in the worst layer{biases(cell, least=1)}"
        f"{f'; {gradients(cell)}' if steep else ''}."
    )


def what_explodes(cell: Cell) -> str:
    if cell["grad_ratio"] >= FACTOR and not cell["signal_ratio"] >= FACTOR:
        return f"{capitalized(gradients(cell))}; {network(cell)}."
    if cell["nonfinite"] > 0:
        return f"{activations(cell)} and overflow at step 0; {network(cell)}."
    growth = f"{activations(cell)}: o" if cell["signal_growth"] > 1 else "O"
    return (
        f"{growth}utputs differ between examples by {rough(cell['output_spread'])} at step 0, and the first loss is "
        f"{against_constant(cell, 'first_loss')}; {network(cell)}."
    )


def what_the_loss_did(cell: Cell) -> str:
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


def what_vanishes(cell: Cell) -> str:
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


def which_units_died(cell: Cell) -> str:
    return f"{capitalized(units_lost(cell).removeprefix('; '))}."


def how_slow(cell: Cell) -> str:
    if sentence := still_falling(cell).strip():
        return f"{sentence[:-1]}; it started at {loss(cell, 'first_loss')}."
    return (
        f"At the pace of the first update, {cell['steps']:.0f} steps change no layer's weights by more than "
        f"{rough_percent(cell['distance'])} of their norm."
    )


def without_rule(cell: Cell) -> str:
    if math.isnan(cell["output_size"]):
        return "No rule applies: layer statistics of step 0 are missing."
    return (
        f"No rule applies: gradients at step 0 are {rough(cell['grad_first'])} at {cell['first_layer']} and "
        f"{rough(cell['grad_last'])} at {cell['last_layer']}; the loss ended at {loss(cell, 'train_loss')}."
    )
