"""Figures show the runs as they are: known numbers in their places, diverged runs marked, colours kept."""

# pandas annotates nearly everything as "Series or DataFrame or unknown": these checks see only that.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
# pyright: reportCallIssue=false

import itertools
import math
import re
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from initbench import grid
from initbench.report.figures import INK, MUTED, RULE, Contests, Drawing, curves, drawings, layers, outcomes, save, svg
from initbench.report.figures import seeds as every_seed
from initbench.report.figures.layout import MOST, median, panels
from initbench.report.figures.style import INITIALIZERS, PALETTE, styles
from initbench.results import Results, load
from initbench.store import OUTCOME_TYPES, Store
from results_on_disk import FATES, curves_of, finished, joined, made_up_sweep, row

NAMES = [
    *("outcomes", "margins", "seeds", "trainable_depth", "profiles", "loss_curves", "gradient_norms"),
    *("gradient_norm_over_training", "act_mean", "act_var", "dead", "saturated", "update_ratio"),
]


def results_of(root: Path, *runs: dict, **layer_columns) -> Results:
    """Results with these runs trained; layer_columns: functions of (seed, step, layer) that replace metrics."""
    store = Store(root)
    store.save_sweep("demo", info={}, runs=[{k: v for k, v in run.items() if k not in OUTCOME_TYPES} for run in runs])
    measured = [curves_of(run, np.random.default_rng(0), 0.9) for run in runs]
    for run, curve in zip(runs, measured, strict=True):
        for name, value in layer_columns.items():
            curve["layers"][name] = value(run["seed"], curve["layers"]["step"], curve["layers"]["layer"])
    store.save_stack("ab", runs=list(runs), **joined(measured), info={})
    return load(root)


def cell(init: str, *values: float | None, **settings) -> list[dict]:
    """Runs whose seeds got these accuracies: learned from 0.5 on, below it stuck; None diverged."""
    return [
        finished(row(init, seed=seed, **settings), "diverged", diverged_step=45)
        if value is None
        else finished(row(init, seed=seed, **settings), "learned" if value >= 0.5 else "stuck", test_acc=value)
        for seed, value in enumerate(values)
    ]


def pair(a: str, b: str, difference: float, *, resolved: bool, **contest) -> dict:
    contest = {"act": "relu", "depth": 20} | contest
    interval = {"difference": difference, "low": difference - 0.01, "high": difference + 0.01}
    return contest | {"label_a": a, "label_b": b, "pairs": 3, "resolved": resolved} | interval


def drawn(results: Results, comparisons: pd.DataFrame | None = None) -> dict[str, Drawing]:
    return {drawing.name: drawing for drawing in drawings(results, comparisons)}


def heatmap(results: Results, name: str) -> Figure:
    contests = Contests.of(results)
    made = {drawing.name: drawing for drawing in layers.heatmaps(contests, layers.read_looks(contests))}
    return made[name].figure


def panel(figure: Figure, title: str):
    (ax,) = [ax for ax in figure.axes if ax.get_title(loc="left") == title]
    return ax


def labels_in(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def titles_of(figure: Figure) -> list[str]:
    return [title for ax in figure.axes if (title := ax.get_title(loc="left"))]


# ---------------------------------------------------------------- looks


def test_an_initializer_keeps_its_look():
    def look(*inits):
        return styles(pd.DataFrame({"init": inits, "label": inits}))

    all_of_them = look(*INITIALIZERS)
    looks = {(style.color, str(style.linestyle)) for style in all_of_them.values()}
    assert len(looks) == len(INITIALIZERS) == len(grid.choices("init"))
    for init in INITIALIZERS:
        assert look("zeros", init)[init] == all_of_them[init]
    assert len({look(*FATES)[init].color for init in FATES}) == len(FATES)


def test_looks_are_of_initializers_that_are_shipped():
    assert set(INITIALIZERS) <= set(grid.choices("init"))


def test_swept_parameters_share_a_colour_and_differ_in_marker():
    labels = ["normal std=0.01", "normal std=1"]
    small, large = styles(pd.DataFrame({"init": "normal", "label": labels})).values()
    assert small.color == large.color and small.marker != large.marker


def linear(colour: str) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """WCAG 2's contrast ratio."""
    dark, light = sorted(linear(colour) @ [0.2126, 0.7152, 0.0722] for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("background", ["#ffffff", "#14181f"])
def test_colours_stand_out_on_light_and_dark(background):
    assert min(contrast(colour, background) for colour in PALETTE) > 2.6


# Machado, Oliveira & Fernandes 2009, severity 1; Ottosson's OKLab (2020), in which 0.02 is just noticeable.
BLINDNESS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_CONES = [
    [0.41222147, 0.53633254, 0.05144599],
    [0.2119035, 0.68069955, 0.10739696],
    [0.08830246, 0.28171884, 0.6299787],
]
TO_LAB = [
    [0.21045426, 0.79361779, -0.00407205],
    [1.9779985, -2.4285922, 0.45059371],
    [0.02590404, 0.78277177, -0.80867577],
]


@pytest.mark.parametrize("matrix", BLINDNESS.values(), ids=BLINDNESS.keys())
def test_the_colour_blind_can_tell_them_apart(matrix):
    seen = [np.clip(np.array(matrix) @ linear(colour), 0, 1) for colour in PALETTE]
    lab = [np.array(TO_LAB) @ np.cbrt(np.array(TO_CONES) @ rgb) for rgb in seen]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(lab, 2)) > 0.045


def test_a_colour_means_the_same_initializer_in_all_figures(tmp_path):
    runs = [run for depth in (5, 20) for run in cell("xavier", 0.9, 0.8, depth=depth) + cell("he", 0.95, depth=depth)]
    made = drawn(results_of(tmp_path, *runs), pd.DataFrame([pair("he", "xavier", 0.05, resolved=True, depth=5)]))
    colour = styles(pd.DataFrame({"init": ["xavier"], "label": ["xavier"]}))["xavier"].color.lower()

    def lines(name: str, title: str) -> set[str]:
        return {to_hex(line.get_color()) for line in panel(made[name].figure, title).lines}

    assert colour in lines("loss_curves", "relu, depth 5") and colour in lines("gradient_norms", "relu, depth 5")
    assert colour in lines("profiles", "all contests") and colour in lines("margins", "relu, depth 5")
    bars = panel(made["trainable_depth"].figure, "relu").patches
    assert [to_hex(bar.get_facecolor()) for bar in bars][1] == colour
    points = panel(made["seeds"].figure, "relu, depth 5").collections[0]
    assert {to_hex(face) for face in points.get_facecolors()[1:]} == {colour} or colour in {
        to_hex(face) for face in points.get_facecolors()
    }
    assert colour in {to_hex(line.get_color()) for line in made["act_mean"].figure.axes[0].lines}


# ---------------------------------------------------------------- curves


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
    np.testing.assert_allclose(curves.running_mean(np.array(values), window), expected)


@pytest.mark.parametrize(
    "values, expected",
    [
        ([3.0, 1.0, 2.0], 2),
        ([3.0, math.nan, 1.0], 2),
        ([math.nan, math.nan], math.nan),
        ([1.0, 2.0, math.inf], 2),
        ([1.0, math.inf], math.inf),
        ([math.inf, math.inf], math.inf),
    ],
)
def test_a_median_skips_what_is_missing_and_counts_what_is_infinite(values, expected):
    np.testing.assert_equal(median(np.array(values), axis=0), expected)


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
    data = curves.smoothed(losses, runs)
    assert {run_id: loss.tolist() for run_id, (_, loss) in data.items()} == {
        "a": [4, 3, 2, 1],
        "b": [5, 6, math.inf, math.inf],
    }


def marks(draw, points: dict[str, list[float]], x: list[int], ylim) -> dict[str, list[tuple[float, float]]]:
    """What a panel draws of runs with these values at x, by marker."""
    ax = Figure().subplots()
    ax.set_yscale("log")
    ax.set_ylim(ylim)
    look = styles(pd.DataFrame({"init": ["he"], "label": ["he"]}))
    runs = pd.DataFrame({"run_id": list(points), "label": "he"})
    draw(runs, {run: (np.array(x), np.array(values, float)) for run, values in points.items()}, ax, look)
    return {
        str(line.get_marker()): [(float(x), float(y)) for x, y in line.get_xydata() if np.isfinite(y)]
        for line in ax.lines
    }


def test_the_line_is_the_median_and_a_cross_ends_a_diverged_run():
    losses = {"a": [1, 2, 3], "b": [4, 5, 6], "c": [7, math.inf, math.inf]}
    points = marks(curves.loss_curve, losses, [0, 1, 2], ylim=(0.1, 5))
    assert points["None"] == [(0, 4), (1, 5), (2, 6)]  # the diverged run counts as the highest
    assert points["x"] == [(0, 5)]  # its last finite loss, 7, is at the upper edge


def test_most_seeds_diverged_ends_the_line():
    losses = {"a": [1, 1], "b": [2, math.inf], "c": [3, math.inf]}
    assert marks(curves.loss_curve, losses, [0, 1], ylim=(0.1, 5))["None"] == [(0, 2)]


def test_zeros_and_infinities_are_marked_at_the_edges():
    points = marks(curves.gradient_norm, {"a": [0.0, 0.5, math.inf]}, [1, 2, 3], ylim=(0.01, 10))
    assert points == {".": [(2, 0.5)], "v": [(1, 0.01)], "^": [(3, 10)]}


def test_a_panel_each_activation_and_depth_with_one_legend(tmp_path):
    made_up_sweep(tmp_path, acts=["relu", "tanh"], depths=[3, 20], seeds=2)
    contests = Contests.of(load(tmp_path))
    losses, norms = curves.loss_curves(contests), curves.gradient_norms(contests, layers.read_looks(contests))
    for figure in (losses.figure, norms.figure):
        assert titles_of(figure) == ["relu, depth 3", "relu, depth 20", "tanh, depth 3", "tanh, depth 20"]
        assert len(figure.legends) == 1 and labels_in(figure)[:3] == ["he", "xavier", "lecun"]
        left, right = sorted({round(ax.get_position().x0, 3) for ax in figure.axes})
        assert left < right  # a column a depth
    assert "training loss (cross-entropy, nats)" in [text.get_text() for text in losses.figure.texts]


def test_gradients_are_drawn_for_hidden_layers_from_one(tmp_path):
    made_up_sweep(tmp_path, inits=["he"], acts=["relu"], depths=[3], seeds=2)
    contests = Contests.of(load(tmp_path))
    (ax,) = curves.gradient_norms(contests, layers.read_looks(contests)).figure.axes
    assert ax.lines[0].get_xdata().tolist() == [1, 2, 3]


def test_cells_are_never_mixed(tmp_path):
    runs = [finished(row("normal", lr=lr, **{"init.std": std})) for lr in (0.01, 0.1) for std in (0.5, 2.0)]
    figure = curves.loss_curves(Contests.of(results_of(tmp_path, *runs))).figure
    assert titles_of(figure) == ["relu, depth 20, lr 0.01", "relu, depth 20, lr 0.1"]
    assert labels_in(figure)[:2] == ["normal std=0.5", "normal std=2"]


# ---------------------------------------------------------------- layers over training


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
    height, width = paint.shape  # one tile: 3 hidden layers, looks at steps 0, 20 and 40
    rows, columns = ([length // 6, length // 2, length - length // 6] for length in (height, width))
    expected = [[20 + layer + step / 1000 for step in (0, 20, 40)] for layer in (2, 1, 0)]  # the input is below
    np.testing.assert_allclose(paint[np.ix_(rows, columns)], expected, rtol=1e-6)
    assert {"1", "3", "0", "40", "relu\ndepth 3"} <= {text.get_text() for text in figure.axes[0].texts}


@pytest.mark.slow
def test_steps_after_divergence_are_empty_and_hatched(tmp_path):
    runs = [finished(row("normal", depth=3, steps=100, seed=seed), "diverged", diverged_step=45) for seed in range(2)]
    runs += [finished(row("he", depth=3, steps=100, seed=seed)) for seed in range(2)]
    figure = heatmap(results_of(tmp_path, *runs), "act_var")
    paint = painted(figure)
    he, normal = paint[: paint.shape[0] // 2 - 8], paint[paint.shape[0] // 2 + 8 :]
    assert np.isfinite(he).all()
    fifth = paint.shape[1] / 5  # looks at 0, 20, 40, 60, 80: the last two came after step 45
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


def test_at_most_sixteen_looks_are_read(tmp_path):
    runs = [finished(row(steps=1000, log_every=10))]
    looks = layers.read_looks(Contests.of(results_of(tmp_path, *runs)))
    steps = np.unique(looks["step"])
    assert len(steps) == layers.STEPS and steps[0] == 0 and steps[-1] == 990
    assert looks["layer"].min() == 1 and looks["layer"].max() == 20  # without the head


@pytest.mark.parametrize(
    "scale, values, low, high",
    [
        ("fraction", [0.1, 0.2], 0, 1),
        ("signed", [-0.2, 0.4], -0.4, 0.4),
        ("ratio", [1e-4, 1e-3], 1e-4, 1e-2),  # symmetric about 1e-3
    ],
)
def test_scales_of_colour(scale, values, low, high):
    norm, _, _ = layers.colour_scale(scale, np.array([*values, math.nan]))
    np.testing.assert_allclose([norm.vmin, norm.vmax], [low, high], rtol=0.1)


def test_extremes_do_not_stretch_a_logarithmic_scale():
    values = np.r_[np.logspace(-3, 0, 100), 1e-40, 1e30, 0.0]
    norm, _, ends = layers.colour_scale("log", values)
    assert norm.vmin > 1e-5 and norm.vmax < 1e3 and ends == "both"


# ---------------------------------------------------------------- outcomes


def test_outcomes_say_the_median_and_who_did_not_learn(tmp_path):
    runs = [*cell("he", 0.9, 0.8, 0.85), *cell("xavier", 0.9, 0.2, None), *cell("normal", None, None, 0.1)]
    figure = outcomes.outcomes(Contests.of(results_of(tmp_path, *runs))).figure
    texts = [text.get_text() for text in panel(figure, "relu").texts]
    assert texts == ["85.0", "20.0", "1 stuck\n1 diverged", "1 stuck\n2 diverged"]


def by_depth(**outcomes_at) -> list[dict]:
    """Runs of three seeds: he="5:LLS 20:LSS" with L learned, S stuck, D diverged at each depth."""
    values = {"L": 0.9, "S": 0.1, "D": None}
    return [
        run
        for init, at in outcomes_at.items()
        for depth, fates in (part.split(":") for part in at.split())
        for run in cell(init, *(values[fate] for fate in fates), depth=int(depth))
    ]


def test_maximum_trainable_depth(tmp_path):
    runs = by_depth(
        he="5:LLL 20:LLL 50:LLS",  # most of the seeds suffice, as far as was tested
        xavier="5:LLL 20:LDD 50:LLL",  # 20 does not train, so that 50 is luck
        lecun="5:LLL 20:LLL 50:SSS",
        zeros="5:SSS 20:SSS 50:SSS",
        normal="5:LLSS 20:SSSS",  # a half is not most; not tested at 50
    )
    results = results_of(tmp_path, *runs)
    found = outcomes.trainable_depths(Contests.of(results)).set_index("label")
    assert found["depth"].to_dict() == {"he": 50, "xavier": 5, "lecun": 20, "zeros": 0, "normal": 0}
    ax = panel(outcomes.trainable_depth(Contests.of(results)).figure, "relu")
    said = dict(zip(ax.get_yticks(), [text.get_text() for text in ax.get_yticklabels()], strict=True))
    rows = {said[round(text.get_position()[1])]: text.get_text() for text in ax.texts}
    assert rows == {"he": "≥ 50", "xavier": "5", "lecun": "20", "zeros": "none", "normal": "none"}


def test_learning_rates_that_work_and_the_best(tmp_path):
    accs = {0.001: (0.6, 0.7, 0.8), 0.01: (0.9, 0.95, None), 0.1: (0.9, None, None), 1.0: (None, None, None)}
    results = results_of(tmp_path, *(run for lr, values in accs.items() for run in cell("he", *values, lr=lr)))
    table = outcomes.rates(Contests.of(results)).set_index("lr")
    assert table["median"].to_dict() == {0.001: 0.7, 0.01: 0.9, 0.1: -math.inf, 1.0: -math.inf}
    assert table.index[table["works"]].tolist() == [0.001, 0.01] and table.index[table["best"]].tolist() == [0.01]
    upper, lower = outcomes.learning_rate(Contests.of(results)).figure.axes
    assert [line.get_xydata().tolist() for line in upper.lines if line.get_marker() == "*"] == [[[0.01, 0.9]]]
    assert [line.get_xdata().tolist() for line in lower.lines if line.get_marker() == "x"] == [[0.1, 1.0]]


def test_no_rate_is_best_where_none_works(tmp_path):
    results = results_of(tmp_path, *(run for lr in (0.1, 1.0) for run in cell("he", None, 0.1, lr=lr)))
    assert not outcomes.rates(Contests.of(results))["best"].any()


# ---------------------------------------------------------------- seeds


def test_every_run_is_a_point_and_the_diverged_stand_apart(tmp_path):
    runs = [*cell("he", 0.9, 0.8, 0.85), *cell("normal", 0.5, None, None)]
    ax = panel(every_seed.seeds(Contests.of(results_of(tmp_path, *runs))).figure, "relu, depth 20")
    points, crosses, medians = ax.collections
    assert sorted(points.get_offsets()[:, 0].round(3).tolist()) == [0.5, 0.8, 0.85, 0.9]
    assert len(crosses.get_offsets()) == 2 and crosses.get_offsets()[:, 0].max() < 0.49
    assert min(ax.get_xticks()) > crosses.get_offsets()[:, 0].max()  # outside the scale
    heights = {float(path.vertices[:, 1].mean()): float(path.vertices[0, 0]) for path in medians.get_paths()}
    assert heights[0] == 0.85 and heights[1] < 0.49  # the median of (0.5, diverged, diverged) diverged


def test_margins_fill_what_is_resolved_and_name_what_has_no_difference(tmp_path):
    results = results_of(
        tmp_path, *(run for init in ("he", "xavier", "lecun", "normal", "zeros") for run in cell(init, 0.9))
    )
    pairs = [
        pair("he", "xavier", 0.01, resolved=False),
        pair("he", "lecun", 0.05, resolved=True),
        pair("he", "normal", math.nan, resolved=False),
        pair("he", "zeros", 0.86, resolved=True),
        pair("xavier", "lecun", 0.04, resolved=True),  # not one of the winner's
    ]
    drawing = every_seed.margins(Contests.of(results), pd.DataFrame(pairs))
    ax = panel(drawing.figure, "relu, depth 20")
    dots = {round(line.get_xdata()[0], 3): line.get_markerfacecolor() for line in ax.lines if line.get_marker() == "o"}
    assert dots == {1.0: "none", 5.0: styles(pd.DataFrame({"init": ["lecun"], "label": ["lecun"]}))["lecun"].color}
    assert [text.get_text() for text in ax.texts] == ["diverged", "86"]
    assert "2 of 4 differences" in drawing.alt


def test_a_diverged_run_is_above_no_accuracy(tmp_path):
    results = results_of(tmp_path, *cell("he", 0.9, 0.6), *cell("normal", 0.7, None))
    he, normal = every_seed.profiles(Contests.of(results)).figure.axes[0].lines
    assert he.get_ydata()[0] == 1 and normal.get_ydata()[0] == 0.5
    at = dict(zip(he.get_xdata().round(3).tolist(), he.get_ydata().tolist(), strict=True))
    assert at[0.6] == 0.5 and at[0.9] == 0  # above, not at


# ---------------------------------------------------------------- all of them


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, Drawing]:
    """All drawings of a sweep with 8 initializers, 2 activations and 2 depths."""
    root = tmp_path_factory.mktemp("sweep")
    made_up_sweep(root, acts=["relu", "leaky_relu"], depths=[3, 20], seeds=2, pending=1)
    contests = itertools.product(("relu", "leaky_relu"), (3, 20))
    pairs = [pair("he", "xavier", 0.05, resolved=True, act=act, depth=depth) for act, depth in contests]
    return drawn(load(root), pd.DataFrame(pairs))


@pytest.mark.slow
def test_all_drawings_of_a_sweep(made):
    assert list(made) == NAMES
    for drawing in made.values():
        assert drawing.section in {"curves", "layers", "outcomes", "seeds", "pooled"}
        assert drawing.caption.endswith(".") and re.search(r"\d", drawing.alt) and len(drawing.alt) > 80


def test_no_text_leaves_a_figure_or_covers_a_panel(made):
    for drawing in made.values():
        figure = drawing.figure
        figure.canvas.draw()
        whole, legends = figure.bbox, [legend.get_window_extent() for legend in figure.legends]
        for box in [*legends, *(text.get_window_extent() for text in figure.texts)]:
            assert whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 and box.y1 <= whole.y1, drawing.name
            assert not any(box.overlaps(ax.get_window_extent()) for ax in figure.axes), drawing.name


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.slow
def test_svg_is_text_on_nothing_in_three_inks(made, name):
    drawing = svg(made[name])
    assert made[name].figure.texts[0].get_text() in drawing and "sans-serif" in drawing and "DejaVu" not in drawing
    assert "#000000" not in drawing and not re.search("fill: #ffffff", drawing)
    fills = set(re.findall(r"<text[^>]*fill: (#\w+)", drawing))
    assert fills <= {INK, "#fdfdfd", "#0b0f14"}  # the last two stand on coloured cells
    assert {INK, MUTED} <= set(re.findall(r"#[0-9a-f]{6}", drawing)) and {INK, MUTED, RULE}.isdisjoint(PALETTE)
    assert drawing == svg(made[name])


@pytest.mark.parametrize("suffix, start", [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_files_are_written_on_white(made, tmp_path, suffix, start):
    file = tmp_path / f"outcomes.{suffix}"
    save(made["outcomes"], file)
    assert file.read_bytes().startswith(start)
    if suffix == "png":
        assert matplotlib.image.imread(file)[0, 0].tolist() == [1, 1, 1, 1]
    if suffix == "svg":
        assert '<rect width="100%" height="100%" fill="#ffffff"/>' in file.read_text(encoding="utf-8")


def test_nothing_is_drawn_of_what_is_not_trained(tmp_path):
    Store(tmp_path).save_sweep("demo", info={}, runs=[row()])
    assert not drawn(load(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("case", ["diverged", "one layer", "zeros"])
def test_unusual_results_are_drawn(tmp_path, case):
    runs = {
        "diverged": [finished(row("normal", seed=seed), "diverged", diverged_step=3 * seed) for seed in (0, 1)],
        "one layer": [finished(row("he", depth=1))],
        "zeros": [finished(row("zeros"), "stuck")],
    }[case]
    zero = {"pre_grad_norm": lambda seed, step, layer: 0.0 * layer} if case == "zeros" else {}
    names = set(drawn(results_of(tmp_path, *runs, **zero)))
    assert {"outcomes", "seeds", "loss_curves", "gradient_norms"} <= names


@pytest.mark.slow
def test_results_without_layers_have_no_figures_of_layers(tmp_path):
    made_up_sweep(tmp_path, inits=["he"], acts=["relu"], depths=[3], seeds=1)
    (tmp_path / "stacks" / "0000" / "layers.parquet").write_bytes(b"PAR1")
    assert not {drawing.name for drawing in drawings(load(tmp_path)) if drawing.section == "layers"}


def test_of_many_contests_the_deepest_are_shown():
    runs = pd.DataFrame({"act": "relu", "depth": range(1, MOST + 3), "status": "done"})
    shown = panels(runs, ["act", "depth"])
    titles = [panel.title for panel in shown]
    assert len(titles) == MOST and titles[0] == "relu, depth 3" and titles[-1] == f"relu, depth {MOST + 2}"
    assert f"The {MOST} deepest of {MOST + 2} contests are shown" in shown.left_out


def test_strip_points_of_equal_accuracy_do_not_hide_each_other():
    ax = Figure().subplots()
    runs = pd.DataFrame({"label": "he", "seed": range(5), "score": 0.9})
    every_seed.strip(runs, ax, styles(pd.DataFrame({"init": ["he"], "label": ["he"]})))
    heights = np.sort(ax.collections[0].get_offsets()[:, 1])
    assert np.diff(heights).min() > 0.03 and np.abs(heights).max() < 0.5


# ---------------------------------------------------------------- models other than the multilayer perceptron


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
    contests = Contests.of(recurrent(tmp_path, *runs, norm=norm))
    made = layers.over_time(contests, layers.read_times(contests))
    paint = painted(made.figure)
    height, width = paint.shape  # one tile: 4 time steps, looks at steps 0, 20 and 40
    rows = [(2 * time + 1) * height // 8 for time in range(4)]
    columns = [(2 * look + 1) * width // 6 for look in range(3)]
    expected = [[10.0 ** (time - 3) * (1 + step) for step in (0, 20, 40)] for time in (3, 2, 1, 0)]  # the last on top
    np.testing.assert_allclose(paint[np.ix_(rows, columns)], expected, rtol=1e-5)
    assert {"0", "3", "40", "time step"} <= {text.get_text() for text in made.figure.axes[0].texts}
    assert made.section == "layers" and "(layer 1)" in made.caption and "time steps" in made.alt


def test_nothing_is_drawn_over_time_where_nothing_is_recurrent(made):
    assert "gradient_norm_over_time" not in made


def test_layers_of_several_kinds_are_named(tmp_path):
    contests = Contests.of(results_of(tmp_path, finished(row(depth=2)), finished(row(model="gru", depth=2))))
    looks = layers.read_looks(contests)
    assert layers.layer_names(contests, looks) == ""  # layers.0, layers.1: numbers say it all
    gru = contests.runs.loc[contests.runs["model"] == "gru", "run_id"].item()
    inputs = (looks["run_id"] == gru) & (looks["layer"] == 1)
    looks["name"] = looks["name"].astype("str").mask(inputs, "layers.0.input")
    assert layers.layer_names(contests, looks) == " From the input on, the layers of gru are layer N, input; layer N."


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
    curves._name_layers(ax, names)
    shown = dict(zip(ax.get_xticks(), [label.get_text() for label in ax.get_xticklabels()], strict=True))
    assert ticks is None or dict(sorted(shown.items())) == ticks
    assert ticks is not None or not any("layer" in text for text in shown.values())


def test_a_stage_at_the_axis_is_the_last_of_its_layers():
    ax = Figure(figsize=(3, 2)).add_axes((0.1, 0.1, 0.9, 0.8))
    curves._name_layers(ax, [f"blocks.{i}.{part}" for i in range(40) for part in ("first", "second")])
    shown = {int(at): label.get_text() for at, label in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)}
    assert shown[80] == "block 40" and all(text == f"block {at // 2}" for at, text in shown.items()) and len(shown) < 7


def test_squared_errors_and_nats_are_told_apart(tmp_path):
    """Each dataset has a scale of its own, and each panel says what its loss is."""
    numbers = {"task": "numbers", "constant_loss": 1 / 6, "train_loss": 0.1}
    runs = [finished(row(data="adding"), **numbers), finished(row(data="digits"))]
    made = curves.loss_curves(Contests.of(results_of(tmp_path / "both", *runs)))
    assert titles_of(made.figure) == [
        "relu, depth 20, data adding, loss in squared error",
        "relu, depth 20, data digits, loss in nats",
    ]
    assert len({ax.get_ylim() for ax in made.figure.axes}) == 2
    assert "0.1 (squared error), by he" in made.alt and "0.2 (nats), by he" in made.alt
    made = curves.loss_curves(Contests.of(results_of(tmp_path / "one", runs[0])))
    assert "training loss (squared error)" in [text.get_text() for text in made.figure.texts]


@pytest.mark.slow
def test_no_star_where_none_learned(tmp_path):
    def marks_of(root, he, xavier):
        pairs = pd.DataFrame([pair("he", "xavier", 0.1, resolved=False)])
        made = drawn(results_of(root, *cell("he", he), *cell("xavier", xavier)), pairs)["margins"]
        return {str(line.get_marker()) for line in made.figure.axes[0].lines} & {"*", "D"}, labels_in(made.figure)

    markers, legend = marks_of(tmp_path / "stuck", 0.3, 0.2)
    assert markers == {"D"} and legend[0] == "first, where\nnone learned"
    markers, legend = marks_of(tmp_path / "learned", 0.9, 0.8)
    assert markers == {"*"} and legend[:2] == ["winner", "resolved"]


def test_titles_of_narrow_panels_are_broken_and_do_not_touch(tmp_path):
    runs = [
        run for model in ("transformer", "residual_mlp") for run in cell("he", 0.9, model=model, data="digits_rows")
    ]
    figure = outcomes.outcomes(Contests.of(results_of(tmp_path, *runs))).figure
    figure.canvas.draw()
    titles = [ax.title if ax.get_title() else ax._left_title for ax in figure.axes if ax.get_title(loc="left")]
    boxes = [title.get_window_extent() for title in titles]
    assert len(boxes) == 2 and not boxes[0].overlaps(boxes[1])
    assert all("model" in title.get_text() for title in titles)
    assert all(box.y1 < figure.texts[0].get_window_extent().y0 for box in boxes)  # below the figure's title
