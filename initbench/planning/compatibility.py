"""Which runs of a grid make sense: every pair of its choices is built once before anything is trained."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from initbench import build
from initbench.config.run import Run
from initbench.config.values import dotted
from initbench.engine.precision import check_precision
from initbench.errors import DoesNotFit


@dataclass(frozen=True)
class LeftOut:
    """Runs whose settings don't fit each other or the device, and why."""

    reason: str
    runs: list[Run]


def fitting(runs: Sequence[Run], axes: Iterable[str], device: str) -> tuple[list[Run], list[LeftOut]]:
    """The runs that can be trained on `cpu` or `cuda`, and those whose settings don't fit each other, or that device.

    A run stands for its cell, and cells for each other: one is built where it holds two values of `axes` that none
    before had together. Raises InputError for what is wrong by itself, DoesNotFit where nothing is left.
    """
    axes = [axis for axis in axes if axis not in ("seed", "lr")]
    proven: set[Any] = set()
    reasons: dict[tuple, str | None] = {}
    left_out: dict[str, list[Run]] = {}
    kept = []
    for run in runs:
        cell = point(run, axes)
        if cell not in reasons:
            together = {cell} if somebodys_own(run) else set(itertools.combinations(cell, 2)) or {cell}
            reasons[cell] = None if together <= proven else reason_against(run, device)
            if reasons[cell] is None:
                proven |= together
        if (reason := reasons[cell]) is None:
            kept.append(run)
        else:
            left_out.setdefault(reason, []).append(run)
    if not kept:
        raise DoesNotFit(next(iter(left_out)))
    return kept, [LeftOut(reason, some) for reason, some in left_out.items()]


def point(run: Run, axes: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """A run's values of the axes."""
    keys = dotted(run.config) if any("." in axis for axis in axes) else run.config
    return tuple((axis, repr(run.choices.get(axis, keys.get(axis)))) for axis in axes)


def somebodys_own(run: Run) -> bool:
    """Is one of its parts none of initbench's? It may suit one partner and not another."""
    return not all(build.shipped(run.config[group]) for group in run.choices if run.config.get(group))


def reason_against(run: Run, device: str) -> str | None:
    """Why a run's settings don't fit each other or the device; None where they do.

    InputError where one is wrong by itself.
    """
    try:
        check_precision(run.config["precision"], device)
        build.rehearse(run.config, build.data(run.config))
    except DoesNotFit as reason:
        return str(reason)
    return None
