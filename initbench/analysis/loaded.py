"""What initializers that load weights have loaded, as their runs recorded it."""

import json

import pandas as pd

from initbench.text import join_words, plural

NAMED = 4  # parameters; of more only how many


def loaded(runs: pd.DataFrame) -> list[str]:
    """One sentence per initializer and amount: "checkpoint loaded 10 of 12 parameters in 5 runs; ... follow he.".

    runs: as `Contests.runs` has them.
    """
    if "init_report" not in runs:
        return []
    reports = runs["init_report"].dropna().map(json.loads)
    reports = reports[reports.map(lambda report: "loaded" in report)]
    if reports.empty:
        return []
    said = reports.map(_sentence)
    groups = runs.loc[reports.index].assign(said=said).groupby(["label", "said"], sort=False)
    return [f"{label} loaded {said} ({plural(len(here), 'run')})." for (label, said), here in groups]


def _sentence(report: dict) -> str:
    own, rest = report["loaded"], report["rest"]
    what = f"{len(own)} of {plural(len(own) + len(rest), 'parameter')}"
    if not rest:
        return f"all {plural(len(own), 'parameter')}"
    names = join_words([*rest[:NAMED], *([f"{len(rest) - NAMED:,} more"] if len(rest) > NAMED else [])])
    return f"{what}; {names} {'follow' if len(rest) > 1 else 'follows'} {report['rest_by']}"
