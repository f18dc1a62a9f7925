"""Ensembles over seeds: the accuracy of a cell's averaged prediction, beside the mean of its members'."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from initbench.analysis.axes import split_by_seed
from initbench.analysis.contests import Contests
from initbench.config.keys import BY_SEED
from initbench.results.load import Results


@dataclass
class _Ensemble:
    """The sum of its members' probabilities (examples, classes), and of their accuracies."""

    example: np.ndarray
    label: np.ndarray
    p: np.ndarray
    accuracies: float = 0.0
    members: int = 0

    def add(self, p: np.ndarray) -> None:
        self.p = self.p + p
        self.accuracies += _accuracy(p, self.label)
        self.members += 1


def beside(summary: pd.DataFrame, contests: Contests) -> pd.DataFrame:
    """The summary with the columns ensemble_acc, ensemble_members_acc (fractions) and ensemble_members (runs).

    ensemble_acc: accuracy of the class with the highest mean probability over the cell's finished runs that have
    predictions of the same test examples; a diverged run has none. ensemble_members_acc: the mean of these runs'
    own. Null where fewer than two have. Without any predictions the summary is returned as it is.
    """
    found = ensembles(contests, summary)
    if not found:
        return summary
    enough = {place: one for place, one in found.items() if one.members > 1}
    ours = {place: _accuracy(one.p, one.label) for place, one in enough.items()}
    single = {place: one.accuracies / one.members for place, one in enough.items()}
    places = range(len(summary))
    return summary.assign(
        ensemble_acc=[ours.get(place, math.nan) for place in places],
        ensemble_members_acc=[single.get(place, math.nan) for place in places],
        ensemble_members=[found[place].members if place in found else 0 for place in places],
    )


def ensembles(contests: Contests, summary: pd.DataFrame) -> dict[int, _Ensemble]:
    """The ensemble of each cell that has predictions, by its row in the summary."""
    axes, runs = contests.cell_axes, contests.done[contests.done["outcome"] != "diverged"]
    if split_by_seed(runs):
        return {}  # no two seeds have the same test examples; nor have those of which only some are drawn so
    if "data.split_seed" in runs:
        runs = runs[runs["data.split_seed"].astype("str") != BY_SEED]
    rows = summary[axes].assign(row=range(len(summary)))
    row_of = dict(zip(runs["run_id"], runs[axes].merge(rows, on=axes, how="left")["row"], strict=True))
    found: dict[int, _Ensemble] = {}
    for run_id, example, label, p in _predictions(contests.results):
        place = row_of.get(run_id)
        if place is None or not np.isfinite(p).all():
            continue
        one = found.setdefault(place, _Ensemble(example, label, np.zeros(p.shape)))
        if one.p.shape == p.shape and np.array_equal(one.example, example) and np.array_equal(one.label, label):
            one.add(p)
    return found


def _predictions(results: Results) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """run_id, example, label and p (examples, classes) of each run, by example; a stack's file at a time."""
    for folder, wanted in results.runs.dropna(subset="stack_path").groupby("stack_path", sort=False)["run_id"]:
        file = Path(str(folder)) / "predictions.parquet"
        if not file.exists():
            continue
        try:
            table = pq.read_table(file, columns=["run_id", "example", "label", "p"])
            table = table.filter(pc.field("run_id").isin(list(wanted))).combine_chunks()
            p = _matrix(table["p"]) if len(table) else np.empty((0, 0))
        except (OSError, ValueError, KeyError) as error:
            results.skipped.append((file, " ".join(str(error).split())))
            continue
        example, label = (table[name].to_numpy() for name in ("example", "label"))
        for run_id, rows in pd.Series(range(len(table))).groupby(table["run_id"].to_pandas().astype("str")):
            rows = rows.to_numpy()[np.argsort(example[rows], kind="stable")]
            yield str(run_id), example[rows], label[rows], p[rows]


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    """(rows, classes). Raises ValueError where a row has another number of classes."""
    values = pa.chunked_array([chunk.flatten() for chunk in column.chunks]).to_numpy().astype("float64")
    if not len(column) or len(values) % len(column):
        raise ValueError("probabilities of different lengths")
    return values.reshape(len(column), -1)


def _accuracy(p: np.ndarray, label: np.ndarray) -> float:
    return float((p.argmax(axis=1) == label).mean())
