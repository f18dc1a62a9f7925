"""How far initializers lie apart, and whose variance it is: numbers by hand, and what comes out of known draws."""

import math

import numpy as np
import pytest
import scipy.stats

from initbench.analysis import stats, variance

SEEDS = 5


def noisy(*means: float, sd: float = 0.01) -> np.ndarray:
    """A row a mean, a column a seed."""
    return np.array(means)[:, None] + sd * np.random.default_rng(0).normal(size=(len(means), SEEDS))


# ---------------------------------------------------------------- estimates


def test_the_range_of_normal_draws():
    assert variance.expected_range(2) == pytest.approx(2 / math.sqrt(math.pi))
    assert variance.expected_range(3) == pytest.approx(3 / math.sqrt(math.pi))
    assert variance.expected_range(10) == pytest.approx(3.07751, abs=1e-5)  # Tippett 1925, table of d2


def test_the_f_test_is_that_of_a_randomized_block_design():
    scores = np.array([[9.0, 8, 7], [6, 7, 5], [3, 5, 4], [6, 9, 6]])
    means, blocks = scores.mean(1), scores.mean(0)
    rest = scores - means[:, None] - blocks + scores.mean()
    f = (3 * ((means - scores.mean()) ** 2).sum() / 3) / ((rest**2).sum() / 6)
    told = variance.differences(scores)
    assert told.p == pytest.approx(scipy.stats.f.sf(f, 3, 6))
    assert told.deviation == pytest.approx(math.sqrt((rest**2).sum() / 6))
    # two initializers: the square of the paired t
    assert variance.differences(scores[:2]).p == pytest.approx(scipy.stats.ttest_rel(scores[0], scores[1]).pvalue)


def test_the_bound_is_where_so_small_an_f_is_rare():
    x = noisy(0.9, 0.91, 0.92, 0.9)
    told = variance.differences(x)
    rest = x - x.mean(1)[:, None] - x.mean(0) + x.mean()
    f = max(1, SEEDS * x.mean(1).var(ddof=1) / ((rest**2).sum() / 12))
    assert scipy.stats.ncf.cdf(f, 3, 12, told.ratio_high**2 * 3 * SEEDS) == pytest.approx(0.05, abs=1e-5)


def test_nothing_is_told_from_one_seed_and_equal_scores_are_equal():
    assert not variance.differences(np.array([[0.9], [0.8]])).known
    assert not variance.differences(np.array([[0.9, 0.8]])).known
    equal = variance.differences(np.array([[0.9, 0.8], [0.9, 0.8]]))
    assert (equal.p, equal.ratio_high) == (1, 0)
    apart = variance.differences(np.array([[0.9, 0.8], [0.8, 0.7]]))
    assert (apart.p, apart.ratio_high) == (0, math.inf)


def test_components_by_hand():
    """2 x 2 in 2 blocks. Cell means 1, 3, 3, 9, grand 4: MS rows 2*2*(4+4)=32, columns the same, interaction 2*4*1=8.
    Blocks 4*(1+1)=8. What is left is +-1 in two of the cells, 4 over (4-1)*1. So (32-8)/4 = 6 twice, (8-4/3)/2 = 10/3,
    (8-4/3)/4 = 5/3, and 4/3."""
    cells, left = np.array([[1.0, 3], [3, 9]]), np.array([[1.0, -1], [0, 0]])
    values = cells[..., None] + np.array([1.0, -1]) + left[..., None] * np.array([1.0, -1])
    parts = variance.components(values)
    variances = (parts.rows, parts.columns, parts.interaction, parts.blocks, parts.residual)
    assert variances == pytest.approx((6, 6, 10 / 3, 5 / 3, 4 / 3))
    assert parts.p == pytest.approx(scipy.stats.f.sf(6, 1, 3))
    assert parts.shares == pytest.approx(np.array([18, 18, 10, 5, 4]) / 55)


def test_what_a_seed_does_to_all_cells_takes_nothing_from_the_interaction():
    """Cells 1, 3, 3, 9 once more: their interaction is +-1, of variance 4 over 1 degree of freedom."""
    values = np.array([[1.0, 3], [3, 9]])[..., None] + np.array([5.0, -4, 2, -3])
    parts = variance.components(values)
    assert (parts.rows, parts.columns, parts.interaction) == pytest.approx((6, 6, 4))
    assert (parts.blocks, parts.residual, parts.p) == pytest.approx((np.var([5, -4, 2, -3], ddof=1), 0, 0))


@pytest.mark.parametrize("true", [(4.0, 1.0, 2.0, 3.0, 1.0), (1.0, 0.0, 0.5, 6.0, 0.0)])
def test_components_are_unbiased(true):
    """Of draws of crossed effects, seeds among them, with these variances."""
    generator = np.random.default_rng(1)
    a, b, n = 8, 12, 5
    estimates, sizes = [], [(a, 1, 1), (1, b, 1), (a, b, 1), (1, 1, n), (a, b, n)]
    for _ in range(1500):
        parts = [np.sqrt(v) * generator.normal(size=size) for v, size in zip(true, sizes, strict=True)]
        got = variance.components(sum(parts, np.zeros((a, b, n))))
        estimates.append((got.rows, got.columns, got.interaction, got.blocks, got.residual))
    assert np.mean(estimates, axis=0) == pytest.approx(true, rel=0.06, abs=0.01)


def test_no_interaction_is_seldom_one_however_much_seeds_differ():
    generator, alarms = np.random.default_rng(4), 0
    for _ in range(1000):
        seeds, noise = 3 * generator.normal(size=5), generator.normal(size=(4, 3, 5))
        alarms += variance.components(seeds + noise).p <= 0.05
    assert 0.03 < alarms / 1000 < 0.07


# ---------------------------------------------------------------- calibration


@pytest.mark.slow
def test_intervals_of_the_change_cover_and_equal_mitigations_are_seldom_told_apart():
    """The paired t interval of per-seed spreads, of normal, skewed and jumping scores; Holm over 12 mitigations."""
    generator = np.random.default_rng(2)
    shapes = {
        "normal": lambda size: generator.normal(size=size),
        "skewed": lambda size: -generator.exponential(size=size),
    }
    for draw in shapes.values():
        means = np.linspace(0, 2, 6)[:, None]
        wide = [
            variance.ranges(2 * means + draw((6, 200_000))).mean(),
            variance.ranges(means + draw((6, 200_000))).mean(),
        ]
        truth, hits = wide[1] - wide[0], 0
        for _ in range(2000):
            shared = generator.normal(size=5)
            with_, without = (variance.ranges(k * means + shared + draw((6, 5))) for k in (1, 2))
            change = stats.paired(with_, without).difference
            hits += change.low <= truth <= change.high
        assert hits / 2000 > 0.93
    alarms = 0
    for _ in range(1000):
        jumps = np.where(generator.random((13, 6, 5)) < 0.3, 0.1, 0.95) + 0.01 * generator.normal(size=(13, 6, 5))
        ranges = [variance.ranges(each) for each in jumps]
        pairs = [np.stack([ranges[0], each]) for each in ranges[1:]]
        p = [stats.paired(b, a, seed_effect=stats.largest_seed_effect(np.stack([a, b]))).p for a, b in pairs]
        alarms += stats.holm(p).min() <= 0.05
    assert alarms / 1000 < 0.07


@pytest.mark.slow
@pytest.mark.parametrize("k", [2, 4, 9])
def test_a_choice_that_moves_more_than_a_seed_is_seldom_called_noise(k):
    generator, wrong, right = np.random.default_rng(3), 0, 0
    means = np.linspace(-1, 1, k)[:, None]
    means /= means.std(ddof=1)
    for _ in range(1000):
        noise = generator.normal(size=5) + generator.normal(size=(k, 5))
        differ, alike = variance.differences(means + noise), variance.differences(noise)
        wrong += differ.p > 0.05 and differ.ratio_high <= 1
        right += alike.p > 0.05 and alike.ratio_high <= 1
    assert wrong / 1000 < 0.07
    assert right / 1000 > 0.6 if k > 3 else right == 0  # of two, five seeds never tell that they are alike
