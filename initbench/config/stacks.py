"""Runs to stacks: runs of equal shape are trained together in one program."""

import functools
import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from initbench.config.keys import STACKABLE
from initbench.config.run import Run


@dataclass(frozen=True)
class Stack:
    """Runs of one shape that are trained together; all that a worker needs to know."""

    id: str
    runs: tuple[Run, ...]

    @cached_property
    def shape(self) -> str:
        """What its runs have in common, as `shape_key` says it."""
        return shape_key(self.runs[0])

    @classmethod
    def of(cls, runs: Sequence[Run]) -> "Stack":
        """The stack of these runs, named by a hash of their ids."""
        return cls(hashlib.sha256(" ".join(run.id for run in runs).encode()).hexdigest()[:16], tuple(runs))


@functools.cache  # asked for several times a run, and a run is one object
def shape_key(run: Run) -> str:
    """Everything about a run but what may differ inside a stack.

    A key that nobody thought of is part of it: that costs speed, never correctness.
    """
    return json.dumps([_rest(run.choices), _rest(run.config)], sort_keys=True)


def _rest(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if key not in STACKABLE}


def stacks(runs: Iterable[Run], size_of: Callable[[Run], int], parallel: int = 1) -> list[Stack]:
    """Runs as stacks: shapes in order of appearance, the runs of a shape in theirs.

    A shape's stacks differ in size by one run at most, and none is larger than `size_of(its first run)`.
    With `parallel` workers a shape of that many runs or more gives each worker equally many stacks, as far
    as there are runs, so that all finish together.
    """
    shapes: dict[str, list[Run]] = {}
    for run in runs:
        shapes.setdefault(shape_key(run), []).append(run)
    parts = (part for alike in shapes.values() for part in _split(alike, size_of(alike[0]), parallel))
    return [Stack.of(part) for part in parts]


def _split(runs: Sequence[Run], size: int, parallel: int) -> list[Sequence[Run]]:
    count = math.ceil(len(runs) / max(1, size))
    if len(runs) >= parallel > 1:
        count = min(len(runs), math.ceil(count / parallel) * parallel)
    bounds = [len(runs) * k // count for k in range(count + 1)]
    return [runs[start:stop] for start, stop in itertools.pairwise(bounds)]
