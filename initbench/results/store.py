"""Writes results to disk: finished stacks and the sweeps that asked for them, as plain Parquet and JSON.

What is written is checked against `schema`. A folder is written under a hidden temporary name beside its place, through
to the disk, and renamed: what can be seen is whole, after a power cut too; nothing that is finished is ever changed.
"""

import itertools
import json
import math
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from initbench.errors import InputError
from initbench.results.files import is_whole, move_into_place, read_json, read_table, visible, write_through, writing_to
from initbench.results.owners import Owner
from initbench.results.provenance import now
from initbench.results.schema import (
    ALWAYS,
    ALWAYS_IN_RUNS,
    CURVE_TYPES,
    MAY_BE_MISSING,
    OUTCOME_TYPES,
    RUN_TYPES,
    STACK_JSON,
    SWEEP_JSON,
    Field,
    check_columns,
)

if TYPE_CHECKING:
    import pandas as pd  # planning needs the store, and not the third of a second that pandas takes to import

DRAFT = ".tmp"  # how the names of hidden folders end
Curves: TypeAlias = "pd.DataFrame | pa.Table | Mapping[str, Any] | None"  # columns; None is no rows


class Store:
    """A results folder to write to. `root/stacks` and `root/sweeps` are made when first needed."""

    def __init__(self, root: str | Path):
        self.root = Path(root)

    def done(self, run_ids: Iterable[str]) -> set[str]:
        """The run ids that some stack has finished and of which every file is whole; failed runs are not among them."""
        return self.with_status(run_ids, "done")

    def with_status(self, run_ids: Iterable[str], status: str) -> set[str]:
        """The run ids to which some stack gave a status, `done` or `failed`."""
        wanted, found = set(run_ids), set()
        for folder in visible(self.root / "stacks"):
            try:
                info = read_json(folder / "stack.json", STACK_JSON, {"run_ids", "started"})
                if wanted.isdisjoint(info["run_ids"]) or damaged(folder):
                    continue
                runs = read_table(
                    folder / "runs.parquet", RUN_TYPES, ("run_id", "status"), columns=("run_id", "status")
                )
            except (OSError, ValueError):
                continue  # `load` names the file
            found.update(runs.filter(pc.field("status") == status)["run_id"].to_pylist())
        return found & wanted

    def with_weights(self) -> set[str]:
        """Ids of the runs whose weights were saved."""
        return {file.stem for file in self.root.glob("stacks/[!.]*/weights/*.safetensors")}

    def save_stack(
        self,
        stack_id: str,
        *,
        runs: list[dict[str, Any]],
        info: Mapping[str, Any],
        weights: Mapping[str, Mapping[str, Any]] | None = None,
        **curves: Curves,
    ) -> Path:
        """Write one finished stack in one atomic act and return its folder, `stacks/STACK_ID`.

        Args:
            stack_id: name of the folder; a stack that is trained again gets `STACK_ID-2`, then `-3`.
            runs: rows of `config.run.flatten` with the columns of OUTCOMES.
            info: keys of STACK_JSON.
            weights: arrays by run id and name.
            curves: tables of CURVES by their names.

        Raises InputError if the root takes no folder, CannotWrite if it takes no more (its disk is full, say),
        ValueError where something does not fit the schema.
        """
        with self._draft("stacks") as draft:
            for row in runs:
                if row.get("status") == "done":
                    check_columns("runs.parquet", row, ALWAYS_IN_RUNS, others=True)
            _write(_run_table(runs, OUTCOME_TYPES), draft / "runs.parquet")
            for name in dict.fromkeys([*ALWAYS, *curves]):
                _write(_curve_table(name, curves.get(name)), draft / f"{name}.parquet")
            if weights:
                _write_weights(weights, draft / "weights")
            record = {
                "stack_id": stack_id,
                "stack_size": len(runs),
                "started": now(),
                **info,
                "run_ids": [row["run_id"] for row in runs],
                "failed": [row["run_id"] for row in runs if row.get("status") != "done"],
            }
            for place in free_names(self.root / "stacks" / stack_id):
                _write_json(record | {"stack_id": place.name}, draft / "stack.json", STACK_JSON)
                write_through(draft)
                if move_into_place(draft, place):
                    return place
        raise AssertionError("unreachable: there is always another name")

    def save_sweep(self, name: str, *, info: Mapping[str, Any], runs: list[dict[str, Any]]) -> Path:
        """Write what one `initbench run` asked for, in one atomic act, and return its folder, `sweeps/NAME`.

        The same name with the same run ids is the same sweep: its folder stays as it is. With other run ids it is
        another sweep and gets the folder `NAME-2`, then `-3`; but where it has more runs of the same `search`, these
        are added to its folder.
        Raises InputError if the name can't name a folder or the root takes none, CannotWrite if it takes no more.
        """
        if not re.fullmatch(r"[^./\s][^/\0]{0,99}", name):
            raise InputError(f"a sweep can't be named '{name}': it names a folder (up to 100 characters, no '/')")
        asked = {row["run_id"] for row in runs}
        record = {"name": name, "created": now(), **info}
        with self._draft("sweeps") as draft:
            _write(_run_table(runs), draft / "runs.parquet")
            for place in free_names(self.root / "sweeps" / name):
                there = _asked(place)
                if there == asked:
                    return place
                _write_json(record | {"name": place.name}, draft / "sweep.json", SWEEP_JSON)
                write_through(draft)
                if there is not None and _same_search(place, info):
                    if there < asked:
                        for file in ("runs.parquet", "sweep.json"):
                            os.replace(draft / file, place / file)
                    return place
                if move_into_place(draft, place):
                    return place
        raise AssertionError("unreachable: there is always another name")

    @contextmanager
    def _draft(self, kind: str) -> Iterator[Path]:
        """A hidden folder beside the place to which it will be renamed; deleted at the end if it still exists."""
        draft = self.root / kind / f".{Owner.this().name}.{uuid.uuid4().hex}{DRAFT}"
        try:
            with writing_to(self.root, raises=InputError):
                draft.mkdir(parents=True)
            with writing_to(self.root):
                yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _same_search(sweep: Path, info: Mapping[str, Any]) -> bool:
    """Whether a sweep on disk is an earlier round of the search in `info`."""
    try:
        search = read_json(sweep / "sweep.json", SWEEP_JSON, {"search"})["search"]
    except (OSError, ValueError):
        return False
    return search.get("id") == (info.get("search") or {}).get("id", "")


def same_named(place: Path) -> Iterator[Path]:
    """The folders `place`, `place-2`, ... that there are."""
    return itertools.takewhile(Path.exists, free_names(place))


def drafts(root: Path) -> list[Path]:
    """The hidden folders that are being written, and those that a killed process left."""
    return sorted(path for kind in ("stacks", "sweeps") for path in (root / kind).glob(f".*{DRAFT}"))


def damaged(stack: Path) -> list[str]:
    """The tables of a stack that are missing or cut off: its runs are not done."""
    return [f"{name}.parquet" for name in ("runs", *ALWAYS) if not is_whole(stack / f"{name}.parquet")]


def free_names(place: Path) -> Iterator[Path]:
    """The names that a folder may get: `place`, then `place-2`, `place-3`, ..."""
    yield place
    number = 2
    while True:
        yield place.with_name(f"{place.name}-{number}")
        number += 1


def _asked(sweep: Path) -> set[str] | None:
    """The run ids of a sweep on disk; None where there is none that can be read."""
    try:
        return set(
            read_table(sweep / "runs.parquet", RUN_TYPES, ("run_id",), columns=("run_id",))["run_id"].to_pylist()
        )
    except (OSError, ValueError):
        return None


def _some_columns(file: Path, names: tuple[str, ...]) -> pa.Table:
    return read_table(file, RUN_TYPES, names, columns=names)


def _run_table(rows: list[dict[str, Any]], also: Iterable[str] = ()) -> pa.Table:
    """One column for every key of any row and every name in `also`; null where a row lacks it."""
    names = dict.fromkeys([*(name for row in rows for name in row), *also])
    return pa.table({name: _column(name, [row.get(name) for row in rows]) for name in names})


def _column(name: str, values: list[Any]) -> pa.Array:
    """One typed column: numbers stay numbers; a column of several kinds (`init.gain` 1 and auto) becomes text."""
    values = [_plain(value) for value in values]
    if name in OUTCOME_TYPES:
        try:
            return pa.array(values, OUTCOME_TYPES[name])
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ValueError(f"runs.parquet: {name} is no {OUTCOME_TYPES[name]}: {error}") from error
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) > 1 and kinds != {int, float}:
        values = [None if value is None else text(value) for value in values]
    if kinds == {int, float}:
        values = [None if value is None else float(value) for value in values]
    return pa.array(values)


def _plain(value: Any) -> Any:
    """A bool, int, float, str or None; not-a-number is a missing number, lists and mappings become JSON."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and math.isnan(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)


def text(value: Any) -> str:
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
    table: Any = curves
    if isinstance(table, Mapping):
        table = pa.table(dict(table))
    elif not isinstance(table, pa.Table):
        table = pa.Table.from_pandas(table, preserve_index=False)
    for column in MAY_BE_MISSING & types.keys() - set(table.column_names):
        table = table.append_column(column, pa.nulls(len(table), types[column]))
    check_columns(f"{name}.parquet", table.column_names, types, others=name == "layers")  # others are metrics
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


def _write_json(content: Mapping[str, Any], path: Path, fields: Iterable[Field]) -> None:
    known = {field.name for field in fields}
    check_columns(path.name, content, content.keys() & known)
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
