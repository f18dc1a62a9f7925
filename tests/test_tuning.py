"""Equal tuning: every cell is shown at the rate that is best on the validation part, with the rates that would do."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from initbench import load
from initbench.analysis.axes import cell_axes
from initbench.analysis.contests import Contests
from initbench.analysis.summary import summarize
from initbench.analysis.tuning import Tuning, frames, selected, tuning
from initbench.analysis.tuning_effects import tuning_effects
from initbench.analysis.tuning_notes import notes
from initbench.cli import app
from initbench.report.compose import report_on
from initbench.report.figures.landscape import dependence
from initbench.report.outputs import facts, write
from initbench.report.sections.tuning import tuning_table
from initbench.results.load import Results
from initbench.results.store import Store
from results_on_disk import CONSTANT_LOSS, curves_of, finished, joined, row

RATES = [0.001, 0.01, 0.1, 1.0]
TUNE = {"tune.low": 0.001, "tune.high": 1.0, "tune.rates": 4, "data.val_fraction": 0.2}
INFO = {"stack_seconds": 1.0, "device": "cpu", "versions": {"torch": "2"}, "git_commit": None}
INF = math.inf

# For each initializer and rate, of seed 0 and seed 1: validation loss (inf: diverged) and test accuracy. What learned
# has a loss below 1.
LOSSES = {
    "he": [(0.9, 0.8), (0.3, 0.5), (0.35, 0.2), (INF, INF)],
    "xavier": [(2.0, 2.0), (2.0, 0.9), (0.7, 0.8), (0.2, 0.2)],
    "normal": [(INF, INF)] * 4,
    "zeros": [(2.3, 2.3)] * 4,
    "lecun": [(0.6, 0.6), (2.0, 2.0), (0.6, 0.6), (0.1, INF)],
}
ACCURACY = {"he": [0.1, 0.91, 0.95, 0.0], "xavier": [0.1, 0.2, 0.99, 0.93]}


def tuned_row(init: str, lr: float, seed: int, **settings: Any) -> dict[str, Any]:
    return row(init, depth=5, seed=seed, lr=lr, **TUNE | settings)


def trained(asked: dict[str, Any], loss: float, acc: float) -> dict[str, Any]:
    if loss == INF:
        return finished(asked, "diverged", diverged_step=3)
    outcome = "learned" if loss < 1 else "stuck"
    return finished(asked, outcome, val_loss=loss, val_acc=1 - loss / 10, test_acc=acc, train_loss=loss)


def tuned_runs(**settings: Any) -> list[dict[str, Any]]:
    return [
        trained(tuned_row(init, lr, seed, **settings), loss, ACCURACY.get(init, [0.5] * 4)[k])
        for init, by_rate in LOSSES.items()
        for k, (lr, losses) in enumerate(zip(RATES, by_rate, strict=True))
        for seed, loss in enumerate(losses)
    ]


def saved(folder: Path, runs: list[dict[str, Any]], asked: list[dict[str, Any]] | None = None) -> Results:
    """Results of finished `runs`; `asked` are those of the sweep, by default the same."""
    store, generator = Store(folder), np.random.default_rng(0)
    keys = row().keys() | TUNE.keys()
    configured = [{key: run[key] for key in run if key in keys} for run in asked or runs]
    store.save_sweep("demo", info={"command": ["initbench", "run"]}, runs=configured)
    store.save_stack("0001", runs=runs, **joined([curves_of(run, generator, 1.0) for run in runs]), info=INFO)
    return load(folder)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return saved(tmp_path_factory.mktemp("tuned"), tuned_runs())


@pytest.fixture(scope="module")
def found(results: Results) -> Tuning:
    tuned = tuning(results)
    assert tuned is not None
    return tuned


def cell(found: Tuning, init: str) -> dict[str, Any]:
    (one,) = found.cells[found.cells["init"] == init].to_dict("records")
    return one


# By hand


def test_the_best_rate_has_the_lowest_median_validation_loss(found: Tuning):
    """he: medians 0.85, 0.4, 0.275, inf. The test accuracies would have chosen the same for he, another for xavier."""
    he = found.rates[found.rates["init"] == "he"]
    assert he["val_loss"].tolist() == pytest.approx([0.85, 0.4, 0.275, INF])
    assert he["best"].tolist() == [False, False, True, False]
    assert (cell(found, "he")["best_lr"], cell(found, "he")["test_acc"]) == (0.1, 0.95)
    assert (cell(found, "xavier")["best_lr"], cell(found, "xavier")["test_acc"]) == (1.0, 0.93)
    assert cell(found, "he")["val_acc"] == pytest.approx(1 - 0.0275)


def test_equals_go_to_the_smaller_rate_and_half_diverged_is_none(found: Tuning):
    """lecun at 1 has the lowest loss under one seed and diverges under the other; 0.001 and 0.1 tie."""
    assert cell(found, "lecun")["best_lr"] == 0.001
    assert cell(found, "zeros")["best_lr"] == 0.001
    last = found.rates[(found.rates["init"] == "lecun") & (found.rates["lr"] == 1)]
    assert last["val_loss"].item() == INF and last["diverged"].item() == 1


def test_a_cell_that_diverges_everywhere_has_no_best_rate(found: Tuning):
    normal = cell(found, "normal")
    assert all(math.isnan(normal[name]) for name in ("best_lr", "low_lr", "high_lr", "decades", "test_acc"))
    assert (normal["edge"], normal["learned"], normal["finished"]) == ("", 0, 2)


def test_the_workable_range_is_the_longest_unbroken_line_of_rates_that_work(found: Tuning):
    """he learns from 0.001 to 0.1: two decades. xavier: at 0.01 one of two seeds, so 0.1 to 1. lecun: 0.001, and 0.1
    where a rate between doesn't; of equals the smaller."""
    ranges = {init: tuple(cell(found, init)[name] for name in ("low_lr", "high_lr", "decades")) for init in LOSSES}
    assert ranges["he"] == pytest.approx((0.001, 0.1, 2.0))
    assert ranges["xavier"] == pytest.approx((0.1, 1.0, 1.0))
    assert ranges["lecun"] == pytest.approx((0.001, 0.001, 0.0))
    assert all(math.isnan(end) for end in ranges["zeros"])


def test_an_edge_is_told_where_the_best_works(found: Tuning):
    assert {init: cell(found, init)["edge"] for init in LOSSES} == {
        "he": "",
        "xavier": "high",
        "normal": "",
        "zeros": "",  # it ties everywhere: to widen the grid is no advice
        "lecun": "low",
    }


# What the rest of the report sees


def test_each_cell_is_left_with_its_best_rate_and_the_rate_is_no_axis(results: Results):
    chosen = selected(results)
    assert cell_axes(chosen.runs) == ["init", "act", "depth"]
    assert chosen.runs.groupby("init")["lr"].unique().map(list).to_dict() == {
        "he": [0.1],
        "lecun": [0.001],
        "normal": [0.001],
        "xavier": [1.0],
        "zeros": [0.001],
    }
    assert len(chosen.runs) == 2 * len(LOSSES)
    assert "lr" in cell_axes(results.runs)


def test_verdicts_compare_test_accuracy_at_each_ones_own_best(results: Results):
    made = report_on(results, drawn=False)
    assert made.verdicts[0].winner == "he"  # 95 % at 0.1, before xavier's 93 % at 1, whose 99 % were not chosen
    assert list(made.summary["runs"]) == [2] * len(LOSSES)
    assert made.summary.set_index("init").loc["normal", "diverged"] == 2
    assert made.frames["runs"]["lr"].notna().all()


def test_the_test_part_has_no_say(tmp_path: Path, found: Tuning):
    runs = [
        run | ({"test_acc": 1 - run["test_acc"]} if run.get("test_acc") is not None else {}) for run in tuned_runs()
    ]
    other = tuning(saved(tmp_path, runs))
    assert other is not None
    pd.testing.assert_frame_equal(other.rates, found.rates)
    assert other.cells["best_lr"].equals(found.cells["best_lr"])


def test_results_without_tuned_runs_are_left_alone(tmp_path: Path):
    results = saved(tmp_path, [finished(row("he", seed=seed, **{"lr": lr})) for lr in RATES for seed in (0, 1)])
    assert selected(results) is results
    assert tuning(results) is None and notes(None) == [] and frames(None) == {}
    assert "lr" in cell_axes(results.runs)


def test_tuned_runs_beside_others_are_cells_of_their_own(tmp_path: Path):
    plain = [
        finished(row("he", "relu", 5, seed, **{"lr": lr, "data.val_fraction": 0.2}), test_acc=0.8)
        for lr in (0.01, 0.1)
        for seed in (0, 1)
    ]
    chosen = selected(saved(tmp_path, tuned_runs() + plain))
    assert cell_axes(chosen.runs) == ["init", "act", "depth", "lr", "tuned"]
    cells = summarize(Contests.of(chosen))
    assert cells[cells["init"] == "he"]["runs"].tolist() == [2, 2, 2]
    made = report_on(load(tmp_path), drawn=False)
    assert sorted(made.summary["lr"].dropna().unique()) == [0.01, 0.1]


def test_a_wider_grid_adds_to_the_narrower_one(tmp_path: Path):
    wider = {"tune.high": 10.0, "tune.rates": 5}
    more = [trained(tuned_row("he", 10.0, seed, **wider), 0.1, 0.97) for seed in (0, 1)]
    found = tuning(saved(tmp_path, tuned_runs() + more))
    assert found is not None and found.contests.cell_axes == ["init", "act", "depth"]
    assert (cell(found, "he")["rates"], cell(found, "he")["best_lr"], cell(found, "he")["edge"]) == (5, 10.0, "high")
    assert "Cells differ in the number of rates tried, so their tuning budgets are not equal." in notes(found)


def test_what_is_not_trained_yet_counts_nowhere_and_is_told(tmp_path: Path):
    runs = tuned_runs()
    done = [run for run in runs if not (run["init"] == "he" and run["lr"] == 0.1)]
    results = saved(tmp_path, done, asked=runs)
    found = tuning(results)
    assert found is not None
    assert (cell(found, "he")["rates"], cell(found, "he")["best_lr"]) == (3, 0.01)
    assert "2 tuned runs still to be trained: another rate may turn out to be the best." in notes(found)
    nothing = dataclasses.replace(results, runs=results.runs.assign(status="pending"))
    assert len(selected(nothing).runs) == 2 * len(LOSSES)
    empty = tuning(nothing)
    assert empty is not None and set(empty.cells["rates"]) == {0} and not empty.cells["best_lr"].count()


# Words, tables, figures


def test_the_notes_say_how_rates_were_chosen_and_where_to_look_further(found: Tuning):
    said = notes(found)
    assert said == [
        "Each tuned cell is shown at the best of 4 learning rates (0.001 to 1), chosen by the median validation loss "
        "over its seeds; test data were not used.",
        "The best rate is the lowest one tried in 1 cell (lecun with relu, depth 5): lower tune.low.",
        "The best rate is the highest one tried in 1 cell (xavier with relu, depth 5): raise tune.high.",
        "At every rate, at least half of the runs diverged in 1 cell (normal with relu, depth 5): the report shows the "
        "lowest rate.",
        "At no rate did most runs learn in 1 cell (zeros with relu, depth 5).",
    ]


def test_the_table(found: Tuning):
    rows = {line[2].text: [part.text + part.mark for part in line[3:]] for line in tuning_table(found).rows}
    assert rows == {
        "he": ["0.1", "≤ 0.001 to 0.1", "2.0", "0.275", "97.2 %", "95.0 %", "2 of 2"],
        "xavier": ["1 →", "0.1 to ≥ 1", "1.0", "0.2", "98.0 %", "93.0 %", "2 of 2"],
        "normal": ["none", "none", "–", "–", "–", "–", "0 of 2"],
        "zeros": ["0.001", "none", "–", "2.3", "77.0 %", "50.0 %", "0 of 2"],
        "lecun": ["0.001 ←", "≤ 0.001", "0.0", "0.6", "94.0 %", "50.0 %", "2 of 2"],
    }


# Several keys

# For each initializer, at (lr, gain): validation loss and test accuracy under seeds 0, 1 and 2. The default is 0.01, 1.
LANDSCAPE = {
    "he": {
        (0.01, 1.0): ([0.5, 0.6, 0.7], [0.90, 0.88, 0.86]),
        (0.1, 1.0): ([0.3, 0.2, 0.4], [0.95, 0.94, 0.93]),
        (0.1, 2.0): ([0.1, 0.3, 0.5], [0.99, 0.90, 0.90]),
    },
    "xavier": {
        (0.01, 1.0): ([0.8, 0.8, 0.9], [0.80, 0.80, 0.80]),
        (0.1, 1.0): ([0.9, 0.9, 0.9], [0.70, 0.70, 0.70]),
        (0.1, 2.0): ([0.2, 0.2, 0.2], [0.94, 0.95, 0.92]),
    },
    "normal": {
        (0.01, 1.0): ([2.0, 2.0, 2.0], [0.1, 0.1, 0.1]),
        (0.1, 1.0): ([INF, INF, INF], [0.0, 0.0, 0.0]),
        (0.1, 2.0): ([0.4, 0.4, 0.4], [0.9, 0.9, 0.9]),
    },
    "zeros": {(0.01, None): ([2.3] * 3, [0.1] * 3), (0.1, None): ([2.3] * 3, [0.1] * 3)},
}
SEARCH = {"tune.tuner": "tpe", "tune.trials": 3, "tune.low": 0.01, "tune.high": 0.1, "data.val_fraction": 0.2}
SEARCH |= {"tune.init.gain": '[0.5, 2.0, "log"]'}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Results:
    runs = [
        trained(row(init, depth=5, seed=seed, **{"lr": lr, "init.gain": gain}, **SEARCH), losses[seed], accs[seed])
        for init, settings in LANDSCAPE.items()
        for (lr, gain), (losses, accs) in settings.items()
        for seed in range(3)
    ]
    store, generator = Store(tmp_path_factory.mktemp("searched")), np.random.default_rng(0)
    keys = row().keys() | SEARCH.keys() | {"init.gain"}
    store.save_sweep("demo", info={}, runs=[{key: run[key] for key in run if key in keys} for run in runs])
    store.save_stack("0001", runs=runs, **joined([curves_of(run, generator, 1.0) for run in runs]), info=INFO)
    return load(store.root)


def test_of_several_tuned_keys_none_is_an_axis_and_each_cell_has_its_best_setting(searched: Results):
    """he: medians 0.6, 0.3 and 0.3; of equals the smaller gain."""
    found, chosen = tuning(searched), selected(searched)
    assert found is not None and found.keys == ["lr", "init.gain"] and found.searched
    assert cell_axes(chosen.runs) == ["init", "act", "depth"]
    best = {init: (cell(found, init)["best_lr"], cell(found, init)["best_init.gain"]) for init in LANDSCAPE}
    assert best["he"] == (0.1, 1.0) and best["xavier"] == best["normal"] == (0.1, 2.0)
    assert best["zeros"][0] == 0.01 and math.isnan(best["zeros"][1])
    assert found.rates.loc[found.rates["default"], "lr"].tolist() == [0.01] * 4
    assert "decades" not in found.cells and len(chosen.runs) == 3 * len(LANDSCAPE)
    assert Contests.of(chosen).runs["label"].tolist()[:3] == ["he"] * 3


def test_seeds_that_did_not_choose_are_worth_less(searched: Results):
    """he without seed 0: medians 0.3 and 0.4, so gain 1: 0.95. Without seed 1: 0.35 and 0.3: 0.90. Without seed 2: 0.25
    and 0.2: 0.90. The median is 0.90, and 0.94 where all three choose.
    """
    found = tuning(searched)
    assert found is not None
    assert (cell(found, "he")["test_acc"], cell(found, "he")["other_seeds"]) == (0.94, 0.90)
    assert any("worse by 1.0 point on average, and worse by 4.0 points at most" in note for note in notes(found))
    assert "zeros has no init.gain: tuned by lr alone." in notes(found)


def test_how_much_tuning_changes(searched: Results):
    """he and xavier learn at both: they differ by 0.10, 0.08 and 0.06 by default, by 0.01, 0.01 and 0.01 tuned. normal
    is stuck by default (0.1) and learns tuned; with it 0.80, 0.78 and 0.76, and 0.05, 0.05 and 0.03.
    """
    found = tuning(searched)
    assert found is not None
    (effect,) = tuning_effects(found).to_dict("records")
    assert (effect["initializers"], effect["learned_default"], effect["learned_tuned"]) == (4, 2, 3)
    assert (effect["rescued"], effect["compared"], effect["seeds"]) == ("normal", 3, 3)
    assert effect["difference_default"] == pytest.approx(0.78)
    assert effect["difference_tuned"] == pytest.approx(0.13 / 3)
    half = 4.303 * np.std([0.75, 0.73, 0.73], ddof=1) / math.sqrt(3)  # t of 2 degrees of freedom
    assert effect["high"] - effect["change"] == pytest.approx(half, rel=1e-3)
    assert effect["sentence"].startswith("relu, depth 5: tuned, the difference between the best and the worst of the 3")
    assert "shrinks from 78.0 to 4.3 points" in effect["sentence"] and "rescues normal" in effect["sentence"]
    assert (effect["first_default"], effect["first_tuned"]) == ("he", "he")


def test_the_two_keys_on_which_most_depends_are_shown():
    rates = pd.DataFrame({"lr": [1, 1, 2, 2, 3, 3], "init.gain": [1, 2, 3, 1, 2, 3], "finished": 1, "init": "he"})
    rates["val_loss"] = [5.0, 5.1, 3.0, 3.1, 1.0, 1.1]
    assert dependence(rates, ["init"], "lr") == pytest.approx(16 / 17.5)  # ranks 1.5, 3.5, 5.5 of 1 to 6
    assert dependence(rates, ["init"], "init.gain") == pytest.approx(4 / 17.5)


@pytest.mark.slow
def test_a_report_of_a_search(searched: Results, tmp_path: Path):
    made = report_on(searched)
    files = write(made, tmp_path)
    assert "tuning_effect.csv" in files and "landscape.svg" in files
    text = files["index.html"].read_text()
    assert "shrinks from 78.0 to 4.3 points" in text and "no init.gain" in files["landscape.svg"].read_text()
    assert "best init.gain" in files["tuning.md"].read_text()


@pytest.mark.slow
def test_a_report_of_tuned_results(results: Results, tmp_path: Path):
    made = report_on(results)
    names = [drawing.name for drawing in made.figures]
    assert {"validation_loss", "workable_rates"} <= set(names) and "learning_rate" not in names
    files = write(made, tmp_path)
    cells, rates = pd.read_csv(files["tuning.csv"]), pd.read_csv(files["rates.csv"])
    assert (len(cells), len(rates)) == (len(LOSSES), len(LOSSES) * len(RATES))
    assert "best lr" in files["tuning.md"].read_text()
    assert facts(made)["tuning"][0]["best_lr"] == 0.1
    text = {drawing.name: drawing.svg for drawing in made.figures}["workable_rates"]
    assert "≥ 2.0" in text and "diverged" in text and "→" in text and "←" in text


@pytest.mark.slow
def test_tuning_for_real(tmp_path: Path):
    """One command: 9 rates x 3 initializers x 2 seeds; small normal weights want a greater rate than He's."""
    runner = CliRunner()
    grid = ["init=he,xavier,normal_small", "act=relu", "depth=5", "width=32", "lr=tune", "steps=200"]
    asked = ["run", *grid, "--seeds", "2", "--out", str(tmp_path), "--workers", "1"]
    assert "9 rates from 0.0001 to 1" in runner.invoke(app, ["plan", *asked[1:]]).stdout
    ran = runner.invoke(app, asked)
    assert ran.exit_code == 0, ran.output
    results = load(tmp_path)
    assert len(results.runs) == 54 and results.runs["val_loss"].count() > 40
    found = tuning(results)
    assert found is not None
    assert set(found.cells["rates"]) == {9}
    assert 0.01 <= cell(found, "he")["best_lr"] < 1 and cell(found, "he")["learned"] == 2
    assert cell(found, "he")["decades"] > 0.9
    assert cell(found, "normal_small")["val_loss"] > CONSTANT_LOSS - 0.1  # stuck at every rate: 200 steps are few
    again = runner.invoke(app, [*asked, "tune.high=10", "tune.rates=11", "--quiet"])
    assert again.exit_code == 0 and len(load(tmp_path).runs) == 66
    assert len(load(tmp_path).stacks) >= 2
    shown = runner.invoke(app, ["report", str(tmp_path), "--rows", "init", "--cols", "lr", "--value", "val_acc"])
    assert shown.exit_code == 0 and "lr 0.0316" in shown.stdout
