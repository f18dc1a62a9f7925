"""What a probe measured: tables of runs at birth, in memory. Nothing of them is stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import pandas as pd

# Columns of `runs` that are not its configuration, beside those of `results.schema`.
WHOLE = {
    "first_loss": "loss of the first minibatch, in the unit of the data's loss",
    "init_seconds": "seconds that building and initializing took",
    "jacobian_mean": "mean singular value of dy/dx, over a few examples",
    "jacobian_spread": "standard deviation of these singular values",
    "jacobian_condition": "largest over smallest of them, the median over examples",
    "kernel_condition": "condition number of the empirical neural tangent kernel of these examples",
    "gradient_quotient": "mean over parameters of |(g - H g) / (g + eps) - 1|; with --full alone",
}

BESIDE = ("features",)  # numbers in an example of the data


@dataclass(frozen=True)
class Births:
    """One row per run, per run and layer, and so on; every table has the column `run_id`.

    runs: configuration, data, `status` (`probed` or `failed`), `error`, `first_loss` (in the unit of the data's loss),
    and what is measured of whole networks. layers: the columns that a training logs at step 0, and `pre_mean`,
    `pre_var`, `q`, `weight_norm`, `moved` (`engine.probing`). correlations: `layer`, `start`, `c`. moves: where more
    steps than one were asked for, `layer`, `name`, `step`, `moved`. times: `layer`, `name`, `time`, `pre_grad_norm`,
    `q`. attention: `name`, `entropy`.
    """

    runs: pd.DataFrame
    layers: pd.DataFrame
    correlations: pd.DataFrame
    moves: pd.DataFrame
    times: pd.DataFrame
    attention: pd.DataFrame

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The runs of several stacks, in the order of the parts; empty tables have their columns."""
        return cls(*(_joined([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def in_order(self, place: Mapping[str, int]) -> Self:
        """The same with the runs in another order: place has each `run_id`'s."""
        return replace(self, runs=self.runs.sort_values("run_id", key=lambda ids: ids.map(place), ignore_index=True))


def _joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    there = [table for table in tables if len(table)]
    return pd.concat(there, ignore_index=True) if there else tables[0]
