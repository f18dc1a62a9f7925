"""The set of those that may be the best: published quantiles, exact probabilities, and cases made by hand."""

import math

import numpy as np
import pytest
import scipy.stats

from initbench.analysis.best_set import (
    against_reference,
    best_set,
    boschloo,
    dunnett_quantile,
    learn_less,
    moderated,
    without_seed_effects,
)

HALF = 1 / math.sqrt(2)


@pytest.mark.parametrize(
    ("others", "df", "published"),
    [
        (1, 5, 2.02),
        (2, 5, 2.44),
        (3, 5, 2.68),
        (9, 5, 3.30),
        (2, 20, 2.03),
        (3, 20, 2.19),
        (5, 20, 2.39),
        (9, 20, 2.60),
    ],
)
def test_quantiles_are_those_of_dunnetts_table(others, df, published):
    """Dunnett 1955, table 1a: one-sided, joint confidence 95 %."""
    assert dunnett_quantile((HALF,) * others, df, 0.95) == pytest.approx(published, abs=0.006)


def test_with_unequal_errors_the_quantile_is_that_of_the_multivariate_t():
    ratios = np.array([0.3, 0.6, 0.9])
    correlation = np.outer(ratios, ratios)
    np.fill_diagonal(correlation, 1)
    d = dunnett_quantile(tuple(ratios), 8, 0.97)
    joint = scipy.stats.multivariate_t(np.zeros(3), correlation, df=8, seed=0).cdf(np.full(3, d))
    assert joint == pytest.approx(0.97, abs=0.002)


@pytest.mark.parametrize("df", [2, 5, 30])
@pytest.mark.parametrize("ratios", [(HALF,) * 11, (0.1, 0.4, 0.7, 0.95), (0.98,) * 6])
def test_quantiles_have_three_digits(ratios, df):
    """Integrated anew on a grid ten times finer: over the shared error z and over s, whose square is chi2 / df."""
    z, level = np.linspace(-6, 6, 481), (np.arange(4000) + 0.5) / 4000
    s = np.sqrt(scipy.stats.chi2.ppf(level, df) / df)
    d = dunnett_quantile(ratios, df, 0.97)
    x = np.linspace(0, 6 * d, 600)
    inside = np.prod([scipy.stats.norm.cdf((r * z[:, None] + x) / math.sqrt(1 - r * r)) for r in ratios], axis=0)
    known = scipy.stats.norm.pdf(z) @ inside * (z[1] - z[0])  # P(all <= x) where errors are known
    assert np.interp(s * d, x, known).mean() == pytest.approx(0.97, abs=2e-4)


@pytest.mark.parametrize(("others", "df", "published"), [(1, 5, 2.57), (2, 5, 3.03), (3, 5, 3.29), (2, 20, 2.38)])
def test_two_sided_quantiles_are_those_of_dunnetts_table(others, df, published):
    """Dunnett 1964, table II: two-sided, joint confidence 95 %."""
    assert dunnett_quantile((HALF,) * others, df, 0.95, two_sided=True) == pytest.approx(published, abs=0.01)


def test_against_a_reference_the_bounds_are_those_of_scipys_dunnett():
    rng = np.random.default_rng(5)
    scores = rng.normal([[0.90], [0.92], [0.85]], 0.01, (3, 12))
    _, better, worse = against_reference(scores, np.ones((3, 12), bool), 0, alpha=0.05)
    peer = scipy.stats.dunnett(*scores[1:], control=scores[0], rng=0).confidence_interval(0.95)
    # SciPy pools all variances; ours are never below an alternative's own.
    assert better.difference == pytest.approx(scores[1].mean() - scores[0].mean())
    assert (better.low, worse.high) == pytest.approx((peer.low[0], peer.high[1]), abs=0.003)
    assert better.low > 0 and worse.high < 0


def test_against_a_reference_that_never_learned_only_learning_is_compared():
    scores, learned = np.array([[0.1] * 4, [0.9] * 4]), np.array([[False] * 4, [True] * 4])
    _, other = against_reference(scores, learned, 0)
    assert other.learning == "more often" and math.isnan(other.difference)


def test_against_a_reference_copies_that_learn_by_luck_are_rarely_told_apart():
    rng = np.random.default_rng(6)
    scores, learned = rng.random((300, 10, 3)), rng.random((300, 10, 3)) < 0.5
    said = [any(each.learning for each in against_reference(*run, 0)) for run in zip(scores, learned, strict=True)]
    assert np.mean(said) <= 0.04 + 3 * math.sqrt(0.04 * 0.96 / 300)  # one by one, 17 % would be


def test_boschloos_p_of_all_against_none_is_a_power_of_a_quarter():
    """The worst case is a chance of one half: (1/2)^n to fail always, (1/2)^n to learn always."""
    for n in (2, 3, 5):
        assert boschloo(0, n, n, n) == pytest.approx(0.25**n)


def test_three_seeds_show_that_one_learns_and_others_never_do():
    assert list(learn_less([3, 0, 0, 0, 0, 0, 0], [3] * 7)) == [False] + [True] * 6
    assert not learn_less([2, 0], [2, 2]).any()


def test_where_learning_is_a_matter_of_luck_more_seeds_are_needed():
    assert not learn_less([3, 0, 2, 1], [3] * 4).any()  # two that are lucky at times: 3/64 > 2 %
    assert list(learn_less([5, 0, 2, 1], [5] * 4)) == [False, True, False, False]  # 3/1024


@pytest.mark.parametrize("p", [0.3, 0.45, 0.6])
def test_copies_that_learn_by_luck_are_rarely_ruled_out(p):
    """Exact: the probability that one of seven copies, learning with probability p, is ruled out with 3 seeds."""
    rng = np.random.default_rng(0)
    counts = rng.binomial(3, p, size=(4000, 7))
    assert np.mean([learn_less(row, [3] * 7)[0] for row in counts]) <= 0.02 + 3 * math.sqrt(0.02 / 4000)


def test_equal_variances_are_pooled_and_unequal_ones_are_not():
    equal, df = moderated(np.array([1.0, 1.1, 0.9, 1.0]), np.full(4, 9))
    np.testing.assert_allclose(equal, 1.0)
    assert (df == 36).all()
    unequal, df = moderated(np.array([1.0, 1.0, 1.0, 1e4]), np.full(4, 9))
    assert unequal[0] < 2e3 and unequal[3] > 5e3 and (df < 12).all()


def test_a_single_run_takes_the_variance_of_the_others():
    variances, _ = moderated(np.array([4.0, 4.0, math.nan]), np.array([4, 4, 0]))
    assert variances[2] == pytest.approx(4.0)
    assert np.isnan(moderated(np.array([math.nan, math.nan]), np.array([0, 0]))[0]).all()


def test_an_effect_that_all_seeds_share_is_taken_out():
    rng = np.random.default_rng(1)
    own = rng.normal(0, 0.01, (6, 10))
    shared = own + rng.normal(0, 1, (1, 10))
    assert without_seed_effects(own) is None
    variances = without_seed_effects(shared)
    assert variances is not None and np.allclose(variances.mean(), 1e-4, rtol=0.5)
    assert best_set(shared + np.array([[0.1], [0], [0], [0], [0], [0]]), np.ones((6, 10), bool))[0].low < 0


def test_an_effect_that_all_share_hides_no_precise_ones_variance():
    """Deviations from 0.2 to 5: the mean over the rows, as a seed's effect, left out the best in a quarter of these."""
    rng, deviations = np.random.default_rng(7), np.geomspace(0.2, 5, 7)[:, None]
    contests = [rng.normal(0, 3, (1, 5)) + deviations * rng.normal(size=(7, 5)) for _ in range(400)]
    hits = [best_set(scores, np.ones((7, 5), bool))[0].may_be_best for scores in contests]
    assert np.mean(hits) >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 400)


def test_what_differs_by_rounding_alone_does_not_differ():
    rng = np.random.default_rng(8)
    scores = rng.random((1, 5)) + 1e-9 * rng.random((4, 5))
    assert without_seed_effects(scores) is None
    assert row(best_set(scores, np.ones((4, 5), bool))) == [True] * 4


def row(found):
    return [each.may_be_best for each in found]


def test_the_far_ahead_one_is_the_only_one_left():
    rng = np.random.default_rng(2)
    scores = rng.normal([[0.97], [0.93], [0.92], [0.5]], 0.005, (4, 5))
    found = best_set(scores, np.ones((4, 5), bool))
    assert row(found) == [True, False, False, False]
    assert found[0].behind == pytest.approx(scores[1].mean() - scores[0].mean())
    assert found[1].low > 0 and found[1].reason == "score"


def test_an_erratic_one_does_not_blur_the_others():
    rng = np.random.default_rng(3)
    scores = rng.normal([[0.97], [0.93], [0.92]], 0.004, (3, 5))
    erratic = np.array([[0.60, 0.97, 0.70, 0.95, 0.80]])
    found = best_set(np.vstack([scores, erratic]), np.ones((4, 5), bool))
    assert row(found)[:3] == [True, False, False]


def test_one_that_learned_less_often_cannot_rule_out_by_its_scores():
    scores = np.array([[0.95, 0.951, 0.949, 0.95, 0.95], [0.99, 0.991, 0.1, 0.1, 0.989]])
    learned = scores > 0.5
    assert row(best_set(scores, learned)) == [True, True]
    assert row(best_set(scores[:, [0, 1, 4]], learned[:, [0, 1, 4]])) == [False, True]


def test_nothing_is_ruled_out_by_one_seed_and_nothing_is_compared_with_itself():
    one = best_set(np.array([[0.9], [0.5]]), np.ones((2, 1), bool))
    assert row(one) == [True, True] and math.isnan(one[1].low)
    alone = best_set(np.array([[0.9, 0.8]]), np.ones((1, 2), bool))
    assert row(alone) == [True] and math.isnan(alone[0].behind)


def test_missing_and_diverged_runs_are_not_filled_in():
    scores = np.array([[0.9, 0.91, math.nan], [-math.inf, -math.inf, -math.inf]])
    found = best_set(scores, np.array([[True, True, False], [False] * 3]))
    assert (found[0].runs, found[0].learned, found[0].mean) == (2, 2, pytest.approx(0.905))
    assert (found[1].runs, found[1].learned) == (3, 0) and math.isnan(found[1].mean)


def test_identical_scores_differ_by_nothing():
    found = best_set(np.ones((3, 4)), np.ones((3, 4), bool))
    assert row(found) == [True] * 3 and [each.high for each in found] == [0, 0, 0]


@pytest.mark.parametrize("seeds", [3, 5])
def test_the_best_is_in_the_set_as_often_as_promised(seeds):
    rng = np.random.default_rng(4)
    hits = [best_set(rng.normal(size=(5, seeds)), np.ones((5, seeds), bool))[0].may_be_best for _ in range(800)]
    assert np.mean(hits) >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 800)
