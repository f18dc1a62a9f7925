"""Figures of outcomes: who did not learn, how deep it trains, which learning rates work."""

# A figure may be None; pandas and matplotlib annotate nearly everything as one of several types.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportOptionalMemberAccess=false

import math

import pytest

from drawn_results import cell, panel, results_of
from initbench.report.figures.learning_rate import learning_rate, rates
from initbench.report.figures.outcomes import outcomes
from initbench.report.figures.percent_ticks import PercentTicks
from initbench.report.figures.styled import StyledContests
from initbench.report.figures.trainable_depth import trainable_depth, trainable_depths


def test_outcomes_say_the_median_and_who_did_not_learn(tmp_path):
    runs = [*cell("he", 0.9, 0.8, 0.85), *cell("xavier", 0.9, 0.2, None), *cell("normal", None, None, 0.1)]
    figure = outcomes(StyledContests.of(results_of(tmp_path, *runs))).figure
    texts = [text.get_text() for text in panel(figure, "relu").texts]
    assert texts == ["85.0", "20.0", "1 stuck\n1 diverged", "1 stuck\n2 diverged"]


@pytest.mark.parametrize(
    "fractions, texts",
    [
        ([0.98, 0.9825, 0.985], ["98.00 %", "98.25 %", "98.50 %"]),
        ([0.98, 0.985, 0.99], ["98.0 %", "98.5 %", "99.0 %"]),
        ([0.114, 0.409, 0.705, 1], ["11 %", "41 %", "70 %", "100 %"]),  # a third of a digit moves no tick visibly
        ([0.0, 0.5, 1.0], ["0 %", "50 %", "100 %"]),
    ],
)
def test_ticks_have_the_digits_that_tell_them_apart(fractions, texts):
    assert PercentTicks().format_ticks(fractions) == texts


def test_colours_of_accuracies_go_from_chance_to_one_hundred_percent(tmp_path):
    runs = [*cell("he", 0.97, 0.98), *cell("xavier", 0.96, 0.97)]  # `finished` says that chance is 0.1
    bar = outcomes(StyledContests.of(results_of(tmp_path, *runs))).figure.axes[-1]
    assert bar.get_ylim() == (0.1, 1.0)
    assert [tick.get_text() for tick in bar.get_yticklabels()] == ["10 %", "40 %", "70 %", "100 %"]


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
    found = trainable_depths(StyledContests.of(results)).set_index("label")
    assert found["depth"].to_dict() == {"he": 50, "xavier": 5, "lecun": 20, "zeros": 0, "normal": 0}
    ax = panel(trainable_depth(StyledContests.of(results)).figure, "relu")
    said = dict(zip(ax.get_yticks(), [text.get_text() for text in ax.get_yticklabels()], strict=True))
    rows = {said[round(text.get_position()[1])]: text.get_text() for text in ax.texts}
    ends = {said[round(bar.get_y() + bar.get_height() / 2)]: bar.get_width() for bar in ax.patches}
    assert ends == {"he": 50, "xavier": 5, "lecun": 20, "zeros": 0, "normal": 0}  # to scale
    assert ax.get_xticks().tolist() == [5, 20, 50]
    assert rows == {"he": "≥ 50", "xavier": "5", "lecun": "20", "zeros": "none", "normal": "none"}


def test_learning_rates_that_work_and_the_best(tmp_path):
    accs = {0.001: (0.6, 0.7, 0.8), 0.01: (0.9, 0.95, None), 0.1: (0.9, None, None), 1.0: (None, None, None)}
    results = results_of(tmp_path, *(run for lr, values in accs.items() for run in cell("he", *values, lr=lr)))
    table = rates(StyledContests.of(results)).set_index("lr")
    assert table["median"].to_dict() == {0.001: 0.7, 0.01: 0.9, 0.1: -math.inf, 1.0: -math.inf}
    assert table.index[table["works"]].tolist() == [0.001, 0.01] and table.index[table["best"]].tolist() == [0.01]
    upper, lower = learning_rate(StyledContests.of(results)).figure.axes
    assert [line.get_xydata().tolist() for line in upper.lines if line.get_marker() == "*"] == [[[0.01, 0.9]]]
    assert [line.get_xdata().tolist() for line in lower.lines if line.get_marker() == "x"] == [[0.1, 1.0]]


def test_no_rate_is_best_where_none_works(tmp_path):
    results = results_of(tmp_path, *(run for lr in (0.1, 1.0) for run in cell("he", None, 0.1, lr=lr)))
    assert not rates(StyledContests.of(results))["best"].any()
