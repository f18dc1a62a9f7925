"""The rounds of a search: which trials of each cell are trained next, given those that are finished.

A trial is one setting of the tuned keys; its runs, one per seed, are ordinary runs. Nothing else is kept of a search
than its sweep's record of the trials asked for: the losses are those of the stored runs.
"""

import hashlib
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from initbench.config.grid import Grid, TunedCell
from initbench.config.run import Run
from initbench.config.tune import SearchSpace
from initbench.errors import DoesNotFit
from initbench.planning.compatibility import Origin, Skipped, compatible_runs
from initbench.planning.tuners import BATCH, STARTUP, Told, suggest
from initbench.results.searches import Trials, recorded_trials, validation_losses


@dataclass(frozen=True)
class SearchRound:
    """A search up to the trials that are trained next.

    Args:
        id: of the search, the same whatever its number of trials.
        space: what may be tried.
        runs: those of the trials so far, in the order of the cells.
        trials: by the id of their cell, in the order in which they were asked for.
        to_come: the number of runs that later rounds will train.
    """

    id: str
    space: SearchSpace
    runs: list[Run]
    trials: Trials
    to_come: int

    @property
    def facts(self) -> dict[str, Any]:
        """The search as plain values."""
        return {
            "tuner": self.space.tuner,
            "trials": self.space.trials,
            "seed": self.space.seed,
            "ranges": {each.key: each.recorded for each in self.space.ranges},
            "cells": len(self.trials),
            "rounds": rounds(self.space),
            "round": max(rounds(self.space, max(map(len, self.trials.values()))), 1),
            "runs": len(self.runs) + self.to_come,
        }


def rounds(space: SearchSpace, trials: int | None = None) -> int:
    """In how many rounds so many trials are trained; all of them by default."""
    trials = space.trials if trials is None else trials
    if space.tuner == "random" or trials <= STARTUP:
        return 1
    return 1 + math.ceil((trials - STARTUP) / BATCH)


def compatible_cells(grid: Grid, device: str, origin: Origin) -> tuple[list[TunedCell], list[Skipped]]:
    """The cells that can be trained at their default settings and at both ends of each range, and what is skipped."""
    assert grid.search is not None
    ends = [{each.key: getattr(each, end) for each in grid.search.ranges} for end in ("low", "high")]
    runs = {cell.id: [cell.seeds[0].run(values) for values in (cell.default, *ends)] for cell in grid.cells}
    axes = [*grid.axes, *(each.key for each in grid.search.ranges)]
    every = [run for some in runs.values() for run in some]
    _, skipped = compatible_runs(every, axes, device, grid.given, origin)
    reasons = {run.id: some.reason for some in skipped for run in some.runs}
    kept, left_out = [], {}
    for cell in grid.cells:
        reason = next((reasons[run.id] for run in runs[cell.id] if run.id in reasons), None)
        if reason is None:
            kept.append(cell)
        else:
            left_out.setdefault(reason, []).extend(cell.runs(cell.default) * grid.search.trials)
    if not kept:
        raise DoesNotFit(next(iter(left_out)))
    return kept, [Skipped(reason, some) for reason, some in left_out.items()]


def next_round(space: SearchSpace, cells: Sequence[TunedCell], root: Path, name: str | None) -> SearchRound:
    """The first round of the search whose runs are not all finished; the last where all are.

    root: the results folder. name: of the sweep, if the user gave one.
    """
    key = search_id(space, cells)
    recorded = recorded_trials(root, name or default_name(key), key)
    trials: Trials = {cell.id: recorded.get(cell.id, [cell.default])[: _most(cell, space)] for cell in cells}
    runs: dict[str, list[list[Run]]] = {cell.id: [] for cell in cells}
    losses: dict[str, float] = {}
    open_cells = list(cells)
    while open_cells:
        new = []
        for cell in open_cells:
            there = runs[cell.id]
            there += [cell.runs(values) for values in trials[cell.id][len(there) :]]
            new += [run.id for some in there for run in some if run.id not in losses]
        losses |= validation_losses(root, new)
        open_cells = [cell for cell in open_cells if _extended(cell, space, trials, runs, losses)]
    found = {run.id: run for cell in cells for some in runs[cell.id] for run in some}
    to_come = sum((_most(cell, space) - len(trials[cell.id])) * len(cell.seeds) for cell in cells)
    return SearchRound(key, space, list(found.values()), trials, to_come)


def _extended(
    cell: TunedCell,
    space: SearchSpace,
    trials: Trials,
    runs: Mapping[str, list[list[Run]]],
    losses: Mapping[str, float],
) -> bool:
    """Give a cell whose trials are all finished its next ones; whether it got any."""
    asked = trials[cell.id]
    first = len(asked) == 1 and asked[0] == cell.default
    if len(asked) >= _most(cell, space):
        return False
    if not first and any(run.id not in losses for some in runs[cell.id] for run in some):
        return False
    told: list[Told] = [(values, _loss(some, losses)) for values, some in zip(asked, runs[cell.id], strict=True)]
    asked += suggest(space, cell.default, told)
    return True


def _most(cell: TunedCell, space: SearchSpace) -> int:
    """The number of trials of a cell: one if its choices have none of the tuned keys."""
    return space.trials if cell.default else 1


def _loss(runs: Sequence[Run], losses: Mapping[str, float]) -> float:
    """The median validation loss of a trial over the seeds that did not fail: inf if at least half diverge."""
    finished = [loss for run in runs if not math.isnan(loss := losses.get(run.id, math.nan))]
    return statistics.median(finished) if finished else math.nan


def search_id(space: SearchSpace, cells: Sequence[TunedCell]) -> str:
    """A hash of what is searched and how; not of the number of trials, so that a search can be prolonged."""
    facts = [space.tuner, space.seed, *(each.key for each in space.ranges), *(each.recorded for each in space.ranges)]
    ids = [run.id for cell in cells for run in cell.runs(cell.default)]
    return hashlib.sha256(repr([*facts, *sorted(ids)]).encode()).hexdigest()[:16]


def default_name(search: str) -> str:
    """The name of a search's sweep, if the user gives none."""
    return f"sweep-{search[:8]}"
