"""Every alternative against one that was named, the reference: `best_set.against_reference` by contest, in words."""

from dataclasses import asdict
from typing import Any

import pandas as pd

from initbench.analysis import stats
from initbench.analysis.best_set import LEVEL, Against, against_reference
from initbench.analysis.cells import is_done
from initbench.analysis.contests import Contest, Contests, by_contest
from initbench.analysis.measure import Measure, largest_gap, measure
from initbench.config.aliases import same_choice
from initbench.errors import InputError, nearest
from initbench.outcomes import LEARNED
from initbench.text import join_words, percent

COLUMNS = ("reference", "label", "learning", "difference", "low", "high")


def against(contests: Contests, reference: str) -> pd.DataFrame:
    """One row per alternative of a contest that has the reference: the contest's axes, then COLUMNS.

    `learning`: whether it learns "more often" or "less often" beyond doubt, else "". `difference`: of the mean scores
    of the runs that learned, positive where it is better than the reference, with bounds that hold for all at once.
    Raises InputError if no run has the reference's label.
    """
    labels = list(contests.runs["label"].unique())
    asked, reference = reference, reference if reference in labels else same_choice(contests.over, reference)
    if reference not in labels:
        what = join_words(labels)
        raise InputError(f"--reference {asked}: not one of the competitors, {what}{nearest(asked, labels)}")
    rows = [contest.values | row for contest in contests for row in _of(contest, reference)]
    return pd.DataFrame(rows, columns=[*contests.axes, *COLUMNS])


def _of(contest: Contest, reference: str) -> list[dict[str, Any]]:
    runs = contest.runs.assign(won=is_done(contest.runs) & (contest.runs["outcome"] == LEARNED))
    labels = list(runs["label"].drop_duplicates())
    if reference not in labels:
        return []
    wide = {name: runs.pivot(index="label", columns="seed", values=name).reindex(labels) for name in ("score", "won")}
    scores = wide["score"].to_numpy()
    found = against_reference(scores, wide["won"].eq(True).to_numpy(), labels.index(reference))
    return [
        {"reference": reference, "label": label} | _row(each, largest_gap(scores))
        for label, each in zip(labels, found, strict=True)
        if label != reference
    ]


def _row(compared: Against, most: float) -> dict[str, Any]:
    """most: the largest difference that two scores can have; the bounds keep within it."""
    bounds = stats.Estimate(compared.difference, compared.low, compared.high).within(-most, most)
    return asdict(compared) | {"low": bounds.low, "high": bounds.high}


def sentences(contests: Contests, table: pd.DataFrame) -> dict[tuple[str, ...], str]:
    """By contest (`contest_key`): who is better than the reference, who worse, and what can't be told."""
    contest_of, said = {contest.key: contest for contest in contests}, {}
    for key, here in by_contest(table, contests.axes).items():
        scored, groups = measure(contest_of[key].runs), {"better": [], "worse": [], "not told apart from it": []}
        for row in here.to_dict("records"):
            compared = Against(**{name: row[name] for name in ("learning", "difference", "low", "high")})
            groups[_side(compared)].append(row["label"] + _how_far(compared, scored))
        parts = [f"{side}: {join_words(names)}" for side, names in groups.items() if names]
        said[key] = f"Against {here['reference'].iloc[0]} ({percent(LEVEL, 0)} bounds), {'; '.join(parts)}."
    return said


def _how_far(compared: Against, scored: Measure) -> str:
    """ " (learns less often)" or " (−1.2 to 1.9 points)"; empty where nothing is known"""
    if compared.learning:
        return f" (learns {compared.learning})"
    if pd.isna(compared.low):
        return ""
    low, high = scored.gap(compared.low), scored.gap(compared.high)
    return f" ({low.split(' ')[0]} to {high})"


def _side(compared: Against) -> str:
    if compared.learning:
        return "better" if compared.learning == "more often" else "worse"
    return "better" if compared.low > 0 else "worse" if compared.high < 0 else "not told apart from it"
