"""Reads what a search needs to go on: the trials that its sweep recorded, and the validation losses of their runs."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from initbench.results.files import read_json, read_table
from initbench.results.finding import finished_ids
from initbench.results.schema import RUN_TYPES, SWEEP_JSON
from initbench.results.store import Store, same_named

Trials = dict[str, list[dict[str, Any]]]  # the tuned keys and their values, by the id of their cell


def recorded_trials(root: Path, name: str, search: str) -> Trials:
    """The trials that the sweep of a search has asked for so far; none where there is no such sweep.

    search: its id; a sweep of that name may be another one.
    """
    for place in same_named(root / "sweeps" / name):
        try:
            record = read_json(place / "sweep.json", SWEEP_JSON, {"search"})["search"]
        except (OSError, ValueError):
            continue
        if record.get("id") == search:
            return record["trials"]
    return {}


def validation_losses(root: Path, run_ids: Iterable[str]) -> dict[str, float]:
    """The final validation losses of these runs: inf where one diverged, NaN where it failed; others are left out."""
    wanted = list(run_ids)
    finished = finished_ids(root)
    found = dict.fromkeys(Store(root).with_status(wanted, "failed"), math.nan)
    for folder in dict.fromkeys(finished[run_id][0] for run_id in wanted if run_id in finished):
        columns = ("run_id", "outcome", "val_loss")
        table = read_table(folder / "runs.parquet", RUN_TYPES, columns, columns=columns)
        for row in table.filter(pc.field("run_id").isin(wanted)).to_pylist():
            loss = math.inf if row["outcome"] == "diverged" or row["val_loss"] is None else row["val_loss"]
            if finished[row["run_id"]][0] == folder:
                found[row["run_id"]] = loss if math.isfinite(loss) else math.inf
    return found
