"""What is wrong with runs: for each cell the fault that most of its faulty runs have, and what worked instead."""

import pandas as pd

from initbench.analysis.cells import is_done
from initbench.analysis.contests import Contests
from initbench.analysis.diagnosis import advice
from initbench.analysis.diagnosis.advice import Neighbours
from initbench.analysis.diagnosis.measurements import NAMES, NUMBERS, measured, of_rows
from initbench.analysis.diagnosis.rules import RULES, first_rule
from initbench.outcomes import LEARNED

FOUND = ("label", "runs", "failing", "fault", "agreeing", "cause", "evidence", "advice", "try_first")


def diagnose(contests: Contests) -> pd.DataFrame:
    """One row per cell with faulty runs: axes, FOUND, numbers.

    `runs` are those that were done; `failing` those that did not learn, or that learned with a fault; `agreeing` those
    of them with the fault. `cause`: the settings that bring it about ("init.gain=3"). `try_first`: the first thing to
    type. NUMBERS are medians over the agreeing runs, NAMES those of one of them; null where nothing was measured.
    """
    axes, runs = contests.cell_axes, contests.runs
    columns = [*axes, *FOUND, *NUMBERS, *NAMES]
    done = is_done(runs)
    faulty_though_learned = _faulty_though_learned(contests)
    asked = done & ((runs["outcome"] != LEARNED) | faulty_though_learned)
    if not asked.any():
        return pd.DataFrame(columns=columns)
    finished = contests.where(done)
    neighbours = Neighbours(finished, faulty_though_learned[done])
    numbers = measured(contests.results, asked)
    failing = runs[asked].assign(cell=finished.cell_of_run[asked[done]]).reset_index(drop=True)
    failing = pd.concat([failing.drop(columns=numbers.columns, errors="ignore"), numbers], axis=1)
    failing = failing.assign(rule=first_rule(failing)).query("rule >= 0")
    by_rule = failing.groupby(["cell", "rule"])
    medians, agreeing = by_rule[list(NUMBERS)].median().to_dict("index"), by_rule.size().to_dict()
    names, rows = by_rule[list(NAMES)].first().to_dict("index"), []
    for number, rules in failing.groupby("cell", sort=False)["rule"]:
        position = int(rules.value_counts().sort_index().idxmax())  # of equals the earlier rule
        rule, which = RULES[position], (number, position)
        cell = neighbours.cells[number] | medians[which] | names[which]
        settings = advice.suspects(rule, cell)
        ways = advice.ways(rule, cell, settings, neighbours)
        cell |= {"failing": len(rules), "agreeing": agreeing[which], "fault": rule.fault}
        cell |= {"cause": ", ".join(map(str, settings)) or None, "try_first": ways[0].override if ways else None}
        cell["evidence"] = " ".join([*(setting.sentence for setting in settings), rule.evidence(cell)])
        rows.append(cell | {"advice": advice.sentence(ways, rule)})
    return pd.DataFrame(rows, columns=columns).astype({axis: runs[axis].dtype for axis in axes})


def _faulty_though_learned(contests: Contests) -> pd.Series:
    """Which runs learned and still have a fault, as far as their rows and first losses tell (truths)."""
    runs = contests.runs
    learned = is_done(runs) & (runs["outcome"] == LEARNED)
    numbers = of_rows(contests.results, learned)
    rows = runs[learned].drop(columns=numbers.columns, errors="ignore").reset_index(drop=True)
    faulty = learned.copy()
    if learned.any():
        faulty[learned] = first_rule(pd.concat([rows, numbers], axis=1)) >= 0
    return faulty
