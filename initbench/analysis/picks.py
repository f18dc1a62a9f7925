"""What `init=auto` picked, as its runs recorded it."""

import json
from collections import Counter

import pandas as pd

from initbench.analysis.axes import value_text
from initbench.text import join_words, plural

NAMED = 3  # schemes; of more only how many


def picks(runs: pd.DataFrame) -> list[str]:
    """One sentence per initializer that picks: "auto picked he in 5 of 5 runs with relu, ...".

    runs: as `Contests.runs` has them.
    """
    if "init_report" not in runs:
        return []
    reports = runs["init_report"].dropna().map(json.loads)
    picked = reports.map(lambda report: report.get("picked")).dropna()
    chosen = runs.loc[picked.index].assign(picked=picked)
    return [f"{label} picked {_by_activation(here)}." for label, here in chosen.groupby("label", sort=False)]


def _by_activation(runs: pd.DataFrame) -> str:
    acts = runs["act"].map(value_text) if "act" in runs else pd.Series("", index=runs.index)
    groups = [(act, _counted(here)) for act, here in runs.groupby(acts, sort=False)["picked"]]
    if len({said for _, said in groups}) == 1:
        return _counted(runs["picked"])
    return "; ".join(f"{said} with {act}" for act, said in groups)


def _counted(picked: pd.Series) -> str:
    """ "he in 4 and lsuv in 1 of 5 runs" """
    counts = Counter(picked.tolist()).most_common()
    said = [f"{name} in {count:,}" for name, count in counts[:NAMED]]
    said += [f"{plural(len(counts) - NAMED, 'other')} in the rest"] if len(counts) > NAMED else []
    return f"{join_words(said)} of {plural(len(picked), 'run')}"
