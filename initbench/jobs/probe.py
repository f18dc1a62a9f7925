"""Measure one stack at birth: the function that executors give to workers."""

import json
import time
import traceback
from typing import Any

import numpy as np
import pandas as pd
import torch

from initbench import build
from initbench.config.run import Run, flatten
from initbench.engine.probing.birth import Birth, measure_birth
from initbench.engine.process import configure_process
from initbench.engine.state import stack
from initbench.engine.train import Training
from initbench.jobs.task import Progress, Task
from initbench.jobs.train import act_rectifies, curves, facts_of_data
from initbench.parts.data import Dataset
from initbench.results.births import Births

COLUMNS = {
    "layers": ("run_id", "step", "layer", "name"),
    "correlations": ("run_id", "layer", "start", "c"),
    "times": ("run_id", "step", "layer", "name", "time", "pre_grad_norm", "q"),
    "attention": ("run_id", "name", "entropy"),
}


def probe(task: Task, progress: Progress, *, full: bool = False) -> Births:
    """Measure a task's runs; nothing is written. A run that cannot be built fails alone, any other error fails all.

    full: also measure what takes long, the gradient quotient.
    """
    configure_process()
    runs, tables = task.stack.runs, {}
    rows = {run.id: {**flatten(run), "config": json.dumps(run.config), "status": "failed"} for run in runs}
    try:
        tables = _measured(task, rows, full)
    except Exception:  # shown and counted: the other stacks go on
        for row in rows.values():
            row.setdefault("error", traceback.format_exc())
    progress(task.stack.id, len(runs))
    empty = {name: pd.DataFrame(columns=list(columns)) for name, columns in COLUMNS.items()}
    return Births(pd.DataFrame(list(rows.values())), **(empty | tables))


def _measured(task: Task, rows: dict[str, dict[str, Any]], full: bool) -> dict[str, pd.DataFrame]:
    """The tables of the runs that can be built. What is known of each goes into its row."""
    config = task.stack.runs[0].config
    dataset, models = build.data(config), {}
    for run in task.stack.runs:
        began = time.perf_counter()
        try:
            models[run.id] = build.initialized(run.config, dataset)
        except Exception:
            rows[run.id]["error"] = traceback.format_exc()
        rows[run.id]["init_seconds"] = time.perf_counter() - began
    built = [run for run in task.stack.runs if run.id in models]
    if not built:
        return {}
    model = models[built[0].id]
    state = stack([models[run.id] for run in built], torch.device(task.device))
    seeds, lrs = [run.config["seed"] for run in built], [run.config["lr"] for run in built]
    training = Training(state, model, dataset, build.recipe(config), seeds=seeds, lrs=lrs, looped=task.looped)
    birth = measure_birth(training, model, full=full)
    for i, run in enumerate(built):
        rows[run.id] |= _facts(birth, i, run, dataset)
    return _tables(birth, built)


def _facts(birth: Birth, i: int, run: Run, dataset: Dataset) -> dict[str, Any]:
    """The row of the i-th run."""
    return {
        "status": "probed",
        **facts_of_data(dataset),
        "act_rectifies": act_rectifies(birth.record, run.config),
        "first_loss": float(birth.record.losses[0, i]),
        **{name: float(values[i]) for name, values in birth.whole.items()},
    }


def _tables(birth: Birth, runs: list[Run]) -> dict[str, pd.DataFrame]:
    """The tables of `Births` but for its runs."""
    tables = curves(birth.record, runs)
    by_run = {name: values.T.ravel() for name, values in birth.layers.items()}  # a run's layers follow each other
    names, starts = birth.record.layers, birth.starts
    count = len(names)
    found = {
        "layers": tables["layers"].assign(**by_run),
        "correlations": pd.DataFrame(
            {
                "run_id": np.repeat([run.id for run in runs], count * len(starts)),
                "layer": np.tile(np.repeat(range(count), len(starts)), len(runs)),
                "start": np.tile(starts, count * len(runs)),
                "c": birth.correlations.transpose(2, 1, 0).ravel(),
            }
        ),
        "attention": pd.DataFrame(
            [(run.id, name, values[i]) for i, run in enumerate(runs) for name, values in birth.attention.items()],
            columns=list(COLUMNS["attention"]),
        ),
    }
    if "times" in tables:
        found["times"] = _with_q(tables["times"], birth, runs)
    return found


def _with_q(times: pd.DataFrame, birth: Birth, runs: list[Run]) -> pd.DataFrame:
    """The table of time steps with the mean square of the pre-activations at each."""
    position = {run.id: i for i, run in enumerate(runs)}
    places = zip(times["layer"], times["time"], times["run_id"], strict=True)
    return times.assign(q=[birth.times[layer][time, position[run_id]] for layer, time, run_id in places])
