"""Finds a finished run in a results folder by its id: its configuration, its outcome and its saved weights."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from initbench.config.keys import without_effect
from initbench.config.registry import groups
from initbench.config.values import dotted
from initbench.errors import InputError, nearest
from initbench.results.files import read_json, read_table, visible
from initbench.results.folders import seconds
from initbench.results.schema import RUN_TYPES, STACK_JSON
from initbench.results.store import damaged

SHOWN = 12  # characters of an id in a list of several


@dataclass(frozen=True)
class FinishedRun:
    """A run that was trained to its end, or until it diverged."""

    id: str
    choices: dict[str, str]  # the name of each group's choice.
    config: dict[str, Any]  # as in `config.run.Run`.
    outcome: str
    diverged_step: int | None
    weights: Path | None  # the safetensors file of its trained weights; None where they were not saved.


def find_run(root: str | Path, name: str, key: str) -> FinishedRun:
    """The run under `root` whose id is `name` or begins with it, with its newest weights.

    key: which key names it, for messages. Raises InputError where no finished run has such an id, or several do.
    """
    root = Path(root)
    finished = finished_ids(root)
    found = [name] if name in finished else sorted(each for each in finished if name and each.startswith(name))
    if not found:
        raise InputError(f"'{key}={name}': no finished run in {root} has the id {name}{nearest(name, finished)}")
    if len(found) > 1:
        few = ", ".join(each[: max(SHOWN, len(name) + 4)] for each in found[:3]) + ", ..." * (len(found) > 3)
        raise InputError(f"'{key}={name}': {len(found)} finished runs in {root} begin with it: {few}; type more of it")
    trainings = [training for folder in finished[found[0]] for training in _trainings(folder, {found[0]})]
    return next((training for training in trainings if training.weights), trainings[0])


def find_trained(root: str | Path, name: str, key: str) -> FinishedRun:
    """As `find_run`, but with weights. Raises InputError also where the run diverged or its weights were not saved."""
    run = find_run(root, name, key)
    if run.diverged_step is not None:
        raise InputError(f"'{key}={name}': that run diverged at step {run.diverged_step} and left no weights")
    if run.weights is None:
        raise InputError(
            f"'{key}={name}': its weights were not saved; train that run again with save_weights=true and --fresh"
        )
    return run


def seeds_of(root: str | Path, run: FinishedRun) -> list[FinishedRun]:
    """The finished runs that differ from this one in nothing but the seed, itself among them, by seed; each once."""
    return sorted(siblings(root, run, ["seed"]), key=lambda other: other.config["seed"])


def siblings(root: str | Path, run: FinishedRun, keys: Collection[str]) -> list[FinishedRun]:
    """The finished runs that differ from this one only in these keys and groups, itself among them; each once."""
    root = Path(root)
    newest: dict[str, FinishedRun] = {}
    cell = _cell(run, keys)
    for folder, ids in _folders(root):
        for other in _trainings(folder, ids):
            known = newest.get(other.id)
            if _cell(other, keys) == cell and (known is None or (known.weights is None and other.weights)):
                newest[other.id] = other
    return list(newest.values())


def finished_ids(root: Path) -> dict[str, list[Path]]:
    """The ids of all finished runs, each with the folders of the stacks that trained it, the newest first."""
    found: dict[str, list[Path]] = {}
    for folder, ids in _folders(root):
        for each in ids:
            found.setdefault(each, []).append(folder)
    return found


def _folders(root: Path) -> Iterator[tuple[Path, set[str]]]:
    """The folders of stacks and the ids of the runs that each finished, the newest first."""
    found = []
    for folder in visible(root / "stacks"):
        try:
            info = read_json(folder / "stack.json", STACK_JSON, {"run_ids", "failed", "started"})
            if damaged(folder):
                continue
            found.append((seconds(info["started"]), folder, set(info["run_ids"]) - set(info["failed"])))
        except (OSError, ValueError):
            continue  # `load` names the file
    for _, folder, ids in sorted(found, reverse=True, key=lambda each: each[:2]):
        yield folder, ids


def _trainings(folder: Path, ids: set[str]) -> Iterator[FinishedRun]:
    """The runs of a stack that have one of these ids."""
    table = read_table(folder / "runs.parquet", RUN_TYPES, ("run_id", "config", "outcome", "diverged_step"))
    for row in table.to_pylist():
        if row["run_id"] not in ids:
            continue
        weights = folder / "weights" / f"{row['run_id']}.safetensors"
        yield FinishedRun(
            id=row["run_id"],
            choices={group: row[group] for group in groups() if row.get(group) is not None},
            config=json.loads(row["config"]),
            outcome=row["outcome"],
            diverged_step=row["diverged_step"],
            weights=weights if weights.is_file() else None,
        )


def _cell(run: FinishedRun, keys: Collection[str]) -> tuple[dict[str, str], dict[str, Any]]:
    """A run without some keys and groups, and without the keys that do not affect training."""
    flat = dotted(run.config)
    left_out = without_effect(flat) | {*keys}
    choices = {group: name for group, name in run.choices.items() if group not in left_out}
    kept = {key: value for key, value in flat.items() if left_out.isdisjoint((key, key.partition(".")[0]))}
    return choices, {key: value for key, value in kept.items() if value is not None}
