"""From runs to stacks: runs of equal shape are trained together in one program."""

import functools
import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from initbench.config.keys import stackable
from initbench.config.run import Run


@dataclass(frozen=True)
class Stack:
    """Runs of one shape that are trained together; everything that a worker needs to know."""

    id: str
    runs: tuple[Run, ...]

    @cached_property
    def shape(self) -> str:
        """What its runs have in common, see `shape_key`."""
        return shape_key(self.runs[0])

    @classmethod
    def of(cls, runs: Sequence[Run]) -> "Stack":
        """The stack of these runs; its id is a hash of theirs."""
        return cls(hashlib.sha256(" ".join(run.id for run in runs).encode()).hexdigest()[:16], tuple(runs))


@functools.cache  # asked several times per run
def shape_key(run: Run) -> str:
    """Everything about a run except what may differ inside a stack.

    A key that `config.keys` does not list is part of the shape: that may cost speed, never correctness.
    """
    differ = stackable(run.config)
    facts = [{key: value for key, value in each.items() if key not in differ} for each in (run.choices, run.config)]
    return json.dumps(facts, sort_keys=True)


def but_activation(run: Run) -> str:
    """Everything about a run except its activation."""
    facts = [{key: value for key, value in each.items() if key != "act"} for each in (run.choices, run.config)]
    return json.dumps(facts, sort_keys=True)


def stacks(runs: Iterable[Run], size_of: Callable[[Run], int], parallel: int = 1) -> list[Stack]:
    """Runs as stacks: shapes in order of appearance, the runs of each shape in theirs, in stacks of nearly one size.

    size_of: the largest stack for a shape, given its first run. parallel: number of workers. If a shape has at least
    that many runs, every worker gets equally many stacks of it, as far as the runs allow, so that all finish together.
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
