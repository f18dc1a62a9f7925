"""Reads what a search needs to go on: the trials that its sweep recorded, and the validation losses of their runs."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from initbench.results.finding import finished_ids
from initbench.results.store import read_json, same_named

Trials = dict[str, list[dict[str, Any]]]  # the tuned keys and their values, by the id of their cell


def recorded_trials(root: Path, name: str, search: str) -> Trials:
    """The trials that the sweep of a search has asked for so far; none where there is no such sweep.

    search: its id; a sweep of that name may be another one.
    """
    for place in same_named(root / "sweeps" / name):
        try:
            record = read_json(place / "sweep.json", {"search"})["search"]
        except (OSError, ValueError):
            continue
        if record and record["id"] == search:
            return record["trials"]
    return {}


def validation_losses(root: Path, run_ids: Iterable[str]) -> dict[str, float]:
    """The final validation losses of the finished ones of these runs, inf where one diverged."""
    wanted = list(run_ids)
    finished = finished_ids(root)
    found: dict[str, float] = {}
    for folder in dict.fromkeys(finished[run_id][0] for run_id in wanted if run_id in finished):
        table = pq.read_table(folder / "runs.parquet", columns=["run_id", "outcome", "val_loss"], use_threads=False)
        for row in table.filter(pc.field("run_id").isin(wanted)).to_pylist():
            loss = math.inf if row["outcome"] == "diverged" or row["val_loss"] is None else row["val_loss"]
            if finished[row["run_id"]][0] == folder:
                found[row["run_id"]] = loss if math.isfinite(loss) else math.inf
    return found
