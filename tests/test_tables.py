"""Cells in a grid, and tables in every format: numbers by hand, markup escaped, LaTeX compiled, CSV read back."""

import csv
import io
import math
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt
from omegaconf import OmegaConf
from rich.console import Console

from initbench.analysis.axes import cell_axes
from initbench.analysis.cells import score
from initbench.analysis.contests import Contests
from initbench.analysis.pivot import flattened, pivot
from initbench.analysis.summary import READ_CSV, run_table, summarize
from initbench.config.keys import BROUGHT_BY
from initbench.errors import InputError
from initbench.report.tables.pivot import pivot_table
from initbench.report.tables.summary import markdown, summary_table
from initbench.report.text_table import TextCell, TextColumn, TextTable, latex_text, page
from initbench.results.load import Results, load
from initbench.results.store import OUTCOME_TYPES, Store
from results_on_disk import finished, made_up_sweep, row

NASTY = r"""<b>50% _of_ #1 & $x$ {y} ~^\ "q" 'p' `c` *s* [l](u) |p| !` -- &amp; é中"""


def results_of(root: Path, *runs: dict, sweep: str = "demo", stack: str = "ab") -> Results:
    """Results of these runs; those without a status are only asked for."""
    store = Store(root)
    asked = [{key: value for key, value in run.items() if key not in OUTCOME_TYPES} for run in runs]
    store.save_sweep(sweep, info={}, runs=asked)
    store.save_stack(stack, runs=[run for run in runs if "status" in run], info={})
    return load(root)


def accuracies(init: str, *values: float | None, **settings) -> list[dict]:
    """A cell whose seeds got these accuracies; None is a diverged run."""
    return [
        finished(row(init, seed=seed, **settings), "diverged", diverged_step=10 + seed)
        if value is None
        else finished(row(init, seed=seed, **settings), test_acc=value, train_loss=1 - value)
        for seed, value in enumerate(values)
    ]


def printed(sheet: TextTable, width: int) -> list[str]:
    paper = io.StringIO()
    Console(width=width, file=paper, color_system=None).print(sheet)
    return paper.getvalue().splitlines()


# ---------------------------------------------------------------- runs


def test_runs_are_labelled_by_their_initializer_and_its_swept_parameters(tmp_path):
    runs = [finished(row("normal", lr=lr, **{"init.std": std})) for lr in (0.01, 0.1) for std in (0.5, 2.0)]
    contests = Contests.of(results_of(tmp_path, *runs, finished(row("he", lr=0.1))))
    assert sorted(set(contests.runs["label"])) == ["he", "normal std=0.5", "normal std=2"]
    assert contests.axes == ["act", "depth", "lr"]


def test_the_rate_that_an_optimizer_brings_is_no_axis(tmp_path):
    rates = {"sgd": 0.01, "adam": 0.001}
    own = [finished(row(init, optim=optim, lr=lr)) for init in ("he", "xavier") for optim, lr in rates.items()]
    assert cell_axes(results_of(tmp_path / "own", *own).runs) == ["init", "act", "depth", "optim"]
    asked = [finished(row(optim=optim, lr=lr)) for optim in rates for lr in (0.01, 0.1)]
    assert cell_axes(results_of(tmp_path / "asked", *asked).runs) == ["init", "act", "depth", "optim", "lr"]
    more = finished(row(optim="sgd", lr=0.1))
    assert cell_axes(results_of(tmp_path / "more", *own, more).runs) == ["init", "act", "depth", "optim", "lr"]
    by_hand = [finished(row("he", lr=0.1)), finished(row("xavier", lr=0.01))]
    assert cell_axes(results_of(tmp_path / "hand", *by_hand).runs) == ["init", "act", "depth", "lr"]


def test_what_models_and_data_bring_is_no_axis(tmp_path):
    widths = [finished(row(model=model, width=width)) for model, width in (("mlp", 100), ("cnn", 32))]
    assert cell_axes(results_of(tmp_path / "model", *widths).runs) == ["init", "act", "depth", "model"]
    ratios = {"digits": 0.5, "text": 0.75}
    learned = [finished(row(data=data, **{"outcome.learned_ratio": ratio})) for data, ratio in ratios.items()]
    assert cell_axes(results_of(tmp_path / "data", *learned).runs) == ["init", "act", "depth", "data"]


def test_whatever_a_choice_brings_is_known():
    """Every root key that a YAML of a group sets, but the mitigations', whose keys are all theirs."""
    brought = set()
    for file in (Path(__file__).parents[1] / "conf").glob("*/*.yaml"):
        group, text = file.parent.name, file.read_text()
        if group != "mitigation" and text.startswith("# @package _global_"):
            keys = pd.json_normalize(OmegaConf.to_container(OmegaConf.create(text)))
            brought |= {(key, group) for key in keys if not key.startswith(f"{group}.")}
    assert {("lr", "optim"), ("width", "model")} < brought
    assert brought == set(BROUGHT_BY.items())


def test_scores_rank_a_diverged_run_below_all_and_a_missing_one_nowhere(tmp_path):
    runs = [*accuracies("he", 0.9, None), row(seed=2) | {"status": "failed", "error": "x"}, row(seed=3)]
    scores = score(results_of(tmp_path, *runs).runs)
    np.testing.assert_array_equal(scores, [0.9, -math.inf, math.nan, math.nan])


# ---------------------------------------------------------------- the grid


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
    sheet = pivot_table(grid, ["init"], ["depth"], "test_acc")
    assert [column.header for column in sheet.columns] == [("init",), ("depth 5",), ("depth 20",)]
    texts = [[cell.text for cell in line] for line in sheet.rows]
    assert texts == [["xavier", "–", "70.0"], ["he", "diverged", "80.0"], ["zeros", "–", "10.0"]]
    assert [cell.text for line in sheet.rows for cell in line if cell.bold] == ["80.0"]
    assert sheet.caption.startswith("Median test accuracy (%), of 2 to 3 finished runs a cell.")


@pytest.mark.parametrize(
    "value, best",
    [("train_loss", ["0.2"]), ("learned", ["100"]), ("diverged", ["0"]), ("diverged_step", [])],
)
def test_the_best_is_highest_or_lowest_as_the_value_has_it(grid, value, best):
    sheet = pivot_table(grid, ["init"], ["depth"], value)
    assert [line[2].text for line in sheet.rows if line[2].bold] == best


def test_nobody_is_best_where_nobody_learned_or_all_are_equal(tmp_path):
    runs = [finished(row("he"), "stuck", test_acc=0.2), finished(row("zeros"), "stuck", test_acc=0.1)]
    runs += [finished(row(init, act="tanh"), test_acc=0.9) for init in ("he", "zeros")]
    sheet = pivot_table(results_of(tmp_path, *runs), ["init"], ["act"], "test_acc")
    assert not any(cell.bold for line in sheet.rows for cell in line) and "Bold" not in sheet.caption


# ---------------------------------------------------------------- formats


SPANNED = TextTable(
    caption=NASTY,
    columns=[
        TextColumn(("", "init"), left=True),
        TextColumn(("relu", "depth 5")),
        TextColumn(("relu", NASTY)),
        TextColumn(("tanh", "depth 5")),
    ],
    stub=1,
    rows=[
        [TextCell(NASTY), TextCell("95.1", bold=True, mark=" ★"), TextCell("–"), TextCell("diverged", colour="red")],
        [TextCell("[x]"), TextCell(NASTY, bold=True), TextCell("± 0.1 × 2 → 3 −4 …"), TextCell("*")],
    ],
)


def parsed_markdown(text: str) -> list[list[str]]:
    """The cells of all rows of Markdown's tables, as a reader sees them: markup taken out."""
    rows, inside = [], False
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "tr_open":
            rows.append([])
        inside = token.type in ("td_open", "th_open") or (inside and token.type == "inline")
        if token.type == "inline" and rows and inside:
            assert {child.type for child in token.children} <= {"text", "text_special", "strong_open", "strong_close"}
            rows[-1].append("".join(child.content for child in token.children))
    return rows


def test_markdown_parses_to_the_cells():
    assert "| **95.1** ★ |" in SPANNED.markdown()
    rows = parsed_markdown(SPANNED.markdown())
    assert rows[0] == ["init", "relu, depth 5", f"relu, {NASTY}", "tanh, depth 5"]
    assert rows[1] == [NASTY, "95.1 ★", "–", "diverged"]
    assert rows[2] == ["[x]", NASTY, "± 0.1 × 2 → 3 −4 …", "*"]
    assert len(rows) == 3


def test_the_summary_in_markdown_has_a_row_a_cell(tmp_path):
    made_up_sweep(tmp_path, inits=["he", "torch_default", "zeros"], depths=[3, 5])
    summary = summarize(Contests.of(load(tmp_path)))
    rows = parsed_markdown(markdown(summary))
    assert len(rows) == len(summary) + 1 and {len(line) for line in rows} == {7}
    assert {line[2].removesuffix(" ★") for line in rows[1:]} == {"he", "torch_default", "zeros"}


class Tables(HTMLParser):
    """The texts of cells by row, and the tags that were seen."""

    def __init__(self):
        super().__init__()
        self.rows, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1] += [""] * int(dict(attrs).get("colspan", 1))

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip("\n")


def test_html_is_escaped_and_spans():
    reader = Tables()
    reader.feed(SPANNED.html())
    assert set(reader.tags) == {"table", "caption", "thead", "tbody", "tr", "th", "td", "strong"}
    assert reader.rows[0] == ["", "", "relu", "tanh"]  # relu spans two
    assert reader.rows[1] == ["init", "depth 5", NASTY, "depth 5"]
    assert reader.rows[2] == [NASTY, "95.1 ★", "–", "diverged"]


def test_a_page_is_escaped_and_needs_no_other_file():
    text = page(NASTY, [NASTY, SPANNED])
    reader = Tables()
    reader.feed(text)
    assert "b" not in reader.tags and not {"link", "script", "img"} & set(reader.tags)
    assert "http" not in text and reader.rows[2][0] == NASTY


def compiled(pdflatex: str, folder: Path, *bodies: str) -> str:
    """LaTeX's log of a document with these bodies; an error fails."""
    packages = r"\usepackage{booktabs}\usepackage{longtable}"
    body = "\n\n".join(bodies)
    text = rf"\documentclass{{article}}{packages}\begin{{document}}" + f"\n{body}\n" + r"\end{document}"
    (folder / "tables.tex").write_text(text, encoding="utf-8")
    call = [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def test_latex_compiles(needs, tmp_path):
    pdflatex = needs("pdflatex")
    made_up_sweep(tmp_path / "results", inits=["he", "torch_default", "normal_small"], seeds=2)
    results = load(tmp_path / "results")
    summary = summarize(Contests.of(results))
    everything = "".join(map(chr, [*range(0x20, 0x7F), *range(0xA0, 0x180), 0x3BB, 0x4E2D, 0x1F600]))
    pairs = [one + other for one in "-'`,<>!?*[^~" for other in "-'`,<>]{"]
    bodies = [
        pivot_table(results, ["init"], ["act", "depth"], "test_acc").latex(),
        summary_table(summary).latex(),
        summary_table(pd.concat([summary] * 6)).latex(),  # a longtable
        SPANNED.latex(),
        latex_text(everything) + " " + latex_text(" ".join(pairs)),
    ]
    log = compiled(pdflatex, tmp_path, *bodies)
    assert "LaTeX Warning: Label" not in log and "Missing character" not in log


def test_latex_by_hand():
    sheet = TextTable(
        "50 %", [TextColumn(("a_b",), left=True), TextColumn(("n",))], 1, [[TextCell("x&y"), TextCell("1", bold=True)]]
    )
    assert sheet.latex().splitlines() == [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        r"\caption{50 \%}",
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"a\_b & n \\",
        r"\midrule",
        r"x\&y & \textbf{1} \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]


@pytest.mark.parametrize("width, blocks", [(60, 3), (80, 2), (110, 1)])
def test_a_wide_table_is_printed_in_blocks_with_nothing_cut_off(tmp_path, width, blocks):
    made_up_sweep(tmp_path, acts=["relu", "tanh", "sigmoid"], depths=[3, 5, 20], seeds=1)
    sheet = pivot_table(load(tmp_path), ["init"], ["act", "depth"], "test_acc")
    lines = printed(sheet, width)
    assert max(map(len, lines)) <= width and "…" not in "".join(lines)
    assert sum(line.strip().startswith("torch_default") for line in lines) == blocks
    assert sum(line.count("depth") for line in lines) == 9


def test_a_stub_that_goes_on_is_printed_once():
    texts = [["relu", "he", "1"], ["relu", "lecun", "1"], ["tanh", "he", "1"]]
    columns = [TextColumn(("act",), left=True), TextColumn(("init",), left=True), TextColumn(("n",))]
    lines = printed(TextTable("", columns, 2, [[TextCell(text) for text in line] for line in texts]), 80)
    words = [line.split() for line in lines if line.strip()]
    assert words[2:] == [["relu", "he", "1"], ["lecun", "1"], ["tanh", "he", "1"]]


# ---------------------------------------------------------------- CSV


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Results:
    """Results with every kind of column: missing integers, truths and text, ids of digits, names that mean missing."""
    settings = {"init.std": 0.1, "data.train_size": 100, "model.bias": True}
    runs = [
        *accuracies("he", 1 / 3, None, 0.1 + 0.2, act="null"),
        *accuracies("normal", 0.7, 0.8, **settings),
        *accuracies("normal", 0.7, **settings | {"init.std": 1e-300, "data.train_size": 200, "model.bias": False}),
        row("NA", seed=5),
    ]
    runs[0] |= {"run_id": "0012345678901234", "first_last_grad_ratio": math.inf}
    runs[1] |= {"run_id": "12345678901234e5"}
    return results_of(tmp_path_factory.mktemp("mixed"), *runs, sweep="2024", stack="0042")


def kind(column: pd.Series) -> str:
    for name in ("bool", "integer", "float", "string"):
        if getattr(pd.api.types, f"is_{name}_dtype")(column):
            return name
    raise AssertionError(f"{column.name}: {column.dtype}")


@pytest.mark.parametrize("table", ["runs", "summary"])
def test_csv_round_trips_with_the_types_it_had(mixed, tmp_path, table):
    written = run_table(Contests.of(mixed)) if table == "runs" else summarize(Contests.of(mixed))
    written.to_csv(tmp_path / "table.csv", index=False)
    read = pd.read_csv(tmp_path / "table.csv", **READ_CSV)
    assert list(read) == list(written)
    for name in written:
        there = written[name].notna()
        assert (read[name].notna() == there).all(), name
        assert read[name][there].tolist() == written[name][there].tolist(), name
        assert not there.any() or kind(read[name]) == kind(written[name]), name


def test_the_kinds_that_the_round_trip_meets(mixed):
    kinds = {name: kind(column) for name, column in run_table(Contests.of(mixed)).items() if column.notna().any()}
    assert kinds["diverged_step"] == kinds["data.train_size"] == "integer" and kinds["model.bias"] == "bool"
    assert kinds["init.std"] == "float" and kinds["run_id"] == "string"
    assert {"0012345678901234", "12345678901234e5"} < set(mixed.runs["run_id"])


def test_a_grid_has_one_line_of_header_in_csv(grid):
    flat = flattened(pivot(grid, ["init"], ["act", "depth"], "test_acc"))
    text = flat.to_csv(index=False)
    header, *lines = csv.reader(io.StringIO(text))
    assert header == ["init", "act=relu depth=5", "act=relu depth=20"]
    assert lines == [["xavier", "", "0.7"], ["he", "-inf", "0.8"], ["zeros", "", "0.1"]]
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(text)), flat, check_dtype=False)
