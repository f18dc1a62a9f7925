"""Why runs failed: for each cell the fault that most of its failed runs have, and what worked instead."""

import pandas as pd

from initbench.analysis.axes import value_text
from initbench.analysis.cells import is_done, most_learned
from initbench.analysis.contests import Contests
from initbench.analysis.diagnosis.conditions import Cell
from initbench.analysis.diagnosis.measurements import NAMES, NUMBERS, measured
from initbench.analysis.diagnosis.rule import FaultRule
from initbench.analysis.diagnosis.rules import RULES, first_rule


def diagnose(contests: Contests) -> pd.DataFrame:
    """One row per cell with failing runs (stuck or diverged).

    Its axes, label, counts, fault, evidence, advice, then NUMBERS and NAMES.

    `runs` are those that were done, `failing` those that did not learn, `agreeing` those of them with the fault.
    NUMBERS are medians over the agreeing runs, NAMES those of one of them; null where nothing was measured.
    """
    axes, results = contests.cell_axes, contests.results
    columns = [*axes, "label", "runs", "failing", "fault", "agreeing", "evidence", "advice", *NUMBERS, *NAMES]
    done = is_done(results.runs)
    fails = done & results.runs["outcome"].isin(["stuck", "diverged"])
    if not fails.any():
        return pd.DataFrame(columns=columns)
    runs = contests.runs.assign(cell=-1)
    runs.loc[done, "cell"] = runs[done].groupby(axes, dropna=False, sort=False).ngroup()
    numbers = measured(results, fails)
    asked = runs[fails].reset_index(drop=True).drop(columns=[*NUMBERS, *NAMES], errors="ignore")
    failing = pd.concat([asked, numbers], axis=1)
    failing["rule"] = first_rule(failing)
    by_rule = failing.groupby(["cell", "rule"])
    medians, agreeing = by_rule[list(NUMBERS)].median().to_dict("index"), by_rule.size().to_dict()
    names = by_rule[list(NAMES)].first().to_dict("index")
    sweep, rows = _Sweep(runs[done], axes), []
    for number, rules in failing.groupby("cell", sort=False)["rule"]:
        position = int(rules.value_counts().sort_index().idxmax())  # of equals the earlier rule
        cell = sweep.cells[number] | medians[number, position] | names[number, position]
        cell |= {"failing": len(rules), "agreeing": agreeing[number, position], "fault": RULES[position].fault}
        rows.append(
            cell | {"evidence": RULES[position].evidence(cell), "advice": _advice(RULES[position], cell, sweep)}
        )
    return pd.DataFrame(rows)[columns].astype({axis: results.runs[axis].dtype for axis in axes})


# ---------------------------------------------------------------- what else the sweep tells


class _Sweep:
    """The cells of a sweep, and which of their neighbours learned."""

    def __init__(self, done: pd.DataFrame, axes: list[str]):
        self.axes = axes
        first = done.drop_duplicates("cell").set_index("cell", drop=False)
        ranks = done.assign(learned=done["outcome"] == "learned", acc=done["score"]).groupby("cell")
        table = first.assign(runs=ranks.size(), learned=ranks["learned"].sum(), acc=ranks["acc"].median())
        self.cells = table.to_dict("records")
        share = table["learned"] / table["runs"]
        # A mitigation that is of no use is left away first.
        simple = most_learned(table["learned"], table["runs"]) & (table.get("mitigation") == "none")
        self.table = table.assign(simple=simple, share=share).sort_values(
            ["simple", "share", "acc"], ascending=False, kind="stable"
        )
        self.best: dict[tuple[str, ...], dict[int, int]] = {}

    def learned(self, cell: Cell, *choices: str) -> str | None:
        """ "init=he (learned in 5 of 5 runs)": the best cell with only these choices changed, if most of it learned."""
        other = self.cells[self._best(choices)[cell["cell"]]]
        if other["cell"] == cell["cell"] or not most_learned(other["learned"], other["runs"]):
            return None
        settings = " ".join(settings for choice in choices if (settings := self._settings(other, choice)))
        return f"{settings} (learned in {other['learned']} of {other['runs']} runs)"

    def _best(self, choices: tuple[str, ...]) -> dict[int, int]:
        if choices not in self.best:
            others = [axis for axis in self.axes if axis.split(".")[0] not in choices]
            group = self.table.groupby(others, dropna=False).ngroup()
            first = group.drop_duplicates()
            self.best[choices] = group.map(pd.Series(first.index, index=first.to_numpy())).to_dict()
        return self.best[choices]

    def _settings(self, cell: Cell, choice: str) -> str:
        """A choice of a cell as a user would type it: "init=normal init.std=0.1"."""
        keys = [axis for axis in self.axes if axis.split(".")[0] == choice and not pd.isna(cell[axis])]
        return " ".join(f"{key}={value_text(cell[key])}" for key in keys)

    def tried(self, override: str) -> bool:
        """Has any cell the first of these settings? ("init=lecun init.gain=auto")"""
        key, value = override.split(" ")[0].split("=")
        return any(value_text(cell.get(key)) == value for cell in self.cells)


def _advice(rule: FaultRule, cell: Cell, sweep: _Sweep) -> str:
    """What learned with one choice changed, else with the initializer and another; then the rule's own advice."""
    ways = [way for choice in rule.choices if (way := sweep.learned(cell, choice))]
    ways = ways or [way for choice in ("lr", "act") if (way := sweep.learned(cell, "init", choice))][:1]
    if ways:
        return f"Try {' or '.join(ways[:2])}, with nothing else changed. {rule.advice}"
    override = rule.try_next(cell)
    return f"Try {override}. {rule.advice}" if override and not sweep.tried(override) else rule.advice
