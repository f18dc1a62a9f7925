"""Estimates and tests against SciPy, published numbers, and arrays small enough to work out by hand."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from initbench.analysis import stats
from initbench.analysis.stats import Estimate

INF, NAN = math.inf, math.nan


def is_estimate(estimate: Estimate, value: float, low: float, high: float) -> bool:
    given = (estimate.value, estimate.low, estimate.high)
    return given == pytest.approx((value, low, high), rel=1e-6, nan_ok=True)


# ---------------------------------------------------------------- one cell


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize("n", [1, 5, 20])
def test_a_proportion_has_wilsons_interval(n, level):
    for k in range(n + 1):
        scipys = scipy.stats.binomtest(k, n).proportion_ci(level, method="wilson")
        assert is_estimate(stats.wilson(k, n, level), k / n, scipys.low, scipys.high)


def test_a_proportion_stays_between_0_and_1_and_of_nothing_there_is_none():
    assert stats.wilson(0, 7).low == 0 and stats.wilson(7, 7).high == 1
    assert is_estimate(stats.wilson(0, 0), NAN, NAN, NAN)
    with pytest.raises(ValueError, match="6 successes of 5"):
        stats.wilson(6, 5)


def test_a_median_of_10_lies_between_interpolated_order_statistics():
    # [x2, x9] covers 1 - 2 * 11/1024, [x3, x8] 1 - 2 * 56/1024; I = 0.3244, lambda = 8 I / (2 + 6 I) = 0.6577
    ten = [7, 1, 9, 3, 10, 5, 2, 8, 4, 6]
    assert is_estimate(stats.median(ten), 5.5, 2.6576577, 8.3423423)


def test_a_median_of_5_lies_between_the_extremes_and_of_4_no_interval_is_given():
    assert is_estimate(stats.median([3, 9, 1, 4, 100]), 4, 1, 100)
    assert is_estimate(stats.median([3, 9, 1, 4]), 3.5, NAN, NAN)
    assert is_estimate(stats.median([3]), 3, NAN, NAN)
    assert is_estimate(stats.median([]), NAN, NAN, NAN)
    # [min, max] of 7 covers 98.4 %, of 6 96.9 %: enough for 99 % nearly, and not
    assert is_estimate(stats.median(range(7), 0.99), 3, 0, 6)
    assert math.isnan(stats.median(range(6), 0.99).low)


def test_a_diverged_run_ranks_worst_in_a_median_and_a_missing_one_is_left_out():
    assert is_estimate(stats.median([INF, 2, NAN, 3, 1, 4]), 3, 1, INF)
    assert is_estimate(stats.median([-INF, 0.9, 0.7, 0.8, -INF]), 0.7, -INF, 0.9)
    assert is_estimate(stats.median([-INF, -INF, 0.8, -INF, 0.7]), -INF, -INF, 0.8)
    one_of_ten = stats.median([1, 2, 3, 4, 5, 6, 7, 8, 9, INF])  # the bounds are x2, x3 and x8, x9
    assert is_estimate(one_of_ten, 5.5, 2.6576577, 8.3423423)


def test_a_median_of_10_is_covered_95_times_in_100():
    runs = np.random.default_rng(1).lognormal(size=(15_000, 10))
    covered = [estimate.low <= 1 <= estimate.high for estimate in map(stats.median, runs)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.007)  # four standard errors; [x2, x9] would give 0.979


@pytest.mark.parametrize("n", range(2, 22))
def test_an_interquartile_mean_is_scipys_trimmed_mean_with_scipys_interval(n):
    x = np.random.default_rng(n).gamma(1, size=n)
    # Yuen's test against a constant is Tukey and McLaughlin's
    with np.errstate(all="ignore"):
        interval = scipy.stats.ttest_ind(x, np.zeros(n), trim=0.25, equal_var=False).confidence_interval(0.9)
    assert is_estimate(stats.interquartile_mean(x, 0.9), scipy.stats.trim_mean(x, 0.25), interval.low, interval.high)


def test_an_interquartile_mean_without_a_finite_middle_is_none():
    assert stats.interquartile_mean([-INF, 0.5, 0.6, 0.7, 0.9]).value == pytest.approx(0.6)
    assert is_estimate(stats.interquartile_mean([-INF, -INF, 0.6, 0.7, 0.9]), NAN, NAN, NAN)
    assert is_estimate(stats.interquartile_mean([0.5, NAN]), 0.5, NAN, NAN)
    assert is_estimate(stats.interquartile_mean([]), NAN, NAN, NAN)


# ---------------------------------------------------------------- many cells


def cells(seed: int, count: int = 40, n: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, n))


def test_a_pooled_interquartile_mean_is_the_trimmed_mean_of_all_runs():
    some = [row[: 3 + i % 3] for i, row in enumerate(cells(0, 12))]
    pooled = stats.pooled_interquartile_mean(some, seed=0, resamples=50)
    assert pooled.value == pytest.approx(scipy.stats.trim_mean(np.concatenate(some), 0.25))
    assert pooled.low < pooled.value < pooled.high


def test_the_bootstrap_follows_its_seed():
    first, again, other = (stats.pooled_interquartile_mean(cells(0), seed=seed, resamples=200) for seed in (1, 1, 2))
    assert first == again
    assert first.value == other.value and first.low != other.low and first.high != other.high


def test_the_bootstrap_draws_within_cells():
    """Cells that differ from each other and not inside themselves leave nothing uncertain."""
    level = np.repeat(np.arange(12.0)[:, None], 5, axis=1)
    assert is_estimate(stats.pooled_interquartile_mean(level, seed=0, resamples=100), 5.5, 5.5, 5.5)


def test_the_bootstrap_has_the_variance_of_the_interquartile_mean():
    """Drawing 5 of 5 runs instead of 4 would give 0.89 of the width."""
    truth = np.std(scipy.stats.trim_mean(cells(1, 4000 * 40).reshape(4000, 200), 0.25, axis=1))
    pooled = [stats.pooled_interquartile_mean(cells(100 + i), seed=i, resamples=400) for i in range(40)]
    width = np.mean([estimate.high - estimate.low for estimate in pooled])
    assert width / (2 * 1.975 * truth) == pytest.approx(1, abs=0.05)  # t with 160 degrees of freedom


def test_too_few_cells_are_not_pooled_and_single_runs_give_no_interval():
    with pytest.raises(ValueError, match="cells"):
        stats.pooled_interquartile_mean(cells(0, stats.ENOUGH_CELLS - 1), seed=0)
    single = stats.pooled_interquartile_mean([*cells(0, 15), [0.1]], seed=0)
    assert math.isfinite(single.value) and math.isnan(single.low) and math.isnan(single.high)


def test_diverged_runs_rank_worst_when_cells_are_pooled():
    a_fifth = cells(0, 20)
    a_fifth[:, 0] = -INF
    pooled = stats.pooled_interquartile_mean(a_fifth, seed=0, resamples=500)
    assert pooled.value == pytest.approx(np.sort(a_fifth.ravel())[25:75].mean())
    assert pooled.low == -INF and math.isfinite(pooled.high)  # some resamples have more than a quarter of them
    a_fifth[:, 1] = -INF
    assert is_estimate(stats.pooled_interquartile_mean(a_fifth, seed=0, resamples=5), NAN, NAN, NAN)


def test_a_performance_profile_counts_what_is_above_each_threshold():
    profile = stats.performance_profile([[0.1, 0.5, NAN], [0.5, 0.9, -INF]], [0, 0.1, 0.5, 0.7, 0.9])
    assert profile == pytest.approx([0.8, 0.6, 0.2, 0.2, 0])
    assert np.isnan(stats.performance_profile([NAN], [0.1, 0.2])).all()


def test_an_interval_leaves_out_what_is_impossible():
    """Three accuracies whose trimmed t interval goes from 22.9 % to 134.2 %, seen in a report."""
    wide = stats.interquartile_mean([0.53, 0.90, 0.927])
    assert wide.low < 0.3 and wide.high > 1.3
    assert wide.within(0, 1) == stats.Estimate(wide.value, wide.low, 1)
    assert is_estimate(stats.Estimate(0.5, NAN, NAN).within(0, 1), 0.5, NAN, NAN)
    assert stats.Estimate(0.5, -INF, 0.9).within(0, 1).low == -INF  # the bound fell on a diverged run


def test_accuracies_differ_by_at_most_one():
    a, b = [0.9, 0.2, 0.95], [0.1, 0.15, 0.1]
    free, bound = stats.paired(a, b), stats.paired(a, b, most=1)
    assert free.difference.high > 1 and bound.difference.high == 1
    assert (bound.p, bound.difference.low) == (free.p, free.difference.low)


# ---------------------------------------------------------------- pairs


def test_three_pairs_by_hand():
    pair = stats.paired([3, 5, 7], [2, 3, 4])  # differences 1, 2, 3
    t, half = 2 * math.sqrt(3), 4.3026527 / math.sqrt(3)
    assert pair.pairs == 3 and pair.test == "paired t"
    assert is_estimate(pair.difference, 2, 2 - half, 2 + half)
    assert pair.p == pytest.approx(1 - t / math.sqrt(t * t + 2))  # the t distribution of 2 degrees of freedom
    assert pair.effect == pytest.approx(2 / math.sqrt(math.pi))
    assert pair.improvement == stats.wilson(3, 3)


@pytest.mark.parametrize("n", [2, 5, 20])
def test_finite_pairs_are_tested_as_scipy_does(n):
    a, b = np.random.default_rng(n).normal(size=(2, n))
    scipys = scipy.stats.ttest_rel(a, b)
    interval = scipys.confidence_interval(0.9)
    pair = stats.paired(a, b, 0.9)
    assert pair.p == pytest.approx(scipys.pvalue)
    assert is_estimate(pair.difference, np.mean(a - b), interval.low, interval.high)
    assert pair.improvement == stats.wilson(int((a > b).sum()), n, 0.9)


def test_what_a_seed_does_to_both_is_no_difference():
    seed_effect = np.array([0.0, 0.3, 0.1, 0.5, 0.2, 0.4])
    a, b = seed_effect + np.array([0.02, 0.01, 0.03, 0.02, 0.01, 0.02]), seed_effect
    assert stats.paired(a, b).p < 0.01
    assert stats.paired(a, np.roll(b, 1)).p > 0.5
    assert stats.paired(a, np.roll(b, 1)).difference.value == pytest.approx(stats.paired(a, b).difference.value)


def test_a_missing_run_takes_its_pair_with_it():
    assert stats.paired([1, NAN, 3, 5, 9], [0, 2, NAN, 2, 4]) == stats.paired([1, 5, 9], [0, 2, 4])
    nothing = stats.paired([NAN, 1], [1, NAN])
    assert (nothing.pairs, nothing.p, nothing.test) == (0, 1, "none")
    assert is_estimate(nothing.difference, NAN, NAN, NAN) and math.isnan(nothing.improvement.value)
    with pytest.raises(ValueError, match="not pairs"):
        stats.paired([1, 2], [1, 2, 3])


def test_swapping_the_two_turns_the_difference_round():
    a, b = np.random.default_rng(3).normal(size=(2, 6))
    one, other = stats.paired(a, b), stats.paired(b, a)
    assert one.p == other.p and one.effect == -other.effect
    low, high = -one.difference.high, -one.difference.low
    assert is_estimate(other.difference, -one.difference.value, low, high)
    assert one.improvement.value == pytest.approx(1 - other.improvement.value)


def test_where_a_run_diverged_signs_are_tested():
    a = [0.9, 0.8, 0.9, 0.7, 0.9, -INF, 0.5]
    b = [0.1, 0.2, -INF, 0.8, -INF, -INF, 0.4]  # 5 wins, 1 loss, 1 tie
    pair = stats.paired(a, b)
    assert pair.test == "sign" and pair.p == pytest.approx(scipy.stats.binomtest(5, 6).pvalue)
    assert is_estimate(pair.difference, NAN, NAN, NAN) and math.isnan(pair.effect)
    assert pair.improvement == stats.wilson(5.5, 7)
    assert stats.paired([0.9] * 5, [-INF] * 5).p == 0.0625


def test_identical_scores_are_not_distinguishable():
    for same in ([0.5, 0.6, 0.7], [-INF, 0.6, -INF]):
        pair = stats.paired(same, same)
        assert is_estimate(pair.difference, 0, 0, 0)
        assert (pair.p, pair.test, pair.effect, pair.improvement) == (1, "none", 0, stats.wilson(1.5, 3))


def test_equal_differences_are_tested_by_their_signs_whatever_their_rounding():
    a = np.array([0.9, 0.8, 0.7, 0.3, 0.6])
    b = np.float32(a) - np.float32(0.1)
    assert np.ptp(a - b) > 0  # float32 makes them differ, by 1e-8
    pair = stats.paired(a, b)
    assert pair.test == "sign" and pair.p == 0.0625
    assert is_estimate(pair.difference, 0.1, NAN, NAN) and math.isnan(pair.effect)


def test_one_pair_gives_no_interval():
    pair = stats.paired([0.9], [0.4])
    assert (pair.pairs, pair.p, pair.test) == (1, 1, "none")
    assert is_estimate(pair.difference, 0.5, NAN, NAN)
    assert is_estimate(stats.paired([0.9], [-INF]).difference, NAN, NAN, NAN)


@pytest.mark.parametrize(("n", "gammas"), [(3, 1 / math.pi), (4, math.pi / 6), (5, 2 / math.pi)])
def test_effects_have_hedges_correction(n, gammas):
    """gamma(df/2) / (sqrt(df/2) gamma((df - 1)/2)), squared, at df = 2, 3, 4."""
    d = np.arange(float(n))
    assert stats.paired(d, 0 * d).effect / (d.mean() / d.std(ddof=1)) == pytest.approx(math.sqrt(gammas))


def test_an_effect_is_right_on_average_where_mean_over_deviation_is_not():
    d = np.random.default_rng(8).normal(1, 1, size=(4000, 5))
    effects = [stats.paired(x, 0 * x).effect for x in d]
    assert np.mean(effects) == pytest.approx(1, abs=0.05)  # four standard errors
    assert np.mean(d.mean(axis=1) / d.std(axis=1, ddof=1)) > 1.2


# ---------------------------------------------------------------- scores that jump

TRAINS, FAILS = [0.90, 0.91, 0.92, 0.90, 0.93], [0.10, 0.10, 0.11, 0.09, 0.10]


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_luck_is_how_often_copies_that_train_half_the_time_differ_in_all_pairs(n):
    runs = np.array(list(itertools.product([0, 1], repeat=n)))
    d = runs[:, None] - runs  # of every way that the first can turn out from every way of the second
    assert stats.p_floor_bimodal(n) == np.mean((d == 1).all(axis=2) | (d == -1).all(axis=2))


def test_a_p_below_luck_is_only_for_differences_beyond_the_contests_swing():
    t_test = scipy.stats.ttest_rel(TRAINS, FAILS).pvalue
    assert t_test < 1e-6
    assert stats.paired(TRAINS, FAILS).p == stats.p_floor_bimodal(5) == 2 / 4**5
    assert stats.paired(TRAINS, FAILS, seed_effect=0.8).p == stats.p_floor_bimodal(5)
    assert stats.paired(TRAINS, FAILS, seed_effect=0.4).p == pytest.approx(t_test)
    assert stats.paired(TRAINS, FAILS, seed_effect=0.4) != stats.paired(TRAINS, FAILS, seed_effect=0.8)


def test_luck_does_not_hide_what_the_t_test_doubts():
    a, b = np.random.default_rng(5).normal(size=(2, 5))
    assert stats.paired(a, b).p == pytest.approx(scipy.stats.ttest_rel(a, b).pvalue)


def test_swing_is_half_the_widest_range_of_a_difference():
    assert (
        stats.largest_seed_effect([[0, 1], [1, 0], [5, 5]]) == 1
    )  # 1, -1 of the first two; 5, 4 and 4, 5 of the others
    assert stats.largest_seed_effect([TRAINS, FAILS]) == pytest.approx((0.83 - 0.80) / 2)
    assert stats.largest_seed_effect([[0, -INF, 1, NAN], [1, 9, 0, 3]]) == 1
    assert (
        stats.largest_seed_effect([[0.5, 0.7]])
        == stats.largest_seed_effect([[0.5], [0.9]])
        == stats.largest_seed_effect([[-INF, NAN], [1, 2]])
        == 0
    )


# ---------------------------------------------------------------- many pairs


def test_holm_by_hand():
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    # R's documentation of p.adjust: the smallest times 5, the next times 4; none falls below one before it
    assert stats.holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert stats.holm([0.7, 0.9]) == pytest.approx([1, 1]) and len(stats.holm([])) == 0
    with pytest.raises(ValueError, match="between 0 and 1"):
        stats.holm([0.1, NAN])


def test_copies_are_told_apart_in_5_contests_of_100_and_without_holm_in_35():
    rng = np.random.default_rng(4)
    smallest, adjusted = [], []
    for _ in range(400):
        copies = rng.normal(size=6) + rng.normal(size=(6, 6))  # 6 names, 6 seeds
        p = [stats.paired(a, b).p for a, b in itertools.combinations(copies, 2)]
        smallest.append(min(p))
        adjusted.append(stats.holm(p).min())
    assert np.mean(np.array(adjusted) <= 0.05) <= 0.072
    assert np.mean(np.array(smallest) <= 0.05) > 0.3


def test_copies_that_train_half_the_time_are_not_told_apart_either():
    """With the t test alone, one of 5 training and one of 5 failing runs are found in 10 contests of 100."""
    rng = np.random.default_rng(6)
    alarms, without = [], []
    for _ in range(400):
        copies = np.where(rng.random((12, 5)) < 0.5, 0.1, 0.9) + 0.01 * rng.normal(size=(12, 5))
        ordered = copies[copies.mean(axis=1).argsort()]
        worst, best = ordered[0], ordered[-1]
        alarms.append(66 * stats.paired(best, worst, seed_effect=stats.largest_seed_effect(copies)).p <= 0.05)
        without.append(66 * stats.paired(best, worst, seed_effect=0).p <= 0.05)
    assert np.mean(alarms) <= 0.072 < np.mean(without)


# ---------------------------------------------------------------- how many seeds


def test_what_few_seeds_cannot_reach():
    assert stats.fewest_seeds_sign(0.05) == 6 and stats.fewest_seeds_sign(0.0625) == 5
    assert stats.fewest_seeds_sign(0.05 / 66) == 12
    assert stats.fewest_seeds_bimodal(0.05) == 3 and stats.fewest_seeds_bimodal(0.05 / 66) == 6


@pytest.mark.parametrize("question", [stats.fewest_seeds_sign, stats.fewest_seeds_bimodal])
def test_a_confidence_for_a_significance_level_is_refused(question):
    with pytest.raises(ValueError, match="significance"):
        question(0.95)


# ---------------------------------------------------------------- curves


def test_steps_to_a_target_by_hand():
    losses = [4, 3, 2, 1, 1, 3, 0]
    assert stats.steps_to(losses, 2, window=1) == 2
    assert stats.steps_to(losses, 1.5, window=2) == 3
    assert stats.steps_to(losses, 1.5, window=3) == 4  # (2 + 1 + 1) / 3
    assert stats.steps_to(losses, 0.5, window=2) == INF
    assert stats.steps_to(losses, 100, window=8) == stats.steps_to([], 100, window=1) == INF
    with pytest.raises(ValueError, match="window"):
        stats.steps_to(losses, 1, window=0)


def test_a_loss_that_is_not_finite_spoils_its_windows_and_no_others():
    assert stats.steps_to([1, NAN, 1, INF, 1, 1], 1, window=2) == 5
    assert stats.steps_to([INF, NAN], 1, window=1) == INF
