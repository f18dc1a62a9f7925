"""Why runs failed: for each cell the fault that most of its failed runs have, and what worked instead."""

import pandas as pd

from initbench.analysis.axes import value_text
from initbench.analysis.cells import is_done, positions
from initbench.analysis.contests import Contests
from initbench.analysis.diagnosis.conditions import Cell
from initbench.analysis.diagnosis.measurements import NAMES, NUMBERS, measured
from initbench.analysis.diagnosis.rules import RULES, FaultRule, first_rule
from initbench.outcomes import DIVERGED, SLOW, STUCK


def diagnose(contests: Contests) -> pd.DataFrame:
    """One row per cell with failing runs: axes, label, counts, fault, evidence, advice, numbers.

    `runs` are those that were done, `failing` those that did not learn, `agreeing` those of them with the fault.
    NUMBERS are medians over the agreeing runs, NAMES those of one of them; null where nothing was measured.
    """
    axes, runs = contests.cell_axes, contests.runs
    columns = [*axes, "label", "runs", "failing", "fault", "agreeing", "evidence", "advice", *NUMBERS, *NAMES]
    fails = is_done(runs) & runs["outcome"].isin([SLOW, STUCK, DIVERGED])
    if not fails.any():
        return pd.DataFrame(columns=columns)
    done = contests.where(is_done(runs))
    neighbours = _Neighbours(done)
    asked = runs[fails].assign(cell=done.cell_of_run[fails]).reset_index(drop=True)
    numbers = measured(contests.results, fails)
    failing = pd.concat([asked.drop(columns=numbers.columns, errors="ignore"), numbers], axis=1)
    failing["rule"] = first_rule(failing)
    by_rule = failing.groupby(["cell", "rule"])
    medians, agreeing = by_rule[list(NUMBERS)].median().to_dict("index"), by_rule.size().to_dict()
    names, rows = by_rule[list(NAMES)].first().to_dict("index"), []
    for number, rules in failing.groupby("cell", sort=False)["rule"]:
        position = int(rules.value_counts().sort_index().idxmax())  # of equals the earlier rule
        rule, which = RULES[position], (number, position)
        cell = neighbours.cells[number] | medians[which] | names[which]
        cell |= {"failing": len(rules), "agreeing": agreeing[which], "fault": rule.fault}
        rows.append(cell | {"evidence": rule.evidence(cell), "advice": _advice(rule, cell, neighbours)})
    return pd.DataFrame(rows)[columns].astype({axis: runs[axis].dtype for axis in axes})


class _Neighbours:
    """The cells of a sweep, and which of those that differ in one or two choices learned."""

    def __init__(self, done: Contests):
        self.axes = done.cell_axes
        first = done.runs.iloc[[part[0] for part in positions(done.runs, self.axes)]].reset_index(drop=True)
        cells = first.assign(cell=first.index, **done.cells[["runs", "learned", "most_learned", "score"]])
        self.cells = cells.to_dict("records")
        # A mitigation that is of no use is left away first.
        simple = cells["most_learned"] & (cells.get("mitigation") == "none")
        order = ["simple", "share", "score"]
        self.ranked = cells.assign(simple=simple, share=cells["learned"] / cells["runs"]).sort_values(
            order, ascending=False, kind="stable"
        )
        self.best: dict[tuple[str, ...], dict[int, int]] = {}

    def learned(self, cell: Cell, *choices: str) -> str | None:
        """ "init=he (learned in 5 of 5 runs)": the best cell with only these choices changed, if most of it learned."""
        if choices not in self.best:
            others = [axis for axis in self.axes if axis.split(".")[0] not in choices]
            self.best[choices] = self.ranked.groupby(others, dropna=False)["cell"].transform("first").to_dict()
        other = self.cells[self.best[choices][cell["cell"]]]
        if other["cell"] == cell["cell"] or not other["most_learned"]:
            return None
        settings = [
            f"{key}={value_text(other[key])}"
            for choice in choices
            for key in self.axes
            if key.split(".")[0] == choice and not pd.isna(other[key])
        ]
        return f"{' '.join(settings)} (learned in {other['learned']} of {other['runs']} runs)"

    def tried(self, override: str) -> bool:
        """Has any cell the first of these settings? ("init=lecun init.gain=auto")"""
        key, value = override.split(" ")[0].split("=")
        return any(value_text(cell.get(key)) == value for cell in self.cells)


def _advice(rule: FaultRule, cell: Cell, neighbours: _Neighbours) -> str:
    """What learned with one choice changed, else with the initializer and another; then the rule's own advice."""
    ways = [way for choice in rule.choices if (way := neighbours.learned(cell, choice))]
    ways = ways or [way for choice in ("lr", "act") if (way := neighbours.learned(cell, "init", choice))][:1]
    if ways:
        return f"Try {' or '.join(ways[:2])}, with nothing else changed. {rule.advice}"
    override = rule.try_next(cell)
    return f"Try {override}. {rule.advice}" if override and not neighbours.tried(override) else rule.advice
