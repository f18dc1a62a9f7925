"""Tables in every format: markup escaped, LaTeX compiled, nothing cut off."""

import io
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from initbench.analysis.contests import Contests
from initbench.analysis.summary import summarize
from initbench.report.page.document import document
from initbench.report.tables.pivot import TableRequest, pivot_table
from initbench.report.tables.summary import markdown, summary_table
from initbench.report.text_table import TextCell, TextColumn, TextTable, latex_text
from initbench.results.load import load
from results_on_disk import made_up_sweep

NASTY = r"""<b>50% _of_ #1 & $x$ {y} ~^\ "q" 'p' `c` *s* [l](u) |p| !` -- &amp; é中"""


def printed(sheet: TextTable, width: int) -> list[str]:
    paper = io.StringIO()
    Console(width=width, file=paper, color_system=None).print(sheet)
    return paper.getvalue().splitlines()


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
    text = document(about=NASTY, headline=NASTY, sentences=[NASTY], tables=[SPANNED])
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
        pivot_table(
            results, TableRequest(["init"], ["act", "depth"], ["test_acc_mean_std", "train_loss"], label="tab:x")
        ).latex(),
        summary_table(summary).latex(),
        summary_table(pd.concat([summary] * 6)).latex(),  # a longtable
        SPANNED.latex(),
        latex_text(everything) + " " + latex_text(" ".join(pairs)),
    ]
    log = compiled(pdflatex, tmp_path, *bodies)
    assert "multiply defined" not in log and "Missing character" not in log


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
    sheet = pivot_table(load(tmp_path), TableRequest(["init"], ["act", "depth"]))
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
