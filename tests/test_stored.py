"""What must outlive every change of the code: ids of runs, and results that an earlier version wrote.

`stored/` was written by version 0.1.0 before its modules were moved (commit b1ae909). Ids: 335 runs over all groups,
by their overrides. Results: four small sweeps, really trained, and the tables of their report.
"""

import json
from pathlib import Path

import pandas as pd
import pytest

from initbench import load
from initbench.config.grid import expand
from initbench.report.compose import report_on
from initbench.report.outputs import write

STORED = Path(__file__).parent / "stored"
REFUSED = "+foo=1"  # since then: nothing reads it
GRIDS = [grid for grid in json.loads((STORED / "ids.json").read_text()) if REFUSED not in grid["overrides"]]
BOUNDS = {  # what an interval may contain, by the names of its ends; the first version's went beyond
    "test_acc_iqm": (0, 1),
    "sound_range": (0, 1),
    **dict.fromkeys(["", "learned", "range", "std"], (-1, 1)),  # "" in comparisons.csv: low and high
}
ANEW = ["evidence", "advice", "sentence", "best", "seeds_needed"]  # prose, the rank, and what is no longer said
TABLES = sorted(path.name for path in (STORED / "report").glob("*.csv"))


@pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: " ".join(grid["overrides"]))
def test_ids_are_those_of_the_first_version(grid):
    """All of them, in their order; a glob may find choices that are newer."""
    ids = [run.id for run in expand(grid["overrides"]).runs]
    newer = set(ids) - set(grid["ids"]) if "glob" in " ".join(grid["overrides"]) else set()
    assert [run_id for run_id in ids if run_id not in newer] == grid["ids"]


@pytest.fixture(scope="module")
def reported(tmp_path_factory) -> Path:
    """The report, made now, of the results of then."""
    folder = tmp_path_factory.mktemp("report")
    write(report_on(load(STORED / "results"), drawn=False), folder)
    return folder


def stored(table: str) -> pd.DataFrame:
    """A table of then, as text, but with intervals that leave out what is impossible."""
    then = pd.read_csv(STORED / "report" / table, dtype="str", keep_default_na=False)
    for name, (least, most) in BOUNDS.items():
        for column in {f"{name}_low".lstrip("_"), f"{name}_high".lstrip("_")} & set(then):
            numbers = pd.to_numeric(then[column])
            then[column] = then[column].mask(numbers < least, f"{least:.1f}").mask(numbers > most, f"{most:.1f}")
    return then


def test_runs_of_the_first_version_are_written_as_they_were(reported):
    """To the letter, in the columns that there were then; later versions add some."""
    then = stored("runs.csv")
    now = pd.read_csv(reported / "runs.csv", dtype="str", keep_default_na=False)[list(then)]
    assert now.to_csv(index=False) == then.to_csv(index=False)


@pytest.mark.parametrize("table", TABLES)
def test_results_of_the_first_version_give_the_same_numbers_and_labels(reported, table):
    """But for prose and for ranks: who is first is judged anew, and with it the order of rows and of pairs."""
    then = stored(table).drop(columns=ANEW, errors="ignore")
    now = pd.read_csv(reported / table, dtype="str", keep_default_na=False)[list(then)]
    if table == "diagnoses.csv":  # one run of 40 steps counts as too slow since, beside another of its cell
        assert then["fault"].tolist() == now["fault"].tolist()
        same = then["agreeing"] == now["agreeing"]
        assert same.sum() == len(then) - 1
        then, now = then[same], now[same]
    now, then = (in_one_order(each) for each in (now, then))
    numbers, words = zip(*(numbers_and_words(each) for each in (now, then)), strict=True)
    # The 12th digit of SciPy's quantiles is its version's.
    pd.testing.assert_frame_equal(*numbers, rtol=1e-9, atol=1e-11)
    pd.testing.assert_frame_equal(*words)


def numbers_and_words(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The fields that are numbers, the others missing; and the reverse, with empty text for numbers."""
    numbers = table.apply(pd.to_numeric, errors="coerce")
    return numbers, table.mask(numbers.notna(), "")


def in_one_order(table: pd.DataFrame) -> pd.DataFrame:
    """Rows sorted, and in each pair the earlier name first, with the sign that goes with it."""
    if "label_b" in table:
        table = table[table["data"] != "adding"]  # numbers are compared by error now
        turned = table["label_a"] > table["label_b"]
        table = table.assign(
            label_a=table["label_a"].where(~turned, table["label_b"]),
            label_b=table["label_b"].where(~turned, table["label_a"]),
            improvement=table["improvement"].where(~turned, (1 - table["improvement"].astype(float)).astype("str")),
            **{name: table[name].str.removeprefix("-") for name in ("difference", "effect")},
        ).drop(columns=["low", "high", "improvement_low", "improvement_high"])
    return table.sort_values(list(table), ignore_index=True)
