"""Intervals stay within what is possible in every table; equal weights make copies only where weights compete."""

import math

import numpy as np
import pandas as pd
import pytest

from initbench.analysis.comparisons import compare_pairs
from initbench.analysis.contenders import contenders
from initbench.analysis.contests import Contests
from initbench.analysis.folders import compare
from initbench.analysis.measure import largest_gap
from initbench.analysis.reference import against
from initbench.analysis.summary import summarize
from initbench.results.load import Results, load
from initbench.results.store import Store
from results_on_disk import accuracies, finished, results_of, row

WILD = {"he": (0.52, 0.99, 0.97), "xavier": (0.98, 0.51, 0.55), "lecun": (0.6, 0.97, 0.5)}


@pytest.fixture
def wild(tmp_path) -> Results:
    """Accuracies that differ so much between three seeds that a t interval contains what can't be."""
    return results_of(tmp_path, *(run for init, values in WILD.items() for run in accuracies(init, *values)))


def test_accuracies_and_their_differences(wild):
    contests = Contests.of(wild)
    summary = summarize(contests)
    assert summary["test_acc_iqm_high"].max() == 1 and summary["test_acc_iqm_low"].min() >= 0
    pairs = compare_pairs(contests, summary)
    assert (pairs["low"].min(), pairs["high"].max()) == (-1, 1)
    ranking, named = contenders(contests), against(contests, "he")
    for table in (ranking, named):
        assert table[["low", "high"]].min(axis=None) >= -1 and table[["low", "high"]].max(axis=None) <= 1


def test_two_folders(wild, tmp_path):
    other = results_of(tmp_path / "other", *(run for init in WILD for run in accuracies(init, *WILD[init][::-1])))
    cells = compare(wild, other).cells
    assert (cells["low"].min(), cells["high"].max()) == (-1, 1)


def test_errors_have_no_bound(tmp_path):
    """One is 8 deviations of the targets off, the other 0.2: they differ by more than accuracies can."""
    measured = {"task": "numbers", "loss_unit": "squared error", "constant_loss": 1.0}
    errors = {"he": (0.2, 0.21, 0.19), "xavier": (7.9, 8.0, 8.1)}
    runs = [
        finished(row(init, seed=seed), test_loss=error**2, test_acc=0.0, **measured)
        for init, values in errors.items()
        for seed, error in enumerate(values)
    ]
    contests = Contests.of(results_of(tmp_path, *runs))
    (pair,) = compare_pairs(contests, summarize(contests)).to_dict("records")
    assert pair["difference"] == pytest.approx(7.8) and pair["low"] < 7.8 < pair["high"]
    (named,) = against(contests, "xavier").to_dict("records")
    assert named["difference"] == pytest.approx(7.8) and named["low"] < 7.8 < named["high"]


def test_how_far_scores_can_differ():
    assert largest_gap(np.array([0.0, 1.0, -math.inf, math.nan])) == 1
    assert largest_gap(np.array([-0.2, -math.inf])) == math.inf


@pytest.mark.parametrize("over, copies", [("init", 2), ("mitigation", 0)])
def test_equal_weights_make_copies_only_where_weights_compete(tmp_path, over, copies):
    """Kumar's weights are He's; a mitigation that starts from the weights of another is another all the same."""
    made = [
        finished(row(init, seed=seed, mitigation=value), test_acc=acc - seed / 1000, first_last_grad_ratio=0.5 + seed)
        for value, level in {"none": 0.7, "adam": 0.95}.items()
        for init, acc in {"he": level, "kumar": level}.items()
        for seed in range(5)
    ]
    store = Store(tmp_path)
    keys = [key for key in row() if key != "run_id"]
    store.save_sweep("demo", info={}, runs=[{key: run[key] for key in ("run_id", *keys)} for run in made])
    losses = {"run_id": [run["run_id"] for run in made], "step": 0, "train_loss": [2.5 + run["seed"] for run in made]}
    store.save_stack("ab", runs=made, losses=pd.DataFrame(losses), info={})
    ranking = contenders(Contests.of(load(tmp_path), over))
    assert (ranking["same_as"] != "").sum() == copies
    if over == "mitigation":
        assert set(ranking.loc[ranking["may_be_best"], "label"]) == {"adam"}
