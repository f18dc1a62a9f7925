"""The runs of a panel as arrays, and the same initializers under the same seeds with and without a mitigation."""

# pandas annotates nearly everything as "Series or DataFrame or unknown": these checks see only that.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from initbench.report import spread, tables

SYMMETRIC = ("zeros", "constant")  # all units alike: no treatment of the gradient tells them apart
CHANGES = ("learned", "range", "std", "steps_range", "steps_std")  # what is compared with and without, seed by seed
FATES = {"rescued": (False, True), "broken": (True, False), "failing": (False, False), "learning": (True, True)}


@dataclass(frozen=True)
class Panel:
    """The runs of a panel as arrays (labels, values, seeds), NaN where none is finished: `score` (-inf where it
    diverged), `learned` (1 or 0) and `steps` (log10 of the steps to the target, inf where it is never reached).
    """

    labels: list[str]
    values: list[str]
    seeds: list[int]
    score: np.ndarray
    learned: np.ndarray
    steps: np.ndarray

    @classmethod
    def of(cls, runs: pd.DataFrame, axis: str) -> "Panel":
        texts = runs[axis].map(tables.value_text)
        places, names = zip(*map(pd.factorize, (runs["label"], texts, runs["seed"])), strict=True)
        arrays = {}
        for measure in ("score", "learned", "steps"):
            array = np.full([len(each) for each in names], math.nan)
            array[places] = runs[measure].astype("float64").to_numpy()
            arrays[measure] = array
        return cls(*map(list, names), **arrays)


@dataclass(frozen=True)
class Pair:
    """The same initializers under the same seeds, without (0) and with (1) a mitigation: arrays (2, labels, seeds)."""

    labels: list[str]
    seeds: list[int]
    score: np.ndarray
    learned: np.ndarray
    steps: np.ndarray

    @classmethod
    def of(cls, panel: Panel, without: str, value: str) -> "Pair":
        """Those initializers that have the most seeds finished in both, and the seeds that all of these have."""
        both = [panel.values.index(without), panel.values.index(value)]
        there = np.array(~np.isnan(panel.score[:, both]).any(axis=1))
        seeds_of = there.sum(axis=1)
        kept = (seeds_of == seeds_of.max(initial=0)) & (seeds_of > 0)
        shared = there[kept].all(axis=0) if kept.any() else np.zeros(len(panel.seeds), bool)
        kept &= shared.any()
        arrays = {
            measure: getattr(panel, measure)[kept][:, both][..., shared].swapaxes(0, 1)
            for measure in ("score", "learned", "steps")
        }
        labels = [label for label, keep in zip(panel.labels, kept, strict=True) if keep]
        return cls(labels, [seed for seed, keep in zip(panel.seeds, shared, strict=True) if keep], **arrays)

    @property
    def able(self) -> np.ndarray:
        """(2, labels): whether most of its seeds learned."""
        return self.learned.mean(axis=2) > 0.5

    @property
    def sound(self) -> np.ndarray:
        """(2, labels): whether most of its seeds learned and none diverged."""
        return self.able & np.isfinite(self.score).all(axis=2)

    @property
    def compared(self) -> np.ndarray:
        """(labels,): whether its units differ at birth and no run diverged, with or without."""
        return ~symmetric(self.labels) & np.isfinite(self.score).all(axis=(0, 2))

    @property
    def timed(self) -> np.ndarray:
        """(labels,): whether every run reached the target, with and without."""
        return ~symmetric(self.labels) & np.isfinite(self.steps).all(axis=(0, 2))

    def names(self, which: np.ndarray) -> list[str]:
        return [label for label, here in zip(self.labels, which, strict=True) if here]

    def fated(self, fate: str) -> list[str]:
        """The initializers that have one of FATES."""
        return self.names((FATES[fate] == self.able.T).all(axis=1))

    def per_seed(self, change: str) -> np.ndarray | None:
        """(2, seeds): one of CHANGES; None where fewer than two initializers have it."""
        if change == "learned":
            return self.learned.mean(axis=1)
        values = self.steps[:, self.timed] if change.startswith("steps") else self.score[:, self.compared]
        if values.shape[1] < 2:
            return None
        measure = spread.ranges if change.endswith("range") else spread.deviations
        return np.stack([measure(values[0]), measure(values[1])])


def symmetric(labels: Iterable[str]) -> np.ndarray:
    """Whether all units of a layer start alike: those fail nearly everywhere, and would be most of any spread."""
    return np.array([label.split(" ")[0] in SYMMETRIC for label in labels], bool)
