"""The cells of a probe: means over the seeds, with standard errors, and a verdict for each."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from initbench.analysis.axes import cell_axes
from initbench.analysis.cells import positions
from initbench.analysis.diagnosis.at_birth import verdicts
from initbench.analysis.diagnosis.conditions import EQUAL
from initbench.analysis.diagnosis.measurements import NAMES, NUMBERS, at_birth
from initbench.analysis.measure import in_nats
from initbench.analysis.probe_theory import Predicted, predicted
from initbench.config.registry import describe
from initbench.results.births import BESIDE, WHOLE, Births

# Columns of `Births.layers` by their names in a probe's JSON.
BY_LAYER = {
    "q": "q",
    "mean": "pre_mean",
    "var": "pre_var",
    "act_mean": "act_mean",
    "act_var": "act_var",
    "act_square": "act_square",
    "w": "weight_norm",
    "grad_w": "weight_grad_norm",
    "grad_s": "pre_grad_norm",
    "dead": "dead",
    "saturated": "saturated",
    "unit_spread": "unit_spread",
    "example_spread": "example_spread",
    "moved": "moved",
}
SHOWN_START = 0.5  # the correlation at the input whose way through the layers `c` is
OF_RUN = ("chi_1_measured", "first_loss_ratio", "output_change", *WHOLE)


@dataclass(frozen=True)
class ProbedCells:
    """A probe's cells in the order of the runs.

    axes: what tells cells apart. cells: one row per cell: the axes, `runs`, `at_birth.verdict`, `chi_1_theory`
    (`no_theory` says why there is none), `constant_output_fraction`, and the mean and standard error (`NAME_se`) over
    the seeds of each of OF_RUN. layers: one row per cell and layer: `cell`, `layer`, `name`, mean and error of BY_LAYER
    and of `c`, and `q_theory`, `c_theory` and `grad_s_theory`, which is in parts of the last hidden layer's.
    correlations: one row per cell, layer and start. moves: one row per cell, layer and step, where more steps than one
    were made: `moved`. times, attention: of recurrent layers and of attention, where there
    are any.
    """

    axes: list[str]
    cells: pd.DataFrame
    layers: pd.DataFrame
    correlations: pd.DataFrame
    moves: pd.DataFrame
    times: pd.DataFrame
    attention: pd.DataFrame
    failed: pd.DataFrame  # runs that could not be built
    theory: list[Predicted]  # of each cell

    @classmethod
    def of(
        cls, births: Births, *, starts: Sequence[float] | None = None, config_dir: Path | None = None
    ) -> "ProbedCells":
        """Bring together what was measured of the runs of each cell, and what theory says of it.

        starts: the correlations that theory follows, each of which takes up to 0.2 s per cell; by default all that were
        measured. config_dir: the folder of the user's own YAMLs.
        """
        known = births.runs["status"] == "probed"
        runs, failed = births.runs[known].reset_index(drop=True), births.runs[~known]
        axes = cell_axes(births.runs.drop(columns=[*WHOLE, *BESIDE, "status"], errors="ignore"))
        numbers = at_birth(runs, births.layers, births.times)
        runs = runs.drop(columns=[*NUMBERS, *NAMES], errors="ignore")
        runs = pd.concat([runs, numbers.reset_index(drop=True)], axis=1)
        runs = runs.assign(**_of_runs(runs, births))
        parts = list(positions(runs, axes))
        facts = {choice.name: choice.facts for choice in describe("init", config_dir)}
        starts = births.correlations["start"].unique().tolist() if starts is None else starts
        theory = [predicted(run, facts.get(run["init"], {}), starts) for run in _first_of(runs, parts)]
        cell_of = pd.Series(
            np.repeat(range(len(parts)), [len(part) for part in parts]),
            index=runs["run_id"].to_numpy()[np.concatenate(parts)] if parts else [],
        )
        layers = _placed(births.layers, cell_of)
        layers = layers.assign(act_square=layers["act_var"] + layers["act_mean"] ** 2)
        layers = layers.rename(columns={column: name for name, column in BY_LAYER.items()})
        correlations = _means(_placed(births.correlations, cell_of), ["cell", "layer", "start"], ["c"])
        correlations = correlations.assign(c_theory=_expected_c(correlations, theory))
        shown = correlations[np.isclose(correlations["start"], SHOWN_START)].drop(columns="start")
        by_layer = _means(layers, ["cell", "layer", "name"], list(BY_LAYER))
        by_layer = by_layer.assign(
            q_theory=_expected(by_layer, [said.q for said in theory]),
            grad_s_theory=_expected(by_layer, [said.grad_s for said in theory]),
        )
        return cls(
            axes=axes,
            cells=_cells(runs, parts, axes, theory),
            layers=by_layer.merge(shown, on=["cell", "layer"], how="left"),
            correlations=correlations,
            moves=_means(_placed(births.moves, cell_of), ["cell", "layer", "name", "step"], ["moved"]),
            times=_means(_placed(births.times, cell_of), ["cell", "layer", "name", "time"], ["q", "pre_grad_norm"]),
            attention=_means(_placed(births.attention, cell_of), ["cell", "name"], ["entropy"]),
            failed=failed,
            theory=theory,
        )

    def json(self) -> list[dict[str, Any]]:
        """One object per cell, with its rows of each of TABLES, where there are any."""
        found = []
        tables = {name: dict(list(getattr(self, name).groupby("cell"))) for name in TABLES}
        for number, cell in enumerate(self.cells.to_dict("records")):
            inside = {name: _records(groups.get(number)) for name, groups in tables.items()}
            found.append(cell | {name: rows for name, rows in inside.items() if rows})
        return found


TABLES = ("layers", "correlations", "moves", "times", "attention")


def _records(rows: pd.DataFrame | None) -> list[dict[str, Any]]:
    return [] if rows is None else rows.drop(columns="cell").to_dict("records")


def _of_runs(runs: pd.DataFrame, births: Births) -> dict[str, Any]:
    """Numbers of each run that are made of others.

    chi_1: by how much the squared gradient grows per layer, from the last to the first hidden one (Schoenholz et al.
    2017). The first loss is compared with that of a guess: ln C, or of a squared error the best constant's.
    """
    outputs = births.layers.drop_duplicates("run_id", keep="last").set_index("run_id")["moved"]
    guess = np.log(runs["classes"].astype("float64")).where(in_nats(runs), runs["constant_loss"])
    return {
        "chi_1_measured": runs["grad_growth"] ** 2,
        "first_loss_ratio": runs["first_loss"] / guess,
        "output_change": runs["run_id"].map(outputs),
        "constant": ~(runs["output_spread"] > EQUAL * runs["output_size"]) & runs["output_size"].notna(),
    }


def _placed(table: pd.DataFrame, cell_of: pd.Series) -> pd.DataFrame:
    """The rows of a table with the number of their cell, in its order."""
    return table.assign(cell=table["run_id"].astype("object").map(cell_of)).sort_values("cell", kind="stable")


def _means(table: pd.DataFrame, by: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """Mean over the runs, and its standard error as `NAME_se`, NaN of a single run."""
    if table.empty:
        return pd.DataFrame(columns=[*by, *(name for column in columns for name in (column, f"{column}_se"))])
    values = table.astype(dict.fromkeys(columns, "float64") | {name: "object" for name in by if name == "name"})
    groups = values.groupby(list(by), sort=False)[list(columns)]
    means, errors = groups.mean(), groups.sem().add_suffix("_se")
    order = [name for column in columns for name in (column, f"{column}_se")]
    return means.join(errors)[order].reset_index()


def _first_of(runs: pd.DataFrame, parts: Sequence[np.ndarray]) -> list[dict[Any, Any]]:
    """The first run of each cell."""
    return runs.iloc[[part[0] for part in parts]].to_dict("records")


def _expected(layers: pd.DataFrame, by_cell: Sequence[Sequence[float]]) -> list[float]:
    """Theory's number for each row, NaN where there is none."""
    pairs = zip(layers["cell"], layers["layer"], strict=True)
    return [by_cell[cell][layer] if layer < len(by_cell[cell]) else math.nan for cell, layer in pairs]


def _expected_c(rows: pd.DataFrame, theory: Sequence[Predicted]) -> list[float]:
    """Theory's correlation for each row, NaN where there is none."""
    return [
        by_start[start][layer] if (by_start := theory[cell].c or {}) and start in by_start else math.nan
        for cell, layer, start in zip(rows["cell"], rows["layer"], rows["start"], strict=True)
    ]


def _cells(
    runs: pd.DataFrame, parts: Sequence[np.ndarray], axes: Sequence[str], theory: Sequence[Predicted]
) -> pd.DataFrame:
    """One row per cell. parts: the positions of each cell's runs."""
    if not parts:
        return pd.DataFrame()
    numbers = runs[["constant", *(name for name in OF_RUN if name in runs)]].astype("float64")
    cell_of = np.empty(len(runs), int)
    for number, part in enumerate(parts):
        cell_of[part] = number
    means = _means(numbers.assign(cell=cell_of), ["cell"], list(numbers)).sort_values("cell").drop(columns="cell")
    found = zip(_first_of(runs, parts), verdicts(runs, parts), theory, means.to_dict("records"), parts, strict=True)
    return pd.DataFrame([_cell(first, axes, *others) for first, *others in found])


def _cell(
    first: Mapping[Any, Any],
    axes: Sequence[str],
    verdict: Mapping[str, Any],
    theory: Predicted,
    means: Mapping[Any, float],
    part: np.ndarray,
) -> dict[str, Any]:
    """The row of one cell. first: one of its runs; means: of its numbers, with their errors."""
    return {
        **{axis: first[axis] for axis in axes},
        "runs": len(part),
        **verdict,
        "chi_1_theory": theory.chi_1,
        "no_theory": theory.reason or None,
        "constant_output_fraction": means["constant"],
        **{name: mean for name, mean in means.items() if not name.startswith("constant")},
    }


def counts(cells: pd.DataFrame) -> Mapping[str, int]:
    """How many cells have each verdict, the commonest first."""
    return cells["verdict"].value_counts().to_dict()
