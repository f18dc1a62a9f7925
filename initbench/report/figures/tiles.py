"""Medians over seeds of what was measured of the layers: one tile per contest and initializer."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from initbench.analysis.contests import Contests, title_words
from initbench.report.figures.panels import deepest
from initbench.report.figures.points import median
from initbench.report.figures.snapshots import evenly


@dataclass(frozen=True)
class Tiles:
    """Medians over seeds of one contest: values[name, label, row, step], NaN where no seed has a finite value."""

    names: list[str]
    title: str
    words: list[str]  # the title's parts
    labels: list[str]
    steps: np.ndarray
    rows: np.ndarray  # the layers, or time steps
    values: np.ndarray
    trained: np.ndarray  # whether any run of the label is finished

    def of(self, name: str) -> np.ndarray:
        """The medians of one quantity: (label, row, step)."""
        return self.values[self.names.index(name)]


def tiles_of(
    contests: Contests, labels: list[str], measured: pd.DataFrame, names: list[str], down: str
) -> tuple[list[Tiles], str]:
    """The tiles of at most `MOST` contests, and a sentence on the contests that are left out.

    labels: the initializers, one row of tiles each. measured: rows with run_id (categorical), step and the columns
    `names`, whose medians are taken. down: the column that the rows of a tile stand for.
    """
    groups, left_out = deepest(list(contests.done.groupby(contests.axes, dropna=False, sort=False)))
    place = pd.Series(-1, index=measured["run_id"].cat.categories)
    for number, (_, here) in enumerate(groups):
        place[place.index.isin(here["run_id"])] = number
    contest = place.to_numpy()[measured["run_id"].cat.codes.to_numpy()]
    order = np.argsort(contest, kind="stable")
    bounds = np.searchsorted(contest[order], np.arange(len(groups) + 1))
    values = measured[names].to_numpy("float32")
    found = []
    for (key, here), first, last in zip(groups, bounds[:-1], bounds[1:], strict=True):
        rows = order[first:last]
        words = title_words(contests.axes, key)
        medians = _medians(measured.iloc[rows], down, values[rows], here, labels)
        if medians is not None:
            found.append(Tiles(names, ", ".join(words), words, labels, *medians))
    return found, left_out


def _medians(
    measured: pd.DataFrame, down: str, values: np.ndarray, runs: pd.DataFrame, labels: list[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """Steps, rows, medians over the seeds of a contest as (name, label, row, step), which labels were trained."""
    if measured.empty:
        return None
    label = pd.Series(pd.Categorical(runs["label"], categories=labels).codes, index=runs["run_id"], dtype="int64")
    seed = label.groupby(label.to_numpy()).cumcount()
    categories = measured["run_id"].cat.categories
    run = measured["run_id"].cat.codes.to_numpy()
    steps, rows = np.unique(measured["step"]), np.unique(measured[down])
    steps = evenly(steps)
    step, row = measured["step"].to_numpy(), measured[down].to_numpy()
    shown = np.isin(step, steps)
    run, step, row, values = run[shown], step[shown], row[shown], values[shown]
    dense = np.full((len(labels), seed.max() + 1, len(rows), len(steps), values.shape[1]), np.nan, "float32")
    at = (
        label.reindex(categories).to_numpy()[run].astype(int),
        seed.reindex(categories).to_numpy()[run].astype(int),
        np.searchsorted(rows, row),
        np.searchsorted(steps, step),
    )
    dense[at] = np.where(np.isfinite(values), values, np.nan)
    trained = np.isin(np.arange(len(labels)), label.to_numpy())
    return steps, rows, np.moveaxis(median(dense, axis=1), -1, 0), trained
