"""Figures of seeds: every run a point, margins to the winner, shares above an accuracy."""

# A figure may be None; pandas and matplotlib annotate nearly everything as one of several types.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportIndexIssue=false, reportOptionalMemberAccess=false

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from drawn_results import cell, drawn, panel, results_of
from initbench.report.figures.profiles import profiles
from initbench.report.figures.seeds import seeds, strip
from initbench.report.figures.style import label_styles
from initbench.report.figures.styled import StyledContests


def test_every_run_is_a_point_and_the_diverged_stand_apart(tmp_path):
    runs = [*cell("he", 0.9, 0.8, 0.85), *cell("normal", 0.5, None, None)]
    ax = panel(seeds(StyledContests.of(results_of(tmp_path, *runs))).figure, "relu, depth 20")
    points, crosses, medians = ax.collections
    assert sorted(points.get_offsets()[:, 0].round(3).tolist()) == [0.5, 0.8, 0.85, 0.9]
    assert len(crosses.get_offsets()) == 2 and crosses.get_offsets()[:, 0].max() < 0.49
    assert min(ax.get_xticks()) > crosses.get_offsets()[:, 0].max()  # outside the scale
    heights = {float(path.vertices[:, 1].mean()): float(path.vertices[0, 0]) for path in medians.get_paths()}
    assert heights[0] == 0.85 and heights[1] < 0.49  # the median of (0.5, diverged, diverged) diverged


def test_strip_points_of_equal_accuracy_do_not_hide_each_other():
    ax = Figure().subplots()
    runs = pd.DataFrame({"label": "he", "seed": range(5), "score": 0.9})
    strip(runs, ax, label_styles(pd.DataFrame({"init": ["he"], "label": ["he"]})))
    heights = np.sort(ax.collections[0].get_offsets()[:, 1])
    assert np.diff(heights).min() > 0.03 and np.abs(heights).max() < 0.5


def test_margins_fill_what_cannot_be_the_best_and_name_what_is_far(tmp_path):
    cells = {"he": (0.95, 0.951), "xavier": (0.9505, 0.9485), "lecun": (0.90, 0.901), "normal": (0.6, 0.601)}
    results = results_of(tmp_path, *(run for init, values in cells.items() for run in cell(init, *values)))
    drawing = drawn(results, compared=True)["margins"]
    ax = panel(drawing.figure, "relu, depth 20")
    dots = {round(line.get_xdata()[0], 2): line.get_markerfacecolor() for line in ax.lines if line.get_marker() == "o"}
    lecun = label_styles(pd.DataFrame({"init": ["lecun"], "label": ["lecun"]}))["lecun"].color
    assert dots == {0.1: "none", 5.0: lecun}  # he's mean is 95.05 %, xavier's 94.95, lecun's 90.05
    assert [text.get_text() for text in ax.texts] == ["35"]
    stars = [line for line in ax.lines if line.get_marker() == "*"]
    assert [round(line.get_xdata()[0], 2) for line in stars] == [-0.1]
    assert "2 of 4 initializers that learned cannot be the best" in drawing.alt
    assert "normal, by 35.0 points" in drawing.alt


def test_without_two_that_learned_there_are_no_margins(tmp_path):
    assert "margins" not in drawn(results_of(tmp_path, *cell("he", 0.9), *cell("xavier", 0.2)), compared=True)


def test_a_diverged_run_is_above_no_accuracy(tmp_path):
    results = results_of(tmp_path, *cell("he", 0.9, 0.6), *cell("normal", 0.7, None))
    he, normal = profiles(StyledContests.of(results)).figure.axes[0].lines
    assert he.get_ydata()[0] == 1 and normal.get_ydata()[0] == 0.5
    at = dict(zip(he.get_xdata().round(3).tolist(), he.get_ydata().tolist(), strict=True))
    assert at[0.6] == 0.5 and at[0.9] == 0  # above, not at
