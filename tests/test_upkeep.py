"""What a results folder holds is told apart, left-overs go, two folders become one; nothing that counts is lost."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from initbench.cli import app
from initbench.errors import InputError
from initbench.results.claims import RunClaims
from initbench.results.load import load, read_folder
from initbench.results.owners import Owner
from initbench.results.provenance import provenance
from initbench.results.status import FolderStatus
from initbench.results.store import Store
from initbench.results.upkeep import leftovers, merge
from results_on_disk import finished, row

runner = CliRunner()


def saved(store: Store, stack_id: str, *runs: dict, **info) -> Path:
    return store.save_stack(stack_id, runs=list(runs), info=provenance() | info)


def failed(asked: dict, error: str = "Traceback\nRuntimeError: no luck") -> dict:
    return asked | {"status": "failed", "error": error}


@pytest.fixture
def folder(tmp_path):
    """Six runs asked for: done, done in a damaged stack, done by another torch, failed, failed then done, missing."""
    runs = [row(seed=seed) for seed in range(6)]
    store = Store(tmp_path / "results")
    store.save_sweep("demo", info={"axes": {"seed": list(range(6))}}, runs=runs)
    saved(store, "whole", finished(runs[0]), failed(runs[3]))
    (saved(store, "damaged", finished(runs[1])) / "losses.parquet").write_bytes(b"PAR1")
    saved(store, "old", finished(runs[2]), versions=provenance()["versions"] | {"torch": "2.0.0"})
    saved(store, "bad", failed(runs[4]), started="2026-01-01T00:00:00Z")
    saved(store, "again", finished(runs[4]), started="2026-01-02T00:00:00Z")
    return tmp_path / "results"


def test_each_run_has_one_state(folder):
    facts = FolderStatus.of(read_folder(folder)).facts()
    counts = {"runs": 6, "done": 3, "failed": 1, "missing": 2, "stale": 1}
    assert {name: facts[name] for name in counts} == counts
    assert facts["sweeps"] == [{"name": "demo", **counts}]
    assert facts["failures"] == [{"run_id": row(seed=3)["run_id"], "reason": "RuntimeError: no luck"}]
    assert [Path(each["file"]).relative_to(folder).as_posix() for each in facts["unreadable"]] == [
        "stacks/damaged/losses.parquet"
    ]
    superseded = sum(file.stat().st_size for file in (folder / "stacks" / "bad").iterdir())
    assert facts["bytes"]["superseded"] == superseded and facts["bytes"]["drafts"] == 0
    assert Store(folder).done(row(seed=seed)["run_id"] for seed in range(6)) == {
        row(seed=seed)["run_id"] for seed in (0, 2, 4)
    }


def test_the_terminal_says_what_to_do(folder):
    told = runner.invoke(app, ["status", str(folder)])
    assert told.exit_code == 0
    for text in ("2 runs missing: the command", "1 run failed: the same command with --retry-failed", "1 run stale"):
        assert text in told.output
    assert "failed: init=he act=relu depth=20 seed=3" in told.output and "RuntimeError: no luck" in told.output
    assert "losses.parquet: missing, or cut off" in told.output
    as_json = runner.invoke(app, ["status", str(folder), "--json"])
    assert json.loads(as_json.stdout)["missing"] == 2


def test_what_is_in_training_is_shown(folder):
    with RunClaims(folder) as claims:
        claims.take([row(seed=5)["run_id"]])
        other = RunClaims(folder)  # as another process sees it
        assert other.holders() == {row(seed=5)["run_id"]: claims.owner}
        told = runner.invoke(app, ["status", str(folder)])
    assert f"1 run in training by process {os.getpid()} on" in told.output


def test_clean_asks_and_removes_only_what_no_result_needs(folder):
    before = load(folder).runs
    drafts = folder / "stacks"
    gone = subprocess.run(
        [sys.executable, "-c", "from initbench.results.owners import Owner; print(Owner.this().name)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    mine, dead, elsewhere = (drafts / f".{name}.0.tmp" for name in (Owner.this().name, gone, "node9-12-34"))
    for draft in (mine, dead, elsewhere):
        draft.mkdir()
    refused = runner.invoke(app, ["clean", str(folder)], input="n\n")
    assert refused.exit_code == 0 and "Nothing removed" in refused.output and dead.exists()
    removed = runner.invoke(app, ["clean", str(folder), "--yes"])
    assert removed.exit_code == 0 and "Removed 2 left-overs" in removed.output
    assert not dead.exists() and not (drafts / "bad").exists()
    assert mine.exists() and elsewhere.exists()  # at work, and on another machine since a moment
    after = load(folder).runs
    assert after.equals(before)
    assert "Nothing to remove" in runner.invoke(app, ["clean", str(folder)]).output


def test_a_draft_of_another_machine_is_left_over_after_a_day(folder):
    draft = folder / "stacks" / ".node9-12-34.0.tmp"
    draft.mkdir()
    os.utime(draft, (1e9, 1e9))
    assert draft in [each.path for each in leftovers(read_folder(folder))]


def test_two_machines_become_one_folder_and_nothing_is_overwritten(tmp_path):
    a, b, both = (tmp_path / name for name in ("a", "b", "both"))
    runs = [row(seed=seed) for seed in range(3)]
    for root, mine in ((a, runs[:2]), (b, runs[1:])):
        Store(root).save_sweep("demo", info={}, runs=mine)
        saved(Store(root), "0000", *(finished(run, test_acc=0.5) for run in mine))
    copied = list(merge([read_folder(a), read_folder(b)], both))
    assert sorted(each.place.name for each in copied) == ["0000", "0000-2", "demo", "demo-2"]
    assert sorted(load(both).runs["seed"]) == [0, 1, 2]
    assert set(load(both).runs["status"]) == {"done"}
    before = {file: file.read_bytes() for file in both.rglob("*") if file.is_file()}
    assert [each.place for each in merge([read_folder(a), read_folder(b)], both)] == [None] * 4
    assert {file: file.read_bytes() for file in both.rglob("*") if file.is_file()} == before


def test_a_damaged_stack_is_not_merged(tmp_path, folder):
    with pytest.raises(InputError, match=r"losses\.parquet is missing or cut off"):
        list(merge([read_folder(folder)], tmp_path / "both"))
    assert not (tmp_path / "both").exists()
    shutil.rmtree(folder / "stacks" / "damaged")
    told = runner.invoke(app, ["merge", str(folder), "--out", str(tmp_path / "both")])
    assert told.exit_code == 0 and "Copied 5 folders" in told.output


def test_an_owner_is_known_by_the_time_of_its_birth():
    this = Owner.this()
    assert this.alive() and Owner.named(this.name) == this
    assert Owner(this.host, this.pid, this.born + 1).alive() is False  # the number was given to a later process
    assert Owner("elsewhere", this.pid, this.born).alive() is None
    assert Owner.named("notes") is None
