"""Who may be the best, in words; pairs under one seed, with a correction for the number of comparisons."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from initbench.analysis.comparisons import compare_pairs
from initbench.analysis.contenders import contenders
from initbench.analysis.contests import Contests
from initbench.analysis.headline import headline, standings
from initbench.analysis.measure import ACCURACY
from initbench.analysis.reference import against, sentences
from initbench.analysis.summary import summarize
from initbench.analysis.verdicts import Verdict, notes, pooled, verdicts
from initbench.errors import InputError
from initbench.report.compose import report_on
from initbench.report.outputs import page
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
    contests = Contests.of(results)
    ranking = contenders(contests)
    summary = summarize(contests, ranking)
    (only,) = verdicts(contests, summary, ranking)
    return compare_pairs(contests, summary), only


def runs_of(root: Path, *runs: dict) -> Results:
    store = Store(root)
    store.save_sweep("demo", info={}, runs=[{key: run[key] for key in row()} for run in runs])
    store.save_stack("ab", runs=list(runs), info={})
    return load(root)


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


def text(verdict: Verdict) -> str:
    return " ".join(verdict.sentences)


def test_who_may_be_the_best_and_who_is_surely_behind_in_words(tmp_path):
    columns = {"he": 0.90 + NOISE, "xavier": 0.899 - NOISE, "lecun": 0.7 + NOISE}
    _, words = judged(contest(tmp_path, columns))
    assert (words.title, words.state, words.winner) == ("relu, depth 20", "too close to call", "he")
    assert words.may_be_best == ["he", "xavier"]
    assert text(words).startswith(
        "Each of these may be the best, by mean test accuracy: he (90.0 %) and xavier (89.9 %)."
    )
    assert "Surely behind: lecun (70.0 %)." in text(words)
    assert "behind the best (95 % sure, 5 seeds)" in text(words)


def test_a_clear_winner_is_one_to_use(tmp_path):
    _, words = judged(contest(tmp_path, {"he": 0.95 + NOISE, "xavier": 0.90 - NOISE, "normal": np.full(5, math.nan)}))
    assert (words.state, words.may_be_best) == ("clear", ["he"])
    assert words.sentences[0] == "Use he: 95.0 % mean test accuracy, learned in 5 of 5 runs."
    assert words.sentences[1].startswith("Next is xavier, 5.0 points behind (95 % sure: at least 4.")
    assert words.sentences[-1] == "Never learned: normal (diverged)."


def test_the_only_one_that_learned(tmp_path):
    stuck = [finished(row(init, seed=seed), "stuck", test_acc=0.1) for init in ("he", "xavier") for seed in range(3)]
    learned = [finished(row("normal", seed=seed), test_acc=0.9 + seed / 100) for seed in range(3)]
    _, words = judged(runs_of(tmp_path, *stuck, *learned))
    assert words.clear and words.only_learner and words.sentences[1] == "It is the only one that learned."
    assert headline([words]) == "Use normal"


def test_one_that_learns_by_luck_is_not_used_and_rules_nothing_out(tmp_path):
    """he learns in 3 of 3 runs, lucky in 2 of 3 with higher scores; never in 0 of 3: too few to be sure."""
    made = [finished(row("he", seed=seed), test_acc=0.8 + seed / 100) for seed in range(3)]
    made += [finished(row("lucky", seed=seed), test_acc=0.95 + seed / 100) for seed in range(2)]
    made += [finished(row("lucky", seed=2), "stuck", test_acc=0.1)]
    made += [finished(row("never", seed=seed), "slow", test_acc=0.3) for seed in range(3)]
    _, words = judged(runs_of(tmp_path, *made))
    assert words.state == "too close to call" and words.may_be_best == ["he", "lucky"]
    assert "lucky (95.5 %, 2 of 3 runs learned)" in text(words)
    assert "Never learned: never (still improving at the end)." in words.sentences
    assert "3 runs of never are too few to be sure that it can't learn." in words.sentences


def test_a_winner_at_chance_is_not_one_to_use(tmp_path):
    """Random labels: learned in training, on test data no better than the commonest label's 10 %."""
    columns = {"he": 0.102 + NOISE, "xavier": 0.06 + NOISE}
    _, words = judged(contest(tmp_path, columns))
    assert words.state == "at chance" and "Use" not in text(words)
    assert "is no better than always predicting the commonest label (10.0 %)" in text(words)
    assert headline([words]) == "No initializer does better than chance on test data"


def test_copies_by_formula_count_once(tmp_path):
    """Kumar's weights are He's for ReLU: the same loss at step 0, and then rounding makes chaos of it."""
    accuracies = {"he": 0.90 + NOISE, "kumar": 0.905 - NOISE, "xavier": 0.7 + NOISE}
    made = [
        finished(row(init, seed=seed), test_acc=float(acc), first_last_grad_ratio=0.5 + seed + (init == "xavier"))
        for init, values in accuracies.items()
        for seed, acc in enumerate(values)
    ]
    store = Store(tmp_path)
    store.save_sweep("demo", info={}, runs=[{key: run[key] for key in row()} for run in made])
    start = [2.5 + run["seed"] + (run["init"] == "xavier") for run in made]
    losses = pd.DataFrame({"run_id": [run["run_id"] for run in made], "step": 0, "train_loss": start})
    store.save_stack("ab", runs=made, losses=losses, info={})
    _, words = judged(load(tmp_path))
    assert words.state == "clear" and words.winner == "he"
    assert "kumar starts with the weights of he: counted once." in words.sentences


def numbers(init: str, seed: int, loss: float, **settings) -> dict:
    measured = {"task": "numbers", "loss_unit": "squared error", "constant_loss": 1e10, "majority_acc": None}
    return finished(row(init, seed=seed, data="mine", **settings), test_loss=loss, test_acc=0.0, **measured)


def test_numbers_are_ranked_by_error_in_deviations_of_the_targets(tmp_path):
    """Targets of size 1e5, of which none is ever hit within 0.04: errors 0.2 and 0.3 deviations."""
    made = [numbers("he", seed, (0.2 + seed / 1000) ** 2 * 1e10) for seed in range(5)]
    made += [numbers("xavier", seed, (0.3 + seed / 1000) ** 2 * 1e10) for seed in range(5)]
    _, words = judged(runs_of(tmp_path, *made))
    assert words.state == "clear"
    assert words.sentences[0] == "Use he: 0.202 mean test error, learned in 5 of 5 runs."
    assert words.sentences[1].startswith("Next is xavier, 0.1 behind")
    assert words.chance == -1


def test_a_sign_test_on_five_pairs_resolves_nothing(tmp_path):
    """2 / 2^5 = 0.0625: five wins over runs that diverged are no proof at 5 %, and six are: 2 / 2^6 = 0.031."""
    five, _ = judged(contest(tmp_path / "five", {"he": SEEDS, "normal": np.full(5, math.nan)}))
    assert (five["test"][0], five["p"][0], five["resolved"][0]) == ("sign", 0.0625, False)
    assert math.isnan(five["difference"][0])
    six, _ = judged(contest(tmp_path / "six", {"he": np.append(SEEDS, 0.8), "normal": np.full(6, math.nan)}))
    assert six["p"][0] == 0.03125 and six["resolved"][0]


def test_identical_columns_may_both_be_the_best(tmp_path):
    pairs, words = judged(contest(tmp_path, {"he": SEEDS, "he_fan_out": SEEDS}))
    assert (pairs["difference"][0], pairs["p_adjusted"][0], pairs["resolved"][0]) == (0, 1, False)
    assert words.may_be_best == ["he", "he_fan_out"]


def test_one_seed_recommends_nothing_and_says_so(tmp_path):
    results = contest(tmp_path, {"he": SEEDS[:1], "xavier": SEEDS[:1] - 0.3})
    pairs, words = judged(results)
    assert math.isnan(pairs["low"][0]) and not pairs["resolved"][0]
    assert words.state == "one seed" and "Use" not in text(words)
    assert words.sentences[0] == (
        "he is first with 70.0 % test accuracy, learned in 1 of 1 run. One seed can't tell luck from merit."
    )
    assert headline([words]) == "One seed: nothing can be ranked yet"
    assert "add --seeds 5" in notes(Contests.of(results), [words])[0]


def test_one_initializer_has_nothing_to_compare_with(tmp_path):
    _, words = judged(contest(tmp_path, {"he": SEEDS}))
    assert words.state == "nothing to compare" and "Use" not in text(words) and not standings([words])
    assert headline([words]) == "Nothing to compare with: each contest has only one initializer"
    assert "init=he,xavier,lecun --seeds 5" in notes(Contests.of(load(tmp_path)), [words])[0]


def test_where_nobody_learned_there_is_no_winner(tmp_path):
    runs = [finished(row(init, seed=seed), "stuck", test_acc=0.1) for init in ("he", "zeros") for seed in range(2)]
    store = Store(tmp_path)
    store.save_sweep("demo", info={}, runs=[row(run["init"], seed=run["seed"]) for run in runs])
    store.save_stack("ab", runs=runs, info={})
    _, words = judged(load(tmp_path))
    assert words.winner is None and words.sentences == ["None learned here.", "Never learned: he and zeros (stuck)."]


def verdict(state: str, *best: str, act: str = "relu", depth: int = 5, only: bool = False) -> Verdict:
    others = 0 if only else 3
    ranked = pd.DataFrame({"label": [*best, "zeros"], "runs": 3, "learned": [3] * len(best) + [others]})
    contest = {"act": act, "depth": depth}
    title = f"{act}, depth {depth}"
    return Verdict(contest, title, state, best[0] if best else None, list(best), [], ranked, ACCURACY, 0.1)


def test_activations_or_any_other_axis_may_compete(tmp_path):
    """tanh beats relu in both initializers' contests; depth 20 and 5 are compared with everything else equal."""
    levels = {("relu", 5): 0.90, ("tanh", 5): 0.95, ("relu", 20): 0.85, ("tanh", 20): 0.94}
    made = [
        finished(row(init, act, depth, seed), test_acc=float(level + noise))
        for (act, depth), level in levels.items()
        for init in ("he", "xavier")
        for seed, noise in enumerate(NOISE)
    ]
    results = runs_of(tmp_path, *made)
    contests = Contests.of(results, "act")
    ranking = contenders(contests)
    found = verdicts(contests, summarize(contests, ranking), ranking)
    assert [each.title for each in found] == ["he, depth 5", "he, depth 20", "xavier, depth 5", "xavier, depth 20"]
    assert {each.winner for each in found} == {"tanh"} and all(each.clear for each in found)
    assert headline(found, contests.noun) == "Use tanh"
    depths = Contests.of(results, "depth")
    assert set(depths.runs["label"]) == {"depth 5", "depth 20"} and depths.axes == ["init", "act"]
    made_page = page(report_on(results, over="depth", drawn=False))
    assert "Use depth 5" in made_page and "2 wins" not in made_page
    assert "diagnoses" in report_on(results, over="depth", drawn=False).frames  # why cells fail is said of any contest
    with pytest.raises(
        InputError, match=r"--contest dpeth: does not vary in these runs; these vary: init, act and depth"
    ):
        Contests.of(results, "dpeth")


def test_all_against_one_that_was_named(tmp_path):
    columns = {"he": 0.90 + NOISE, "xavier": 0.92 - NOISE, "lecun": 0.901 + NOISE, "orthogonal": 0.80 - NOISE}
    contests = Contests.of(contest(tmp_path, columns))
    ((key, said),) = sentences(contests, against(contests, "he")).items()
    assert key == ("relu", "20") and said.startswith("Against he (95 % bounds), better: xavier (1.")
    assert "worse: orthogonal (−10." in said and "not told apart from it: lecun (−0." in said
    with pytest.raises(InputError, match=r"--reference hee: not one of the competitors"):
        against(contests, "hee")


CLEAR, OPEN, NONE = "clear", "too close to call", "none learned"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([verdict(CLEAR, "he")], "Use he"),
        ([verdict(OPEN, "he", "xavier", "lecun")], "Too close to call: he, xavier or lecun"),
        ([verdict(NONE)], "No initializer learned"),
        ([verdict(CLEAR, "he"), verdict(OPEN, "he", "xavier", depth=20)], "he"),
        ([verdict(CLEAR, "he"), verdict(CLEAR, "xavier", depth=20)], "he at depth 5; xavier at depth 20"),
        ([verdict(CLEAR, "he"), verdict(NONE, depth=20)], "he (in 1 of 2 contests; elsewhere none learned)"),
        ([verdict(OPEN, *"abcde")], "5 initializers too close to call"),
        (
            [
                *(verdict(CLEAR, "he", act=act) for act in ("relu", "gelu")),
                verdict(OPEN, "he", "xavier", act="tanh"),
                verdict(CLEAR, "normal", act="sigmoid", only=True),
            ],
            "relu, gelu: he. tanh: he or xavier. sigmoid: only normal learned",
        ),
        (
            [verdict(CLEAR, "he", act=f"a{n}", depth=n) for n in range(3)]
            + [verdict(OPEN, "he", f"i{n}", act=f"b{n}") for n in range(3)]
            + [verdict(CLEAR, f"j{n}", act=f"c{n}") for n in range(3)],
            "he may be the best in 6 of 9 contests, clearly in 3",
        ),
    ],
)
def test_the_headline(given, expected):
    assert headline(given) == expected


def test_a_lead_within_noise_is_no_win():
    he, xavier = standings([verdict(CLEAR, "he"), verdict(OPEN, "xavier", "he", depth=20)])
    assert (he.label, he.wins, he.may_be_best) == ("he", 1, 2)
    assert (xavier.label, xavier.wins, xavier.may_be_best) == ("xavier", 0, 1)


def test_unequal_classes_are_named(tmp_path):
    """Nine in ten of one class: the entropy is 0.325 nats."""
    made = [finished(row(seed=seed), constant_loss=0.325, majority_acc=0.9) for seed in range(2)]
    said = notes(Contests.of(runs_of(tmp_path / "unequal", *made)), [])
    assert said == [
        "Chance: always predicting the commonest label gives 90.0 %.",
        "The classes of digits are unequal: compare every accuracy with chance.",
    ]
    made = [finished(row(seed=seed), constant_loss=math.log(10), majority_acc=0.1) for seed in range(2)]
    (said,) = notes(Contests.of(runs_of(tmp_path / "equal", *made)), [])
    assert said == "Chance: always predicting the commonest label gives 10.0 %."


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
