"""What a worker is given, and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from initbench.config.stacks import Stack


@dataclass(frozen=True)
class Task:
    """All that a worker needs: which runs, where the results go, and what to compute them on."""

    stack: Stack
    root: str
    device: str = "cpu"
    threads: int = 1
    looped: bool = False  # where stacking doesn't pay


@dataclass(frozen=True)
class Status:
    """What became of a stack: a row of `runs.parquet` a run."""

    stack_id: str
    rows: list[dict[str, Any]]
    seconds: float


Progress = Callable[[str, int], None]  # stack id, steps done
