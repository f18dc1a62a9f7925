"""Curves of the loss and of the gradients: known numbers in their places, diverged runs marked."""

# A figure may be None; pandas and matplotlib annotate nearly everything as one of several types.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
# pyright: reportOptionalMemberAccess=false

import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from drawn_results import labels_in, results_of, titles_of
from initbench.report.figures.gradient_norms import _name_layers, gradient_norm, gradient_norms, slope_text
from initbench.report.figures.loss_curves import loss_curve, loss_curves, running_mean, smoothed
from initbench.report.figures.style import label_styles
from initbench.report.figures.styled import StyledContests
from initbench.results.load import load
from results_on_disk import finished, made_up_sweep, row


@pytest.mark.parametrize(
    "values, window, expected",
    [
        ([1.0, 2.0, 6.0], 1, [1, 2, 6]),
        ([1.0, 2.0, 6.0, 3.0], 3, [1.5, 3, 11 / 3, 4.5]),
        ([4.0], 20, [4]),
        ([1.0, 3.0], 0, [1, 3]),
    ],
)
def test_running_mean(values, window, expected):
    np.testing.assert_allclose(running_mean(np.array(values), window), expected)


def test_smoothed_curves_are_infinite_once_diverged():
    runs = pd.DataFrame(
        {
            "run_id": ["a", "b", "c"],
            "label": "he",
            "status": ["done", "done", "pending"],
            "outcome": ["learned", "diverged", None],
            "steps": 4,
        }
    )
    losses = pd.DataFrame({"run_id": list("aaaabb"), "step": [3, 2, 1, 0, 0, 1], "train_loss": [1, 2, 3, 4, 5, 6]})
    data = smoothed(losses, runs)
    assert {run_id: loss.tolist() for run_id, (_, loss) in data.items()} == {
        "a": [4, 3, 2, 1],
        "b": [5, 6, math.inf, math.inf],
    }


def marks(draw, points: dict[str, list[float]], x: list[int], ylim) -> dict[str, list[tuple[float, float]]]:
    """What a panel draws of runs with these values at x, by marker."""
    ax = Figure().subplots()
    ax.set_yscale("log")
    ax.set_ylim(ylim)
    look = label_styles(pd.DataFrame({"init": ["he"], "label": ["he"]}))
    runs = pd.DataFrame({"run_id": list(points), "label": "he"})
    draw(runs, {run: (np.array(x), np.array(values, float)) for run, values in points.items()}, ax, look)
    return {
        str(line.get_marker()): [(float(x), float(y)) for x, y in line.get_xydata() if np.isfinite(y)]
        for line in ax.lines
    }


def test_the_line_is_the_median_and_a_cross_ends_a_diverged_run():
    losses = {"a": [1, 2, 3], "b": [4, 5, 6], "c": [7, math.inf, math.inf]}
    points = marks(loss_curve, losses, [0, 1, 2], ylim=(0.1, 5))
    assert points["None"] == [(0, 4), (1, 5), (2, 6)]  # the diverged run counts as the highest
    assert points["x"] == [(0, 5)]  # its last finite loss, 7, is at the upper edge


def test_most_seeds_diverged_ends_the_line():
    losses = {"a": [1, 1], "b": [2, math.inf], "c": [3, math.inf]}
    assert marks(loss_curve, losses, [0, 1], ylim=(0.1, 5))["None"] == [(0, 2)]


def test_zeros_and_infinities_are_marked_at_the_edges():
    points = marks(gradient_norm, {"a": [0.0, 0.5, math.inf]}, [1, 2, 3], ylim=(0.01, 10))
    assert points == {".": [(2, 0.5)], "v": [(1, 0.01)], "^": [(3, 10)]}


def test_a_panel_each_activation_and_depth_with_one_legend(tmp_path):
    made_up_sweep(tmp_path, acts=["relu", "tanh"], depths=[3, 20], seeds=2)
    contests = StyledContests.of(load(tmp_path))
    losses, norms = loss_curves(contests), gradient_norms(contests)
    for figure in (losses.figure, norms.figure):
        assert titles_of(figure) == ["relu, depth 3", "relu, depth 20", "tanh, depth 3", "tanh, depth 20"]
        assert len(figure.legends) == 1 and labels_in(figure)[:3] == ["he", "xavier", "lecun"]
        left, right = sorted({round(ax.get_position().x0, 3) for ax in figure.axes})
        assert left < right  # a column a depth
    assert len({ax.get_ylim() for ax in norms.figure.axes}) == 1  # slopes can be compared
    low, high = norms.figure.axes[0].get_ylim()
    assert low >= 1e-16 and high <= 1e8
    assert "training loss (cross-entropy, nats)" in [text.get_text() for text in losses.figure.texts]


def test_the_slope_of_gradients_is_a_factor_per_layer():
    """By hand: from 0.2 at layer 1 to 3.2 at layer 5 are four doublings, so a half on each step back."""
    layers = np.arange(1, 6)
    norms = np.stack([0.2 * 2.0 ** (layers - 1), 0.1 * 2.0 ** (layers - 1), 0.4 * 2.0 ** (layers - 1)], axis=1)
    assert slope_text(layers, norms) == "times 0.5 per layer back to the input"
    assert slope_text(layers[:1], norms[:1]) == ""


def test_gradients_are_drawn_for_hidden_layers_from_one(tmp_path):
    made_up_sweep(tmp_path, inits=["he"], acts=["relu"], depths=[3], seeds=2)
    contests = StyledContests.of(load(tmp_path))
    (ax,) = gradient_norms(contests).figure.axes
    assert ax.lines[0].get_xdata().tolist() == [1, 2, 3]


def test_cells_are_never_mixed(tmp_path):
    runs = [finished(row("normal", lr=lr, **{"init.std": std})) for lr in (0.01, 0.1) for std in (0.5, 2.0)]
    figure = loss_curves(StyledContests.of(results_of(tmp_path, *runs))).figure
    assert titles_of(figure) == ["relu, depth 20, lr 0.01", "relu, depth 20, lr 0.1"]
    assert labels_in(figure)[:2] == ["normal std=0.5", "normal std=2"]


@pytest.mark.parametrize(
    "names, ticks",
    [
        (["layers.0", "layers.1", "layers.2"], None),  # numbers
        (["layers.0.input", "layers.0"], {1: "layer 1, input", 2: "layer 1"}),
        (
            ["embedding", *(f"blocks.{i}.attention.{part}" for i in (0, 1) for part in ("query", "key", "output"))],
            {1: "embedding", 4: "block 1", 7: "block 2"},  # no room for more: a block's last layer
        ),
    ],
)
def test_layers_have_names_at_the_axis(names, ticks):
    ax = Figure(figsize=(3, 2)).add_axes((0.1, 0.1, 0.9, 0.8))
    ax.set_xlim(0.5, len(names) + 0.5)
    _name_layers(ax, names)
    shown = dict(zip(ax.get_xticks(), [label.get_text() for label in ax.get_xticklabels()], strict=True))
    assert ticks is None or dict(sorted(shown.items())) == ticks
    assert ticks is not None or not any("layer" in text for text in shown.values())


def test_a_stage_at_the_axis_is_the_last_of_its_layers():
    ax = Figure(figsize=(3, 2)).add_axes((0.1, 0.1, 0.9, 0.8))
    _name_layers(ax, [f"blocks.{i}.{part}" for i in range(40) for part in ("first", "second")])
    shown = {int(at): label.get_text() for at, label in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)}
    assert shown[80] == "block 40" and all(text == f"block {at // 2}" for at, text in shown.items()) and len(shown) < 7


def test_squared_errors_and_nats_are_told_apart(tmp_path):
    """Each dataset has a scale of its own, and each panel says what its loss is."""
    numbers = {"task": "numbers", "constant_loss": 1 / 6, "train_loss": 0.1}
    runs = [finished(row(data="adding"), **numbers), finished(row(data="digits"))]
    made = loss_curves(StyledContests.of(results_of(tmp_path / "both", *runs)))
    assert titles_of(made.figure) == [
        "relu, depth 20, data adding, loss in squared error",
        "relu, depth 20, data digits, loss in nats",
    ]
    assert len({ax.get_ylim() for ax in made.figure.axes}) == 2
    assert "0.1 (squared error), by he" in made.alt and "0.2 (nats), by he" in made.alt
    made = loss_curves(StyledContests.of(results_of(tmp_path / "one", runs[0])))
    assert "training loss (squared error)" in [text.get_text() for text in made.figure.texts]
