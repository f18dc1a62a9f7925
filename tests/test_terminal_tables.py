"""Tables in terminals of 60, 80 and 120 columns: names whole, outcomes short, and what is left out is said."""

import io
import itertools
import re
from pathlib import Path

import pytest
from rich.console import Console

from initbench.analysis.contests import Contests
from initbench.analysis.summary import summarize
from initbench.report.tables.outcomes import legend, short_outcomes, worst_colour
from initbench.report.terminal import rich_summary
from initbench.report.terminal_table import TerminalTable, TextCell, TextColumn
from results_on_disk import finished, results_of, row

LONG_NAME = "mypackage.initializers.a_name_with_more_than_fifty_letters"
INITS = ["he", "torch_default", LONG_NAME]
AXES = {
    "act": ["relu", "leaky_relu"],
    "data": ["digits", "fashion_mnist"],
    "optim": ["sgd", "lookahead"],
    "regularize.label_smoothing": [0.1, 0.25],
}


def lines_of(table: TerminalTable, width: int, encoding: str = "utf-8") -> list[str]:
    paper = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(width=width, file=paper, color_system=None).print(table)
    paper.flush()
    return paper.buffer.getvalue().decode(encoding).splitlines()


def summary_of(folder: Path, axes: dict[str, list], inits: list[str] = INITS):
    """Six runs per cell: five learned and one is stuck."""
    runs = [
        finished(row(init, seed=seed, **dict(zip(axes, values, strict=True))), "stuck" if seed == 5 else "learned")
        for init in inits
        for values in itertools.product(*axes.values())
        for seed in range(6)
    ]
    return rich_summary(summarize(Contests.of(results_of(folder, *runs))))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
def test_sweeps_of_up_to_four_axes_fit_three_widths_and_no_name_is_cut(tmp_path, count):
    axes = dict(itertools.islice(AXES.items(), count))
    table = summary_of(tmp_path, axes)
    for width in (60, 80, 120):
        lines = lines_of(table, width)
        assert max(map(len, lines)) <= width and "…" not in "".join(lines)
        rows = [line for line in lines if line.endswith("5L 1S   ")]
        assert len(rows) == 3 * 2**count
        assert sum("torch_default" in line for line in rows) == 2**count
        assert all("95.0" in line for line in rows)  # the accuracy stays, whatever is left out
        text = " ".join(lines)
        assert all(str(value) in text for axis in axes for value in axes[axis])
        first_words = "".join(re.findall(r"^[★ ]  (\S+)", "\n".join(lines), re.MULTILINE))
        assert LONG_NAME in text or (LONG_NAME in first_words and width < 120)  # in two lines


def test_what_contests_have_in_common_is_their_title(tmp_path):
    lines = lines_of(summary_of(tmp_path, {"act": ["relu", "tanh"]}, ["he", "lecun"]), 80)
    assert lines[1] == "depth=20"
    header = next(line for line in lines if "init" in line)
    assert header.split() == ["act", "init", "if", "learned", "median", "median", "outcomes"]


@pytest.mark.parametrize(
    "width, left_out", [(80, None), (60, "train loss median"), (50, "train loss median, test acc. median")]
)
def test_columns_are_left_out_in_order_and_named(tmp_path, width, left_out):
    lines = lines_of(summary_of(tmp_path, {}, ["he", "glorot_standard"]), width)
    said = f"Left out for lack of room: {left_out}. `initbench report` writes the whole table to summary.csv."
    text = " ".join(" ".join(lines).split())
    assert said in text if left_out else "Left out" not in text


def test_outcomes_are_short_and_their_letters_explained(tmp_path):
    counts = {"learned": 5, "slow": 0, "stuck": 1, "diverged": 0}
    assert short_outcomes(counts) == "5L 1S" and worst_colour(counts) == "yellow"
    assert short_outcomes({"learned": 3, "slow": 2, "failed": 1}) == "3L 2Sl 1F"
    assert legend(name for name in ("stuck", "learned")) == "L learned, S stuck"
    assert "Outcomes: L learned, S stuck." in " ".join(lines_of(summary_of(tmp_path, {}), 120))


def test_a_table_is_ruled_with_hyphens_where_the_encoding_has_no_lines():
    columns = [TextColumn(("init",), left=True), TextColumn(("n",))]
    table = TerminalTable("", columns, 1, [[TextCell("he"), TextCell("1")]])
    assert [line.rstrip() for line in lines_of(table, 80, "ascii")] == ["", "init  n", "-------", "he    1", ""]
