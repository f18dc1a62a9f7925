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
GRIDS = json.loads((STORED / "ids.json").read_text())
PROSE = ["evidence", "advice", "sentence"]
TABLES = sorted(path.name for path in (STORED / "report").glob("*.csv"))


@pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: " ".join(grid["overrides"]))
def test_ids_are_those_of_the_first_version(grid):
    assert [run.id for run in expand(grid["overrides"]).runs] == grid["ids"]


@pytest.fixture(scope="module")
def reported(tmp_path_factory) -> Path:
    """The report, made now, of the results of then."""
    folder = tmp_path_factory.mktemp("report")
    write(report_on(load(STORED / "results"), drawn=False), folder)
    return folder


@pytest.mark.parametrize("table", ["runs.csv", "summary.csv"])
def test_results_of_the_first_version_give_the_same_files(reported, table):
    """To the letter, in the columns that there were then; later versions add some."""
    then = (STORED / "report" / table).read_text()
    now = pd.read_csv(reported / table, dtype="str", keep_default_na=False)[then.partition("\n")[0].split(",")]
    assert now.to_csv(index=False) == then


@pytest.mark.parametrize("table", TABLES)
def test_results_of_the_first_version_give_the_same_numbers_and_labels(reported, table):
    """Sentences may be worded anew: the columns of prose are there and are not compared."""
    now, then = (pd.read_csv(folder / table, dtype="str") for folder in (reported, STORED / "report"))
    now = now[list(then)]
    pd.testing.assert_frame_equal(now.drop(columns=PROSE, errors="ignore"), then.drop(columns=PROSE, errors="ignore"))
