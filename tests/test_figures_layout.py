"""Panels, their titles, and the median over seeds that figures draw."""

# A figure may be None; pandas and matplotlib annotate nearly everything as one of several types.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

import math

import numpy as np
import pandas as pd
import pytest

from drawn_results import cell, results_of
from initbench.report.figures.lines import median
from initbench.report.figures.outcomes import outcomes
from initbench.report.figures.sheet import MOST, panels
from initbench.report.figures.styled import StyledContests


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


def test_of_many_contests_the_deepest_are_shown():
    runs = pd.DataFrame({"act": "relu", "depth": range(1, MOST + 3), "status": "done"})
    shown = panels(runs, ["act", "depth"])
    titles = [panel.title for panel in shown]
    assert len(titles) == MOST and titles[0] == "relu, depth 3" and titles[-1] == f"relu, depth {MOST + 2}"
    assert f"Shown are the {MOST} deepest of {MOST + 2} contests" in shown.left_out


def test_titles_of_narrow_panels_are_broken_and_do_not_touch(tmp_path):
    runs = [
        run for model in ("transformer", "residual_mlp") for run in cell("he", 0.9, model=model, data="digits_rows")
    ]
    figure = outcomes(StyledContests.of(results_of(tmp_path, *runs))).figure
    figure.canvas.draw()
    titles = [ax.title if ax.get_title() else ax._left_title for ax in figure.axes if ax.get_title(loc="left")]
    boxes = [title.get_window_extent() for title in titles]
    assert len(boxes) == 2 and not boxes[0].overlaps(boxes[1])
    assert all("model" in title.get_text() for title in titles)
    assert all(box.y1 < figure.texts[0].get_window_extent().y0 for box in boxes)  # below the figure's title
