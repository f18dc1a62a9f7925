"""What is on disk: finished stacks and the sweeps that asked for them, as plain Parquet and JSON.

The schema, column by column, is docs/results.md. A folder is written under a hidden temporary name beside its
place and renamed, so that what can be seen is whole; nothing that is finished is ever changed or deleted.
"""

import json
import math
import os
import re
import shutil
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from initbench.errors import InputError

# runs.csv begins with these columns in this order; tables.runs adds every other swept key.
RUN_COLUMNS = [
    "run_id",
    "sweep",
    "init",
    "act",
    "depth",
    "width",
    "data",
    "model",
    "mitigation",
    "optim",
    "lr",
    "seed",
    "steps",
    "batch_size",
    "status",
    "outcome",
    "train_loss",
    "train_acc",
    "val_acc",
    "test_loss",
    "test_acc",
    "diverged_step",
    "first_last_grad_ratio",
    "stack_id",
    "stack_size",
    "stack_seconds",
]

# What a run came to; every other column of runs.parquet is configuration.
OUTCOME_TYPES = {
    "config": pa.string(),
    "status": pa.string(),
    "error": pa.string(),
    "outcome": pa.string(),
    "constant_loss": pa.float64(),
    "input_mean": pa.float64(),
    "input_std": pa.float64(),
    "train_loss": pa.float64(),
    "train_acc": pa.float64(),
    "val_loss": pa.float64(),
    "val_acc": pa.float64(),
    "test_loss": pa.float64(),
    "test_acc": pa.float64(),
    "diverged_step": pa.int64(),
    "first_last_grad_ratio": pa.float64(),
    "parameters": pa.int64(),
}

NAMES = pa.dictionary(pa.int32(), pa.string())
CURVE_TYPES = {
    "losses": {"run_id": NAMES, "step": pa.int32(), "train_loss": pa.float32()},
    "evals": {"run_id": NAMES, "step": pa.int32(), "split": NAMES, "loss": pa.float32(), "acc": pa.float32()},
    "layers": {"run_id": NAMES, "step": pa.int32(), "layer": pa.int32(), "name": NAMES},  # and the metrics
}

Curves = pd.DataFrame | pa.Table | Mapping[str, Any] | None  # a table, or a dict of columns; None is no rows


class Store:
    """A results folder to write to: `root/stacks` and `root/sweeps`, made when first needed."""

    def __init__(self, root: str | Path):
        self.root = Path(root)

    def done(self, run_ids: Iterable[str]) -> set[str]:
        """Those of `run_ids` that some stack has finished; failed runs are not among them."""
        finished = set()
        for folder in _visible(self.root / "stacks"):
            try:
                info = _read_json(folder / "stack.json", {"run_ids", "failed"})
            except (OSError, ValueError):
                continue  # `load` names the file
            finished.update(set(info["run_ids"]) - set(info["failed"]))
        return finished.intersection(run_ids)

    def save_stack(
        self,
        stack_id: str,
        *,
        runs: list[dict[str, Any]],
        losses: Curves = None,
        evals: Curves = None,
        layers: Curves = None,
        info: Mapping[str, Any],
        weights: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Path:
        """Write one finished stack in one atomic act and return its folder, `stacks/STACK_ID`.

        runs: rows of `grid.flatten` with the columns of OUTCOME_TYPES; losses, evals, layers: the columns of
        CURVE_TYPES; weights: run_id to name to array.
        A stack trained anew gets the folder `STACK_ID-2`, then `-3`; the folder's name is its `stack_id`.
        Raises InputError when the root can't be written to.
        """
        with self._draft("stacks") as draft:
            _write(_run_table(runs, OUTCOME_TYPES), draft / "runs.parquet")
            for name, curves in {"losses": losses, "evals": evals, "layers": layers}.items():
                _write(_curve_table(name, curves), draft / f"{name}.parquet")
            if weights:
                _write_weights(weights, draft / "weights")
            record = {
                "stack_id": stack_id,
                "stack_size": len(runs),
                "started": _now(),
                **info,
                "run_ids": [row["run_id"] for row in runs],
                "failed": [row["run_id"] for row in runs if row.get("status") != "done"],
            }
            for place in _names(self.root / "stacks" / stack_id):
                _write_json(record | {"stack_id": place.name}, draft / "stack.json")
                if _moved(draft, place):
                    return place
        raise AssertionError("unreachable: there is always another name")

    def save_sweep(self, name: str, *, info: Mapping[str, Any], runs: list[dict[str, Any]]) -> Path:
        """Write what one `initbench run` asked for, in one atomic act, and return its folder, `sweeps/NAME`.

        The same name with the same run ids is the same sweep, asked again: what is there stays as it is. With
        other run ids it is another sweep and gets the folder `NAME-2`, then `-3`.
        Raises InputError when the root can't be written to or the name can't name a folder.
        """
        if not re.fullmatch(r"[^./\s][^/\0]{0,99}", name):
            raise InputError(f"a sweep can't be named '{name}': it names a folder (up to 100 characters, no '/')")
        asked = {row["run_id"] for row in runs}
        record = {"name": name, "created": _now(), **info}
        with self._draft("sweeps") as draft:
            _write(_run_table(runs), draft / "runs.parquet")
            for place in _names(self.root / "sweeps" / name):
                if _asked(place) == asked:
                    return place
                _write_json(record | {"name": place.name}, draft / "sweep.json")
                if _moved(draft, place):
                    return place
        raise AssertionError("unreachable: there is always another name")

    @contextmanager
    def _draft(self, kind: str) -> Iterator[Path]:
        """A hidden folder beside the place it will be renamed to; gone afterwards, whatever happens."""
        draft = self.root / kind / f".{uuid.uuid4().hex}.tmp"
        try:
            draft.mkdir(parents=True)
        except OSError as error:
            raise InputError(f"can't write results to {self.root}: {error.strerror}") from error
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _names(place: Path) -> Iterator[Path]:
    """`place`, then `place-2`, `place-3`, ..."""
    yield place
    number = 2
    while True:
        yield place.with_name(f"{place.name}-{number}")
        number += 1


def _moved(draft: Path, place: Path) -> bool:
    """Rename a draft into place, unless somebody is there."""
    if place.exists():
        return False
    try:
        os.rename(draft, place)
    except OSError:
        if place.exists():  # another process was faster
            return False
        raise
    return True


def _asked(sweep: Path) -> set[str] | None:
    """The run ids of a sweep on disk; None where there is none that can be read."""
    try:
        return set(pq.read_table(sweep / "runs.parquet", columns=["run_id"])["run_id"].to_pylist())
    except (OSError, ValueError, KeyError):
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _visible(folder: Path) -> list[Path]:
    """What is in a folder, sorted, without drafts and other hidden things."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


# ---------------------------------------------------------------- rows and curves as typed tables


def _run_table(rows: list[dict[str, Any]], also: Iterable[str] = ()) -> pa.Table:
    """A column for every key of any row and for those in `also`; null where a row lacks it."""
    names = dict.fromkeys([*(name for row in rows for name in row), *also])
    return pa.table({name: _column(name, [row.get(name) for row in rows]) for name in names})


def _column(name: str, values: list[Any]) -> pa.Array:
    """One typed column: numbers stay numbers; a column of several kinds (`init.gain` 1 and auto) becomes text."""
    values = [_plain(value) for value in values]
    if name in OUTCOME_TYPES:
        return pa.array(values, OUTCOME_TYPES[name])
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) > 1 and kinds != {int, float}:
        values = [None if value is None else _text(value) for value in values]
    if kinds == {int, float}:
        values = [None if value is None else float(value) for value in values]
    return pa.array(values)


def _plain(value: Any) -> Any:
    """A bool, int, float, str or None; not-a-number is a missing number, lists and mappings become JSON."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and math.isnan(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)


def _text(value: Any) -> str:
    """A value as a user would type it: 1, 0.5, auto, true."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    return json.dumps(value)


def _curve_table(name: str, curves: Curves) -> pa.Table:
    """Curves with ids as dictionaries and metrics in float32; no rows where there are no curves."""
    types = CURVE_TYPES[name]
    if curves is None:
        return pa.schema(types.items()).empty_table()
    table: Any = pa.Table.from_pandas(curves, preserve_index=False) if isinstance(curves, pd.DataFrame) else curves
    if isinstance(table, Mapping):
        table = pa.table(dict(table))
    table = table.select([*types, *(column for column in table.column_names if column not in types)])
    schema = pa.schema([(column, types.get(column, pa.float32())) for column in table.column_names])
    return table.cast(schema)


def _write(table: pa.Table, path: Path) -> None:
    repeated: Any = [column.name for column in table.schema if not pa.types.is_floating(column.type)]
    pq.write_table(table.replace_schema_metadata(), path, compression="zstd", use_dictionary=repeated)


def _write_weights(weights: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    from safetensors.numpy import save_file

    folder.mkdir()
    for run_id, tensors in weights.items():
        save_file({name: _array(tensor) for name, tensor in tensors.items()}, folder / f"{run_id}.safetensors")


def _array(tensor: Any) -> np.ndarray:
    """A contiguous numpy array from one, or from a torch tensor on any device."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu().numpy()
    return np.asarray(tensor, order="C")


def _write_json(content: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _read_json(path: Path, keys: Collection[str]) -> dict[str, Any]:
    """A JSON object that has `keys`; ValueError says what is wrong with it."""
    content = json.loads(path.read_bytes())
    if not isinstance(content, dict) or not content.keys() >= set(keys):
        raise ValueError(f"not one of initbench's files: lacks {', '.join(sorted(keys))}")
    return content


# ---------------------------------------------------------------- reading


@dataclass
class Results:
    """The runs, curves and layer statistics under a path, as DataFrames that share the column `run_id`.

    runs: a row a run asked for, `RUN_COLUMNS` first, then its configuration and what else was measured.
    sweeps, stacks: a row a sweep and a row a stack folder, with what its JSON file says.
    skipped: (file, reason) of everything that could not be read; files of curves are judged when first read.
    """

    path: Path
    runs: pd.DataFrame
    sweeps: pd.DataFrame
    stacks: pd.DataFrame
    skipped: list[tuple[Path, str]] = field(default_factory=list)

    @cached_property
    def losses(self) -> pd.DataFrame:
        """run_id, step, train_loss (nats): the minibatch's loss before the step's update."""
        return self.read("losses")

    @cached_property
    def evals(self) -> pd.DataFrame:
        """run_id, step (updates done), split (train, val, test), loss (nats), acc (fraction)."""
        return self.read("evals")

    @cached_property
    def layers(self) -> pd.DataFrame:
        """run_id, step, layer, name and a column a metric; large: `read` takes a part."""
        return self.read("layers")

    def read(self, table: str, *, columns: list[str] | None = None, filters: Any = None) -> pd.DataFrame:
        """Some columns of `losses`, `evals` or `layers`, and rows by pyarrow's filters: [("step", "==", 0)].

        A metric that no stack recorded is a column of nulls.
        """
        if columns is not None:
            columns = ["run_id", *(column for column in columns if column != "run_id")]
        parts = []
        for folder, wanted in self.runs.dropna(subset="stack_path").groupby("stack_path", sort=False)["run_id"]:
            file = Path(str(folder)) / f"{table}.parquet"
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

    A run that several stacks trained is the newest that finished; one that none has is `pending`.
    Raises InputError when the path is missing or there are no results under it.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"no results at {path}: there is no such folder")
    skipped: list[tuple[Path, str]] = []
    if (path / "sweep.json").is_file():
        roots, sweep_folders = [path.resolve().parent.parent], [path]
    else:
        roots = _roots(path)
        sweep_folders = [folder for root in roots for folder in _visible(root / "sweeps")]
    sweeps = [sweep for folder in sweep_folders if (sweep := _read_sweep(folder, skipped))]
    sweeps.sort(key=lambda sweep: (_seconds(sweep.info["created"]), sweep.info["name"]))
    only = _ids(sweeps) if (path / "sweep.json").is_file() else None
    stacks = [
        stack for root in roots for folder in _visible(root / "stacks") if (stack := _read_stack(folder, skipped, only))
    ]
    if not (sweeps or stacks or skipped):
        raise InputError(f"no sweeps under {path}; run `initbench run` first")
    runs = _join(sweeps, stacks)
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
    """A sweep's or a stack's folder: what its JSON file says, and its runs.parquet."""

    path: Path
    info: dict[str, Any]
    runs: pa.Table


def _roots(path: Path) -> list[Path]:
    """The results folders at or below `path`; one does not hold another."""
    found = []
    for folder, below, _ in os.walk(path):
        if {"sweeps", "stacks"} & set(below):
            found.append(Path(folder))
            below.clear()
        below[:] = sorted(name for name in below if not name.startswith("."))
    return found


def _read_sweep(folder: Path, skipped: list[tuple[Path, str]]) -> _Folder | None:
    file = folder / "sweep.json"
    try:
        info = _read_json(file, {"name", "created"})
        _seconds(info["created"])
        file = folder / "runs.parquet"
        return _Folder(folder, {"path": str(folder), **info}, _read_runs(file, {"run_id"}))
    except (OSError, ValueError) as error:
        skipped.append((file, _reason(error)))
        return None


def _read_stack(folder: Path, skipped: list[tuple[Path, str]], only: set[str] | None) -> _Folder | None:
    file = folder / "stack.json"
    try:
        info = _read_json(file, {"run_ids", "started"})
        _seconds(info["started"])
        if only is not None and only.isdisjoint(info["run_ids"]):
            return None
        file = folder / "runs.parquet"
        return _Folder(folder, {"path": str(folder), **info}, _read_runs(file, {"run_id", "status"}))
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


def _join(sweeps: list[_Folder], stacks: list[_Folder]) -> pd.DataFrame:
    """One row a run id: its newest finished training, else its newest failure, else pending."""
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
    asked_by: dict[str, str] = {}
    for sweep in sweeps:
        for run_id in sweep.runs["run_id"].to_pylist():
            asked_by.setdefault(run_id, sweep.info["name"])
    order = {run_id: position for position, run_id in enumerate(asked_by)}

    runs = _frame(tables)
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
    """The table with columns that hold one value each."""
    table = table.drop_columns([name for name in constants if name in table.column_names])
    for name, value in constants.items():
        table = table.append_column(name, pa.array([value] * len(table)))
    return table


def _frame(tables: list[pa.Table]) -> pd.DataFrame:
    """Tables one below the other; a column is an integer, a float, a bool or text throughout, null where absent."""
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
        return pa.array([None if value is None else _text(value) for value in column.to_pylist()], kind)
    return column.cast(kind)


def _series(column: pa.ChunkedArray) -> pd.Series:
    """pandas' own types, and its nullable ones where integers or truths are missing (so that 7 stays 7 in a CSV)."""
    if column.null_count and pa.types.is_integer(column.type):
        return pd.Series(column.to_pandas(types_mapper={column.type: pd.Int64Dtype()}.get))
    if column.null_count and pa.types.is_boolean(column.type):
        return pd.Series(column.to_pandas(types_mapper={column.type: pd.BooleanDtype()}.get))
    return pd.Series(column.to_pandas())
