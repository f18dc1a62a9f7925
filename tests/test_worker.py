"""From a task to a folder in the store: invariants 3, 5 and 6, and failures that are recorded."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

import initbench
from in_a_terminal import INITBENCH
from initbench import build
from initbench.planning.sweep import prepare

SMALL = ["depth=2", "width=16", "steps=60", "batch_size=50", "eval_every=30", "log_every=10"]


def trained(out: Path, *overrides: str, **options):
    """Train in this process unless told otherwise; the runs of the sweep."""
    sweep = prepare([*SMALL, *overrides], out=out, **{"workers": 1, **options})
    folder = sweep.save()
    statuses = list(sweep.train(lambda stack, step: None))
    return initbench.load(folder), statuses


def test_results_hold_what_the_schema_promises(tmp_path):
    results, _ = trained(tmp_path, "init=he,zeros", seeds=2)
    runs = results.runs
    assert runs["status"].tolist() == ["done"] * 4
    assert set(runs.loc[runs["init"] == "zeros", "outcome"]) == {"stuck"}
    assert runs["train_loss"].notna().all() and runs["test_acc"].between(0, 1).all()
    assert len(results.losses) == 4 * 60
    last = results.losses[results.losses["step"] >= 40].groupby("run_id", observed=True)["train_loss"].mean()
    np.testing.assert_allclose(last[runs["run_id"]].to_numpy(), runs["train_loss"], rtol=1e-6)
    assert sorted(results.layers["step"].unique()) == [0, 10, 20, 30, 40, 50]
    assert results.layers["name"].unique().tolist() == ["layers.0", "layers.1", "head"]
    assert len(results.layers) == 4 * 6 * 3
    end = results.evals[(results.evals["step"] == 60) & (results.evals["split"] == "test")].set_index("run_id")
    np.testing.assert_allclose(end.loc[runs["run_id"], "acc"].to_numpy(), runs["test_acc"], rtol=1e-6)
    assert json.loads(runs["config"][0])["depth"] == 2


def test_zeros_stay_symmetric_and_he_does_not(tmp_path):
    results, _ = trained(tmp_path, "init=he,zeros", "act=tanh")
    first = results.layers[results.layers["name"] == "layers.1"].merge(results.runs[["run_id", "init"]])
    assert first.loc[first["init"] == "zeros", "unit_spread"].max() < 1e-6
    assert first.loc[first["init"] == "he", "unit_spread"].min() > 1e-2


def test_a_finished_run_is_not_trained_again(tmp_path):
    trained(tmp_path, "init=he", seeds=2)
    sweep = prepare([*SMALL, "init=he,xavier"], seeds=2, out=tmp_path)
    assert len(sweep.done) == 2
    assert {run.choices["init"] for stack in sweep.stacks for run in stack.runs} == {"xavier"}
    folders = set((tmp_path / "stacks").iterdir())
    results, statuses = trained(tmp_path, "init=he", seeds=2)
    assert statuses == [] and set((tmp_path / "stacks").iterdir()) == folders
    assert results.runs["status"].tolist() == ["done", "done"]


def test_fresh_trains_anew_and_loses_nothing(tmp_path):
    before, _ = trained(tmp_path, "init=he")
    bytes_before = {p: p.read_bytes() for p in (tmp_path / "stacks").rglob("*") if p.is_file()}
    after, statuses = trained(tmp_path, "init=he", fresh=True)
    assert len(statuses) == 1
    assert all(path.read_bytes() == content for path, content in bytes_before.items())
    assert len(list((tmp_path / "stacks").iterdir())) == 2
    assert len(after.runs) == 1
    pd.testing.assert_series_equal(before.runs["train_loss"], after.runs["train_loss"])


@pytest.mark.slow
def test_same_seed_same_run_whatever_the_stack_and_the_executor(tmp_path):
    """Float32: equal weights and batches, so the first losses are equal and early ones as near as rounding allows."""
    together, _ = trained(tmp_path / "a", "init=he,xavier", seeds=3)
    alone, _ = trained(tmp_path / "b", "init=xavier", "seed=2")
    processes, _ = trained(tmp_path / "c", "init=he,xavier", seeds=3, workers=2)
    run_id = alone.runs["run_id"][0]
    curves = [r.losses[r.losses["run_id"] == run_id]["train_loss"].to_numpy() for r in (together, alone, processes)]
    np.testing.assert_allclose(curves[1][:10], curves[0][:10], rtol=1e-5)
    np.testing.assert_allclose(curves[2][:10], curves[0][:10], rtol=1e-5)
    assert together.stacks["stack_size"].tolist() == [6] and alone.stacks["stack_size"].tolist() == [1]
    assert len(processes.stacks) == 2


def test_nothing_is_imputed_for_a_diverged_run(tmp_path):
    results, _ = trained(tmp_path, "init=normal,he", "lr=1e30,0.01")
    runs = results.runs.set_index(["init", "lr"])
    lost = runs.loc[("normal", 1e30)]
    assert lost["outcome"] == "diverged" and lost["status"] == "done"
    assert lost[["train_loss", "train_acc", "test_loss", "test_acc", "val_acc"]].isna().all()
    curve = results.losses[results.losses["run_id"] == lost["run_id"]]
    assert len(curve) == lost["diverged_step"] and np.isfinite(curve["train_loss"]).all()
    assert results.layers.loc[results.layers["run_id"] == lost["run_id"], "step"].max() <= lost["diverged_step"]
    assert runs.loc[("he", 0.01), "outcome"] != "diverged"


def test_a_run_that_cannot_be_built_fails_alone_and_is_tried_again_when_asked(tmp_path, monkeypatch):
    real = build.initialized

    def sometimes(config, dataset, **options):
        if config["seed"] == 1:
            raise RuntimeError("no luck with 1")
        return real(config, dataset, **options)

    sweep = prepare([*SMALL, "init=he"], seeds=3, out=tmp_path, workers=1)
    folder = sweep.save()
    with monkeypatch.context() as patch:
        patch.setattr(build, "initialized", sometimes)
        (status,) = sweep.train(lambda stack, step: None)
    assert [row["status"] for row in status.rows] == ["done", "failed", "done"]
    runs = initbench.load(folder).runs
    assert runs["status"].tolist() == ["done", "failed", "done"]
    assert "no luck with 1" in runs["error"][1]
    same = prepare([*SMALL, "init=he"], seeds=3, out=tmp_path, workers=1)
    assert len(same.done) == 2 and len(same.failed) == 1 and same.stacks == []
    again = prepare([*SMALL, "init=he"], seeds=3, out=tmp_path, workers=1, retry_failed=True)
    assert len(again.done) == 2 and again.failed == set() and len(again.stacks) == 1
    list(again.train(lambda stack, step: None))
    assert initbench.load(folder).runs["status"].tolist() == ["done"] * 3


def test_saved_weights_give_the_recorded_accuracy(tmp_path):
    import torch
    from safetensors.torch import load_file

    results, _ = trained(tmp_path, "init=he", "save_weights=true", "lr=0.05")
    row = results.runs.iloc[0]
    config = json.loads(row["config"])
    dataset = build.data(config)
    model = build.model(config, dataset)
    model.load_state_dict(load_file(Path(row["stack_path"]) / "weights" / f"{row['run_id']}.safetensors"))
    with torch.no_grad():
        right = model(dataset.x_test).argmax(1) == dataset.y_test
    assert right.double().mean().item() == pytest.approx(row["test_acc"])


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_keeps_what_was_finished_and_leaves_no_process(tmp_path, workers):
    """Four stacks, interrupted when the first is there."""
    command = [*INITBENCH, "run", "init=he", "act=relu,tanh,sigmoid,selu", "width=4", "depth=1"]
    command += [
        "steps=6000",
        "batch_size=10",
        "log_every=1000",
        "eval_every=5000",
        "--out",
        str(tmp_path),
        "--workers",
        workers,
        "--quiet",
    ]
    process = subprocess.Popen(
        command,
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 200
    while not list((tmp_path / "stacks").glob("[!.]*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # what a terminal sends: every process of the group gets it
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stderr.strip().splitlines()[-1].startswith("Interrupted.") and "Traceback" not in stderr
    runs = initbench.load(tmp_path).runs
    done = int((runs["status"] == "done").sum())
    assert 1 <= done < 4 and (runs["status"] == "pending").sum() == 4 - done
    deadline = time.monotonic() + 20
    while alive(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def alive(group: int) -> bool:
    """Is a process of this group still there?"""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_memory_stays_within_the_budget_whatever_the_number_of_runs(tmp_path):
    """Fifty times the runs of a stack: no more memory than one stack and its results take."""

    def peak(seeds: int) -> int:
        code = f"""
import resource
from pathlib import Path
from initbench.planning.sweep import prepare
overrides = ["depth=4", "width=256", "steps=4", "init=xavier"]
sweep = prepare(overrides, seeds={seeds}, out=Path({str(tmp_path / str(seeds))!r}), workers=1, memory="24MiB")
sweep.save()
assert max(len(stack.runs) for stack in sweep.stacks) == 3
for _ in sweep.train(lambda stack, step: None):
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""
        return int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)

    assert peak(150) - peak(3) < 24 * 2**20


def test_a_run_is_done_only_when_all_of_it_is_written(tmp_path, monkeypatch):
    from initbench.jobs import train

    def broken(*_):
        raise MemoryError("too many snapshots")

    sweep = prepare([*SMALL, "init=he"], out=tmp_path, workers=1)
    folder = sweep.save()
    with monkeypatch.context() as patch:
        patch.setattr(train, "curves", broken)
        list(sweep.train(lambda stack, step: None))
    assert initbench.load(folder).runs["status"].tolist() == ["failed"]
    assert not prepare([*SMALL, "init=he"], out=tmp_path).done


def test_weights_that_were_not_kept_are_named(tmp_path):
    trained(tmp_path, "init=he", seeds=2)
    trained(tmp_path, "init=xavier", "save_weights=true", seeds=2)
    sweep = prepare([*SMALL, "init=he,xavier", "save_weights=true"], seeds=2, out=tmp_path)
    assert len(sweep.done) == 4
    assert sweep.without_weights == sorted(run.id for run in sweep.runs if run.choices["init"] == "he")


@pytest.mark.slow
def test_he_wins_at_20_relu_layers(tmp_path):
    """He et al. 2015 fig. 3: rectifiers that deep learn from He's weights; zeros and N(0, 1) teach them nothing."""
    overrides = ["init=he,xavier,lecun,torch_default,normal,normal_small,zeros", "act=relu", "depth=20"]
    sweep = prepare(overrides, seeds=5, out=tmp_path, workers=2)
    folder = sweep.save()
    for _ in sweep.train(lambda stack, step: None):
        pass
    runs = initbench.load(folder).runs
    accuracy = runs.groupby("init")["test_acc"].mean()
    assert accuracy["he"] >= 0.95
    assert accuracy["he"] > max(accuracy["xavier"], accuracy["lecun"])
    assert min(accuracy["xavier"], accuracy["lecun"]) > accuracy["torch_default"]
    outcomes = runs.groupby("init")["outcome"].agg(set)
    assert outcomes["zeros"] == outcomes["normal_small"] == {"stuck"}
    assert outcomes["normal"] <= {"diverged", "stuck"}


def test_clipped_gradients_leave_their_norms_before_and_after(tmp_path):
    results, _ = trained(tmp_path, "init=he", "gradient.clip_norm=0.5")
    norms = results.gradients
    assert norms["step"].tolist() == [0, 10, 20, 30, 40, 50]
    np.testing.assert_allclose(norms["treated_norm"], norms["norm"].clip(upper=0.5), rtol=1e-4)
    assert norms["norm"].iloc[0] > 0.5
    assert trained(tmp_path / "plain", "init=he")[0].gradients.empty


def test_a_run_that_stops_early_counts_where_its_validation_loss_was_lowest(tmp_path):
    """A rate at which overfitting sets in on 60 examples: the run stops, and its neighbour, which is slow, doesn't."""
    keys = ["data.train_size=60", "data.val_fraction=0.3", "regularize.patience=2"]
    keys += ["lr=0.2,0.0001", "save_weights=true"]
    sweep = prepare(
        ["depth=2", "width=32", "steps=400", "batch_size=20", "eval_every=20", *keys], out=tmp_path, workers=1
    )
    folder = sweep.save()
    list(sweep.train(lambda stack, step: None))
    results = initbench.load(folder)
    fast, slow = (results.runs.set_index("lr").loc[lr] for lr in (0.2, 0.0001))
    assert pd.isna(slow["stopped_step"]) and slow["best_step"] == 400
    validation = results.evals[(results.evals["run_id"] == fast["run_id"]) & (results.evals["split"] == "val")]
    lowest = validation.loc[validation["loss"].idxmin()]
    assert fast["best_step"] == lowest["step"]
    assert fast["stopped_step"] == lowest["step"] + 2 * 20
    assert fast["val_loss"] == pytest.approx(lowest["loss"], rel=1e-6)
    assert results.losses.groupby("run_id", observed=True)["step"].max()[fast["run_id"]] == fast["stopped_step"] - 1
    weights = load_file(next(tmp_path.glob(f"stacks/*/weights/{fast['run_id']}.safetensors")))
    run = next(run for run in sweep.runs if run.id == fast["run_id"])
    dataset = build.data(run.config)
    model = build.model(run.config, dataset)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    right = (model(dataset.x_test).argmax(1) == dataset.y_test).float().mean()
    assert float(right) == pytest.approx(fast["test_acc"], abs=1e-6)


def test_a_stack_whose_runs_all_diverge_has_no_predictions_and_is_done(tmp_path):
    results, _ = trained(tmp_path, "init=normal", "init.std=1e20", "act=relu", "save_predictions=true")
    assert set(results.runs["outcome"]) == {"diverged"} and not results.skipped
    assert results.read("predictions").empty


def test_saved_predictions_are_those_of_the_recorded_accuracy(tmp_path):
    results, _ = trained(tmp_path, "init=he,normal", "act=relu", "lr=0.1", "save_predictions=true")
    table = results.read("predictions")
    for run in results.runs.itertuples():
        own = table[table["run_id"] == run.run_id]
        if run.outcome == "diverged":
            assert own.empty
            continue
        p = np.stack(list(own["p"]))
        np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
        assert (p.argmax(1) == own["label"]).mean() == pytest.approx(run.test_acc, abs=1e-6)
        assert own["example"].tolist() == list(range(360))
