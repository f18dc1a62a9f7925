"""Two folders side by side: what was changed is found, and what that changed is told apart from noise."""

import io
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy.stats import false_discovery_control, ttest_rel

from initbench.analysis.folders import VERDICTS, compare
from initbench.errors import InputError
from initbench.report.tables.folders import ComparisonTables
from initbench.results.load import Results, load
from initbench.results.schema import OUTCOME_TYPES
from initbench.results.store import Store
from results_on_disk import finished, row


def results_of(root: Path, *runs: dict, **info) -> Results:
    """Results of these runs; those without a status are only asked for. info: what stack.json says."""
    store = Store(root)
    asked = [{key: value for key, value in run.items() if key not in OUTCOME_TYPES} for run in runs]
    store.save_sweep("demo", info={}, runs=asked)
    store.save_stack("ab", runs=[run for run in runs if "status" in run], info=info)
    return load(root)


def cell(init: str, *values: float | None, **settings) -> list[dict]:
    """A cell whose seeds got these accuracies; None is a diverged run."""
    return [
        finished(row(init, seed=seed, **settings), "diverged", diverged_step=5)
        if value is None
        else finished(row(init, seed=seed, **settings), test_acc=value)
        for seed, value in enumerate(values)
    ]


BEFORE = (0.90, 0.91, 0.93, 0.92, 0.90)
AFTER = (0.94, 0.96, 0.96, 0.96, 0.95)  # differences 4, 5, 3, 4, 5 points: mean 4.2, deviation sqrt(0.7)


def verdicts(comparison) -> dict[str, str]:
    return dict(zip(comparison.cells["init"], comparison.cells["verdict"], strict=True))


# ---------------------------------------------------------------- what was changed


def test_a_changed_rate_is_found_and_cells_are_matched_without_it(tmp_path):
    a = results_of(tmp_path / "a", *cell("he", *BEFORE, lr=0.01), *cell("zeros", 0.1, 0.1, lr=0.01))
    b = results_of(tmp_path / "b", *cell("he", *AFTER, lr=0.1), *cell("zeros", 0.1, 0.1, lr=0.1))
    found = compare(a, b)
    assert found.changed.to_numpy().tolist() == [["lr", "0.01", "0.1"]]
    assert found.axes == ["init", "act", "depth"] and len(found.cells) == 2 and found.unmatched.empty
    assert found.shared == 0


def test_a_swept_rate_is_an_axis_and_not_a_change(tmp_path):
    a = results_of(tmp_path / "a", *cell("he", *BEFORE, lr=0.01), *cell("he", *BEFORE, lr=0.1))
    b = results_of(tmp_path / "b", *cell("he", *AFTER, lr=0.1), *cell("he", *AFTER, lr=1.0))
    found = compare(a, b)
    assert found.changed.empty and found.axes == ["init", "act", "depth", "lr"]
    assert found.cells["lr"].tolist() == [0.1]
    assert found.unmatched[["lr", "folder", "runs"]].to_numpy().tolist() == [[0.01, "before", 5], [1, "after", 5]]


def test_a_changed_choice_brings_its_keys(tmp_path):
    a = results_of(tmp_path / "a", *cell("he", *BEFORE, optim="sgd", **{"optim.momentum": 0.9}))
    b = results_of(tmp_path / "b", *cell("he", *AFTER, optim="adam"))
    found = compare(a, b)
    assert found.changed.to_numpy().tolist() == [["optim", "sgd", "adam"], ["optim.momentum", "0.9", "null"]]
    assert found.sentences()[0].startswith("optim sgd → adam. 1 matched cell: ")


def test_a_key_of_one_initializer_is_judged_within_it(tmp_path):
    a = results_of(tmp_path / "a", *cell("he", *BEFORE), *cell("normal", *BEFORE, **{"init.std": 0.01}))
    b = results_of(tmp_path / "b", *cell("he", *BEFORE), *cell("normal", *AFTER, **{"init.std": 1.0}))
    found = compare(a, b)
    assert found.changed.to_numpy().tolist() == [["init.std", "0.01", "1"]]
    assert len(found.cells) == 2 and verdicts(found) == {"he": "not distinguishable", "normal": "better"}


def test_initializers_of_their_own_are_no_change(tmp_path):
    a = results_of(tmp_path / "a", *cell("he", *BEFORE), *cell("xavier", *BEFORE))
    b = results_of(tmp_path / "b", *cell("he", *BEFORE), *cell("normal", *BEFORE, **{"init.std": 1.0}))
    found = compare(a, b)
    assert found.changed.empty and found.cells["init"].tolist() == ["he"]
    assert found.unmatched[["init", "folder"]].to_numpy().tolist() == [["xavier", "before"], ["normal", "after"]]


def test_one_initializer_against_another(tmp_path):
    a, b = results_of(tmp_path / "a", *cell("he", *BEFORE)), results_of(tmp_path / "b", *cell("xavier", *AFTER))
    found = compare(a, b)
    assert found.changed.to_numpy().tolist() == [["init", "he", "xavier"]] and found.axes == ["act", "depth"]
    assert found.cells["verdict"].tolist() == ["better"]


def test_a_value_is_the_same_whether_stored_as_a_number_or_as_text(tmp_path):
    mixed = [*cell("orthogonal", *BEFORE, **{"init.gain": 1}), *cell("orthogonal", 0.5, 0.6, **{"init.gain": "auto"})]
    plain = [*cell("orthogonal", *AFTER, **{"init.gain": 1.0}), *cell("orthogonal", 0.9, 0.8, **{"init.gain": 2.5})]
    a, b = results_of(tmp_path / "a", *mixed), results_of(tmp_path / "b", *plain)
    assert a.runs["init.gain"].tolist()[0] == "1" and b.runs["init.gain"].tolist()[0] == 1.0
    assert compare(a, b).cells["init.gain"].tolist() == [1]


def test_versions_commit_and_device(tmp_path):
    runs = cell("he", *BEFORE)
    old = {"device": "cpu (X)", "versions": {"torch": "2.11", "numpy": "2.0"}, "git_commit": "a" * 40}
    new = {"device": "NVIDIA H100", "versions": {"torch": "2.12", "numpy": "2.0"}, "git_commit": "b" * 40}
    found = compare(results_of(tmp_path / "a", *runs, **old), results_of(tmp_path / "b", *runs, **new))
    assert found.changed.to_numpy().tolist() == [
        ["device", "cpu (X)", "NVIDIA H100"],
        ["commit", "a" * 12, "b" * 12],
        ["torch", "2.11", "2.12"],
    ]


# ---------------------------------------------------------------- beyond noise


def test_a_cell_by_hand_and_by_scipy(tmp_path):
    a = results_of(tmp_path / "a", *cell("he", *BEFORE, lr=0.01))
    b = results_of(tmp_path / "b", *cell("he", *reversed(AFTER), lr=0.1)[::-1])
    (found,) = compare(a, b).cells.to_dict("records")
    test = ttest_rel(AFTER[::-1], BEFORE)
    assert found["pairs"] == 5 and found["test"] == "paired t"
    assert found["difference"] == pytest.approx(np.mean(AFTER) - np.mean(BEFORE))
    assert found["p"] == found["p_adjusted"] == pytest.approx(test.pvalue)
    assert (found["low"], found["high"]) == pytest.approx(tuple(test.confidence_interval()))
    assert (found["test_acc_before"], found["test_acc_after"]) == (0.91, 0.96)
    assert found["learned_before"] == found["learned_after"] == 5 and found["verdict"] == "better"


def test_runs_are_paired_by_seed_and_not_by_position(tmp_path):
    a = results_of(tmp_path / "a", *cell("he", 0.1, 0.5, 0.9, lr=0.01))
    after = [finished(row("he", seed=seed, lr=0.1), test_acc=value) for seed, value in ((2, 0.91), (7, 0.2), (0, 0.12))]
    (found,) = compare(a, results_of(tmp_path / "b", *after)).cells.to_dict("records")
    assert found["pairs"] == 2 and found["difference"] == pytest.approx(0.015)  # of 0.02 and 0.01


def test_worse_after_is_worse(tmp_path):
    a, b = results_of(tmp_path / "a", *cell("he", *AFTER)), results_of(tmp_path / "b", *cell("he", *BEFORE, lr=0.1))
    found = compare(a, b)
    assert verdicts(found) == {"he": "worse"} and found.cells["difference"][0] == pytest.approx(-0.042)


def test_holm_counts_all_matched_cells(tmp_path):
    weak = (0.92, 0.92, 0.96, 0.93, 0.91)  # p = 0.016 by itself
    inits = ["he", "xavier", "lecun", "orthogonal"]
    assert ttest_rel(weak, BEFORE).pvalue == pytest.approx(0.016, abs=0.001)

    def both(count: int) -> pd.DataFrame:
        folder = tmp_path / str(count)
        before = [run for init in inits[:count] for run in cell(init, *BEFORE)]
        after = [run for init in inits[:count] for run in cell(init, *weak, lr=0.1)]
        return compare(results_of(folder / "a", *before), results_of(folder / "b", *after)).cells

    assert both(1)["verdict"].tolist() == ["better"]
    four = both(4)
    assert four["verdict"].tolist() == ["not distinguishable"] * 4
    np.testing.assert_allclose(four["p_adjusted"], 4 * four["p"])
    assert (four["p_adjusted"] >= false_discovery_control(four["p"])).all()


def test_diverged_runs_rank_below_all_and_have_no_difference(tmp_path):
    fine, lost = [0.9 + seed / 1000 for seed in range(8)], [None] * 8
    a = results_of(tmp_path / "a", *cell("he", *fine), *cell("normal", *lost))
    b = results_of(tmp_path / "b", *cell("he", *lost, lr=0.1), *cell("normal", *lost, lr=0.1))
    found = compare(a, b).cells.set_index("init")
    assert found.loc["he", "verdict"] == "worse" and math.isnan(found.loc["he", "difference"])
    assert found.loc["he", "test"] == "sign" and found.loc["he", "p"] == 2 / 2**8
    assert found.loc["he", "diverged_after"] == 8 and math.isnan(found.loc["he", "test_acc_after"])
    assert found.loc["normal", "verdict"] == "not distinguishable" and found.loc["normal", "p"] == 1


def test_what_so_few_seeds_cannot_tell(tmp_path):
    a = results_of(tmp_path / "a", *cell("he", 0.9, 0.91, 0.92, 0.93, 0.94), *cell("lecun", 0.9), row("zeros"))
    after = [*cell("he", None, None, None, None, None, lr=0.1), *cell("lecun", 0.1, lr=0.1), row("zeros", lr=0.1)]
    found = compare(a, results_of(tmp_path / "b", *after))
    assert verdicts(found) == dict.fromkeys(["he", "lecun", "zeros"], "cannot be told")
    assert found.cells["pairs"].tolist() == [5, 1, 0] and found.cells["p"][0] == 2 / 2**5  # never below 0.05
    first, *others = found.sentences()
    assert first == "lr 0.01 → 0.1: nothing can be told. 3 matched cells: 3 cannot be told."
    assert any("3 cells cannot be told with 0 to 5 seeds, because" in sentence for sentence in others)


def test_accuracies_that_jump_between_seeds_can_jump_at_bimodal_floor(tmp_path):
    jumps, drops = (0.1, 0.9, 0.1, 0.9, 0.1), (0.9, 0.1, 0.9, 0.1, 0.9)
    low, high = (0.10, 0.11, 0.10, 0.10, 0.11), (0.90, 0.90, 0.91, 0.90, 0.90)
    a = results_of(tmp_path / "a", *cell("he", *low), *cell("xavier", *jumps))
    b = results_of(tmp_path / "b", *cell("he", *high, lr=0.1), *cell("xavier", *drops, lr=0.1))
    found = compare(a, b).cells.set_index("init")
    assert ttest_rel(high, low).pvalue < 1e-7
    assert found.loc["he", "p"] == 2 / 4**5  # five equal jumps one way, each with chance 1/4


def test_the_same_runs_are_recognized(tmp_path):
    runs = [*cell("he", *BEFORE), *cell("normal", None, 0.5)]
    again = [*cell("he", *BEFORE[:4], 0.99), *cell("normal", None, 0.5)]
    found = compare(results_of(tmp_path / "a", *runs), results_of(tmp_path / "b", *again))
    assert (found.shared, found.same) == (7, 6)
    same = "7 runs with the same run ids in both: 6 of them gave exactly the same outcome and accuracy."
    assert found.sentences()[1] == same
    assert found.sentences()[2].endswith("No difference of versions, commit, device or threads is recorded.")


def test_threads_are_named_among_what_can_have_changed_the_same_run(tmp_path):
    """Before, "code, versions or device" was blamed where all three were the same."""
    versions = {"torch": "2.9", "python": "3.12"}
    a = results_of(tmp_path / "a", *cell("he", *BEFORE), threads=2, device="cpu", versions=versions)
    b = results_of(tmp_path / "b", *cell("he", *AFTER), threads=1, device="cpu", versions=versions | {"torch": "2.10"})
    found = compare(a, b)
    assert found.changed.to_numpy().tolist() == [["threads", "2", "1"], ["torch", "2.9", "2.10"]]
    said = "the cause is the difference in threads (2 → 1) and torch (2.9 → 2.10), or rounding"
    assert said in found.sentences()[2] and "recorded" not in found.sentences()[2]


def test_a_folder_and_itself_do_not_differ(tmp_path):
    results = results_of(tmp_path, *cell("he", *BEFORE), *cell("normal", None, None), *cell("zeros", 0.1, 0.1))
    found = compare(results, results)
    assert found.changed.empty and found.shared == found.same == 9
    assert set(found.cells["verdict"]) == {"not distinguishable"}
    assert (found.cells["difference"] == 0).all() and (found.cells["p_adjusted"] == 1).all()
    summary, same, *_ = found.sentences()
    assert summary == "Nothing changed beyond noise. 3 matched cells: 3 not distinguishable."
    assert same.endswith("All gave exactly the same outcome and accuracy.")
    assert not any("rounding" in sentence for sentence in found.sentences())


@pytest.mark.slow
def test_noise_is_seldom_called_a_change():
    """40 pairs of folders that differ by noise alone: of 4 cells each, at most 5 % of folders have a false alarm."""
    generator, alarms = np.random.default_rng(0), 0
    rows = [row(init, seed=seed) for init in ("he", "xavier", "lecun", "zeros") for seed in range(5)]
    for _ in range(40):
        a, b = (
            pd.DataFrame([finished(run, test_acc=generator.normal(0.9, 0.02)) for run in rows]).assign(
                stack_path=None, diverged_step=None
            )
            for _ in range(2)
        )
        empty = pd.DataFrame()
        found = compare(Results(Path("a"), a, empty, empty), Results(Path("b"), b, empty, empty))
        alarms += bool(found.cells["verdict"].isin(["better", "worse"]).any())
    assert alarms <= 6  # binomial: more than 6 of 40 at 5 % happen in 0.3 % of all seeds


# ---------------------------------------------------------------- nothing to compare


@pytest.mark.parametrize(
    "other, message",
    [
        (
            [*cell("zeros", 0.1), *cell("lecun", 0.1)],
            "no cell in common; init is he, xavier in one and lecun, zeros in the other",
        ),
        ([*cell("he", 0.1, depth=5), *cell("zeros", 0.1, depth=20)], "no combination of init, act, depth is in both"),
    ],
)
def test_nothing_that_matches(tmp_path, other, message):
    a = results_of(tmp_path / "a", *cell("he", 0.9), *cell("xavier", 0.9), *cell("he", 0.9, depth=10))
    with pytest.raises(InputError, match=message):
        compare(a, results_of(tmp_path / "b", *other, *cell("lecun", 0.9, depth=10)))


def test_no_runs(tmp_path):
    results = results_of(tmp_path, *cell("he", 0.9))
    empty = Results(Path("nowhere"), results.runs.iloc[:0], results.sweeps, results.stacks)
    with pytest.raises(InputError, match="no runs under nowhere"):
        compare(results, empty)


# ---------------------------------------------------------------- formats


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    a = [*cell("he", *BEFORE), *cell("<b>", *AFTER), *cell("normal", *BEFORE), *cell("zeros", 0.1), *cell("lsuv", 0.5)]
    b = [*cell("he", *AFTER), *cell("<b>", *BEFORE), *cell("normal", *[None] * 5), *cell("zeros", 0.1)]
    return compare(
        results_of(folder / "a", *a), results_of(folder / "b", *[run | {"run_id": "b" + run["run_id"]} for run in b])
    )


@pytest.mark.parametrize("width", [80, 100])
def test_a_terminal_shows_the_summary_first_and_each_verdict(found, width):
    paper = io.StringIO()
    Console(width=width, file=paper, color_system=None).print(ComparisonTables(found).rich())
    lines = paper.getvalue().splitlines()
    assert lines[0].startswith("4 matched cells: 1 worse, 1 better, 2 cannot be told.")
    assert max(map(len, lines)) <= width and "…" not in paper.getvalue()
    heads = [line for line in lines if line.endswith(("cell", "cells"))]
    assert heads == ["Worse: 1 cell", "Better: 1 cell", "Cannot be told: 2 cells", "Only before: 1 cell"]
    assert any(line.split()[:6] == ["relu", "20", "he", "91.0", "→", "96.0"] for line in lines)


def test_html_and_markdown_hold_every_cell_escaped(found):
    tables = ComparisonTables(found)
    html, markdown = tables.html(), tables.markdown()
    assert "&lt;b&gt;" in html and "<b>" not in html and "http" not in html and "<script" not in html
    assert "<h1>4 matched cells: 1 worse, 1 better, 2 cannot be told</h1>" in html  # the answer first
    assert r"\<b\>" in markdown and markdown.startswith("# What changed\n\n4 matched cells: 1 worse")
    assert html.count("<tr>") == markdown.count("\n| ") - 1 * markdown.count("\n| :") == 4 + 5


def test_csv_reads_back(found):
    read = pd.read_csv(io.StringIO(ComparisonTables(found).csv()))
    pd.testing.assert_frame_equal(read, found.cells, check_dtype=False)
    assert set(read["verdict"]) <= set(VERDICTS)


def test_a_cell_may_have_no_activation(tmp_path):
    """A model of somebody's own has the activation that was seen in it, which may be none."""
    before, after = (results_of(tmp_path / name, *cell("he", 0.9, 0.91, 0.92)) for name in ("a", "b"))
    before.runs["act"] = after.runs["act"] = None
    assert len(compare(before, after).cells) == 1
