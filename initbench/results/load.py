"""Reads results: everything under a folder, as DataFrames that share the column `run_id`."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from initbench.errors import InputError
from initbench.results.schema import ALWAYS, CURVE_TYPES, OUTCOME_TYPES, RUN_COLUMNS
from initbench.results.store import read_json, text, visible

UNITS_OF_OLD_RESULTS = {"labels": "nats", "numbers": "squared error"}  # by task, where no loss_unit was recorded


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
                there = columns and [column for column in pq.read_schema(file).names if column in columns]
                part = pq.read_table(file, columns=there, filters=filters)
                parts.append(part.filter(pc.field("run_id").isin(list(wanted))))
            except (OSError, ValueError, KeyError) as error:
                self._skip(file, error)
        if not parts:
            return pd.DataFrame(columns=columns or list(CURVE_TYPES[table]))
        rows = pa.concat_tables(parts, promote_options="permissive").unify_dictionaries().to_pandas()
        return rows if columns is None else rows.reindex(columns=columns)

    def _skip(self, file: Path, error: Exception) -> None:
        entry = (file, _reason(error))
        if entry not in self.skipped:
            self.skipped.append(entry)


def load(path: str | Path) -> Results:
    """Everything under `path`: a results folder, a folder above several, or one sweep's (`ROOT/sweeps/NAME`).

    A run that was trained several times is the newest training that finished; an untrained run is `pending`.
    Raises InputError when the path is missing or there are no results under it.
    """
    path = Path(path)
    try:
        os.listdir(path)
    except OSError as error:
        raise InputError(f"no results at {path}: {error.strerror}") from error
    skipped: list[tuple[Path, str]] = []
    is_sweep = (path / "sweep.json").is_file()
    roots = [path.resolve().parent.parent] if is_sweep else _roots(path)
    sweep_folders = [folder for root in roots for folder in visible(root / "sweeps")]
    sweeps = [sweep for folder in sweep_folders if (sweep := _read(folder, skipped))]
    sweeps.sort(key=lambda sweep: (_seconds(sweep.info["created"]), sweep.info["name"]))
    asked_by: dict[str, str] = {}
    for sweep in sweeps:
        for run_id in _ids([sweep]):
            asked_by.setdefault(run_id, sweep.info["name"])
    only = None
    if is_sweep:
        sweeps = [sweep for sweep in sweeps if sweep.path.resolve() == path.resolve()]
        only = _ids(sweeps)
    stacks = [stack for root in roots for folder in visible(root / "stacks") if (stack := _read(folder, skipped, only))]
    if not (sweeps or stacks or skipped):
        raise InputError(f"no sweeps under {path}; run `initbench run` first")
    runs = _join(sweeps, stacks, asked_by)
    if only is not None:
        runs = runs.query("run_id in @only").reset_index(drop=True)
    return Results(
        path=path,
        runs=runs,
        sweeps=pd.DataFrame([sweep.info for sweep in sweeps]),
        stacks=pd.DataFrame([stack.info for stack in stacks]),
        skipped=skipped,
    )


@dataclass(frozen=True)
class _Folder:
    """The folder of a sweep or stack: its JSON file and its runs.parquet."""

    path: Path
    info: dict[str, Any]
    runs: pa.Table


def _roots(path: Path) -> list[Path]:
    """The results folders at or below `path`; a results folder holds no other."""
    found = []
    for folder, below, _ in os.walk(path):
        if {"sweeps", "stacks"} & set(below):
            found.append(Path(folder))
            below.clear()
        below[:] = sorted(name for name in below if not name.startswith("."))
    return found


def _read(folder: Path, skipped: list[tuple[Path, str]], only: set[str] | None = None) -> _Folder | None:
    """The folder of a sweep or stack; None where a file cannot be read, or where a stack trained no run of `only`."""
    is_sweep = folder.parent.name == "sweeps"
    file, time = (folder / "sweep.json", "created") if is_sweep else (folder / "stack.json", "started")
    try:
        info = read_json(file, {time, "name" if is_sweep else "run_ids"})
        _seconds(info[time])
        if only is not None and only.isdisjoint(info["run_ids"]):
            return None
        file = folder / "runs.parquet"
        runs = _read_runs(file, {"run_id"} if is_sweep else {"run_id", "status"})
        return _Folder(folder, {"path": str(folder), **info}, runs)
    except (OSError, ValueError) as error:
        skipped.append((file, _reason(error)))
        return None


def _read_runs(file: Path, needed: set[str]) -> pa.Table:
    with pq.ParquetFile(file) as parquet:
        if not set(parquet.schema_arrow.names) >= needed:
            raise ValueError(f"not one of initbench's files: lacks {', '.join(sorted(needed))}")
        return parquet.read(use_threads=False)


def _reason(error: Exception) -> str:
    """Why a file was skipped, in one line."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "missing" if isinstance(error, FileNotFoundError) else "not a folder"
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return f"not JSON, or truncated: {error}"
    return " ".join(str(error).split())


def _seconds(timestamp: str) -> float:
    """Seconds since 1970 of an ISO time; one without a zone is taken as UTC."""
    moment = datetime.fromisoformat(timestamp)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _ids(folders: Iterable[_Folder]) -> set[str]:
    return {run_id for folder in folders for run_id in folder.runs["run_id"].to_pylist()}


def _join(sweeps: list[_Folder], stacks: list[_Folder], asked_by: dict[str, str]) -> pd.DataFrame:
    """One row per run id: its newest finished training, else its newest failure, else pending.

    `asked_by` names the first sweep that asked for a run.
    """
    tables = [_labelled(sweep.runs, status="pending", started=0.0) for sweep in sweeps]
    tables += [
        _labelled(
            stack.runs,
            started=_seconds(stack.info["started"]),
            stack_path=str(stack.path),
            stack_id=stack.path.name,
            stack_size=stack.info.get("stack_size"),
            stack_seconds=stack.info.get("stack_seconds"),
        )
        for stack in stacks
    ]
    asked = dict.fromkeys(run_id for sweep in sweeps for run_id in sweep.runs["run_id"].to_pylist())
    order = {run_id: position for position, run_id in enumerate(asked)}

    runs = _frame(tables)
    runs["task"] = runs["task"].mask(runs["task"].isna() & (runs["status"] == "done"), "labels")  # of older results
    runs["loss_unit"] = runs["loss_unit"].fillna(runs["task"].map(UNITS_OF_OLD_RESULTS.get))
    runs = (
        runs.assign(rank=[{"failed": 1, "done": 2}.get(status, 0) for status in runs["status"]])
        .sort_values(["rank", "started"], kind="stable")
        .drop_duplicates("run_id", keep="last")
        .assign(sweep=lambda runs: [asked_by.get(run_id) for run_id in runs["run_id"]])
        .assign(order=lambda runs: [order.get(run_id, len(order)) for run_id in runs["run_id"]])
        .sort_values(["order", "run_id"], ignore_index=True)
        .drop(columns=["rank", "order", "started"])
    )
    return runs.reindex(columns=[*RUN_COLUMNS, *(column for column in runs if column not in RUN_COLUMNS)])


def _labelled(table: pa.Table, **constants: Any) -> pa.Table:
    """The table with added columns, each with one value throughout."""
    table = table.drop_columns([name for name in constants if name in table.column_names])
    for name, value in constants.items():
        table = table.append_column(name, pa.array([value] * len(table)))
    return table


def _frame(tables: list[pa.Table]) -> pd.DataFrame:
    """Tables one below the other; each column gets one type, and null where a table lacks it."""
    alike: dict[pa.Schema, list[pa.Table]] = {}  # thousands of stacks have a few schemas
    for table in tables:
        alike.setdefault(table.schema, []).append(table)
    tables = [pa.concat_tables(group) for group in alike.values()]
    types = dict(OUTCOME_TYPES)
    types |= {"stack_path": pa.string(), "stack_id": pa.string(), "started": pa.float64()}
    types |= {"stack_size": pa.int64(), "stack_seconds": pa.float64()}
    types |= {name: pa.null() for name in RUN_COLUMNS if name not in types}
    for name in dict.fromkeys(name for table in tables for name in table.column_names):
        kinds = {table.schema.field(name).type for table in tables if name in table.column_names} - {pa.null()}
        if len(kinds) == 1:
            types[name] = kinds.pop()
        elif kinds and all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds):
            types[name] = pa.float64()
        elif kinds:
            types[name] = pa.string()
    columns = {
        name: pa.chunked_array([_chunk(table, name, kind) for table in tables], kind) for name, kind in types.items()
    }
    return pd.DataFrame({name: _series(column) for name, column in columns.items()})


def _chunk(table: pa.Table, name: str, kind: pa.DataType) -> pa.Array:
    if name not in table.column_names:
        return pa.nulls(len(table), kind)
    column = table[name].combine_chunks()
    if kind == pa.string() and column.type != kind:
        return pa.array([None if value is None else text(value) for value in column.to_pylist()], kind)
    return column.cast(kind)


def _series(column: pa.ChunkedArray) -> pd.Series:
    """pandas' own types; nullable ones for integers and booleans with missing values, so that 7 stays 7 in a CSV."""
    if column.null_count and pa.types.is_integer(column.type):
        return pd.Series(column.to_pandas(types_mapper={column.type: pd.Int64Dtype()}.get))
    if column.null_count and pa.types.is_boolean(column.type):
        return pd.Series(column.to_pandas(types_mapper={column.type: pd.BooleanDtype()}.get))
    return pd.Series(column.to_pandas())
