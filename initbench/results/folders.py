"""Finds and reads the folders of sweeps and stacks, each with its JSON file and its runs.parquet."""

import json
import os
from collections.abc import Iterable, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from initbench.results.files import read_json, read_table, visible
from initbench.results.schema import RUN_TYPES, STACK_JSON, SWEEP_JSON


@dataclass(frozen=True)
class StoredFolder:
    """The folder of a sweep or stack: its JSON file and its runs.parquet."""

    path: Path
    info: dict[str, Any]
    runs: pa.Table

    @property
    def run_ids(self) -> list[str]:
        return self.runs["run_id"].to_pylist()


def roots(path: Path) -> list[Path]:
    """The results folders at or below `path`; a results folder holds no other."""
    found = []
    for folder, below, _ in os.walk(path):
        if {"sweeps", "stacks"} & set(below):
            found.append(Path(folder))
            below.clear()
        below[:] = sorted(name for name in below if not name.startswith("."))
    return found


def read_stored(folder: Path, skipped: list[tuple[Path, str]], only: Set[str] | None = None) -> StoredFolder | None:
    """The folder of a sweep or stack; None where a file cannot be read, or where a stack trained no run of `only`."""
    is_sweep = folder.parent.name == "sweeps"
    file, time = (folder / "sweep.json", "created") if is_sweep else (folder / "stack.json", "started")
    fields, needed = (SWEEP_JSON, {time, "name"}) if is_sweep else (STACK_JSON, {time, "run_ids"})
    try:
        info = read_json(file, fields, needed)
        seconds(info[time])
        if only is not None and only.isdisjoint(info["run_ids"]):
            return None
        file = folder / "runs.parquet"
        runs = read_table(file, RUN_TYPES, {"run_id"} if is_sweep else {"run_id", "status"})
        return StoredFolder(folder, {"path": str(folder), **info}, runs)
    except (OSError, ValueError) as error:
        skipped.append((file, reason(error)))
        return None


def reason(error: Exception) -> str:
    """Why a file was skipped, in one line."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "missing" if isinstance(error, FileNotFoundError) else "not a folder"
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return f"not JSON, or truncated: {error}"
    return " ".join(str(error).split())


def seconds(timestamp: str) -> float:
    """Seconds since 1970 of an ISO time; one without a zone is taken as UTC."""
    moment = datetime.fromisoformat(timestamp)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def latest_first(sweeps: Iterable[StoredFolder]) -> list[StoredFolder]:
    """Sweeps by the time when they were asked for; equal times by name."""
    return sorted(sweeps, key=lambda sweep: (seconds(sweep.info["created"]), sweep.info["name"]), reverse=True)


def names_of(sweeps: Iterable[StoredFolder], above: Path) -> dict[str, StoredFolder]:
    """Sweeps by name, in their order. above: the folder that they were all found in.

    Where two results folders have a sweep of one name, each is named with its folder: "gpu/demo".
    """
    sweeps = list(sweeps)
    names = [str(sweep.info["name"]) for sweep in sweeps]
    places = [sweep.path.parent.parent.relative_to(above) / sweep.path.name for sweep in sweeps]
    return {
        name if names.count(name) == 1 else place.as_posix(): sweep
        for name, place, sweep in zip(names, places, sweeps, strict=True)
    }


def latest_sweep(root: Path) -> str | None:
    """The folder's name of the sweep that was last asked for in a results folder; None where none can be read."""
    sweeps = latest_first(sweep for folder in visible(root / "sweeps") if (sweep := read_stored(folder, [])))
    return sweeps[0].path.name if sweeps else None
