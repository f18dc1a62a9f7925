"""The report counts, ranks and draws what the runs came to, and makes nothing up."""

# pandas annotates nearly everything as "Series or DataFrame or unknown": these checks see only that.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
# pyright: reportCallIssue=false

import io
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from markupsafe import Markup
from matplotlib.figure import Figure
from rich.console import Console

from initbench.analysis.axes import cell_axes
from initbench.analysis.cells import OUTCOMES
from initbench.analysis.contests import Contests
from initbench.analysis.summary import run_table, steps_to_target, summarize
from initbench.errors import InputError
from initbench.report.compose import report_on
from initbench.report.figures.drawing import Drawing
from initbench.report.outputs import facts, shown, write
from initbench.report.report import Report
from initbench.report.sections.order import SECTIONS
from initbench.report.sections.section import Section
from initbench.report.tables.summary import markdown
from initbench.report.terminal import LONG, rich_summary
from initbench.report.text_table import TextCell, TextColumn, TextTable
from initbench.results.load import Results, load
from initbench.results.schema import OUTCOME_TYPES, RUN_COLUMNS
from initbench.results.store import Store
from results_on_disk import curves_of, finished, joined, made_up_sweep, row

FILES = {
    *(f"{name}.csv" for name in ("runs", "summary", "comparisons", "contenders", "diagnoses", "pooled")),
    *("summary.md", "summary.tex", "summary.html", "index.html"),
}


def results_of(root: Path, *runs: dict, pending: tuple[dict, ...] = ()) -> Results:
    """Results with these runs trained and those only asked for."""
    store = Store(root)
    asked = [{key: value for key, value in run.items() if key not in OUTCOME_TYPES} for run in (*runs, *pending)]
    store.save_sweep("demo", info={}, runs=asked)
    done = [run for run in runs if run["status"] == "done"]
    curves = [curves_of(run, np.random.default_rng(0), 0.9) for run in done]
    store.save_stack("ab", runs=list(runs), **(joined(curves) if curves else {}), info={})
    return load(root)


def accuracies(init: str, *values: float | None, **settings) -> list[dict]:
    """A cell whose seeds got these accuracies; None is a diverged run."""
    return [
        finished(row(init, seed=seed, **settings), "diverged", diverged_step=5)
        if value is None
        else finished(row(init, seed=seed, **settings), test_acc=value, train_loss=1 - value)
        for seed, value in enumerate(values)
    ]


def printed(table, width: int) -> str:
    paper = io.StringIO()
    Console(width=width, file=paper, color_system=None).print(table)
    return paper.getvalue()


# ---------------------------------------------------------------- tables


def test_a_cell_of_three_seeds_by_hand(tmp_path):
    (cell,) = summarize(Contests.of(results_of(tmp_path, *accuracies("he", 0.9, 0.96, 0.93)))).to_dict("records")
    assert cell["runs"] == cell["learned"] == cell["test_acc_count"] == 3
    assert cell["test_acc_median"] == 0.93
    assert cell["test_acc_mean"] == pytest.approx(0.93)
    assert cell["test_acc_std"] == pytest.approx(0.03)  # sqrt((0.03^2 + 0.03^2 + 0) / 2)
    assert cell["train_loss_median"] == pytest.approx(0.07)
    assert cell["best"]


def test_a_diverged_run_ranks_below_every_finite_one(tmp_path):
    runs = [*accuracies("he", 0.5, None, 0.9), *accuracies("normal", None, 0.99, None)]
    cells = summarize(Contests.of(results_of(tmp_path, *runs))).set_index("init")
    assert cells.loc["he", "test_acc_median"] == 0.5  # of -inf, 0.5, 0.9
    assert cells.loc["he", "train_loss_median"] == 0.5  # of 0.1, 0.5, inf
    assert cells.loc["he", "test_acc_mean"] == pytest.approx(0.7) and cells.loc["he", "test_acc_count"] == 2
    assert math.isnan(cells.loc["normal", "test_acc_median"])  # a mean of 0.99 does not decide
    assert cells["best"].to_dict() == {"he": True, "normal": False}


def test_a_median_between_a_finite_and_a_diverged_run_is_null(tmp_path):
    cells = summarize(Contests.of(results_of(tmp_path, *accuracies("he", 0.9, None))))
    assert math.isnan(cells["test_acc_median"][0]) and cells["test_acc_mean"][0] == 0.9


def test_one_seed_has_no_deviation(tmp_path):
    summary = summarize(Contests.of(results_of(tmp_path, *accuracies("he", 0.958))))
    assert math.isnan(summary["test_acc_std"][0])
    (line,) = [line for line in printed(rich_summary(summary), 80).splitlines() if "95.8 %" in line]
    assert "±" not in line


def test_each_fate_is_counted(tmp_path):
    runs = [
        *accuracies("he", 0.9, None),
        finished(row(seed=2), "stuck", test_acc=0.1),
        row(seed=3) | {"status": "failed", "error": "out of memory"},
    ]
    (cell,) = summarize(Contests.of(results_of(tmp_path, *runs, pending=(row(seed=4), row(seed=5))))).to_dict("records")
    assert [cell[key] for key in ("runs", *OUTCOMES)] == [6, 1, 0, 1, 1, 1, 2]
    assert cell["test_acc_count"] == 2


def test_equals_may_both_be_the_best_one_is_first_and_the_stuck_have_none(tmp_path):
    runs = [*accuracies("he", 0.9), *accuracies("xavier", 0.9), *accuracies("lecun", 0.8)]
    runs += [finished(row(init, depth=50), "stuck", test_acc=0.1) for init in ("he", "xavier")]
    cells = summarize(Contests.of(results_of(tmp_path, *runs)))
    assert cells[cells["best"]][["init", "depth"]].to_numpy().tolist() == [["he", 20]]
    assert cells.loc[cells["depth"] == 20, "may_be_best"].tolist() == [True, True, True]  # one seed rules nothing out


def test_the_winner_of_each_contest_comes_first(tmp_path):
    made_up_sweep(tmp_path)
    summary = summarize(Contests.of(load(tmp_path)))
    firsts = summary.groupby(["act", "depth"], sort=False).head(1)
    assert firsts["best"].all() and len(firsts) == summary["best"].sum() == 4
    assert summary["depth"].tolist() == [5] * 8 + [20] * 8 + [5] * 8 + [20] * 8
    deep = summary[summary["depth"] == 20].groupby("act").tail(1)
    assert deep["init"].tolist() == ["normal", "normal"]  # diverged, so last


def test_swept_keys_become_axes_and_the_rest_does_not(tmp_path):
    runs = [
        *(finished(row("normal", **{"init.std": std, "init.bias": 0.0})) for std in (0.01, 0.1)),
        *(finished(row("he", lr=lr, **{"init.bias": 0.5, "log_every": 5})) for lr in (0.01, 0.1)),
        finished(row("trunc_normal", **{"init.std": 3.0, "init._target_": "x"})),
    ]
    results = results_of(tmp_path, *runs)
    # init.bias, and init.std of trunc_normal, differ only because the initializer does
    assert cell_axes(results.runs) == ["init", "act", "depth", "lr", "init.std"]
    assert list(run_table(Contests.of(results))) == [*RUN_COLUMNS, "init.std"]
    text = printed(rich_summary(summarize(Contests.of(results))), 120)
    assert "normal std=0.01" in text and "normal std=0.1" in text and " he " in text


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_the_terminal(tmp_path, width):
    made_up_sweep(tmp_path)
    text = printed(rich_summary(summarize(Contests.of(load(tmp_path)))), width)
    assert text.count("★ ") == 4
    assert "3L" in text and "2S 1D" in text and "D diverged" in text and "…" not in text
    assert max(map(len, text.splitlines())) <= width


def test_a_long_table_shows_the_best_of_each_contest(tmp_path):
    made_up_sweep(tmp_path, acts=["relu", "tanh", "sigmoid"], depths=[3, 5, 20], seeds=1)
    summary = summarize(Contests.of(load(tmp_path)))
    assert len(summary) == 72 > LONG
    text = printed(rich_summary(summary), 100)
    assert text.count("and 5 more") == 9 and text.count("★ ") == 9
    assert "more" not in printed(rich_summary(summary, top=8), 100)


@pytest.mark.slow
def test_a_terminal_shows_thirty_contests(tmp_path):
    made_up_sweep(tmp_path, acts=["relu"], depths=list(range(1, 36)), seeds=1)
    text = printed(rich_summary(summarize(Contests.of(load(tmp_path)))), 100)
    assert text.count("and 5 more") == 30 and "And 5 other contests" in text


def test_markdown_escapes_and_keeps_every_row(tmp_path):
    runs = [*accuracies("torch_default", 0.95, 0.96), *accuracies("my.pkg|init", 0.5, None)]
    lines = markdown(summarize(Contests.of(results_of(tmp_path, *runs)))).splitlines()
    assert lines[2] == r"| relu | 20 | **torch\_default** ★ | **95.5 ± 0.7 %** | 95.5 % | 0.045 | 2 learned |"
    assert lines[3] == r"| relu | 20 | my.pkg\|init | 50.0 % | diverged | – | 1 learned, 1 diverged |"
    assert len(lines) == 4


# ---------------------------------------------------------------- files


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    """Three initializers at two depths: some learn, some are stuck, some diverged, and two are pending."""
    root = tmp_path_factory.mktemp("sweep")
    made_up_sweep(root, inits=["he", "normal", "zeros"], acts=["relu"], depths=[3, 20], pending=1)
    return root


@pytest.fixture(scope="module")
def made(sweep) -> Report:
    return report_on(load(sweep), command=["initbench", "report", "my results"])


@pytest.mark.slow
def test_everything_is_written_the_same_each_time_and_csv_round_trips(sweep, made, tmp_path):
    files = write(made, tmp_path / "once")
    assert set(files) >= FILES and all(file.stat().st_size > 10 for file in files.values())
    assert {file for file in files if file.endswith(".svg")} == {f"{drawing.name}.svg" for drawing in made.figures}
    assert "initbench report &#39;my results&#39;" in files["index.html"].read_text(encoding="utf-8")
    read = pd.read_csv(files["runs.csv"], dtype={"run_id": str, "stack_id": str})
    assert list(read) == list(made.frames["runs"]) == [*RUN_COLUMNS]
    pd.testing.assert_frame_equal(read, made.frames["runs"], check_dtype=False, check_exact=True)
    assert read["status"].value_counts().to_dict() == {"done": 16, "pending": 2}
    assert read["diverged_step"].dropna().isin([8, 9, 10]).all() and read["diverged_step"].notna().sum() == 4
    summary = pd.read_csv(files["summary.csv"])
    pd.testing.assert_frame_equal(summary, made.summary, check_dtype=False, check_exact=True)
    again = write(report_on(load(sweep)), tmp_path / "again")
    assert files.keys() == again.keys()
    assert all(files[name].read_bytes() == again[name].read_bytes() for name in files if name != "index.html")


@pytest.mark.slow
def test_figures_come_in_the_formats_asked_for(made, tmp_path):
    few = replace(made, drawings={"figures": made.figures[:2]})
    files = write(few, tmp_path, formats=["png", "pdf"])
    assert files["outcomes.png"].read_bytes()[:4] == b"\x89PNG" and files["outcomes.pdf"].read_bytes()[:4] == b"%PDF"
    assert not any(name.endswith(".svg") for name in files)


@pytest.mark.parametrize(
    "case",
    ["pending", "diverged", "failed", *(pytest.param(case, marks=pytest.mark.slow) for case in ("one run", "zeros"))],
)
@pytest.mark.slow
def test_unusual_results_are_reported(tmp_path, case):
    runs: dict[str, list[dict]] = {
        "pending": [],
        "diverged": [
            finished(row("normal", seed=0), "diverged", diverged_step=0),
            finished(row("normal", seed=1), "diverged", diverged_step=3),
        ],
        "failed": [row() | {"status": "failed", "error": "out of memory"}],
        "one run": [finished(row("he", depth=1))],
        "zeros": [finished(row("zeros"), "stuck")],
    }
    if case == "pending":
        Store(tmp_path).save_sweep("demo", info={}, runs=[row()])
        results = load(tmp_path)
    else:
        results = results_of(tmp_path, *runs[case])
    made = report_on(results)
    assert set(write(made, tmp_path / "report")) >= FILES
    json.dumps(facts(made), allow_nan=False)


def test_facts_are_strict_json_with_the_columns_names(tmp_path):
    made = report_on(results_of(tmp_path, *accuracies("he", 0.9, None), pending=(row(seed=9),)), drawn=False)
    told = json.loads(json.dumps(facts(made), allow_nan=False))
    assert told["outcomes"] == {"learned": 1, "slow": 0, "stuck": 0, "diverged": 1, "failed": 0, "pending": 1}
    assert list(told["runs"][0]) == RUN_COLUMNS and list(told["summary"][0]) == list(made.summary)
    assert told["runs"][1]["test_acc"] is None and told["runs"][1]["diverged_step"] == 5
    assert told["summary"][0]["best"] is True and told["summary"][0]["test_acc_median"] is None


@pytest.mark.slow
def test_skipped_files_are_named_in_the_page_and_the_facts(tmp_path):
    made_up_sweep(tmp_path, inits=["he"], acts=["relu", "tanh"], depths=[3], seeds=1)
    broken = tmp_path / "stacks" / "0000" / "layers.parquet"
    broken.write_bytes(b"PAR1")
    made = report_on(load(tmp_path))
    assert str(broken) in write(made, tmp_path / "report")["index.html"].read_text(encoding="utf-8")
    assert [entry["file"] for entry in facts(made)["skipped"]] == [str(broken)]
    assert any("1 file cannot be read" in note for note in made.notes)


def test_nothing_to_report(tmp_path):
    made_up_sweep(tmp_path, inits=["he"], acts=["relu"], depths=[3], seeds=1)
    for file in tmp_path.rglob("*.json"):
        file.write_text("{")
    with pytest.raises(InputError, match=r"no sweeps under .*2 files can't be read.*run `initbench run` first"):
        report_on(load(tmp_path))


def test_steps_to_a_target_never_reached_are_never(tmp_path):
    """The learned run's losses fall below half the constant's; the stuck one's never do, nor the diverged one's."""
    made_up_sweep(tmp_path, inits=["he", "zeros", "normal"], acts=["relu"], depths=[20], seeds=1)
    results = load(tmp_path)
    steps = steps_to_target(results)
    by_init = results.runs.set_index("run_id")["init"]
    assert {by_init[run_id]: math.isinf(step) for run_id, step in steps.items()} == {
        "he": False,
        "zeros": True,
        "normal": True,
    }
    losses = results.losses.astype({"run_id": str}).set_index("run_id")["train_loss"]
    (he,) = by_init.index[by_init == "he"]
    means = losses[he].rolling(20).mean().to_numpy()
    assert steps[he] == int(np.flatnonzero(means <= math.log(10) / 2)[0])
    summary = summarize(Contests.of(results), steps=steps).set_index("init")
    assert summary["reached_target"].to_dict() == {"he": 1, "zeros": 0, "normal": 0}
    assert math.isnan(summary.loc["zeros", "steps_to_target"])
    assert (steps_to_target(results, 1e-9) == math.inf).all()


def test_a_report_that_cannot_be_written(tmp_path):
    made_up_sweep(tmp_path, inits=["he"], acts=["relu"], depths=[3], seeds=1)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"can't write the report to .*file"):
        write(report_on(load(tmp_path), drawn=False), tmp_path / "file")


@pytest.fixture
def listed_section() -> Iterator[Section]:
    """A section that is in the list of sections for the time of a test."""
    section = Section(
        name="greeting",
        title="A greeting",
        frames=lambda report: {"greetings": pd.DataFrame({"word": ["hello"]})},
        tables=lambda report: {"greeting": TextTable("A table", [TextColumn(("word",))], 1, [[TextCell("hello")]])},
        draw=lambda report: [Drawing("wave", "A wave", "A caption.", "An alternative text.", Figure())],
        html=lambda page: Markup("<p>hello</p>") + page.figures("greeting")[0],
        facts=lambda report: {"greeting": "hello"},
        terminal=lambda report: ["hello"],
    )
    SECTIONS.append(section)
    yield section
    SECTIONS.remove(section)


def test_a_section_is_in_the_files_the_page_the_json_and_the_terminal(tmp_path, listed_section):
    results = results_of(tmp_path / "results", *accuracies("he", 0.9, 0.8))
    made = report_on(results)
    files = write(made, tmp_path / "report")
    assert {"greetings.csv", "greeting.md", "greeting.tex", "greeting.html", "wave.svg"} < set(files)
    page = files["index.html"].read_text(encoding="utf-8")
    assert '<a href="#greeting">A greeting</a>' in page and "<p>hello</p>" in page and 'id="figure-wave"' in page
    told = facts(made)
    assert told["greeting"] == "hello" and told["greetings"] == [{"word": "hello"}]
    assert shown(made)[0] == "hello"
