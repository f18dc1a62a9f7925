"""Who wins each contest, by how much, and whether the difference is real: pairs of runs under one seed."""

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from initbench.analysis import sample_size, stats
from initbench.analysis.cells import FINISHED, most_learned
from initbench.analysis.comparisons import ALPHA, LEVEL, POWER
from initbench.analysis.contests import Contests, by_contest, contest_title
from initbench.outcomes import DIVERGED, SLOW, STUCK
from initbench.text import join_words, percent, plural

MANY_SEEDS = 200  # a difference that would need more is called small
NO_INTERVAL = "there is no interval, and no difference can be told from noise"
LARGE, VERY_LARGE = 1.0, 3.0  # standard deviations of the paired differences


@dataclass(frozen=True)
class Verdict:
    """The result of one contest, in sentences and in the pairs behind them."""

    contest: dict[str, Any]  # axis to value
    title: str  # "relu, depth 20"
    winner: str | None  # a label, of those that tie the first; None where no initializer learned
    sentences: list[str]
    unresolved: list[str]  # labels too close to the winner to call
    comparisons: pd.DataFrame  # those with the winner
    tied: tuple[str, ...] = ()  # all labels that have the winner's median, if there are several


def verdicts(contests: Contests, summary: pd.DataFrame, comparisons: pd.DataFrame) -> list[Verdict]:
    """One verdict per contest, in the summary's order."""
    summary = summary.assign(label=[contests.label(cell) for cell in summary.to_dict("records")])
    pairs, found = by_contest(comparisons, contests.axes), []
    for key, cells in by_contest(summary, contests.axes).items():
        contest = cells[contests.axes].to_dict("records")[0]
        found.append(_verdict(contest, cells, pairs.get(key, comparisons.iloc[:0])))
    return found


def _verdict(contest: dict[str, Any], cells: pd.DataFrame, pairs: pd.DataFrame) -> Verdict:
    """cells: one row per label, the best first."""
    title = contest_title(contest, contest.values())
    best = cells[cells["best"]]
    if best.empty:
        return Verdict(contest, title, None, _nobody(cells), [], pairs.iloc[:0])
    winner = best.iloc[0]
    against = pairs[pairs["label_a"] == winner["label"]]
    learners = set(cells.loc[cells["learned"] > 0, "label"])
    unresolved = list(against.loc[~against["resolved"] & against["label_b"].isin(learners), "label_b"])
    tied = tuple(best["label"]) if len(best) > 1 else ()
    reliable = most_learned(winner["learned"], winner["runs"])
    alone = f"Use {winner['label']}" if reliable and not unresolved else f"{winner['label']} leads"
    start = f"{join_words(tied)} tie" if tied else alone
    sentences = [
        f"{start}: {percent(winner['test_acc_median'])} median test accuracy, learned in {_shares(best)}.",
        *([] if reliable else ["No initializer learns reliably here: none learned in most of its runs."]),
        *_margin(against[against["label_b"].isin(learners)], len(pairs), tied),
        *_failures(cells),
    ]
    return Verdict(contest, title, winner["label"], sentences, unresolved, against, tied)


def _shares(best: pd.DataFrame) -> str:
    """ "5 of 5 runs", of several cells "5 of 5 and 4 of 5 runs" """
    shares = [f"{cell['learned']} of {cell['runs']:,}" for _, cell in best.iterrows()]
    alike = len(set(shares)) == 1
    text = shares[0] if alike else join_words(shares)
    return f"{text} run{'' if best['runs'].iloc[-1] == 1 else 's'}{' each' if alike and len(shares) > 1 else ''}"


def _nobody(cells: pd.DataFrame) -> list[str]:
    if not cells[list(FINISHED)].to_numpy().sum():
        return ["No run has finished."]
    first = cells.iloc[0]
    closest = (
        f" The best median test accuracy is {percent(first['test_acc_median'])}, by {first['label']}."
        if not math.isnan(first["test_acc_median"])
        else ""
    )
    return [f"No initializer learned here.{closest}", *_failures(cells)]


def _margin(against: pd.DataFrame, family: int, tied: tuple[str, ...]) -> list[str]:
    """How far the winner is ahead of the others that learned, and which differences are real.

    tied: the labels that have the highest median, the winner first; empty where it is alone.
    """
    if against.empty:
        return ["No other initializer learned."]
    pairs = int(against["pairs"].max())
    if pairs < 2:
        return [f"With {plural(pairs, 'seed')} {NO_INTERVAL}: add --seeds 5."]
    open_, closed = against[~against["resolved"]], against[against["resolved"]]
    sentences = []
    if len(closed):
        nearest = closed.iloc[0]
        others = f", and of {join_words(closed['label_b'].iloc[1:])}" if len(closed) > 1 else ""
        real = "the difference is real" if len(closed) == 1 else "the differences are real"
        sentences.append(f"{nearest['label_a']} is ahead of {nearest['label_b']} {_lead(nearest)}{others}: {real}.")
    if len(open_):
        sentences.append(_unresolved(open_, pairs, family, tied))
    return sentences


def _unresolved(open_: pd.DataFrame, pairs: int, family: int, tied: tuple[str, ...]) -> str:
    nearest = open_.iloc[0]
    first, others = nearest["label_a"], list(open_["label_b"])
    if (open_[["difference", "low", "high"]] == 0).all(axis=None):  # as only identical scores have it
        return f"{join_words([first, *others])} have the same accuracy under every seed."
    text = f"{join_words([first, *others])} are too close to call with {plural(pairs, 'seed')}"
    if not math.isnan(nearest["difference"]):
        ahead = nearest["difference"] >= 0
        lead = f"{first} leads {others[0]} by" if ahead else f"the mean of {first} less that of {others[0]} is"
        text += f": {'on average ' if tied and ahead else ''}{lead} {_points(nearest)}"
    needed = open_["seeds_needed"].dropna()
    fewest = sample_size.fewest_seeds_sign(ALPHA / family)
    if len(needed) and needed.min() <= MANY_SEEDS:
        label = open_.loc[needed.idxmin(), "label_b"]
        more = max(1, int(needed.min()) - pairs)
        return f"{text}. About {plural(more, 'more seed')} would probably tell {first} and {label} apart."
    if (open_["test"] == "sign").all() and pairs < fewest:
        return f"{text}. Where runs diverge, it takes at least {fewest} seeds to resolve a difference."
    if len(needed):
        return f"{text}. A difference this small takes more than {MANY_SEEDS} seeds to resolve: use either."
    return f"{text}."


def _failures(cells: pd.DataFrame) -> list[str]:
    """The initializers that never learned, by what became of them."""
    lost = cells[(cells["learned"] == 0) & (cells[[SLOW, STUCK, DIVERGED]].sum(axis=1) > 0)]
    words = {SLOW: "was still improving", STUCK: "got stuck", DIVERGED: "diverged"}
    fates = lost[list(words)].astype("float64").idxmax(axis=1)  # of equals the mildest
    parts = [
        f"{join_words(lost.loc[fates == fate, 'label'])} {word}"
        for fate, word in words.items()
        if (fates == fate).any()
    ]
    return [f"Did not learn: {'; '.join(parts)}."] if parts else []


def _lead(pair: pd.Series) -> str:
    """How far a is ahead of b: "by 12.3 points (8.1 to 16.5)" or, where runs diverged, "in 18 of 20 seeds"."""
    if not math.isnan(pair["difference"]):
        return f"by {_points(pair)}"
    won = pair["improvement"] * pair["pairs"]  # a tie counts half
    return f"in all {pair['pairs']} seeds" if won == pair["pairs"] else f"in {won:g} of {pair['pairs']} seeds"


def _points(pair: pd.Series) -> str:
    """ "12.3 points (8.1 to 16.5)": a difference of accuracies in percentage points, and its interval."""
    value = f"{100 * pair['difference']:.1f} points"
    if math.isnan(pair["low"]):
        return value
    interval = f"{percent(LEVEL, 0)} interval {100 * pair['low']:.1f} to {100 * pair['high']:.1f}"
    return f"{value} ({interval})".replace("-", "−")


def pooled(contests: Contests, *, seed: int) -> pd.DataFrame:
    """Each initializer over all contests: label, cells, interquartile_mean of test accuracy, low, high.

    Only labels that have finished runs in every contest: all are judged on the same tasks. No rows with
    fewer than `stats.ENOUGH_CELLS` contests: the interval is a bootstrap stratified by contest, and too few seeds in
    too few cells make it too short. `seed` is the bootstrap's. A label is left out where its interval would rest on
    diverged runs, which have no accuracy.
    """
    runs = contests.runs.dropna(subset="score")
    every = runs.groupby(contests.axes, dropna=False).ngroups if len(runs) else 0
    rows = []
    if every >= stats.ENOUGH_CELLS:
        for label, here in runs.groupby("label", sort=False):
            scores = [cell.to_numpy() for _, cell in here.groupby(contests.axes, dropna=False, sort=False)["score"]]
            if len(scores) == every:
                mean = stats.pooled_interquartile_mean(scores, seed=seed, level=LEVEL)
                if math.isfinite(mean.value) and math.isfinite(mean.low):
                    rows.append((label, every, mean.value, mean.low, mean.high))
    table = pd.DataFrame(rows, columns=["label", "cells", "interquartile_mean", "low", "high"])
    return table.sort_values("interquartile_mean", ascending=False, ignore_index=True)


def notes(contests: Contests, comparisons: pd.DataFrame) -> list[str]:
    """What limits the verdicts, in sentences: seeds, power, runs that are missing, files that can't be read."""
    said = []
    if comparisons.empty:
        said.append("Each contest has only one initializer: there is nothing to compare.")
    else:
        pairs = int(comparisons["pairs"].max())
        family = int(comparisons.groupby(contests.axes, dropna=False).size().max())
        said += _power(pairs, family)
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


def _power(pairs: int, family: int) -> list[str]:
    """Which differences so many seeds can detect among so many comparisons."""
    if pairs < 2:
        return [f"With one seed {NO_INTERVAL}: add --seeds 5 or more."]
    alpha = ALPHA / family
    d = sample_size.smallest_effect(pairs, alpha, POWER)
    size = "very large" if d >= VERY_LARGE else "large" if d >= LARGE else "moderate or large"
    said = [
        f"With {plural(pairs, 'seed')} only {size} differences can be detected: one of {d:.1f} times the standard "
        f"deviation of its paired differences is found {percent(POWER, 0)} of the time (paired t test at level "
        f"{alpha:.2g}: {plural(family, 'comparison')} per contest)."
    ]
    fewest = sample_size.fewest_seeds_sign(alpha)
    if pairs < fewest:
        said.append(
            "Where a run diverges, pairs are compared by a sign test. With "
            f"{plural(pairs, 'seed')} its p is at least {2.0 ** (1 - pairs):.4g}: it takes {fewest} seeds or more to "
            "resolve such a pair."
        )
    fewest = sample_size.fewest_seeds_bimodal(alpha)
    if pairs < fewest:
        said.append(
            "Some initializers learn with one seed and fail with the next, so that a lead in all "
            f"{plural(pairs, 'seed')} may be luck (probability {stats.p_floor_bimodal(pairs):.2g}): a difference "
            f"smaller than such a jump takes {fewest} seeds or more to resolve."
        )
    return said
