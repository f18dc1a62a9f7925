"""Reads results: everything under a folder, or some of its sweeps, as DataFrames that share the column `run_id`."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from initbench.errors import InputError, nearest
from initbench.results.activations_seen import own_models, replaced
from initbench.results.files import column_names, read_table, visible
from initbench.results.folders import StoredFolder, latest_first, names_of, read_stored, reason, roots
from initbench.results.joining import join
from initbench.results.schema import ALWAYS, CURVE_FIELDS, CURVE_TYPES, MAY_BE_MISSING
from initbench.text import split_words

ALL = "all"  # what `--sweep` calls all sweeps together


@dataclass
class Results:
    """The runs, curves and layer statistics under a path, as DataFrames that share the column `run_id`.

    Args:
        path: as given to `load`.
        runs: one row per run asked for: `RUN_COLUMNS`, then its configuration and the other outcomes.
        sweeps: one row per sweep, with the keys of its `sweep.json`.
        stacks: one row per stack folder, with the keys of its `stack.json`.
        skipped: (file, reason) of every file that could not be read; large tables are first read when they are used.

    The columns of all tables are described in `results.schema`.
    """

    path: Path
    runs: pd.DataFrame
    sweeps: pd.DataFrame
    stacks: pd.DataFrame
    skipped: list[tuple[Path, str]] = field(default_factory=list)

    @property
    def zipped(self) -> list[list[str]]:
        """The keys of each `--zip` of these sweeps, each once."""
        recorded = self.sweeps["zipped"].dropna() if "zipped" in self.sweeps else []
        return [list(keys) for keys in dict.fromkeys(tuple(keys) for zips in recorded for keys in zips)]

    @cached_property
    def losses(self) -> pd.DataFrame:
        """One row per run and step: run_id, step, train_loss."""
        return self.read("losses")

    @cached_property
    def evals(self) -> pd.DataFrame:
        """One row per run, step and split: run_id, step, split, loss, acc."""
        return self.read("evals")

    @cached_property
    def layers(self) -> pd.DataFrame:
        """One row per run, log step and layer: run_id, step, layer, name, metrics. `read` reads a part."""
        return self.read("layers")

    @cached_property
    def times(self) -> pd.DataFrame:
        """One row per time step of each recurrent layer: run_id, step, layer, name, time, pre_grad_norm."""
        return self.read("times")

    @cached_property
    def gradients(self) -> pd.DataFrame:
        """One row per run and log step: run_id, step, norm and treated_norm, after what `gradient.*` does."""
        return self.read("gradients")

    def read(self, table: str, *, columns: list[str] | None = None, filters: Any = None) -> pd.DataFrame:
        """Some columns of a table such as `losses`, and its rows by pyarrow's filters, e.g. [("step", "==", 0)].

        A metric that no stack recorded is a column of nulls.
        """
        if columns is not None:
            columns = ["run_id", *(column for column in columns if column != "run_id")]
        parts = []
        for folder, wanted in self.runs.dropna(subset="stack_path").groupby("stack_path", sort=False)["run_id"]:
            file = Path(str(folder)) / f"{table}.parquet"
            if table not in ALWAYS and not file.exists():
                continue
            try:
                needed = CURVE_TYPES[table].keys() - MAY_BE_MISSING
                part = read_table(file, CURVE_FIELDS[table], needed, columns=columns, filters=filters)
                parts.append(part.filter(pc.field("run_id").isin(list(wanted))))
            except (OSError, ValueError) as error:
                self._skip(file, error)
        if not parts:
            return pd.DataFrame(columns=columns or list(CURVE_TYPES[table]))
        rows = pa.concat_tables(parts, promote_options="permissive").unify_dictionaries().to_pandas()
        return rows if columns is None else rows.reindex(columns=columns)

    def _skip(self, file: Path, error: Exception) -> None:
        entry = (file, reason(error))
        if entry not in self.skipped:
            self.skipped.append(entry)


@dataclass(frozen=True)
class ResultsFolder:
    """What was read under a path, of which `results` joins the sweeps that are wanted.

    path: as given to `read_folder`. sweeps: by name, the latest first; see `folders.names_of`. stacks: of all sweeps.
    skipped: (file, reason) of every file that could not be read.
    """

    path: Path
    sweeps: dict[str, StoredFolder]
    stacks: list[StoredFolder]
    skipped: list[tuple[Path, str]]

    @property
    def is_sweep(self) -> bool:
        """Whether the path is the folder of one sweep."""
        return _is_sweep(self.path)

    @cached_property
    def unasked(self) -> int:
        """The number of runs that were trained and that no sweep here asks for."""
        trained = {run_id for stack in self.stacks for run_id in stack.info["run_ids"]}
        asked = {run_id for sweep in self.sweeps.values() for run_id in sweep.run_ids}
        return 0 if self.is_sweep else len(trained - asked)

    def chosen(self, asked: Iterable[str]) -> list[str] | None:
        """The names of the sweeps asked for; None for `all`. A text is a name, or several with commas.

        Raises InputError where no sweep has such a name.
        """
        words = [word for text in asked for word in ([text] if text in self.sweeps else split_words(text))]
        for name in words:
            if name not in (*self.sweeps, ALL):
                raise InputError(f"--sweep {name}: no such sweep in {self.path}{nearest(name, self.sweeps)}")
        if not words:
            raise InputError(f"--sweep: no name given{nearest('', self.sweeps)}")
        return None if ALL in words else list(dict.fromkeys(words))

    def results(self, names: Iterable[str] | None = None) -> Results:
        """All runs of these sweeps; None: all runs, also those that no sweep asked for.

        A run that several sweeps asked for is stored once, and belongs to each of them.
        """
        if names is None and self.is_sweep:
            names = list(self.sweeps)
        wanted = latest_first(self.sweeps.values() if names is None else [self.sweeps[name] for name in names])[::-1]
        only = None if names is None else {run_id for sweep in wanted for run_id in sweep.run_ids}
        stacks = [stack for stack in self.stacks if only is None or not only.isdisjoint(stack.info["run_ids"])]
        found = Results(
            path=self.path,
            runs=join(wanted, stacks, only),
            sweeps=pd.DataFrame([sweep.info for sweep in wanted]),
            stacks=pd.DataFrame([stack.info for stack in stacks]),
            skipped=list(self.skipped),
        )
        return _with_activations_seen(found)


def _with_activations_seen(results: Results) -> Results:
    """The results with what was seen as the activation of models of one's own that never ask for one."""
    runs: Any = results.runs
    own = runs["model"].isin(own_models(runs))
    if not own.any():
        return results
    at_birth = [("step", "==", 0)]
    layers: Any = replace(results, runs=runs[own]).read("layers", columns=["layer", "activation"], filters=at_birth)
    recorded = layers["run_id"].isin(_with_column(runs[own], "activation"))
    return replace(results, runs=replaced(runs, layers[recorded]))


def _with_column(runs: pd.DataFrame, column: str) -> list[str]:
    """The runs whose layers.parquet has a column."""
    folders = runs.dropna(subset="stack_path").groupby("stack_path")["run_id"]
    files = {Path(str(folder)) / "layers.parquet": list(ids) for folder, ids in folders}
    return [name for file, ids in files.items() if file.exists() and column in column_names(file) for name in ids]


def read_folder(path: str | Path) -> ResultsFolder:
    """Everything under `path`: a results folder, a folder above several, or one sweep's (`ROOT/sweeps/NAME`).

    Raises InputError when the path is missing or there are no results under it.
    """
    path = Path(path)
    try:
        os.listdir(path)
    except OSError as error:
        raise InputError(f"no results at {path}: {error.strerror}") from error
    skipped: list[tuple[Path, str]] = []
    found = [path.resolve().parent.parent] if _is_sweep(path) else roots(path)
    folders = [path] if _is_sweep(path) else [folder for root in found for folder in visible(root / "sweeps")]
    sweeps = latest_first(sweep for folder in folders if (sweep := read_stored(folder, skipped)))
    only = {run_id for sweep in sweeps for run_id in sweep.run_ids} if _is_sweep(path) else None
    folders = [folder for root in found for folder in visible(root / "stacks")]
    stacks = [stack for folder in folders if (stack := read_stored(folder, skipped, only))]
    if not (sweeps or stacks or skipped):
        raise InputError(f"no sweeps under {path}; run `initbench run` first")
    names = {str(sweep.info["name"]): sweep for sweep in sweeps} if _is_sweep(path) else names_of(sweeps, path)
    return ResultsFolder(path, names, stacks, skipped)


def _is_sweep(path: Path) -> bool:
    return (path / "sweep.json").is_file()


def load(path: str | Path, sweeps: Iterable[str] | None = None) -> Results:
    """The results under `path`: a results folder, a folder above several, or one sweep's (`ROOT/sweeps/NAME`).

    sweeps: the names of those that are wanted; left out, all, and runs that no sweep asked for.
    A run that was trained several times is the newest training that finished; an untrained run is `pending`.
    Raises InputError when the path is missing, there are no results under it, or no sweep has such a name.
    """
    folder = read_folder(path)
    return folder.results(None if sweeps is None else folder.chosen(sweeps))
