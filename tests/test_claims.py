"""What is said of mitigations, measured on digits: nets of 32 units, 500 steps of SGD with momentum at 0.01.

Each is a corner of the sweep in results/reference/, which has 1000 steps; README.md there has the rest.
"""

from pathlib import Path

import pandas as pd
import pytest

import initbench
from initbench.analysis.tuning import tuning
from initbench.planning.sweep import prepare

pytestmark = pytest.mark.slow


def outcomes(out: Path, *overrides: str, seeds: int = 3) -> pd.DataFrame:
    """Which seeds of each cell learned, stuck and diverged: a row a cell, its axes as index."""
    sweep = prepare(["width=32", "steps=500", *overrides], seeds=seeds, out=out, workers=1)
    folder = sweep.save()
    list(sweep.train(lambda stack, step: None))
    runs = initbench.load(folder).runs
    return runs.groupby(["init", "act", "depth", "mitigation"])["outcome"].value_counts().unstack(fill_value=0)


def test_batch_normalization_lets_20_sigmoid_layers_learn(tmp_path):
    """Ioffe & Szegedy 2015: with it even saturating nonlinearities can be trained."""
    found = outcomes(tmp_path, "init=xavier,orthogonal", "act=sigmoid", "depth=20", "mitigation=none,batchnorm")
    assert (found.xs("none", level="mitigation")["stuck"] == 3).all()
    assert (found.xs("batchnorm", level="mitigation")["learned"] == 3).all()


def test_residual_branches_at_full_scale_break_20_relu_layers_and_such_as_start_at_0_do_not(tmp_path):
    """Each block doubles the variance (De & Smith 2020), unless its scale starts at 0 (their SkipInit)."""
    mitigations = "mitigation=none,residual,residual_learned"
    found = outcomes(tmp_path, "init=he", "act=relu", "depth=20", mitigations).droplevel(["init", "act", "depth"])
    assert found.loc["none", "learned"] == found.loc["residual_learned", "learned"] == 3
    assert found.loc["residual", "diverged"] == 3


def test_clipping_keeps_diverging_runs_finite_and_they_learn_nothing(tmp_path):
    """N(0, 1) at 20 ReLU layers: what is clipped stays finite (Pascanu et al. 2013), and learns nothing even so."""
    mitigations = "mitigation=none,clip_norm,clip_value"
    found = outcomes(tmp_path, "init=normal", "act=relu", "depth=20", mitigations).droplevel(["init", "act", "depth"])
    assert found.loc["none", "diverged"] == 3
    finite = found.loc[["clip_norm", "clip_value"]].reindex(columns=["slow", "stuck"], fill_value=0).sum(axis=1)
    assert (finite == 3).all()  # whether the loss still falls, from 1e12, or not


def test_biases_do_not_rescue_small_weights_with_sigmoid(tmp_path):
    """N(0, 0.01^2): often said to be a matter of the biases; what is missing is the difference between examples."""
    found = outcomes(tmp_path, "init=normal_small", "act=sigmoid", "depth=5", "mitigation=none,bias")
    assert (found["stuck"] == 3).all()


def test_warmup_widens_the_range_of_workable_rates_where_weights_start_too_large(tmp_path):
    """Kalra & Barkeshli 2024: a net that starts sharp gets flat meanwhile; one that starts flat gains nothing."""
    overrides = ["init=he", "act=relu", "depth=5", "width=32", "init.gain=1,2", "mitigation=none,warmup"]
    rates = ["lr=tune", "tune.low=0.001", "tune.high=0.1", "tune.rates=9", "steps=500"]
    sweep = prepare([*overrides, *rates], seeds=2, out=tmp_path, workers=1)
    folder = sweep.save()
    list(sweep.train(lambda stack, step: None))
    found = tuning(initbench.load(folder))
    assert found is not None
    width = found.cells.set_index(["init.gain", "mitigation"])["decades"]
    assert width[2, "warmup"] >= width[2, "none"] + 0.25
    assert width[1, "warmup"] == width[1, "none"]
