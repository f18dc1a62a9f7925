"""Cells laid out in rows and columns of one's choice: numbers by hand, what cannot be tabulated, how it is printed."""

import csv
import io
import math

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from initbench.analysis.contests import Contests
from initbench.analysis.pivot import flattened, may_be_best, pivot
from initbench.analysis.summary import summarize
from initbench.cli import app
from initbench.errors import InputError
from initbench.report.tables.display_names import display_names
from initbench.report.tables.pivot import TableRequest, pivot_table
from initbench.report.text_table import TextTable
from initbench.results.load import Results
from results_on_disk import accuracies, finished, made_up_sweep, results_of, row


def printed(sheet: TextTable, width: int) -> list[str]:
    paper = io.StringIO()
    Console(width=width, file=paper, color_system=None).print(sheet)
    return paper.getvalue().splitlines()


@pytest.fixture(scope="module")
def grid(tmp_path_factory) -> Results:
    """Two initializers by two depths, with diverged, stuck, pending and missing cells."""
    return results_of(
        tmp_path_factory.mktemp("grid"),
        *accuracies("xavier", 0.5, 0.7, 0.9, depth=20),
        *accuracies("he", 0.8, None, 0.9, depth=20),
        *accuracies("he", 0.9, None, depth=5),
        *[finished(row("zeros", depth=20, seed=seed), "stuck", test_acc=0.1, train_loss=2.3) for seed in (0, 1)],
        row("zeros", depth=5),
    )


def test_medians_by_hand_where_a_diverged_run_ranks_last(grid):
    found = pivot(grid, ["init"], ["depth"], "test_acc")
    assert found.index.tolist() == ["xavier", "he", "zeros"]  # as asked for
    assert found.columns.tolist() == [5, 20] and found.columns.name == "depth"  # numbers ascend
    expected = [
        [math.nan, 0.7],  # no such cell; the middle of three
        [-math.inf, 0.8],  # half of it diverged; of -inf, 0.8, 0.9
        [math.nan, 0.1],  # pending
    ]
    np.testing.assert_allclose(found.to_numpy(), expected)


@pytest.mark.parametrize(
    "value, xavier, he, zeros",
    [
        ("train_loss", 0.3, 0.2, 2.3),  # of 0.1, 0.2, inf
        ("learned", 1, 2 / 3, 0),
        ("stuck", 0, 0, 1),
        ("diverged", 0, 1 / 3, 0),
        ("diverged_step", math.nan, 11, math.nan),
    ],
)
def test_other_values_by_hand(grid, value, xavier, he, zeros):
    np.testing.assert_allclose(pivot(grid, ["init"], ["depth"], value)[20], [xavier, he, zeros])


def test_a_loss_whose_median_falls_on_a_diverged_run_is_the_highest(grid):
    assert pivot(grid, ["init"], ["depth"], "train_loss").loc["he", 5] == math.inf


def test_several_axes_each_way_and_single_seeds(grid):
    found = pivot(grid, ["act", "init"], ["depth", "seed"], "test_acc")
    assert found.loc[("relu", "he"), (20, 0)] == 0.8 and found.loc[("relu", "he"), (20, 1)] == -math.inf
    assert pivot(grid, ["init", "depth"], [], "test_acc").loc[("xavier", 20), "test_acc"] == 0.7


def test_a_label_tells_swept_parameters_apart(tmp_path):
    runs = [finished(row("normal", **{"init.std": std}), test_acc=std) for std in (0.5, 0.25)]
    results = results_of(tmp_path, *runs, finished(row("he"), test_acc=0.9))
    found = pivot(results, ["label"], ["act"], "test_acc")
    assert found["relu"].to_dict() == {"normal std=0.5": 0.5, "normal std=0.25": 0.25, "he": 0.9}
    by_std = pivot(results, ["init"], ["init.std"], "test_acc")
    assert by_std.loc["normal"].tolist()[:2] == [0.25, 0.5] and by_std.loc["he"].tolist()[2] == 0.9


def test_axes_that_vary_together_do_not_mix(tmp_path):
    runs = [finished(row(optim=optim, lr=lr)) for optim, lr in (("sgd", 0.1), ("adam", 0.001))]
    assert pivot(results_of(tmp_path, *runs), ["init"], ["optim"], "test_acc").shape == (1, 2)


@pytest.mark.parametrize(
    "rows, cols, value, message",
    [
        (["init"], ["act"], "test_acc", "--rows init --cols act: a cell would mix values of depth; add to --rows or"),
        (["iniit"], ["depth"], "test_acc", r"--rows iniit: no such axis; did you mean 'init'\?"),
        (["init"], ["dept"], "test_acc", r"--cols dept: no such axis; did you mean 'depth'\?"),
        (["init"], ["test_acc"], "test_acc", "--cols test_acc: no such axis"),
        (["init"], ["depth"], "tst_acc", r"--value tst_acc: .*did you mean 'test_acc'\?"),
        (["init"], ["depth"], "val_acc", "--value val_acc: no run has it"),
        (["init"], ["depth", "init"], "test_acc", "init: given 2 times"),
        ([], ["init", "depth"], "test_acc", "--rows: no axis given"),
    ],
)
def test_what_cannot_be_tabulated(grid, rows, cols, value, message):
    with pytest.raises(InputError, match=message):
        pivot(grid, rows, cols, value)


def test_a_mixed_parameter_points_to_the_label(tmp_path):
    runs = [finished(row("normal", **{"init.std": std})) for std in (0.5, 2.0)]
    with pytest.raises(InputError, match=r"mix values of init\.std; .*`label` is init with its parameters"):
        pivot(results_of(tmp_path, *runs), ["init"], ["act"], "test_acc")


def test_what_was_not_measured_is_not_diverged(tmp_path):
    runs = [*accuracies("he", 0.9, None), finished(row("xavier"), val_acc=0.5), *accuracies("lecun", None)]
    found = pivot(results_of(tmp_path, *runs), ["init"], [], "val_acc")["val_acc"]
    assert math.isnan(found["he"]) and found["xavier"] == 0.5 and found["lecun"] == -math.inf


def test_the_grid_as_it_is_printed(grid):
    sheet = pivot_table(grid, TableRequest(["init"], ["depth"], ["test_acc"]))
    assert [column.header for column in sheet.columns] == [("init",), ("depth 5",), ("depth 20",)]
    texts = [[cell.text for cell in line] for line in sheet.rows]
    assert texts == [["xavier", "–", "70.0"], ["he", "diverged", "80.0"], ["zeros", "–", "10.0"]]
    assert [cell.text for line in sheet.rows for cell in line if cell.bold] == ["80.0"]
    assert sheet.caption.startswith("Median test accuracy (%), of 2 to 3 finished runs per cell.")


@pytest.mark.parametrize(
    "value, best",
    [("train_loss", ["0.2"]), ("learned", ["100"]), ("diverged", ["0"]), ("diverged_step", [])],
)
def test_the_best_is_highest_or_lowest_as_the_value_has_it(grid, value, best):
    sheet = pivot_table(grid, TableRequest(["init"], ["depth"], [value]))
    assert [line[2].text for line in sheet.rows if line[2].bold] == best


def test_nobody_is_best_where_nobody_learned_or_all_are_equal(tmp_path):
    runs = [finished(row("he"), "stuck", test_acc=0.2), finished(row("zeros"), "stuck", test_acc=0.1)]
    runs += [finished(row(init, act="tanh"), test_acc=0.9) for init in ("he", "zeros")]
    sheet = pivot_table(results_of(tmp_path, *runs), TableRequest(["init"], ["act"], ["test_acc"]))
    assert not any(cell.bold for line in sheet.rows for cell in line) and "Bold" not in sheet.caption


def test_a_grid_has_one_line_of_header_in_csv(grid):
    flat = flattened(pivot(grid, ["init"], ["act", "depth"], "test_acc"))
    text = flat.to_csv(index=False)
    header, *lines = csv.reader(io.StringIO(text))
    assert header == ["init", "act=relu depth=5", "act=relu depth=20"]
    assert lines == [["xavier", "", "0.7"], ["he", "-inf", "0.8"], ["zeros", "", "0.1"]]
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(text)), flat, check_dtype=False)


# ---------------------------------------------------------------- statistics, several values, names


@pytest.mark.parametrize(
    "value, xavier, he, zeros",
    [
        ("test_acc_median", 0.7, 0.8, 0.1),
        ("test_acc_mean", 0.7, 0.85, 0.1),  # of he the two finite runs
        ("test_acc_std", 0.2, 0.05 * math.sqrt(2), 0),  # divided by n - 1
        ("test_acc_n", 3, 2, 2),
        ("train_loss_mean", 0.3, 0.15, 2.3),
    ],
)
def test_statistics_by_hand(grid, value, xavier, he, zeros):
    np.testing.assert_allclose(pivot(grid, ["init"], ["depth"], value)[20], [xavier, he, zeros], atol=1e-12)


def test_statistics_as_they_are_printed(tmp_path):
    results = results_of(tmp_path, *accuracies("he", 0.5, 0.9, 0.6, 0.8, 0.7), *accuracies("xavier", 0.9, None))
    sheet = pivot_table(results, TableRequest(["init"], [], ["test_acc_mean_std", "test_acc_interval", "train_loss_n"]))
    assert [column.title for column in sheet.columns] == [
        "init",
        "test accuracy (%), mean ± s.d. (n)",
        "test accuracy (%), median [95 % interval]",
        "training loss (nats), finite runs",
    ]
    # of five runs, the interval of the median is from the lowest to the highest
    assert [cell.text for cell in sheet.rows[0]] == ["he", "70.0 ± 15.8 (5)", "70.0 [50.0, 90.0]", "5"]
    assert [cell.text for cell in sheet.rows[1]] == ["xavier", "90.0 (1)", "diverged", "1"]
    # a mean without the run that diverged makes nobody the best
    assert [[cell.bold for cell in line[1:]] for line in sheet.rows] == [[True, True, False], [False, False, False]]
    assert sheet.caption.startswith("Mean test accuracy (%) ± sample standard deviation (number) of the finite runs;")


def test_several_values_stand_under_their_titles(grid):
    names = "he=He,test_acc=Accuracy,depth=Layers,init=Initializer"
    sheet = pivot_table(grid, TableRequest(["init"], ["depth"], ["test_acc", "learned"], names, "Our runs.", "tab:one"))
    assert [column.header for column in sheet.columns] == [
        ("", "Initializer"),
        *[("Accuracy", f"Layers {depth}") for depth in (5, 20)],
        *[("share of runs that learned (%)", f"Layers {depth}") for depth in (5, 20)],
    ]
    assert [line[0].text for line in sheet.rows] == ["xavier", "He", "zeros"]
    latex = sheet.latex()
    assert r"\caption{Our runs.}" in latex and r"\label{tab:one}" in latex
    assert r"\multicolumn{2}{c}{Accuracy}" in latex


KNOWN = {"he", "normal std=0.5", "normal", "relu"}


@pytest.mark.parametrize(
    "text, names",
    [
        ("he=He", {"he": "He"}),
        ("he=He,normal=N(0, 1)", {"he": "He", "normal": "N(0, 1)"}),
        ("normal=N(mean=0, std=1), relu=ReLU", {"normal": "N(mean=0, std=1)", "relu": "ReLU"}),
        ("normal std=0.5=small,he=He", {"normal std=0.5": "small", "he": "He"}),
        ("he=He, the first,relu=R", {"he": "He, the first", "relu": "R"}),
        ('he="He, et al."', {"he": "He, et al."}),
        ("he=He (open,relu=R", {"he": "He (open,relu=R"}),
        ("", {}),
    ],
)
def test_chosen_names(text, names):
    assert display_names(text, KNOWN) == names


@pytest.mark.parametrize(
    "request_, message",
    [
        (TableRequest(["init"], ["depth"], names="hee=He"), r"--names hee=He: the table has no 'hee'; .*'he'\?"),
        (TableRequest(["init"], ["depth"], names="he"), "--names he: write what is to be named"),
        (TableRequest(["init"], ["depth"], ["test_acc_men"]), "did you mean 'test_acc_mean'?"),
        (TableRequest(["init"], ["depth"], ["learned_mean"]), "--value learned_mean: a table has no such value"),
        (TableRequest(["init"], ["depth"], ["wrong"]), "there is .* more, most also with _median, _interval"),
        (TableRequest(["init"], ["depth"], ["test_acc", "test_acc"]), "given 2 times"),
        (TableRequest(["init"], ["depth"], label="a}b"), "--label a}b: a label has"),
    ],
)
def test_requests_that_cannot_be_met(grid, request_, message):
    with pytest.raises(InputError, match=message):
        pivot_table(grid, request_)


def test_bold_is_what_may_be_the_best(tmp_path):
    """The summary says who may be the best; a cell that never learned isn't marked, and losses have their own best."""
    runs = [*accuracies("he", 0.9, 0.92), *accuracies("xavier", 0.91, 0.9), *accuracies("lecun", 0.8, 0.81)]
    runs += [finished(row("zeros", seed=seed), "stuck", test_acc=0.1) for seed in (0, 1)]
    contests = Contests.of(results_of(tmp_path, *runs))
    summary = summarize(contests).assign(may_be_best=lambda cells: cells["init"] != "lecun")
    marks = may_be_best(contests, summary)
    assert marks is not None and marks.sum() == 4
    asked = TableRequest(["init"], [], ["test_acc_mean_std", "test_acc_n", "train_loss"])
    sheet = pivot_table(contests.results, asked, marks)
    assert {line[0].text: [cell.bold for cell in line[1:]] for line in sheet.rows} == {
        "he": [True, False, True],
        "xavier": [True, False, False],
        "lecun": [False, False, False],
        "zeros": [False, False, False],
    }
    mark = "Bold: may be the best of its contest, by test accuracy; otherwise the best of its column."
    assert sheet.caption.endswith(mark)
    by_seed = pivot_table(contests.results, TableRequest(["init"], ["seed"]), marks)
    assert [[cell.text for cell in line[1:] if cell.bold] for line in by_seed.rows] == [["92.0"], ["91.0"], [], []]


@pytest.mark.slow
def test_without_rows_and_columns_each_contest_is_a_column(tmp_path):
    made_up_sweep(tmp_path, inits=["he", "zeros"], acts=["relu", "tanh"], depths=[3, 20], seeds=2)
    done = CliRunner().invoke(app, ["report", str(tmp_path), "--value", "learned", "--format", "svg"])
    assert done.exit_code == 0, done.output
    table = (tmp_path / "report" / "table.md").read_text()
    assert all(name in table for name in ("relu", "tanh", "20", "he", "zeros"))
