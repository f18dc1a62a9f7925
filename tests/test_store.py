"""What is finished stays, whole and unchanged; what is broken is named; nothing half-written is ever seen."""

# pandas annotates nearly everything as "Series or DataFrame or unknown": these checks see only that.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
# pyright: reportCallIssue=false

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

import initbench.results.store
from initbench.errors import InputError
from initbench.results.files import CannotWrite
from initbench.results.load import load
from initbench.results.schema import RUN_COLUMNS
from initbench.results.store import Store
from results_on_disk import LAYER_METRICS, curves_of, finished, joined, made_up_sweep, row

CONTRACT = (
    "run_id,sweep,init,act,depth,width,data,model,mitigation,optim,lr,seed,steps,batch_size,status,outcome,"
    "train_loss,train_acc,val_acc,test_loss,test_acc,majority_acc,diverged_step,first_last_grad_ratio,stack_id,"
    "stack_size,stack_seconds,reason,test_balanced_acc,test_f1"
)


def saved(store: Store, stack_id: str, *runs: dict, **info) -> Path:
    return store.save_stack(stack_id, runs=list(runs), info={"stack_seconds": 1.5} | info)


def test_what_was_saved_is_loaded(tmp_path):
    store, asked = Store(tmp_path), row(seed=7)
    store.save_sweep("demo", info={"overrides": ["seed=7"]}, runs=[asked])
    losses = {"run_id": [asked["run_id"]] * 2, "step": [0, 1], "train_loss": [2.5, 0.25]}
    store.save_stack("ab", runs=[finished(asked)], losses=losses, info={"stack_seconds": 1.5})
    results = load(tmp_path)
    run = results.runs.iloc[0]
    assert (run["run_id"], run["sweep"], run["seed"], run["test_acc"]) == (asked["run_id"], "demo", 7, 0.95)
    assert (run["stack_id"], run["stack_size"], run["stack_seconds"]) == ("ab", 1, 1.5)
    assert results.losses["train_loss"].tolist() == [2.5, 0.25]
    assert results.losses["step"].tolist() == [0, 1]
    assert results.evals.empty and results.layers.empty
    assert results.sweeps["overrides"].tolist() == [["seed=7"]]
    assert results.skipped == []


def test_runs_begin_with_the_columns_of_runs_csv(tmp_path):
    made_up_sweep(tmp_path, inits=["he"], acts=["relu"], depths=[3], seeds=1)
    assert ",".join(load(tmp_path).runs.columns).startswith(CONTRACT + ",")
    assert ",".join(RUN_COLUMNS) == CONTRACT


def test_curves_are_compact_and_typed(tmp_path):
    made_up_sweep(tmp_path, inits=["he"], acts=["relu"], depths=[3], seeds=2)
    (folder,) = (tmp_path / "stacks").iterdir()
    losses = pq.ParquetFile(folder / "losses.parquet")
    assert str(losses.schema_arrow.field("train_loss").type) == "float"
    assert "dictionary" in str(losses.schema_arrow.field("run_id").type)
    assert losses.metadata.row_group(0).column(0).compression == "ZSTD"
    losses.close()
    layers = load(tmp_path).layers
    assert list(layers) == ["run_id", "step", "layer", "name", "activation", "rectifies", *LAYER_METRICS]
    assert len(layers) == 2 * 10 * 4  # runs, looks, three hidden layers and the head


def test_a_part_of_a_large_table(tmp_path):
    made_up_sweep(tmp_path, inits=["he"], acts=["relu"], depths=[3], seeds=2)
    part = load(tmp_path).read("layers", columns=["layer", "dead", "unheard_of"], filters=[("step", "==", 0)])
    assert list(part) == ["run_id", "layer", "dead", "unheard_of"]
    assert len(part) == 2 * 4 and part["unheard_of"].isna().all() and part["dead"].notna().all()


def test_done_knows_finished_runs_only(tmp_path):
    store, good, bad = Store(tmp_path), row(seed=0), row(seed=1)
    assert store.done([good["run_id"]]) == set()
    saved(store, "ab", finished(good), bad | {"status": "failed", "error": "out of memory"})
    assert store.done([good["run_id"], bad["run_id"], "somebody else"]) == {good["run_id"]}


def test_a_failed_run_is_kept_until_a_later_one_is_done(tmp_path):
    store, asked = Store(tmp_path), row()
    saved(
        store, "ab", asked | {"status": "failed", "error": "Traceback\nout of memory"}, started="2026-01-02T00:00:00Z"
    )
    runs = load(tmp_path).runs
    assert runs[["status", "error", "reason"]].to_numpy().tolist() == [
        ["failed", "Traceback\nout of memory", "out of memory"]
    ]
    saved(store, "cd", finished(asked), started="2026-01-01T00:00:00Z")  # done wins, whatever the clocks say
    assert load(tmp_path).runs["status"].tolist() == ["done"]


def test_a_retrained_stack_gets_a_new_folder_and_the_newest_wins(tmp_path):
    store, asked = Store(tmp_path), row()
    first = saved(store, "ab", finished(asked, test_acc=0.5), started="2026-01-02T00:00:00+00:00")
    before = {file.name: file.read_bytes() for file in first.iterdir()}
    second = saved(store, "ab", finished(asked, test_acc=0.25), started="2026-01-01T23:00:00-03:00")
    assert (first.name, second.name) == ("ab", "ab-2")
    assert {file.name: file.read_bytes() for file in first.iterdir()} == before
    runs = load(tmp_path).runs
    assert runs[["stack_id", "test_acc"]].to_numpy().tolist() == [["ab-2", 0.25]]  # 2 o'clock on the 2nd, in UTC


def test_curves_come_from_the_stack_that_won(tmp_path):
    store, asked = Store(tmp_path), row()
    for year, loss in ((2025, 1.0), (2026, 2.0)):
        losses = {"run_id": [asked["run_id"]], "step": [0], "train_loss": [loss]}
        store.save_stack("ab", runs=[finished(asked)], losses=losses, info={"started": f"{year}-01-01T00:00:00Z"})
    assert load(tmp_path).losses["train_loss"].tolist() == [2.0]


def test_the_same_sweep_again_stays_as_it_is(tmp_path):
    store = Store(tmp_path)
    first = store.save_sweep("demo", info={"created": "2026-01-01T00:00:00Z"}, runs=[row(seed=0), row(seed=1)])
    before = (first / "sweep.json").read_bytes()
    assert store.save_sweep("demo", info={}, runs=[row(seed=1), row(seed=0)]) == first
    assert (first / "sweep.json").read_bytes() == before


def test_another_sweep_under_a_name_gets_a_suffix(tmp_path):
    store = Store(tmp_path)
    small, large = [row(seed=0)], [row(seed=0), row(seed=1)]
    folders = [store.save_sweep("demo", info={}, runs=runs).name for runs in (small, large, small, large)]
    assert folders == ["demo", "demo-2", "demo", "demo-2"]
    assert load(tmp_path).runs["sweep"].tolist() == ["demo", "demo-2"]  # the first that asked for it


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", " x", "x" * 101])
def test_a_sweep_is_named_like_a_folder(tmp_path, name):
    with pytest.raises(InputError, match="can't be named"):
        Store(tmp_path).save_sweep(name, info={}, runs=[row()])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("crash", [OSError("power cut"), KeyboardInterrupt()])
def test_a_crash_before_the_rename_leaves_nothing_to_see(tmp_path, monkeypatch, crash):
    store, asked = Store(tmp_path), row()
    store.save_sweep("demo", info={}, runs=[asked])

    def rename(*_):
        raise crash

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(type(crash)):
        saved(store, "ab", finished(asked))
    assert store.done([asked["run_id"]]) == set()
    assert list((tmp_path / "stacks").iterdir()) == []
    results = load(tmp_path)
    assert results.runs["status"].tolist() == ["pending"] and results.skipped == []


def test_what_a_killed_process_left_is_not_seen(tmp_path, monkeypatch):
    store, asked = Store(tmp_path), row()
    store.save_sweep("demo", info={}, runs=[asked])
    with monkeypatch.context() as patched:  # a killed process neither renames nor cleans up
        patched.setattr("initbench.results.store.move_into_place", lambda draft, place: True)
        patched.setattr(shutil, "rmtree", lambda *_, **__: None)
        saved(store, "ab", finished(asked))
    (draft,) = (tmp_path / "stacks").iterdir()
    assert (draft / "stack.json").exists()
    assert store.done([asked["run_id"]]) == set()
    results = load(tmp_path)
    assert results.runs["status"].tolist() == ["pending"] and results.skipped == []


def test_two_processes_that_save_one_stack_both_keep_their_folder(tmp_path, monkeypatch):
    store, asked = Store(tmp_path), row()
    exists, surprises = Path.exists, [False]  # the other process wins between the look and the rename
    saved(store, "ab", finished(asked))
    monkeypatch.setattr(Path, "exists", lambda path: surprises.pop() if surprises else exists(path))
    assert saved(store, "ab", finished(asked)).name == "ab-2"


@pytest.mark.parametrize("file", ["runs.parquet", "losses.parquet", "stack.json"])
def test_a_truncated_file_is_named(tmp_path, file):
    made_up_sweep(tmp_path, inits=["he", "xavier"], acts=["relu", "tanh"], depths=[3], seeds=1)
    broken = tmp_path / "stacks" / "0000" / file
    broken.write_bytes(broken.read_bytes()[:-20])
    results = load(tmp_path)
    curves = results.losses  # curves are judged when they are read
    assert [skipped for skipped, _ in results.skipped] == [broken]
    assert curves["run_id"].nunique() == 2
    unread = 0 if file == "losses.parquet" else 2
    assert (results.runs["status"] == "pending").sum() == unread


def test_foreign_files_are_named(tmp_path):
    store = made_up_sweep(tmp_path, inits=["he"], acts=["relu"], depths=[3], seeds=1)
    notes, folder, foreign = (tmp_path / "stacks" / name for name in ("notes.txt", "mine", "0000-copy"))
    notes.write_text("hello")
    folder.mkdir()
    shutil.copytree(tmp_path / "stacks" / "0000", foreign)
    pd.DataFrame({"x": [1]}).to_parquet(foreign / "runs.parquet")
    (tmp_path / "sweeps" / "demo-9").mkdir()
    (tmp_path / "sweeps" / "demo-9" / "sweep.json").write_text("[1, 2]")
    results = load(tmp_path)
    assert {str(file.relative_to(tmp_path)) for file, _ in results.skipped} == {
        "stacks/notes.txt/stack.json",
        "stacks/mine/stack.json",
        "stacks/0000-copy/runs.parquet",
        "sweeps/demo-9/sweep.json",
    }
    assert all(reason and "\n" not in reason for _, reason in results.skipped)
    assert len(results.runs) == 1 and len(store.done(results.runs["run_id"])) == 1


def test_unequal_configurations_are_one_table(tmp_path):
    store = Store(tmp_path)
    rows = [
        row("he", **{"init.gain": 1}),
        row("he", **{"init.gain": "auto"}),
        row("normal", **{"init.std": 1}),
        row("normal", **{"init.std": 0.5, "metrics": ["dead"], "data.train_size": None}),
    ]
    store.save_sweep("demo", info={}, runs=rows)
    saved(store, "ab", finished(rows[2]))
    runs = load(tmp_path).runs.set_index("run_id").loc[[run["run_id"] for run in rows]]
    assert runs["init.gain"].tolist()[:2] == ["1", "auto"]
    assert runs["init.std"].tolist()[2:] == [1.0, 0.5]
    assert runs["init.std"].isna().tolist() == [True, True, False, False]
    assert runs["metrics"].tolist()[3] == '["dead"]'
    assert runs["depth"].dtype == "int64"
    assert str(runs["diverged_step"].dtype) == "Int64" and runs["diverged_step"].isna().all()


def test_missing_numbers_are_null(tmp_path):
    saved(Store(tmp_path), "ab", finished(row(), val_acc=float("nan"), test_loss=np.float32(0.5)))
    (stored,) = pq.read_table(tmp_path / "stacks" / "ab" / "runs.parquet").to_pylist()
    assert stored["val_acc"] is None and stored["test_loss"] == 0.5 and stored["diverged_step"] is None


def test_a_folder_above_several_and_one_sweep(tmp_path):
    made_up_sweep(tmp_path / "here" / "a", inits=["he"], acts=["relu"], depths=[3], seeds=2, name="one")
    other = made_up_sweep(tmp_path / "b", inits=["xavier"], acts=["relu"], depths=[3], seeds=1, name="two")
    other.save_sweep("three", info={}, runs=[row("zeros")])
    assert sorted(load(tmp_path).runs["init"]) == ["he", "he", "xavier", "zeros"]
    assert load(tmp_path).losses["run_id"].nunique() == 3
    assert load(tmp_path / "b").runs["init"].tolist() == ["xavier", "zeros"]
    two = load(tmp_path / "b" / "sweeps" / "two")
    assert two.runs[["init", "status"]].to_numpy().tolist() == [["xavier", "done"]]
    assert load(tmp_path / "b" / "sweeps" / "three").runs["status"].tolist() == ["pending"]


def test_a_sweep_shows_only_its_own_runs_of_a_stack(tmp_path):
    store, mine, other = Store(tmp_path), row(seed=0), row(seed=1)
    store.save_sweep("mine", info={}, runs=[mine])
    runs = [finished(mine), finished(other)]
    curves = joined([curves_of(run, np.random.default_rng(0), 1.0) for run in runs])
    store.save_stack("ab", runs=runs, **curves, info={})
    results = load(tmp_path / "sweeps" / "mine")
    assert results.runs["run_id"].tolist() == [mine["run_id"]]
    assert set(results.losses["run_id"]) == {mine["run_id"]}


def test_nothing_to_load(tmp_path):
    with pytest.raises(InputError, match="No such file or directory"):
        load(tmp_path / "missing")
    with pytest.raises(InputError, match=r"no sweeps under .*; run `initbench run` first"):
        load(tmp_path)


def test_a_root_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    store = Store(tmp_path / "file")
    with pytest.raises(InputError, match=r"can't write results to .*file: Not a directory"):
        store.save_sweep("demo", info={}, runs=[row()])
    with pytest.raises(InputError, match=r"can't write results to .*file"):
        saved(store, "ab", finished(row()))


def test_weights_keep_their_values_and_shapes(tmp_path):
    weights = {"ab12": {"head.bias": np.float32(3).reshape(()), "head.weight": np.arange(6.0).reshape(3, 2).T}}
    folder = Store(tmp_path).save_stack("ab", runs=[finished(row())], info={}, weights=weights)
    loaded = load_file(folder / "weights" / "ab12.safetensors")
    assert loaded["head.bias"].shape == () and loaded["head.bias"] == 3
    np.testing.assert_array_equal(loaded["head.weight"], [[0, 2, 4], [1, 3, 5]])


def test_json_is_strict(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        saved(Store(tmp_path), "ab", finished(row()), stack_seconds=float("nan"))
    folder = saved(Store(tmp_path), "ab", finished(row()))
    info = json.loads((folder / "stack.json").read_text())
    assert info["run_ids"] == [row()["run_id"]] and info["failed"] == [] and info["stack_size"] == 1


def test_done_opens_only_the_tables_of_stacks_that_hold_a_run_asked_for(tmp_path, monkeypatch):
    store = Store(tmp_path)
    runs = [row(seed=seed) for seed in range(6)]
    for number, run in enumerate(runs):
        saved(store, str(number), finished(run))
    opened, read = [], initbench.results.store.read_table
    monkeypatch.setattr(
        "initbench.results.store.read_table",
        lambda path, *_, **__: opened.append(path.parent.name) or read(path, *_, **__),
    )
    assert store.done([runs[4]["run_id"], "somebody else"]) == {runs[4]["run_id"]}
    assert opened == ["4"]


@pytest.mark.parametrize("table", ["runs", "losses", "evals", "layers"])
def test_a_stack_with_a_damaged_table_is_not_done(tmp_path, table):
    asked = row()
    folder = saved(Store(tmp_path), "ab", finished(asked))
    file = folder / f"{table}.parquet"
    whole = file.read_bytes()
    for content in (b"", whole[:-9], whole[: len(whole) // 2]):
        file.write_bytes(content)
        assert Store(tmp_path).done([asked["run_id"]]) == set()
    file.unlink()
    assert Store(tmp_path).done([asked["run_id"]]) == set()
    file.write_bytes(whole)
    assert Store(tmp_path).done([asked["run_id"]]) == {asked["run_id"]}


def test_what_is_renamed_into_place_is_on_the_disk(tmp_path, monkeypatch):
    """After a power cut a name must not stand for files that were never written: fsync, then rename, then fsync."""
    happened = []
    sync, rename = os.fsync, os.rename

    def fsync(handle):
        happened.append(os.readlink(f"/proc/self/fd/{handle}"))
        sync(handle)

    def renamed(source, target):
        happened.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", renamed)
    folder = saved(Store(tmp_path), "ab", finished(row()))
    at = happened.index("rename")
    written, draft = {Path(path).name for path in happened[:at]}, Path(happened[0]).parent
    assert written >= {"stack.json", "runs.parquet", "losses.parquet", "evals.parquet", "layers.parquet", draft.name}
    assert happened[at + 1 :] == [str(folder.parent)]


def test_a_full_disk_is_named_with_what_to_do(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(CannotWrite, match=f"can't write results to {tmp_path}: No space left on device; free some"):
        saved(Store(tmp_path), "ab", finished(row()))
    assert list((tmp_path / "stacks").iterdir()) == []
