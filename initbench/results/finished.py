"""What other processes have finished in a results folder since this one looked."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from initbench.results.files import read_json, read_table, visible
from initbench.results.schema import RUN_TYPES, STACK_JSON
from initbench.results.store import damaged


class Finished:
    """The runs, done or failed, of the stacks that were written after this object was made."""

    def __init__(self, root: Path):
        self.stacks = root / "stacks"
        self.known = {folder.name for folder in visible(self.stacks)}
        self.found: dict[str, dict[str, Any]] = {}

    def rows(self, run_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Rows of `runs.parquet` by run id: of these runs, those that are finished."""
        for folder in visible(self.stacks):
            if folder.name not in self.known:
                self.known.add(folder.name)
                self.found |= {row["run_id"]: row for row in _rows(folder)}
        return {run_id: self.found[run_id] for run_id in run_ids if run_id in self.found}


def _rows(stack: Path) -> list[dict[str, Any]]:
    if damaged(stack):
        return []
    try:
        read_json(stack / "stack.json", STACK_JSON, {"run_ids"})
        return read_table(stack / "runs.parquet", RUN_TYPES, ("run_id", "status")).to_pylist()
    except (OSError, ValueError):
        return []  # `load` names the file
