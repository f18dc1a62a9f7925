"""Train one stack, from its description to a folder in the store: the function that executors give to workers."""

import json
import os
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from initbench import build
from initbench.config.run import Run, flatten
from initbench.engine.evaluation import PartScores
from initbench.engine.process import configure_process
from initbench.engine.recipe import Recipe
from initbench.engine.record import Record
from initbench.engine.state import Stacked, stack, unstack
from initbench.engine.train import Training
from initbench.jobs.checkpointing import StackCheckpoints
from initbench.jobs.signals import deferred_signals
from initbench.jobs.task import Progress, Status, Task
from initbench.jobs.teachers import with_teacher
from initbench.parts.data import Dataset
from initbench.parts.losses import CLASSIFICATION, UNSCORED
from initbench.parts.observe import ActivationFacts
from initbench.parts.outputs import output_kind
from initbench.parts.start import Start
from initbench.randomness import global_random_state_kept, stream
from initbench.results.provenance import device_name, provenance
from initbench.results.schema import CURVE_TYPES
from initbench.results.store import Store

REPORT_EVERY = 0.2  # seconds
LOSS = ("train", "loss")  # the column train_loss is of the last minibatches
FAILURES = (Exception, SystemExit)  # of user code, which may end itself too; Ctrl-C is none
LOOKED_AT = 100  # examples of which the outputs before training are looked at


def work(task: Task, progress: Progress) -> Status:
    """Train a task's stack and write it to its store.

    A run that can't be built or trained fails alone. Failures are results: they are written with their reason.
    """
    configure_process()
    here = Path.cwd()
    checkpoints = StackCheckpoints(task)
    rows = {run.id: {**flatten(run), "config": json.dumps(run.config), "status": "failed"} for run in task.stack.runs}
    tables: dict[str, Any] = {}
    try:
        tables = joined(train_apart(task, build.data(task.stack.runs[0].config), rows, progress, checkpoints))
    except FAILURES:  # recorded, shown and counted: the sweep's other stacks go on
        for row in rows.values():
            row.setdefault("error", traceback.format_exc())
    os.chdir(here)  # user code may have gone elsewhere
    info = {
        "device": device_name(task.device),
        "threads": torch.get_num_threads(),
        "stack_seconds": checkpoints.seconds,
        "started": checkpoints.started,
        **provenance(),
    }
    with deferred_signals():
        Store(task.root).save_stack(task.stack.id, runs=list(rows.values()), info=info, **tables)
        checkpoints.remove()
    return Status(task.stack.id, list(rows.values()), info["stack_seconds"], tuple(checkpoints.notes))


def give_up(task: Task, how: str) -> Status:
    """Record that a run takes its worker with it each time that it is trained. how: "was killed by SIGKILL"."""
    error = f"its worker {how}; it was trained alone, and twice"
    rows = [
        {**flatten(run), "config": json.dumps(run.config), "status": "failed", "error": error}
        for run in task.stack.runs
    ]
    info = {"stack_seconds": 0.0, **provenance()}
    Store(task.root).save_stack(task.stack.id, runs=rows, info=info)
    StackCheckpoints(task).remove()
    return Status(task.stack.id, rows, 0.0)


def train_apart(
    task: Task,
    dataset: Dataset,
    rows: dict[str, dict[str, Any]],
    progress: Progress,
    checkpoints: StackCheckpoints,
) -> Iterator[dict[str, Any]]:
    """Train a task's runs together; where that fails, its halves apart, down to the runs that fail alone.

    It fails where user code raises an error in a step, or where memory runs out, which halves may be small enough for.
    Halves start anew, and have no checkpoints.
    """
    runs = task.stack.runs
    try:
        tables = trained(task, dataset, rows, progress, checkpoints)
    except FAILURES:
        checkpoints.remove()
        if len(runs) == 1:
            rows[runs[0].id]["error"] = traceback.format_exc()
            return
    else:
        yield tables
        return
    for half in (runs[: len(runs) // 2], runs[len(runs) // 2 :]):
        stack = replace(task.stack, runs=half)  # of the same id: progress is the stack's
        part = replace(task, stack=stack, checkpoint_every=None, resume=False)
        yield from train_apart(part, dataset, rows, progress, StackCheckpoints(part))


def joined(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The tables of runs that were trained apart, one below the other."""
    found: dict[str, list[Any]] = {}
    for tables in parts:
        for name, table in tables.items():
            found.setdefault(name, []).append(table)
    return {name: below(tables) for name, tables in found.items()}


def below(tables: list[Any]) -> Any:
    """Tables one below the other; weights by run id together."""
    if len(tables) == 1:
        return tables[0]
    if isinstance(tables[0], pd.DataFrame):
        return pd.concat(tables, ignore_index=True)
    if isinstance(tables[0], pa.Table):
        return pa.concat_tables(tables, promote_options="permissive").unify_dictionaries()
    return {run_id: arrays for part in tables for run_id, arrays in part.items()}


def trained(
    task: Task,
    dataset: Dataset,
    rows: dict[str, dict[str, Any]],
    progress: Progress,
    checkpoints: StackCheckpoints,
) -> dict[str, Any]:
    """Train the runs that can be built. Their outcomes, or errors, go into their rows; what is returned, into files."""
    config = task.stack.runs[0].config
    models, starts = {}, {}
    for run in task.stack.runs:
        began, report = time.perf_counter(), {}
        try:
            models[run.id] = build.initialized(run.config, dataset, report=report)
        except FAILURES:
            rows[run.id]["error"] = traceback.format_exc()
        said = json.dumps(report) if report else None
        starts[run.id] = {"init_seconds": time.perf_counter() - began, "init_report": said}
    built = [run for run in task.stack.runs if run.id in models]
    if not built:
        return {}
    kind = kind_of_outputs(models[built[0].id], config, dataset)  # the same for all runs of a stack
    state = stack([models[run.id] for run in built], torch.device(task.device))
    recipe = with_teacher(build.recipe(config), Path(task.root), config)  # the same for all runs of a stack
    report = throttled(task.stack.id, progress)
    record = fit(built, state, models[built[0].id], dataset, report, checkpoints.looped, recipe, checkpoints)
    tables: dict[str, Any] = dict(curves(record, built))
    if config["save_predictions"]:
        tables["predictions"] = predictions(record, built, dataset)
    if config["save_weights"]:
        finite = [i for i in range(len(built)) if record.diverged_step(i) is None]
        tables["weights"] = {built[i].id: unstack(state, i) for i in finite}
    same = {"output_kind": kind, "unused": " ".join(unused_sizes(config, dataset)) or None}
    outcomes = [summary(record, i, run.config, dataset, state) | same for i, run in enumerate(built)]
    for run, outcome in zip(built, outcomes, strict=True):  # last: a run is done when all of it is there
        rows[run.id] |= outcome | starts[run.id]
    return tables


def fit(
    runs: list[Run],
    state: Stacked,
    model: torch.nn.Module,
    dataset: Dataset,
    progress: Callable[[int], None],
    looped: bool = False,
    recipe: Recipe | None = None,
    checkpoints: StackCheckpoints | None = None,
) -> Record:
    """Train the runs of one shape from the weights in `state`, or from their checkpoint.

    recipe: by default that of their configuration.
    """
    recipe = recipe or build.recipe(runs[0].config)
    seeds, lrs = [run.config["seed"] for run in runs], [run.config["lr"] for run in runs]

    def training() -> Training:
        return Training(state, model, dataset, recipe, seeds=seeds, lrs=lrs, looped=looped)

    if checkpoints is None:
        return training().run(progress)
    return checkpoints.run(checkpoints.begin(training, runs), runs, progress)


def throttled(stack_id: str, progress: Progress) -> Callable[[int], None]:
    """Report a stack's steps a few times per second instead of after each."""
    last = 0.0

    def report(step: int):
        nonlocal last
        if time.perf_counter() - last > REPORT_EVERY:
            last = time.perf_counter()
            progress(stack_id, step)

    return report


def summary(record: Record, i: int, config: Mapping[str, Any], dataset: Dataset, state: Stacked) -> dict[str, Any]:
    """The outcome of the i-th run: columns of `runs.parquet`."""
    window, ratio = config["outcome"]["window"], config["outcome"]["learned_ratio"]
    row = {
        "status": "done",
        "outcome": record.outcome(i, dataset.constant_loss, dataset.train_majority, learned_ratio=ratio),
        **facts_of_data(dataset),
        "train_loss": record.train_loss(i, window),
        "diverged_step": record.diverged_step(i),
        **record.stopped(i),
        "first_last_grad_ratio": record.first_last_grad_ratio(i),
        "parameters": sum(shape.numel() for _, shape in state.offsets.values()),
        "act_rectifies": act_rectifies(record, config),
    }
    for part in ("train", "val", "test"):
        row |= {f"{part}_{score}": value for score, value in record.final(i, part).items() if (part, score) != LOSS}
    return row | {"full_train_loss": record.final(i, "train")["loss"]}


def facts_of_data(dataset: Dataset) -> dict[str, Any]:
    """What is known of a dataset: columns of `runs.parquet`."""
    return {
        "task": dataset.objective.name,
        "loss_unit": dataset.objective.unit,
        "constant_loss": dataset.constant_loss,
        "train_majority": dataset.train_majority,
        "majority_acc": dataset.majority_acc,
        "neighbour_agreement": dataset.label_agreement.nearest,
        "neighbour_chance": dataset.label_agreement.chance,
        "classes": dataset.classes,
        "class_ratio": dataset.class_ratio,
        "train_examples": len(dataset.y_train),
        "val_examples": len(dataset.y_val),
        "test_examples": len(dataset.y_test),
        "input_mean": dataset.input_mean,
        "input_std": dataset.input_std,
        **{f"seen_{name}": value for name, value in dataset.seen._asdict().items()},
    }


def kind_of_outputs(model: torch.nn.Module, config: Mapping[str, Any], dataset: Dataset) -> str | None:
    """What the outputs look like before training; None where numbers are predicted, which may be of any kind."""
    if dataset.objective.name != CLASSIFICATION.name:
        return None
    x, y = dataset.x_train[:LOOKED_AT], dataset.y_train[:LOOKED_AT]
    start = Start(model, x, y, dataset.objective.loss, stream(config["seed"], "start"))
    with torch.no_grad(), global_random_state_kept():
        return output_kind(start.forward())


def unused_sizes(config: Mapping[str, Any], dataset: Dataset) -> list[str]:
    """Which of depth and width a user's own model does not use."""
    return [] if build.shipped(config["model"]) else sorted({"depth", "width"} & build.unused(config, dataset))


def act_rectifies(record: Record, config: Mapping[str, Any]) -> bool | None:
    """Whether the activation of a hidden layer is off on one side of 0; None where that is not known.

    As the model was seen to compute it; where nothing was seen, as one of initbench's would.
    """
    hidden = record.activations[:-1] or record.activations
    seen = {facts.rectifies for facts in hidden if facts.name is not None}
    if seen:
        return True if True in seen else None if None in seen else False
    if record.activations and not build.shipped(config["model"]):
        return False  # it has none
    return ActivationFacts.of(build.activation(config)()).rectifies


def predictions(record: Record, runs: list[Run], dataset: Dataset) -> pa.Table:
    """The probabilities of every scored label of the test part, of the runs that did not diverge."""
    assert record.probabilities is not None
    labels = dataset.y_test.flatten().numpy()
    scored = labels != UNSCORED
    finite = [i for i in range(len(runs)) if record.diverged_step(i) is None]
    count, p = int(scored.sum()), record.probabilities[finite][:, scored]
    return pa.table(
        {
            "run_id": pa.array([runs[i].id for i in finite for _ in range(count)], pa.string()),
            "example": np.tile(np.arange(count), len(finite)),
            "label": np.tile(labels[scored], len(finite)),
            "p": pa.FixedSizeListArray.from_arrays(p.ravel(), p.shape[-1]),
        }
    )


def curves(record: Record, runs: list[Run]) -> dict[str, pd.DataFrame]:
    """The record as the store's long tables; the rows of a run that diverged end there."""
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in CURVE_TYPES}
    for i, run in enumerate(runs):
        last = record.last(i)
        tables["losses"].append(
            pd.DataFrame({"run_id": run.id, "step": range(last), "train_loss": record.losses[:last, i]})
        )
        evals = [
            (run.id, step, split, *(of_runs[i] for of_runs in scores))
            for step, split, scores in record.evaluations
            if step <= last
        ]
        tables["evals"].append(pd.DataFrame(evals, columns=["run_id", "step", "split", *PartScores._fields]))
        steps = [step for step in record.log_steps if step <= last]
        layers = pd.MultiIndex.from_product([steps, range(len(record.layers))], names=["step", "layer"])
        measured = record.snapshots[: len(steps), :, :, i].reshape(len(layers), len(record.metrics))
        table = pd.DataFrame(measured, columns=record.metrics, index=layers).reset_index()
        names, rectify = zip(*record.activations, strict=True) if record.activations else ((), ())
        facts = {"name": record.layers, "activation": names, "rectifies": rectify}
        table = table.assign(run_id=run.id, **{key: list(values) * len(steps) for key, values in facts.items()})
        tables["layers"].append(table.astype({"activation": "object", "rectifies": "boolean"}))
        for layer, norms in record.times.items():
            at = pd.MultiIndex.from_product([steps, range(norms.shape[1])], names=["step", "time"])
            table = pd.DataFrame({"pre_grad_norm": norms[: len(steps), :, i].ravel()}, index=at).reset_index()
            tables["times"].append(table.assign(run_id=run.id, layer=layer, name=record.layers[layer]))
        if record.norms is not None:
            norms = record.norms[: len(steps), :, i]
            columns = {"run_id": run.id, "step": steps, "norm": norms[:, 0], "treated_norm": norms[:, 1]}
            tables["gradients"].append(pd.DataFrame(columns))
    return {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items() if parts}
