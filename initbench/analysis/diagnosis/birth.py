"""The verdicts of the probe on a network at birth: the words, and the numbers that each rests on.

A verdict is the first rule of diagnosis that applies before any training (`FaultRule.birth`), so that the probe and the
report can't disagree. Two words are finer than the faults that they stand for, by the same threshold: where the size of
the signals is kept on the way to the output (within e^3, up or down), what vanishes is the difference between inputs or
the gradient, as in mean-field theory's ordered phase, and what explodes are these, as in the chaotic phase (Poole et
al. 2016; Schoenholz et al. 2017).
"""

from dataclasses import dataclass

from initbench.analysis.diagnosis.conditions import (
    EQUAL,
    FACTOR,
    MOST_DEAD,
    MOST_SATURATED,
    NEARLY_ALL_SATURATED,
    Cell,
    Runs,
    noise_of_dropout,
)

VANISHES, EXPLODES, ORDERED, CHAOTIC = "vanishes", "explodes", "ordered", "chaotic"
SATURATED, DEAD, SYMMETRIC, SOUND = "saturated", "dead", "symmetric", "sound"
VERDICTS = {
    SOUND: "none of the following: signals and gradients reach all layers",
    VANISHES: "signals or gradients fade on their way through the layers",
    EXPLODES: "signals or gradients grow on their way through the layers",
    ORDERED: "signals keep their size, but all inputs become alike, or gradients fade",
    CHAOTIC: "signals keep their size, but gradients or differences between inputs grow",
    SATURATED: "pre-activations lie where the activation is flat",
    DEAD: "units are off for every input",
    SYMMETRIC: "all units of a layer are equal and stay equal",
}


@dataclass(frozen=True)
class Basis:
    """A number of `measurements.NUMBERS`, or of `derived`, and the threshold that it is at or beyond."""

    name: str
    words: str
    threshold: float
    least: bool  # whether the threshold is the least that counts, or the most

    def met(self, value: float) -> bool:
        return value >= self.threshold if self.least else value <= self.threshold


GRADIENTS = "gradient, first over last hidden layer"
DIFFERENCES = "difference between examples, last over first hidden layer"
TIME = "gradient, first over last time step"
BASES = {
    "symmetric units": [
        Basis("inequality", "difference between units, relative to their size", EQUAL, False),
        Basis("least_inequality", "difference between one layer's units, relative to their size", EQUAL, False),
    ],
    "dropout too strong": [Basis("dropout_noise", "factor by which dropout multiplies signals", FACTOR, True)],
    "dead units": [Basis("dead", "share of one layer's units that are off", MOST_DEAD, True)],
    "saturated": [
        Basis("saturated_mean", "share of flat (unit, example) pairs", MOST_SATURATED, True),
        Basis("saturated", "share of flat (unit, example) pairs in one layer", NEARLY_ALL_SATURATED, True),
    ],
    "exploding": [
        Basis("grad_ratio", GRADIENTS, FACTOR, True),
        Basis("signal_ratio", DIFFERENCES, FACTOR, True),
        Basis("output_gain", "difference between outputs, divided by the size of the inputs", FACTOR, True),
        Basis("nonfinite", "entries that are not finite", 1, True),
    ],
    "exploding over time": [Basis("time_ratio", TIME, FACTOR, True)],
    "constant output": [Basis("contrast", "difference between outputs, divided by their size", 1 / FACTOR, False)],
    "vanishing": [
        Basis("grad_ratio", GRADIENTS, 1 / FACTOR, False),
        Basis("signal_ratio", DIFFERENCES, 1 / FACTOR, False),
    ],
    "vanishing over time": [Basis("time_ratio", TIME, 1 / FACTOR, False)],
}
NO_FAULT = Basis("grad_ratio", GRADIENTS, 1 / FACTOR, True)  # and at most FACTOR


def derived(runs: Runs) -> Runs:
    """The runs with the numbers that conditions make of others."""
    return runs.assign(
        dropout_noise=noise_of_dropout(runs),
        output_gain=runs["output_spread"] / runs["input_size"],
        contrast=runs["output_spread"] / runs["output_size"],
    )


def basis(fault: str, cell: Cell) -> Basis:
    """The number that a cell's fault rests on: the first whose threshold the cell's median reaches."""
    bases = BASES[fault]
    return next((each for each in bases if each.met(cell[each.name])), bases[0])


def refined(fault: str, word: str, cell: Cell) -> str:
    """`ordered` for what vanishes from layer to layer, `chaotic` for what explodes, where signals keep their size."""
    if not 1 / FACTOR < cell["size_ratio"] < FACTOR:
        return word
    if fault == "exploding" and basis(fault, cell).name in ("grad_ratio", "signal_ratio"):  # not by the head alone
        return CHAOTIC
    return ORDERED if fault == "vanishing" else word
