"""Heatmaps of layers over training: known numbers in their tiles, nothing after a divergence."""

# A figure may be None; pandas and matplotlib annotate nearly everything as one of several types.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportOptionalMemberAccess=false
# pyright: reportOptionalOperand=false

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from drawn_results import results_of
from initbench.report.figures import layers
from initbench.report.figures.heatmap import colour_scale
from initbench.report.figures.layers import over_time
from initbench.report.figures.quantities import QUANTITIES
from initbench.report.figures.snapshots import STEPS, layer_names, read_layers
from initbench.report.figures.styled import StyledContests
from initbench.results.load import Results, load
from initbench.results.store import Store
from results_on_disk import curves_of, finished, row


def heatmap(results: Results, name: str) -> Figure:
    contests = StyledContests.of(results)
    (quantity,) = (quantity for quantity in QUANTITIES if quantity.figure == name)
    return layers.heatmap(contests, quantity).figure


def painted(figure: Figure) -> np.ndarray:
    """The colours' numbers of the only image, NaN where there is none."""
    (image,) = figure.axes[0].images
    return image.get_array().filled(np.nan)


def test_a_tile_holds_the_medians_of_its_seeds(tmp_path):
    def known(seed, step, layer):
        return np.array([10, 20, 900])[seed] + layer + step / 1000  # the median over the seeds is that of seed 1

    runs = [finished(row("he", depth=3, steps=60, seed=seed)) for seed in range(3)]
    figure = heatmap(results_of(tmp_path, *runs, act_mean=known), "act_mean")
    paint = painted(figure)
    height, width = paint.shape  # one tile: 3 hidden layers, log steps 0, 20 and 40
    rows, columns = ([length // 6, length // 2, length - length // 6] for length in (height, width))
    expected = [[20 + layer + step / 1000 for step in (0, 20, 40)] for layer in (2, 1, 0)]  # the input is below
    np.testing.assert_allclose(paint[np.ix_(rows, columns)], expected, rtol=1e-6)
    assert {"1", "3", "0", "40", "relu\ndepth 3"} <= {text.get_text() for text in figure.axes[0].texts}


def test_contests_of_one_colour_are_named_and_not_drawn(tmp_path):
    """Sigmoid's activations have a mean of a half in every layer; those of relu grow with the layer here."""
    runs = [finished(row("he", act, depth=3, steps=60, seed=seed)) for act in ("relu", "sigmoid") for seed in (0, 1)]
    (act_mean,) = (quantity for quantity in QUANTITIES if quantity.figure == "act_mean")

    def drawing(folder: str, *chosen: dict):
        store = Store(tmp_path / folder)
        store.save_sweep("demo", info={}, runs=[])
        for number, run in enumerate(chosen):
            curve = curves_of(run, np.random.default_rng(0), 0.9)
            layer = curve["layers"]["layer"]
            curve["layers"]["act_mean"] = layer + 1.0 if run["act"] == "relu" else np.full(len(layer), 0.5)
            store.save_stack(f"{number:04x}", runs=[run], **curve, info={})
        return layers.heatmap(StyledContests.of(load(tmp_path / folder)), act_mean)

    both = drawing("both", *runs)
    titles = {text.get_text() for text in both.figure.axes[0].texts}
    assert "relu\ndepth 3" in titles and "sigmoid\ndepth 3" not in titles
    assert "Not drawn, as it is nearly the same everywhere: sigmoid, depth 3 (0.5 to 0.5)." in both.caption
    assert drawing("sigmoid", *runs[2:]) is None


@pytest.mark.slow
def test_steps_after_divergence_are_empty_and_hatched(tmp_path):
    runs = [finished(row("normal", depth=3, steps=100, seed=seed), "diverged", diverged_step=45) for seed in range(2)]
    runs += [finished(row("he", depth=3, steps=100, seed=seed)) for seed in range(2)]
    figure = heatmap(results_of(tmp_path, *runs), "act_var")
    paint = painted(figure)
    he, normal = paint[: paint.shape[0] // 2 - 8], paint[paint.shape[0] // 2 + 8 :]
    assert np.isfinite(he).all()
    fifth = paint.shape[1] / 5  # log steps 0, 20, 40, 60, 80: the last two came after step 45
    seen = np.isfinite(normal).all(axis=0)
    assert seen[: int(3 * fifth)].all() and not seen[int(3 * fifth) + 1 :].any()
    hatched = [collection for collection in figure.axes[0].collections if collection.get_hatch()]
    assert [len(collection.get_paths()) for collection in hatched] == [1]


@pytest.mark.slow
def test_a_seed_that_survives_is_shown_where_another_diverged(tmp_path):
    runs = [
        finished(row(depth=3, steps=60, seed=0)),
        finished(row(depth=3, steps=60, seed=1), "diverged", diverged_step=5),
    ]
    results = results_of(tmp_path, *runs, dead=lambda seed, step, layer: seed + 0.0 * layer)
    paint = painted(heatmap(results, "dead"))
    assert np.unique(paint[:, 0]).tolist() == [0.5] and np.unique(paint[:, -1]).tolist() == [0]


def test_at_most_sixteen_log_steps_are_read(tmp_path):
    runs = [finished(row(steps=1000, log_every=10))]
    measured = read_layers(StyledContests.of(results_of(tmp_path, *runs)))
    steps = np.unique(measured["step"])
    assert len(steps) == STEPS and steps[0] == 0 and steps[-1] == 990
    assert measured["layer"].min() == 1 and measured["layer"].max() == 20  # without the head


@pytest.mark.parametrize(
    "scale, values, low, high",
    [
        ("fraction", [0.1, 0.2], 0, 1),
        ("signed", [-0.2, 0.4], -0.4, 0.4),
        ("ratio", [1e-4, 1e-3], 1e-4, 1e-2),  # symmetric about 1e-3
    ],
)
def test_scales_of_colour(scale, values, low, high):
    norm, _, _ = colour_scale(scale, np.array([*values, math.nan]))
    np.testing.assert_allclose([norm.vmin, norm.vmax], [low, high], rtol=0.1)


def test_extremes_do_not_stretch_a_logarithmic_scale():
    values = np.r_[np.logspace(-3, 0, 100), 1e-40, 1e30, 0.0]
    norm, _, ends = colour_scale("log", values)
    assert norm.vmin > 1e-5 and norm.vmax < 1e3 and ends == "both"


def recurrent(root: Path, *runs: dict, norm) -> Results:
    """Results of recurrent models; norm: the gradient's norm as a function of (seed, step, layer, time)."""
    results_of(root, *runs)
    tables = []
    for run in runs:
        steps = range(0, run["steps"], run["log_every"])
        at = pd.MultiIndex.from_product([steps, (1, 2), range(4)], names=["step", "layer", "time"]).to_frame(
            index=False
        )
        values = [norm(run["seed"], *place) for place in at.itertuples(index=False)]
        tables.append(
            at.assign(run_id=run["run_id"], name="layers." + (at["layer"] - 1).astype("str"), pre_grad_norm=values)
        )
    pd.concat(tables).to_parquet(root / "stacks" / "ab" / "times.parquet")
    return load(root)


def test_gradients_over_time_are_medians_of_the_first_recurrent_layer(tmp_path):
    def norm(seed, step, layer, time):
        return [0.5, 1.0, 800.0][seed] * 10.0 ** (time - 3) * (1 + step) if layer == 1 else 1e9

    runs = [finished(row("xavier", model="rnn", depth=2, steps=60, seed=seed)) for seed in range(3)]
    contests = StyledContests.of(recurrent(tmp_path, *runs, norm=norm))
    made = over_time(contests)
    paint = painted(made.figure)
    height, width = paint.shape  # one tile: 4 time steps, log steps 0, 20 and 40
    rows = [(2 * time + 1) * height // 8 for time in range(4)]
    columns = [(2 * look + 1) * width // 6 for look in range(3)]
    expected = [[10.0 ** (time - 3) * (1 + step) for step in (0, 20, 40)] for time in (3, 2, 1, 0)]  # the last on top
    np.testing.assert_allclose(paint[np.ix_(rows, columns)], expected, rtol=1e-5)
    assert {"0", "3", "40", "time step"} <= {text.get_text() for text in made.figure.axes[0].texts}
    assert "(layer 1)" in made.caption and "time steps" in made.alt


def test_layers_of_several_kinds_are_named(tmp_path):
    contests = StyledContests.of(results_of(tmp_path, finished(row(depth=2)), finished(row(model="gru", depth=2))))
    measured = read_layers(contests)
    assert layer_names(contests, measured) == ""  # layers.0, layers.1: numbers say it all
    gru = contests.runs.loc[contests.runs["model"] == "gru", "run_id"].item()
    inputs = (measured["run_id"] == gru) & (measured["layer"] == 1)
    measured["name"] = measured["name"].astype("str").mask(inputs, "layers.0.input")
    assert layer_names(contests, measured) == " The layers of gru, from the input on: layer N, input; layer N."
