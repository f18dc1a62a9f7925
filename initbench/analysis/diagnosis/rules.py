"""The rules of diagnosis in their order: a run has the first fault whose rule applies to it.

A cell has the fault that most of its faulty runs have. The order puts a cause before what follows from it:

1. Data that can't be learned from, or that no initializer was made for; units that start equal and so stay equal; a
   model whose outputs are squashed. Whatever else is seen in such a network follows.
2. What settings do to the start: dropout, biases. Dead and saturated units, because they are why gradients vanish; then
   exploding signals, and outputs that a constant dominates. Each spoils training at any rate, so a rate is blamed only
   where the start shows none of these.
3. What settings do to the training: clipping, penalties, momentum. Then a rate too high, where the loss climbed:
   vanishing gradients don't drive a network away from where it started. Then vanishing, from layer to layer and from
   time step to time step.
4. What the end alone shows: training examples known by heart, units that died, a loss that was still falling, outputs
   that became constant.

Runs that learned have a fault only by the rules that say so: data and models at fault, and a first loss off scale.

To add a rule, put it in its place in one of the four lists; its condition goes to `conditions`, its sentence to
`evidence`, what to type to `cures`, unless they are one line.
"""

import math

import numpy as np

from initbench.analysis.diagnosis import conditions
from initbench.analysis.diagnosis.conditions import Runs
from initbench.analysis.diagnosis.measurements import NUMBERS
from initbench.analysis.diagnosis.rules_of_data import DATA
from initbench.analysis.diagnosis.rules_of_end import END
from initbench.analysis.diagnosis.rules_of_start import START
from initbench.analysis.diagnosis.rules_of_training import TRAINING

RULES = [*DATA, *START, *TRAINING, *END]


def first_rule(runs: Runs) -> np.ndarray:
    """Position in RULES of the first that applies to each run; -1 where a run has no fault.

    A column that is missing is a number that was not measured.
    """
    runs = runs.assign(**{name: math.nan for name in NUMBERS if name not in runs})
    learned = conditions.learned(runs).to_numpy()
    found = np.stack([np.asarray(rule.applies(runs), bool) & (rule.of_learned | ~learned) for rule in RULES])
    return np.where(found.any(0), found.argmax(0), -1)


def markdown() -> str:
    """The table of docs/report.md."""
    rows = [("fault", "condition", "what helps"), ("---",) * 3]
    rows += [(rule.fault, rule.statement, rule.advice) for rule in RULES]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)


if __name__ == "__main__":
    print(markdown())
