"""Applies the rules of diagnosis to untrained networks; `birth` defines the verdicts."""

from typing import Any

import numpy as np
import pandas as pd

from initbench.analysis.diagnosis.birth import NO_FAULT, SOUND, basis, derived, refined
from initbench.analysis.diagnosis.rules import RULES

AT_BIRTH = [rule for rule in RULES if rule.birth]


def first_rule_at_birth(runs: pd.DataFrame) -> np.ndarray:
    """Position in AT_BIRTH of the first rule that applies to each run; -1 where none does.

    runs: configuration and the numbers of `measurements.at_birth`, one row per run.
    """
    found = np.stack([np.asarray(rule.applies(runs), bool) for rule in AT_BIRTH])
    return np.where(found.any(0), found.argmax(0), -1)


def verdict(runs: pd.DataFrame) -> dict[str, Any]:
    """Of one cell: `verdict`, as most of its runs have it, how many are `agreeing`, and what it rests on.

    `number` names the number, `because` says in words what it is, `value` is its median over the agreeing runs,
    `threshold` the one that it reaches, `at` "least" or "most". runs: as `first_rule_at_birth` has them.
    """
    rules = pd.Series(first_rule_at_birth(runs), index=runs.index)
    commonest = int(rules.value_counts().sort_index().idxmax())  # of equals that of no fault, then the earlier rule
    agreeing = derived(runs)[rules == commonest]
    cell = agreeing.select_dtypes("number").median().to_dict()
    said, rests_on = SOUND, NO_FAULT
    if commonest >= 0:
        rule = AT_BIRTH[commonest]
        said, rests_on = refined(rule.fault, rule.birth, cell), basis(rule.fault, cell)
    return {
        "verdict": said,
        "agreeing": len(agreeing),
        "number": rests_on.name,
        "because": rests_on.words,
        "value": cell.get(rests_on.name, np.nan),
        "at": "least" if rests_on.least else "most",
        "threshold": rests_on.threshold,
    }
