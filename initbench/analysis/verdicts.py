"""Who wins each contest, by how much, and whether it is real: the set of those that may be the best, in words."""

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from initbench.analysis import measure, stats
from initbench.analysis.axes import noun
from initbench.analysis.best_set import LEVEL
from initbench.analysis.cells import FINISHED, is_done, most_learned
from initbench.analysis.contests import Contest, Contests, by_contest
from initbench.analysis.measure import Measure
from initbench.outcomes import DIVERGED, SLOW, STUCK
from initbench.text import join_words, percent, plural

CLEAR, OPEN, AT_CHANCE = "clear", "too close to call", "at chance"
ONE_SEED, ALONE, NONE_LEARNED = "one seed", "nothing to compare", "none learned"
UNEQUAL = 0.05  # by which the largest class's share is above that of as many equal ones
ENOUGH_SEEDS = 10  # that rank close ones
SMALL = 0.05  # a difference of scores that is worth saying that it isn't exceeded
NAMED = 5  # of those that may be the best; of more only the number is said


@dataclass(frozen=True)
class Verdict:
    """The result of one contest: which alternatives may be the best, in sentences and in the numbers behind them.

    state: one of CLEAR (only the winner may be the best), OPEN (others may be, too), AT_CHANCE (the winner predicts no
    better than a constant), ONE_SEED, ALONE (one alternative only) and NONE_LEARNED.
    """

    contest: dict[str, Any]  # axis to value
    title: str  # "relu, depth 20"
    state: str
    winner: str | None  # the first in rank; None where none learned
    may_be_best: list[str]  # labels of those that learned and are not ruled out, the winner first; empty without winner
    sentences: list[str]
    contenders: pd.DataFrame  # rows of `contenders.contenders`, the first in rank first
    measure: Measure
    chance: float  # score of the best constant prediction; NaN if unknown

    @property
    def clear(self) -> bool:
        return self.state == CLEAR

    @property
    def only_learner(self) -> bool:
        """Whether the winner is the only one that ever learned, among several."""
        return len(self.contenders) > 1 and bool(self.winner) and int((self.contenders["learned"] > 0).sum()) == 1


def verdicts(contests: Contests, summary: pd.DataFrame, ranking: pd.DataFrame) -> list[Verdict]:
    """One verdict per contest, in the summary's order. ranking: the contests' `contenders`."""
    groups = by_contest(ranking.sort_values("rank", kind="stable"), contests.axes)
    labels = [contests.label(cell) for cell in summary.to_dict("records")]
    cells = by_contest(summary.assign(label=labels), contests.axes)
    contest_of = {contest.key: contest for contest in contests}
    return [_verdict(contest_of[key], groups[key], here) for key, here in cells.items()]


def _verdict(contest: Contest, ranked: pd.DataFrame, cells: pd.DataFrame) -> Verdict:
    """ranked: the contenders, the first in rank first. cells: rows of the summary."""
    learners = ranked[ranked["learned"] > 0]
    first = learners.iloc[0] if len(learners) else None
    scored, level = measure.measure(contest.runs), measure.chance(contest.runs)
    best = learners[learners["may_be_best"]] if first is not None else learners
    state = _state(ranked, best, first, contest.runs)
    sentences = [*_said(state, ranked, best, scored, level), *_failures(cells), *_unsure(state, ranked)]
    names = list(best["label"])
    winner = None if first is None else str(first["label"])
    return Verdict(contest.values, contest.title, state, winner, names, sentences, ranked, scored, level)


def _state(ranked: pd.DataFrame, best: pd.DataFrame, first: pd.Series | None, runs: pd.DataFrame) -> str:
    others = ranked[ranked["same_as"] == ""]
    if first is None:
        return NONE_LEARNED
    if measure.at_chance(first["mean"], runs):
        return AT_CHANCE
    if len(others) < 2:
        return ALONE
    if ranked["runs"].max() < 2:
        return ONE_SEED
    never_ruled_out = ranked["may_be_best"] & (ranked["learned"] == 0)
    return CLEAR if (best["same_as"] == "").sum() == 1 and not never_ruled_out.any() else OPEN


def _said(state: str, ranked: pd.DataFrame, best: pd.DataFrame, scored: Measure, level: float) -> list[str]:
    if state == NONE_LEARNED:
        return _nobody(ranked, scored)
    first = ranked.iloc[0]
    reached = f"{_score(first, scored)}, {_share(first)}"
    if state == AT_CHANCE:
        return [
            f"{first['label']} learned its training data only: {reached}, is no better than {scored.chance} "
            f"({scored.text(level)})."
        ]
    unreliable = [] if most_learned(first["learned"], first["runs"]) else ["It learned in half of its runs or fewer."]
    if state == ALONE:
        return [f"{first['label']}: {reached}. There is nothing to compare it with.", *unreliable]
    if state == ONE_SEED:
        return [f"{first['label']} is first with {reached}. One seed can't tell luck from merit.", *unreliable]
    if state == CLEAR:
        return [f"Use {first['label']}: {reached}.", *_lead(ranked, scored), *_copies(ranked), *unreliable]
    return [*_alike(ranked, best, scored), *_behind(ranked, scored), *_copies(ranked), *unreliable]


def _score(row: pd.Series, scored: Measure) -> str:
    """ "97.2 % mean test accuracy" """
    return f"{scored.text(row['mean'])} {'mean ' if row['learned'] > 1 else ''}{scored.name}"


def _share(row: pd.Series) -> str:
    """ "learned in 4 of 5 runs" """
    return f"learned in {row['learned']} of {plural(int(row['runs']), 'run')}"


def _lead(ranked: pd.DataFrame, scored: Measure) -> list[str]:
    """How far the only one that may be the best is ahead of the next."""
    first = ranked.iloc[0]
    rivals = ranked[(ranked["same_as"] == "") & (ranked["label"] != first["label"])]
    learners = rivals[rivals["learned"] > 0]
    if learners.empty:
        return ["It is the only one that learned."]
    close = learners[learners["reason"] == "score"]
    rarely = learners[learners["reason"] == "learning"]
    said = []
    if len(close):
        nearest = close.loc[close["behind"].idxmin()]
        said.append(f"Next is {nearest['label']}, {scored.gap(nearest['behind'])} behind ({_bounds(nearest, scored)}).")
    if len(rarely):
        shares = (f"{row['label']} ({row['learned']} of {row['runs']} runs)" for _, row in rarely.iterrows())
        said.append(f"{join_words(shares)} learned less often.")
    return said


def _bounds(row: pd.Series, scored: Measure) -> str:
    """ "95 % sure: at least 1.1" """
    return f"{percent(LEVEL, 0)} sure: at least {scored.gap(max(0.0, row['low']))}"


def _alike(ranked: pd.DataFrame, best: pd.DataFrame, scored: Measure) -> list[str]:
    """The alternatives that may be the best, and the largest gap between them that the runs allow."""
    alone = best[best["same_as"] == ""]
    said = []
    if len(alone) == 1:
        first = alone.iloc[0]
        said.append(f"{first['label']} leads: {_score(first, scored)}, {_share(first)}.")
    elif len(alone) <= NAMED:
        scores = join_words(f"{row['label']} ({_brief(row, scored)})" for _, row in alone.iterrows())
        said.append(
            f"Each of these may be the best, by {'mean ' if alone['learned'].max() > 1 else ''}{scored.name}: {scores}."
        )
    else:
        first = alone.iloc[0]
        said.append(
            f"{len(alone)} of {len(ranked)} may each be the best. {first['label']} is first: {_score(first, scored)}."
        )
    margin = alone["high"].max()
    if len(alone) > 1 and margin <= SMALL and (alone["learned"] == alone["runs"]).all():
        seeds = plural(int(ranked["runs"].max()), "seed")
        said.append(f"None is more than {scored.gap(margin)} behind the best ({percent(LEVEL, 0)} sure, {seeds}).")
    return said


def _brief(row: pd.Series, scored: Measure) -> str:
    """ "97.2 %" or "97.2 %, 3 of 5 runs learned" """
    rest = "" if row["learned"] == row["runs"] else f", {row['learned']} of {row['runs']} runs learned"
    return f"{scored.text(row['mean'])}{rest}"


def _behind(ranked: pd.DataFrame, scored: Measure) -> list[str]:
    """Those that learned and are ruled out."""
    out = ranked[(ranked["learned"] > 0) & ~ranked["may_be_best"] & (ranked["same_as"] == "")]
    if out.empty:
        return []
    if len(out) > NAMED:
        return [f"{len(out)} others learned and are surely behind."]
    texts = (f"{row['label']} ({_brief(row, scored)})" for _, row in out.iterrows())
    return [f"Surely behind: {join_words(texts)}."]


def _copies(ranked: pd.DataFrame) -> list[str]:
    """Which alternatives are the same by formula; they were counted once."""
    learners = ranked[(ranked["same_as"] != "") & (ranked["learned"] > 0)]
    parts = [
        f"{join_words(here['label'])} {'starts' if len(here) == 1 else 'start'} with the weights of {original}"
        for original, here in learners.groupby("same_as", sort=False)
    ]
    return [f"{'; '.join(parts)}: counted once."] if parts else []


def _nobody(ranked: pd.DataFrame, scored: Measure) -> list[str]:
    return ["No run has finished."] if not ranked["runs"].sum() else ["None learned here."]


def _failures(cells: pd.DataFrame) -> list[str]:
    """The alternatives that never learned, grouped by their outcome."""
    labels = cells["label"]
    lost = cells[(cells["learned"] == 0) & (cells[list(FINISHED)].sum(axis=1) > 0)]
    words = {SLOW: "still improving at the end", STUCK: "stuck", DIVERGED: "diverged"}
    fates = lost[list(words)].astype("float64").idxmax(axis=1)  # of equals the mildest
    groups = {word: labels[lost.index[fates == fate]] for fate, word in words.items()}
    parts = [f"{join_words(here)} ({word})" for word, here in groups.items() if len(here)]
    return [f"Never learned: {'; '.join(parts)}."] if parts else []


def _unsure(state: str, ranked: pd.DataFrame) -> list[str]:
    """That those which never learned may have been unlucky."""
    unsure = ranked[ranked["may_be_best"] & (ranked["learned"] == 0)]
    if state != OPEN or unsure.empty:
        return []
    runs, who = plural(int(unsure["runs"].max()), "run"), "it" if len(unsure) == 1 else "they"
    return [f"{runs} of {join_words(unsure['label'])} are too few to be sure that {who} can't learn."]


def pooled(contests: Contests, *, seed: int) -> pd.DataFrame:
    """Each initializer over all contests: label, cells, interquartile_mean of test accuracy, low, high.

    Only labels that have finished runs in every contest: all are judged on the same tasks. No rows with
    fewer than `stats.ENOUGH_CELLS` contests: the interval is a bootstrap stratified by contest, and too few seeds in
    too few cells make it too short. `seed` is the bootstrap's. A label is left out where its interval would rest on
    diverged runs, which have no accuracy; none has rows where some contests are of numbers.
    """
    runs = contests.runs.dropna(subset="score")
    every = runs.groupby(contests.axes, dropna=False).ngroups if len(runs) else 0
    rows = []
    if every >= stats.ENOUGH_CELLS and not measure.predicts_numbers(runs).any():
        for label, here in runs.groupby("label", sort=False):
            scores = [cell.to_numpy() for _, cell in here.groupby(contests.axes, dropna=False, sort=False)["score"]]
            if len(scores) == every:
                mean = stats.pooled_interquartile_mean(scores, seed=seed, level=LEVEL)
                if math.isfinite(mean.value) and math.isfinite(mean.low):
                    rows.append((label, every, mean.value, mean.low, mean.high))
    table = pd.DataFrame(rows, columns=["label", "cells", "interquartile_mean", "low", "high"])
    return table.sort_values("interquartile_mean", ascending=False, ignore_index=True)


def notes(contests: Contests, found: list[Verdict]) -> list[str]:
    """What limits the verdicts, in sentences: seeds, runs that are missing, files that can't be read."""
    said = [*_seeds(contests.over, found), *measure.why_scored(contests.runs), *_chance(contests.runs)]
    runs, skipped = contests.runs, contests.results.skipped
    pending, failed = int((runs["status"] == "pending").sum()), int((runs["status"] == "failed").sum())
    if pending:
        said.append(f"{pending:,} of {plural(len(runs), 'run')} still to be trained: these results may change.")
    if failed:
        said.append(f"{plural(failed, 'run')} failed with an error and are not counted: see runs.csv.")
    if skipped:
        said.append(
            f"{plural(len(skipped), 'file')} cannot be read and {'is' if len(skipped) == 1 else 'are'} left out."
        )
    return said


def _seeds(over: str, found: list[Verdict]) -> list[str]:
    """The size of the differences that this number of seeds can show."""
    if found and all(verdict.state in (ALONE, NONE_LEARNED) and len(verdict.contenders) < 2 for verdict in found):
        several = "init=he,xavier,lecun" if over == "init" else f"{over}=..., ..."
        return [f"Nothing is compared yet: name several values, and several seeds, as in {several} --seeds 5."]
    if all(verdict.state in (ALONE, NONE_LEARNED, AT_CHANCE) for verdict in found):
        return []
    seeds = max(int(verdict.contenders["runs"].max()) for verdict in found)
    if seeds < 2:
        return [
            f"With one seed, any difference may be luck: add --seeds 5, or {ENOUGH_SEEDS} to rank close {noun(over)}s."
        ]
    if seeds < ENOUGH_SEEDS:
        return [f"With {seeds} seeds, only large differences show: use {ENOUGH_SEEDS} to rank close {noun(over)}s."]
    return []


def _chance(runs: pd.DataFrame) -> list[str]:
    """What is reached without looking at the inputs: of each dataset, and whether its classes are unequal."""
    levels: dict[str, str] = {}
    unequal = []
    for data, here in runs[is_done(runs)].groupby("data", sort=False):
        level = measure.chance(here)
        if measure.measure(here) is measure.ERROR or math.isnan(level):
            continue
        levels[str(data)] = percent(level)
        nats = here[measure.in_nats(here)]
        equal = math.exp(-nats["constant_loss"].median()) if "constant_loss" in here and len(nats) else math.nan
        if level - equal >= UNEQUAL:  # equal classes have entropy ln C and a share of 1 / C
            unequal.append(str(data))
    said = []
    if levels:
        each = join_words(f"{level} on {data}" if len(levels) > 1 else level for data, level in levels.items())
        said.append(f"Chance: always predicting the commonest label gives {each}.")
    if unequal:
        said.append(f"The classes of {join_words(unequal)} are unequal: compare every accuracy with chance.")
    if measure.predicts_numbers(runs).any():
        said.append("Test errors are in standard deviations of the targets: always predicting their mean gives 1.")
    return said
