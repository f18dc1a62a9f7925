"""Phrases of a cell's numbers that several rules share."""

import math

import pandas as pd

from initbench.analysis.axes import value_text
from initbench.analysis.diagnosis.conditions import MOST_DEAD, NEARLY_ALL_SATURATED, Cell, falling
from initbench.text import rough, rough_percent


def capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def loss(cell: Cell, name: str) -> str:
    """ "2.30 nats"; a squared error has no unit and may be small: "0.167"."""
    if cell["task"] == "numbers":
        return f"{cell[name]:.3g}" if 1e-3 <= abs(cell[name]) < 999 else rough(cell[name])
    return f"{cell[name]:.2f} nats" if abs(cell[name]) < 99.5 else f"{rough(cell[name])} nats"


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
