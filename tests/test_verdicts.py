"""Who wins is decided on pairs under one seed, with a correction for the number of comparisons."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from initbench.analysis.comparisons import compare_pairs
from initbench.analysis.contests import Contests
from initbench.analysis.summary import summarize
from initbench.analysis.verdicts import Verdict, notes, pooled, verdicts
from initbench.results.load import Results, load
from initbench.results.store import Store
from results_on_disk import finished, row

SEEDS = np.array([0.70, 0.95, 0.60, 0.88, 0.75])  # a seed moves accuracy far more than the initializer does
NOISE = np.array([0.004, -0.003, 0.001, -0.002, 0.000])


def contest(root: Path, accuracies: dict[str, np.ndarray], **settings) -> Results:
    """Results of one contest: accuracies by initializer and seed, NaN a diverged run."""
    runs = [
        finished(row(init, seed=seed, **settings), "diverged", diverged_step=7)
        if math.isnan(acc)
        else finished(row(init, seed=seed, **settings), test_acc=float(acc))
        for init, values in accuracies.items()
        for seed, acc in enumerate(values)
    ]
    store = Store(root)
    asked = [row(run["init"], seed=run["seed"], **settings) for run in runs]
    store.save_sweep("demo", info={}, runs=asked)
    store.save_stack("ab", runs=runs, info={})
    return load(root)


def judged(results: Results) -> tuple[pd.DataFrame, Verdict]:
    summary = summarize(Contests.of(results))
    comparisons = compare_pairs(Contests.of(results), summary)
    (only,) = verdicts(Contests.of(results), summary, comparisons)
    return comparisons, only


def test_pairs_are_of_one_seed(tmp_path):
    """SciPy's paired test finds a difference that vanishes when one column's seeds are shuffled."""
    he, xavier = SEEDS + 0.04 + NOISE, SEEDS
    (pair,) = judged(contest(tmp_path / "paired", {"he": he, "xavier": xavier}))[0].to_dict("records")
    assert (pair["label_a"], pair["label_b"], pair["pairs"], pair["test"]) == ("he", "xavier", 5, "paired t")
    expected = scipy.stats.ttest_rel(he, xavier)
    assert pair["difference"] == pytest.approx((he - xavier).mean())
    interval = expected.confidence_interval(0.95)
    assert (pair["low"], pair["high"]) == pytest.approx((interval.low, interval.high))
    assert pair["p"] == pytest.approx(expected.pvalue) and pair["resolved"]
    shuffled, _ = judged(contest(tmp_path / "shuffled", {"he": he, "xavier": xavier[[1, 0, 3, 2, 4]]}))
    assert shuffled["p"][0] > 0.1 and not shuffled["resolved"][0]


def test_holm_over_the_pairs_of_a_contest(tmp_path):
    columns = {"he": SEEDS + 0.02 + 3 * NOISE, "xavier": SEEDS + 0.01 - 3 * NOISE, "lecun": SEEDS}
    pairs, _ = judged(contest(tmp_path, columns))
    labels = zip(pairs["label_a"], pairs["label_b"], strict=True)
    p = [scipy.stats.ttest_rel(columns[a], columns[b]).pvalue for a, b in labels]
    assert pairs["p"].tolist() == pytest.approx(p)
    first, second, third = sorted(p)  # by hand: times 3, 2 and 1, never falling
    by_hand = [3 * first, max(3 * first, 2 * second), max(3 * first, 2 * second, third)]
    assert sorted(pairs["p_adjusted"]) == pytest.approx([min(1, value) for value in by_hand])


def test_a_winner_and_whom_it_beats_in_words(tmp_path):
    columns = {"he": SEEDS + 0.04 + NOISE, "xavier": SEEDS + 0.039 - NOISE, "lecun": SEEDS - 0.2}
    _, words = judged(contest(tmp_path, columns))
    assert (words.title, words.winner, words.unresolved) == ("relu, depth 20", "he", ["xavier"])
    text = " ".join(words.sentences)
    assert text.startswith("he leads: 79.0 % median test accuracy, learned in 5 of 5 runs.")
    assert "he is ahead of lecun by 24.0 points" in text and "he and xavier are too close to call" in text


def test_a_sign_test_on_five_pairs_resolves_nothing(tmp_path):
    """2 / 2^5 = 0.0625: five wins over runs that diverged are no proof at 5 %, and six are: 2 / 2^6 = 0.031."""
    five, _ = judged(contest(tmp_path / "five", {"he": SEEDS, "normal": np.full(5, math.nan)}))
    assert (five["test"][0], five["p"][0], five["resolved"][0]) == ("sign", 0.0625, False)
    assert math.isnan(five["difference"][0]) and five["seeds_needed"][0] == 6
    six, _ = judged(contest(tmp_path / "six", {"he": np.append(SEEDS, 0.8), "normal": np.full(6, math.nan)}))
    assert six["p"][0] == 0.03125 and six["resolved"][0]


def test_identical_columns_are_not_distinguishable(tmp_path):
    pairs, words = judged(contest(tmp_path, {"he": SEEDS, "he_fan_out": SEEDS}))
    assert (pairs["difference"][0], pairs["p_adjusted"][0], pairs["resolved"][0]) == (0, 1, False)
    assert "he and he_fan_out have the same accuracy under every seed." in words.sentences


def test_equal_medians_tie(tmp_path):
    """he and xavier have the median 75 %; on average he is 0.6 points ahead: (0.70 - 0.67) / 5."""
    he, xavier = SEEDS, np.where(SEEDS == 0.7, 0.67, SEEDS)
    _, words = judged(contest(tmp_path, {"he": he, "xavier": xavier, "lecun": SEEDS - 0.2 + NOISE}))
    assert words.winner in words.tied and set(words.tied) == {"he", "xavier"}
    text = " ".join(words.sentences)
    assert text.startswith(f"{words.tied[0]} and {words.tied[1]} tie: 75.0 % median test accuracy, learned in 5 of 5")
    assert "too close to call" in text and "0.6 points" in text and "ahead of lecun by" in text
    assert ("on average he leads xavier" in text) == (words.winner == "he")


def test_a_tie_of_unequal_reliability_says_so(tmp_path):
    he, xavier = np.array([0.9, 0.8, 0.7]), np.array([0.95, 0.8, math.nan])
    _, words = judged(contest(tmp_path, {"he": he, "xavier": xavier}))
    assert "80.0 % median test accuracy, learned in 3 of 3 and 2 of 3 runs." in words.sentences[0]


def test_one_seed_gives_no_interval_and_says_so(tmp_path):
    results = contest(tmp_path, {"he": SEEDS[:1], "xavier": SEEDS[:1] - 0.3})
    pairs, words = judged(results)
    assert math.isnan(pairs["low"][0]) and not pairs["resolved"][0]
    assert any("there is no interval" in sentence for sentence in words.sentences)
    assert any("there is no interval" in note for note in notes(Contests.of(results), pairs))


def test_where_nobody_learned_there_is_no_winner(tmp_path):
    runs = [finished(row(init, seed=seed), "stuck", test_acc=0.1) for init in ("he", "zeros") for seed in range(2)]
    store = Store(tmp_path)
    store.save_sweep("demo", info={}, runs=[row(run["init"], seed=run["seed"]) for run in runs])
    store.save_stack("ab", runs=runs, info={})
    _, words = judged(load(tmp_path))
    assert words.winner is None and words.sentences[0].startswith("No initializer learned here.")


def test_seeds_that_would_resolve_a_pair_have_the_power_they_promise(tmp_path):
    """By statistics simulated from the effect that was seen: four in five find it, at the corrected level."""
    columns = {"he": SEEDS + 0.02 + 8 * NOISE, "xavier": SEEDS}
    (pair,) = judged(contest(tmp_path, columns))[0].to_dict("records")
    assert not pair["resolved"]
    n = int(pair["seeds_needed"])
    draws = np.random.default_rng(0).normal(pair["effect"], 1, (20_000, n))
    found = (scipy.stats.ttest_1samp(draws, 0, axis=1).pvalue <= 0.05).mean()
    assert 0.79 < found < 0.9


def test_pooling_takes_many_contests_and_a_seed_that_matters(tmp_path):
    store = Store(tmp_path)
    generator = np.random.default_rng(1)
    runs = [
        finished(row(init, depth=depth, seed=seed), test_acc=float(level + 0.02 * generator.standard_normal()))
        for init, level in (("he", 0.9), ("xavier", 0.8))
        for depth in range(1, 13)
        for seed in range(5)
    ]
    store.save_sweep("demo", info={}, runs=[row(run["init"], depth=run["depth"], seed=run["seed"]) for run in runs])
    store.save_stack("ab", runs=runs, info={})
    results = load(tmp_path)
    found = pooled(Contests.of(results), seed=0)
    assert found["label"].tolist() == ["he", "xavier"] and (found["cells"] == 12).all()
    mine = [run["test_acc"] for run in runs if run["init"] == "he"]
    assert found["interquartile_mean"][0] == pytest.approx(scipy.stats.trim_mean(mine, 0.25))
    assert (found["low"] < found["interquartile_mean"]).all() and (found["high"] > found["interquartile_mean"]).all()
    assert found["low"].tolist() == pooled(Contests.of(results), seed=0)["low"].tolist()
    assert found["low"].tolist() != pooled(Contests.of(results), seed=1)["low"].tolist()
