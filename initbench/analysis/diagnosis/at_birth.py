"""Applies the rules of diagnosis to untrained networks; `birth` defines the verdicts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from initbench.analysis.diagnosis.birth import NO_FAULT, SOUND, basis, derived, refined
from initbench.analysis.diagnosis.rules import RULES

NO_LAYERS = "no fault; there are no hidden layers to compare"
AT_BIRTH = [rule for rule in RULES if rule.birth]


def first_rule_at_birth(runs: pd.DataFrame) -> np.ndarray:
    """Position in AT_BIRTH of the first rule that applies to each run; -1 where none does.

    runs: configuration and the numbers of `measurements.at_birth`, one row per run.
    """
    found = np.stack([np.asarray(rule.applies(runs), bool) for rule in AT_BIRTH])
    return np.where(found.any(0), found.argmax(0), -1)


def verdict(runs: pd.DataFrame) -> dict[str, Any]:
    """Of one cell, as `verdicts` has it."""
    return verdicts(runs, [np.arange(len(runs))])[0]


def verdicts(runs: pd.DataFrame, cells: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    """Of each cell: `verdict`, as most of its runs have it, how many are `agreeing`, and what it rests on.

    `number` names the number, `because` says in words what it is, `value` is its median over the agreeing runs,
    `threshold` the one that it reaches, `at` "least" or "most". runs: as `first_rule_at_birth` has them. cells: the
    positions of each cell's runs.
    """
    rules, numbers = first_rule_at_birth(runs), derived(runs).select_dtypes("number")
    commonest = [_commonest(rules[cell]) for cell in cells]
    agreeing = [cell[rules[cell] == rule] for cell, rule in zip(cells, commonest, strict=True)]
    cell_of = np.repeat(range(len(cells)), [len(cell) for cell in agreeing])
    medians = numbers.iloc[np.concatenate(agreeing)].groupby(cell_of).median().to_dict("records")
    found = zip(commonest, map(len, agreeing), medians, strict=True)
    return [_verdict(rule, count, cell) for rule, count, cell in found]


def _commonest(rules: np.ndarray) -> int:
    """Of equally many that of no fault, then the earlier rule."""
    values, counts = np.unique(rules, return_counts=True)
    return int(values[counts.argmax()])


def _verdict(rule: int, agreeing: int, cell: Mapping[str, float]) -> dict[str, Any]:
    """cell: the medians of its numbers. Where no rule applies and there are no two layers to compare, no number is."""
    said, rests_on = SOUND, NO_FAULT
    if rule < 0 and not np.isfinite(cell.get(NO_FAULT.name, np.nan)):
        nothing = {"number": None, "because": NO_LAYERS, "value": np.nan, "at": None, "threshold": np.nan}
        return {"verdict": said, "agreeing": agreeing} | nothing
    if rule >= 0:
        said, rests_on = refined(AT_BIRTH[rule].fault, AT_BIRTH[rule].birth, cell), basis(AT_BIRTH[rule].fault, cell)
    return {
        "verdict": said,
        "agreeing": agreeing,
        "number": rests_on.name,
        "because": rests_on.words,
        "value": cell.get(rests_on.name, np.nan),
        "at": "least" if rests_on.least else "most",
        "threshold": rests_on.threshold,
    }
