"""Where numbers are predicted, a report speaks of errors: no table, figure, sentence or JSON has an accuracy."""

import html
import io
import json
import re

import numpy as np
import pytest
from rich.console import Console

from initbench.analysis.contests import Contests
from initbench.analysis.folders import compare
from initbench.analysis.measure import ACCURACY, ERROR
from initbench.analysis.tuning import tuning
from initbench.report.compose import report_on
from initbench.report.outputs import facts, page, shown, write
from initbench.report.sections.tuning import tuning_table
from initbench.report.tables.folders import ComparisonTables
from initbench.report.tables.pivot import TableRequest, pivot_table
from initbench.results.load import Results
from results_on_disk import accuracies, finished, results_of, row

NUMBERS = {"task": "numbers", "loss_unit": "squared error", "constant_loss": 4.0, "majority_acc": None}
ERRORS = {"he": 0.2, "xavier": 0.5, "zeros": 1.02}  # in deviations of the targets, of which one is 2
ABOUT_ACCURACY = r"accurac|\d points?\b|percentage point|\(points\)|test acc|\d % mean"
EXPLAINED = ("failures", "method", "made")  # sections that explain what is done with any data


def errors(better: float = 1.0, **settings) -> list[dict]:
    """Runs whose test errors are ERRORS, divided by `better`, and a little more with every seed."""
    return [
        finished(
            row(init, seed=seed, data="waves", **settings),
            "learned" if error < 1 else "stuck",
            test_loss=4 * (error / better + 0.01 * seed) ** 2,
            test_acc=0.04,
            **NUMBERS,
        )
        for init, error in ERRORS.items()
        for seed in range(3)
    ]


@pytest.fixture
def of_numbers(tmp_path) -> Results:
    runs = [
        *errors(lr=0.1),
        *errors(lr=0.01),
        *errors(1.3, lr=0.1, mitigation="batchnorm"),
        *errors(1.3, lr=0.01, mitigation="batchnorm"),
    ]
    return results_of(tmp_path / "numbers", *runs)


def printed(parts) -> str:
    paper = io.StringIO()
    for part in parts:
        Console(width=200, file=paper, color_system=None).print(part)
    return paper.getvalue()


def sections(document: str) -> dict[str, str]:
    """What each section of the page says, by its name; the text of its figures is part of it."""
    found = re.findall(r'<section id="(\w+)".*?>(.*?)</section>', document, re.DOTALL)
    return {name: html.unescape(re.sub("<[^>]*>", " ", text)) for name, text in found}


@pytest.mark.slow
def test_no_sentence_table_or_figure_has_an_accuracy(of_numbers, tmp_path):
    made = report_on(of_numbers, target=1.0)
    files = write(made, tmp_path / "report")
    said = {name: text for name, text in sections(page(made)).items() if name not in EXPLAINED}
    assert {"verdict", "summary", "comparisons", "figures", "rescue", "runs"} <= said.keys()
    said |= {name: file.read_text() for name, file in files.items() if file.suffix in (".md", ".tex", ".svg")}
    said |= {"terminal": printed(shown(made)), "JSON": json.dumps(facts(made)["verdicts"])}
    said |= {f"caption of {drawing.name}": drawing.caption + drawing.alt for drawing in made.figures}
    wrong = {name: re.findall(f".*(?:{ABOUT_ACCURACY}).*", text, re.IGNORECASE) for name, text in said.items()}
    assert {name: lines for name, lines in wrong.items() if lines} == {}
    drawn = {"outcomes", "learning_rate", "seeds", "profiles", "margins", "rescue"}
    assert drawn <= {drawing.name for drawing in made.figures}


def test_the_numbers_are_errors_in_deviations_of_the_targets(of_numbers):
    """He's seeds have 0.2, 0.21 and 0.22 deviations: 0.21 on average, 0.3 less than Xavier's; the constant has 1."""
    made = report_on(of_numbers, drawn=False)
    he = made.summary[(made.summary["init"] == "he") & (made.summary["mitigation"] == "none")].iloc[0]
    assert he["test_error_median"] == pytest.approx(0.21) and he["learned_mean"] == pytest.approx(0.21)
    first = facts(made)["contenders"][0]
    assert (first["label"], first["measure"], first["mean"]) == ("he", "test error", pytest.approx(0.21))
    verdict = facts(made)["verdicts"][0]
    assert (verdict["measure"], verdict["chance"]) == ("test error", 1.0)
    pair = made.comparisons.iloc[0]
    assert (pair["label_a"], pair["label_b"]) == ("he", "xavier") and pair["difference"] == pytest.approx(0.3)
    said = " ".join(sentence for each in made.rescues for sentence in each.overall["sentence"])
    assert "points" not in said and "0.231 with it, 0.3 without" in said  # 0.3 / 1.3, of those that learn


def test_a_table_of_ones_own_and_two_folders(of_numbers, tmp_path):
    sheet = pivot_table(of_numbers, TableRequest(["init"], ["lr", "mitigation"], ["test_error"])).markdown()
    assert "Median test error (standard deviations of the targets)" in sheet and "0.21" in sheet
    after = results_of(tmp_path / "after", *errors(2.0, lr=0.1), *errors(2.0, lr=0.01))
    before = results_of(tmp_path / "before", *errors(lr=0.1), *errors(lr=0.01))
    found = compare(before, after)
    he = found.cells[found.cells["init"] == "he"].iloc[0]
    assert (he["test_error_before"], he["test_error_after"]) == (pytest.approx(0.21), pytest.approx(0.11))
    assert he["difference"] == pytest.approx(0.1) and np.isnan(he["test_acc_before"])
    text = ComparisonTables(found).markdown()
    assert "0.21 → 0.11" in text and not re.search(ABOUT_ACCURACY, text)


def test_tuned_rates(tmp_path):
    runs = [run | {"val_loss": run["test_loss"], "val_acc": 0.04} for lr in (0.1, 0.01) for run in errors(lr=lr)]
    found = tuning(results_of(tmp_path, *({**run, "tune.rates": "[0.1, 0.01]"} for run in runs)))
    assert found is not None
    he = found.cells[found.cells["init"] == "he"].iloc[0]
    assert he["test_error"] == pytest.approx(0.21) and np.isnan(he["test_acc"]) and np.isnan(he["val_acc"])
    text = tuning_table(found).markdown()
    assert "test error" in text and not re.search("acc|%", text)


@pytest.mark.slow
def test_labels_and_numbers_of_one_report_have_a_figure_each(tmp_path):
    labels = [run for init in ERRORS for run in accuracies(init, 0.9, 0.91, 0.92)]
    results = results_of(tmp_path, *labels, *errors())
    assert [part.measure for part in Contests.of(results).by_measure()] == [ACCURACY, ERROR]
    made = report_on(results)
    captions = {drawing.name: drawing.caption for drawing in made.figures}
    assert "median test accuracy" in captions["outcomes"] and "median test error" in captions["outcomes_of_numbers"]
    assert "test error" not in captions["seeds"] and "accuracy" not in captions["seeds_of_numbers"]


def test_a_run_that_failed_says_nothing_of_what_is_predicted(tmp_path):
    failed = {**errors()[0], "seed": 9, "run_id": "f" * 16, "status": "failed", "outcome": None, "task": None}
    assert Contests.of(results_of(tmp_path, *errors(), failed)).measure is ERROR
