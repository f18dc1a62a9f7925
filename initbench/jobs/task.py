"""The task that a worker gets, and the result that it returns."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from initbench.config.stacks import Stack

CHECKPOINT_EVERY = 60.0  # seconds between two checkpoints of a stack


@dataclass(frozen=True)
class Task:
    """All that a worker needs: the runs, where their results go, and what they are computed on."""

    stack: Stack
    root: str
    device: str = "cpu"
    looped: bool = False  # one run after the other at each step, where stacking does not pay
    checkpoint_every: float | None = None  # seconds between two checkpoints; None: there are none
    resume: bool = False  # whether to go on from the stack's checkpoint


@dataclass(frozen=True)
class ProbeTask:
    """Stacks whose runs differ, in their order, in nothing but the activation, so that they may share weights."""

    stacks: tuple[Stack, ...]
    device: str = "cpu"
    looped: bool = False
    full: bool = False  # whether to measure the gradient quotient too
    steps: int = 1  # of training, whose effect on the pre-activations is measured


@dataclass(frozen=True)
class Status:
    """The outcome of a stack: one row of `runs.parquet` per run."""

    stack_id: str
    rows: list[dict[str, Any]]
    seconds: float
    notes: tuple[str, ...] = ()  # sentences for the user


Progress = Callable[[str, int], None]  # stack id, steps done
