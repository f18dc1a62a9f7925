"""The runs of a panel as arrays, and the same initializers under the same seeds with and without a mitigation."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from initbench.analysis import variance
from initbench.analysis.axes import value_text
from initbench.analysis.cells import most_learned
from initbench.analysis.measure import Measure, measure
from initbench.config.registry import shipped_facts

CHANGES = ("learned", "range", "std", "steps_range", "steps_std")  # what is compared with and without, seed by seed
MOST = 2**10  # sets of seeds, as many as ten seeds have, after which the search for the best of them ends
EFFECTS = {"rescued": (False, True), "broken": (True, False), "failing": (False, False), "learning": (True, True)}


@dataclass(frozen=True)
class Panel:
    """The runs of a panel as arrays (labels, values, seeds), NaN where none is finished: `score` (-inf where it
    diverged), `learned` (1 or 0) and `log_steps` (log10 of the steps to the target, inf where it is never reached).
    """

    labels: list[str]
    values: list[str]
    seeds: list[int]
    score: np.ndarray
    learned: np.ndarray
    log_steps: np.ndarray
    measure: Measure  # what `score` is

    @classmethod
    def of(cls, runs: pd.DataFrame, axis: str) -> "Panel":
        texts = runs[axis].map(value_text)
        places, names = zip(*map(pd.factorize, (runs["label"], texts, runs["seed"])), strict=True)
        arrays = {}
        for column in ("score", "learned", "log_steps"):
            array = np.full([len(each) for each in names], math.nan)
            array[places] = runs[column].astype("float64").to_numpy()
            arrays[column] = array
        return cls(*map(list, names), **arrays, measure=measure(runs))


@dataclass(frozen=True)
class Pair:
    """The same initializers under the same seeds, without (0) and with (1) a mitigation: arrays (2, labels, seeds).

    labels: that have a seed finished in both; other runs are NaN. What becomes of an initializer is told by all seeds
    that it has. Initializers are held against each other where they have the same: those `paired`, under `seeds`,
    which stand at the places `shared`.
    """

    labels: list[str]
    paired: np.ndarray
    seeds: list[int]
    shared: list[int]
    score: np.ndarray
    learned: np.ndarray
    log_steps: np.ndarray
    measure: Measure

    @classmethod
    def of(cls, panel: Panel, without: str, value: str) -> "Pair":
        both = [panel.values.index(without), panel.values.index(value)]
        there = np.array(~np.isnan(panel.score[:, both]).any(axis=1))
        some, shared = there.any(axis=1), largest(there, least=(2, 1))
        arrays = {
            column: np.where(there, getattr(panel, column)[:, both].swapaxes(0, 1), math.nan)[:, some]
            for column in ("score", "learned", "log_steps")
        }
        return cls(
            labels=[label for label, here in zip(panel.labels, some, strict=True) if here],
            paired=there[some][:, shared].all(axis=1),
            seeds=[panel.seeds[place] for place in shared],
            shared=shared,
            measure=panel.measure,
            **arrays,
        )

    @property
    def able(self) -> np.ndarray:
        """(2, labels): whether most of its seeds learned."""
        return most_learned(np.nansum(self.learned, axis=2), (~np.isnan(self.learned)).sum(axis=2))

    @property
    def sound(self) -> np.ndarray:
        """(2, labels): whether most of its seeds learned and none diverged."""
        return self.able & (self.score != -math.inf).all(axis=2)

    @property
    def compared(self) -> np.ndarray:
        """(labels,): whether it is paired, its units differ at birth and no run diverged, with or without."""
        return ~symmetric(self.labels) & np.isfinite(self.score[..., self.shared]).all(axis=(0, 2))

    @property
    def reached_target(self) -> np.ndarray:
        """(labels,): whether it is paired and every run reached the target, with and without."""
        return ~symmetric(self.labels) & np.isfinite(self.log_steps[..., self.shared]).all(axis=(0, 2))

    def names(self, which: np.ndarray) -> list[str]:
        return [label for label, here in zip(self.labels, which, strict=True) if here]

    def having(self, effect: str) -> list[str]:
        """The initializers that have one of EFFECTS."""
        return self.names((EFFECTS[effect] == self.able.T).all(axis=1))

    def per_seed(self, change: str) -> np.ndarray | None:
        """(2, seeds): one of CHANGES; None where fewer than two initializers have it."""
        if change == "learned":
            return self.learned[:, self.paired][..., self.shared].mean(axis=1)
        values = self.log_steps[:, self.reached_target] if change.startswith("steps") else self.score[:, self.compared]
        values = values[..., self.shared]
        if values.shape[1] < 2:
            return None
        spread = variance.ranges if change.endswith("range") else variance.deviations
        return np.stack([spread(values[0]), spread(values[1])])


def symmetric(labels: Iterable[str]) -> np.ndarray:
    """Whether all units of a layer start alike, as the YAMLs of the initializers say (`# Symmetric: true`).

    Such initializers fail nearly everywhere, whatever is done to the gradient, and would dominate any range.
    """
    facts = shipped_facts("init")
    return np.array(["Symmetric" in facts.get(label.split(" ")[0], {}) for label in labels], bool)


def largest(there: np.ndarray, least: tuple[int, int] = (1, 1)) -> list[int]:
    """The columns of the largest grid without gaps: the most rows times columns, of equals the most columns.

    there: (rows, columns) truths. least: rows and columns that it has, where any grid has as many. With more than ten
    columns and gaps all over, it is the largest of those that were looked at.
    """
    rows = Counter(frozenset(np.flatnonzero(row).tolist()) for row in there)

    def size(columns: frozenset[int]) -> tuple:
        height, width = sum(count for row, count in rows.items() if columns <= row), len(columns)
        return height >= least[0] and width >= least[1], height * width, width, sorted(-column for column in columns)

    found = {frozenset(range(there.shape[1])), *rows}
    for row, _ in rows.most_common():
        if len(found) <= MOST:
            found |= {row & columns for columns in found}
    return sorted(max(found, key=size))
