"""Figures of seeds: every run a point, margins to the winner, shares above an accuracy."""

# A figure may be None; pandas and matplotlib annotate nearly everything as one of several types.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportIndexIssue=false, reportOptionalMemberAccess=false

import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from drawn_results import cell, drawn, labels_in, pair, panel, results_of
from initbench.report.figures.margins import margins
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
    drawing = margins(StyledContests.of(results, pd.DataFrame(pairs)))
    ax = panel(drawing.figure, "relu, depth 20")
    dots = {round(line.get_xdata()[0], 3): line.get_markerfacecolor() for line in ax.lines if line.get_marker() == "o"}
    assert dots == {
        1.0: "none",
        5.0: label_styles(pd.DataFrame({"init": ["lecun"], "label": ["lecun"]}))["lecun"].color,
    }
    assert [text.get_text() for text in ax.texts] == ["diverged", "86"]
    assert "2 of 4 differences" in drawing.alt


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


def test_a_diverged_run_is_above_no_accuracy(tmp_path):
    results = results_of(tmp_path, *cell("he", 0.9, 0.6), *cell("normal", 0.7, None))
    he, normal = profiles(StyledContests.of(results)).figure.axes[0].lines
    assert he.get_ydata()[0] == 1 and normal.get_ydata()[0] == 0.5
    at = dict(zip(he.get_xdata().round(3).tolist(), he.get_ydata().tolist(), strict=True))
    assert at[0.6] == 0.5 and at[0.9] == 0  # above, not at
