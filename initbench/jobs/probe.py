"""Measure stacks at birth: the function that executors give to workers."""

import json
import math
import traceback
from typing import Any

import numpy as np
import pandas as pd

from initbench import build
from initbench.config.run import Run, flatten
from initbench.config.stacks import Stack
from initbench.engine.probing.birth import Birth, measure_birth
from initbench.engine.process import configure_process
from initbench.engine.train import Training
from initbench.jobs.drawing import DrawnWeights
from initbench.jobs.task import ProbeTask, Progress
from initbench.jobs.train import act_rectifies, facts_of_data
from initbench.parts.data import Dataset
from initbench.results.births import Births

COLUMNS = {
    "layers": ("run_id", "step", "layer", "name"),
    "correlations": ("run_id", "layer", "start", "c"),
    "moves": ("run_id", "layer", "name", "step", "moved"),
    "times": ("run_id", "step", "layer", "name", "time", "pre_grad_norm", "q"),
    "attention": ("run_id", "name", "entropy"),
}


def probe(task: ProbeTask, progress: Progress) -> Births:
    """Measure a task's runs; nothing is written. A run that cannot be built fails alone, any other error its stack."""
    configure_process()
    drawn = DrawnWeights(task.device)
    return Births.joined([_probed(stack, task, drawn, progress) for stack in task.stacks])


def _probed(stack: Stack, task: ProbeTask, drawn: DrawnWeights, progress: Progress) -> Births:
    rows = {run.id: {**flatten(run), "config": json.dumps(run.config), "status": "failed"} for run in stack.runs}
    tables: dict[str, pd.DataFrame] = {}
    try:
        tables = _measured(stack, task, drawn, rows)
    except Exception:  # shown and counted: the other stacks go on
        for row in rows.values():
            row.setdefault("error", traceback.format_exc())
    progress(stack.id, len(stack.runs))
    empty = {name: pd.DataFrame(columns=list(columns)) for name, columns in COLUMNS.items()}
    return Births(pd.DataFrame(list(rows.values())), **(empty | tables))


def _measured(
    stack: Stack, task: ProbeTask, drawn: DrawnWeights, rows: dict[str, dict[str, Any]]
) -> dict[str, pd.DataFrame]:
    """The tables of the runs that can be built. What is known of each goes into its row."""
    config = stack.runs[0].config
    dataset = build.data(config)
    state, built = drawn.of(stack.runs, dataset, rows)
    if not built:
        return {}
    model = drawn.model
    assert model is not None
    seeds, lrs = [run.config["seed"] for run in built], [run.config["lr"] for run in built]
    training = Training(state, model, dataset, build.recipe(config), seeds=seeds, lrs=lrs, looped=task.looped)
    birth = measure_birth(training, model, full=task.full, steps=task.steps)
    for i, run in enumerate(built):
        rows[run.id] |= _facts(birth, i, run, dataset)
    return _tables(birth, built)


def _facts(birth: Birth, i: int, run: Run, dataset: Dataset) -> dict[str, Any]:
    """The row of the i-th run."""
    return {
        "status": "probed",
        **facts_of_data(dataset),
        "features": math.prod(dataset.shape),
        "act_rectifies": act_rectifies(birth.record, run.config),
        "first_loss": float(birth.record.losses[0, i]),
        **{name: float(values[i]) for name, values in birth.whole.items()},
    }


def _tables(birth: Birth, runs: list[Run]) -> dict[str, pd.DataFrame]:
    """The tables of `Births` but for its runs; all runs of the stack at once, which is quick."""
    record, ids = birth.record, np.array([run.id for run in runs])
    count, starts, names = len(record.layers), birth.starts, np.array(record.layers, object)
    by_run = np.repeat(ids, count)
    activations, rectify = zip(*record.activations, strict=True)
    logged = dict(zip(record.metrics, record.snapshots[0].swapaxes(0, 1), strict=True))  # name to (L, R)
    layers = {
        "run_id": by_run,
        "step": 0,
        "layer": np.tile(range(count), len(ids)),
        "name": np.tile(names, len(ids)),
        "activation": np.tile(np.array(activations, object), len(ids)),
        "rectifies": pd.array(list(rectify) * len(ids), "boolean"),
        **{name: values.T.ravel() for name, values in (logged | birth.layers).items()},
    }
    correlations = {
        "run_id": np.repeat(by_run, len(starts)),
        "layer": np.tile(np.repeat(range(count), len(starts)), len(ids)),
        "start": np.tile(starts, count * len(ids)),
        "c": birth.correlations.transpose(2, 1, 0).ravel(),
    }
    steps = len(birth.moves)
    moves = {
        "run_id": np.repeat(by_run, steps),
        "layer": np.tile(np.repeat(range(count), steps), len(ids)),
        "name": np.tile(np.repeat(names, steps), len(ids)),
        "step": np.tile(range(1, steps + 1), count * len(ids)),
        "moved": birth.moves.transpose(2, 1, 0).ravel(),
    }
    times = [
        {"run_id": np.repeat(ids, len(norms)), "step": 0, "layer": layer, "name": record.layers[layer]}
        | {"time": np.tile(range(len(norms)), len(ids)), "pre_grad_norm": norms.T.ravel()}
        | {"q": birth.times[layer].T.ravel()}
        for layer, (norms,) in record.times.items()
    ]
    attention = [{"run_id": ids, "name": name, "entropy": values} for name, values in birth.attention.items()]
    found = {"layers": [layers], "correlations": [correlations], "moves": [moves] if steps > 1 else []}
    found |= {"times": times, "attention": attention}
    return {name: pd.concat(map(pd.DataFrame, parts)) for name, parts in found.items() if parts}
