"""How well birth predicts the end: estimators against SciPy and hand-computed values, and a sweep's section."""

import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, rankdata, spearmanr

from initbench import load
from initbench.analysis.contests import Contests
from initbench.analysis.prediction import (
    ALL,
    MEASURES,
    auc,
    auc_interval,
    correlation_interval,
    fewest_pairs,
    predictions,
    rank_correlation,
    ranks,
)
from initbench.report.sections.prediction import prediction_table

ONE = np.zeros(30)


def test_ranks_and_correlation_are_scipy_s():
    generator = np.random.default_rng(0)
    x, y = generator.integers(0, 6, 30).astype(float), generator.normal(size=30)
    assert ranks(x).tolist() == rankdata(x).tolist()
    assert rank_correlation(x, y, ONE) == pytest.approx(spearmanr(x, y).statistic)
    y[3] = -math.inf  # a diverged cell is the last
    assert rank_correlation(x, y, ONE) == pytest.approx(spearmanr(x, np.nan_to_num(y)).statistic)
    assert math.isnan(rank_correlation(np.ones(30), y, ONE))


def test_auc_is_mann_whitney_s_statistic():
    generator = np.random.default_rng(1)
    values, learned = generator.integers(0, 9, 30).astype(float), generator.random(30) < 0.4
    statistic = mannwhitneyu(values[learned], values[~learned]).statistic
    assert auc(values, learned, ONE) == pytest.approx(statistic / learned.sum() / (~learned).sum())
    assert math.isnan(auc(values, np.ones(30, bool), ONE))


def test_within_contests_only_cells_of_one_contest_are_compared():
    """Two contests in each of which the measure ranks perfectly, and between which it misleads."""
    values, groups = np.array([1.0, 2, 3, 11, 12, 13]), np.array([0, 0, 0, 1, 1, 1])
    learned, score = np.array([False, True, True, False, False, True]), np.array([0.5, 0.8, 0.9, 0.1, 0.2, 0.3])
    assert auc(values, learned, groups) == 1
    assert fewest_pairs(learned, groups) == 2
    assert rank_correlation(values, score, groups) == pytest.approx(1)
    assert auc(values, learned, np.zeros(6)) == pytest.approx(5 / 9)
    assert rank_correlation(values, score, np.zeros(6)) < 0


def test_bounds():
    """Wilson 1927 for 5 of 5: 0.566 to 1; Bonett & Wright 2000, eq. 3, by hand."""
    assert auc_interval(1.0, 5).low == pytest.approx(0.5655, abs=1e-3)
    assert auc_interval(1.0, 5).high == 1
    assert math.isnan(auc_interval(math.nan, 0).low)
    found, half = correlation_interval(0.5, 28), 1.959964 * math.sqrt((1 + 0.125) / 25)
    assert found.low == pytest.approx(math.tanh(math.atanh(0.5) - half), rel=1e-6)
    assert found.high == pytest.approx(math.tanh(math.atanh(0.5) + half), rel=1e-6)
    assert math.isnan(correlation_interval(0.5, 3).low)


def test_correlation_bounds_cover():
    """Of a bivariate normal with rho = 0.6, whose Spearman correlation is 6 / pi asin(rho / 2) = 0.582."""
    generator, truth, held = np.random.default_rng(2), 6 / math.pi * math.asin(0.3), 0
    for _ in range(400):
        x = generator.normal(size=20)
        y = 0.6 * x + 0.8 * generator.normal(size=20)
        found = correlation_interval(rank_correlation(x, y, np.zeros(20)), 20)
        held += found.low <= truth <= found.high
    assert 0.91 <= held / 400 <= 0.99


def test_a_sweep_s_predictions(small_results):
    contests = Contests.of(load(small_results))
    frame = predictions(contests)
    assert set(frame["measure"]) <= MEASURES.keys()
    everything = frame[frame["scope"] == ALL]
    assert (everything["cells"] <= contests.cells.shape[0]).all()
    assert frame["auc"].dropna().between(0, 1).all()
    assert frame["rank_correlation"].dropna().between(-1 - 1e-9, 1 + 1e-9).all()
    table = prediction_table(frame)
    assert table is None or len(table.rows) == len(everything)
