"""The rules of diagnosis in their order: a run that is stuck or diverged has the first fault whose rule applies to it.

A cell has the fault that most of its failed runs have. The order puts a cause before what follows from it:

1. Data that can't be learned from; units that start equal and so stay equal; inputs off scale. Whatever else is seen
   in such a network follows.
2. Dead and saturated units, because they are why gradients vanish; then exploding signals, and outputs that a constant
   dominates. Each spoils training at any rate, so a rate is blamed only where the start shows none of these.
3. A rate too high, where the loss climbed: vanishing gradients don't drive a network away from where it started.
   Then vanishing, from layer to layer and from time step to time step.
4. What the end alone shows: units that died, a loss that was still falling, outputs that became constant.
"""

import numpy as np

from initbench.analysis.diagnosis.conditions import Runs
from initbench.analysis.diagnosis.start_rules import START_RULES
from initbench.analysis.diagnosis.training_rules import TRAINING_RULES

RULES = [*START_RULES, *TRAINING_RULES]


def first_rule(runs: Runs) -> np.ndarray:
    """Position in RULES of the first that applies to each run; the last applies to every run."""
    return np.stack([np.asarray(rule.applies(runs), dtype=bool) for rule in RULES]).argmax(0)
