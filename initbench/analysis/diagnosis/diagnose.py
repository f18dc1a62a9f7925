"""Why runs failed: of each cell the fault that most of its failing runs have, and what worked instead."""

import pandas as pd

from initbench.analysis.axes import cell_axes, initializer, value_text
from initbench.analysis.cells import score
from initbench.analysis.diagnosis.evidence import Cell
from initbench.analysis.diagnosis.measurements import NAMES, NUMBERS, measured
from initbench.analysis.diagnosis.rules import RULES, Rule, first_rule
from initbench.results.load import Results


def diagnose(results: Results) -> pd.DataFrame:
    """A row a cell with failing runs (stuck or diverged): its axes, label, counts, fault, evidence, advice, NUMBERS,
    NAMES.

    `runs` are those that were done, `failing` those that did not learn, `agreeing` those of them with the fault.
    NUMBERS are medians over the agreeing runs, NAMES those of one of them; null where nothing was measured.
    """
    axes = cell_axes(results.runs)
    columns = [*axes, "label", "runs", "failing", "fault", "agreeing", "evidence", "advice", *NUMBERS, *NAMES]
    is_done = results.runs["status"] == "done"
    fails = is_done & results.runs["outcome"].isin(["stuck", "diverged"])
    if not fails.any():
        return pd.DataFrame(columns=columns)
    runs = results.runs.assign(cell=-1)
    runs.loc[is_done, "cell"] = runs[is_done].groupby(axes, dropna=False, sort=False).ngroup()
    numbers = measured(results, fails)
    asked = runs[fails].reset_index(drop=True).drop(columns=[*NUMBERS, *NAMES], errors="ignore")
    failing = pd.concat([asked, numbers], axis=1)
    failing["rule"] = first_rule(failing)
    by_rule = failing.groupby(["cell", "rule"])
    medians, agreeing = by_rule[list(NUMBERS)].median().to_dict("index"), by_rule.size().to_dict()
    names = by_rule[list(NAMES)].first().to_dict("index")
    sweep, rows = _Sweep(runs[is_done], axes), []
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
        ranks = done.assign(learned=done["outcome"] == "learned", acc=score(done)).groupby("cell")
        table = first.assign(runs=ranks.size(), learned=ranks["learned"].sum(), acc=ranks["acc"].median())
        cells = table.to_dict("records")
        self.cells = [cell | {"label": initializer(cell, axes)} for cell in cells]
        share = table["learned"] / table["runs"]
        simple = (share > 0.5) & (table.get("mitigation") == "none")  # to leave away what is of no use comes first
        self.table = table.assign(simple=simple, share=share).sort_values(
            ["simple", "share", "acc"], ascending=False, kind="stable"
        )
        self.best: dict[tuple[str, ...], dict[int, int]] = {}

    def learned(self, cell: Cell, *choices: str) -> str | None:
        """ "init=he (5 of 5 runs)": the best cell with only these choices changed, if most of its runs learned."""
        other = self.cells[self._best(choices)[cell["cell"]]]
        if other["cell"] == cell["cell"] or 2 * other["learned"] <= other["runs"]:
            return None
        settings = " ".join(settings for choice in choices if (settings := self._settings(other, choice)))
        return f"{settings} ({other['learned']} of {other['runs']} runs)"

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


def _advice(rule: Rule, cell: Cell, sweep: _Sweep) -> str:
    """What learned with one choice changed, else with the initializer and another; then what the rule says."""
    ways = [way for choice in rule.choices if (way := sweep.learned(cell, choice))]
    ways = ways or [way for choice in ("lr", "act") if (way := sweep.learned(cell, "init", choice))][:1]
    if ways:
        return f"Learned with nothing else changed: {', or '.join(ways[:2])}. {rule.advice}"
    override = rule.try_next(cell)
    return f"Try {override}. {rule.advice}" if override and not sweep.tried(override) else rule.advice
