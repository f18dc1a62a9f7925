"""Joins the runs that sweeps asked for and those that stacks trained: one row per run."""

from collections.abc import Sequence, Set
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from initbench.results.folders import StoredFolder, seconds
from initbench.results.schema import OUTCOME_TYPES, RUN_COLUMNS
from initbench.results.store import text
from initbench.text import last_line

UNITS_OF_OLD_RESULTS = {"labels": "nats", "numbers": "squared error"}  # by task, where no loss_unit was recorded


def join(sweeps: Sequence[StoredFolder], stacks: Sequence[StoredFolder], only: Set[str] | None = None) -> pd.DataFrame:
    """One row per run id: its newest finished training, else its newest failure, else pending.

    sweeps: the first asked for comes first; `sweep` names the first of them that asked for a run. only: the ids of the
    runs that are wanted; None: all.
    """
    asked_by: dict[str, str] = {}
    for sweep in sweeps:
        for run_id in sweep.run_ids:
            asked_by.setdefault(run_id, sweep.info["name"])
    order = {run_id: position for position, run_id in enumerate(asked_by)}
    tables = [_labelled(sweep.runs, status="pending", started=0.0) for sweep in sweeps]
    tables += [
        _labelled(
            stack.runs if only is None else stack.runs.filter(pc.field("run_id").isin(list(only))),
            started=seconds(stack.info["started"]),
            stack_path=str(stack.path),
            stack_id=stack.path.name,
            stack_size=stack.info.get("stack_size"),
            stack_seconds=stack.info.get("stack_seconds"),
        )
        for stack in stacks
    ]
    runs = _frame(tables)
    runs["task"] = runs["task"].mask(runs["task"].isna() & (runs["status"] == "done"), "labels")  # of older results
    runs["loss_unit"] = runs["loss_unit"].fillna(runs["task"].map(UNITS_OF_OLD_RESULTS.get))
    runs["reason"] = [last_line(error) if isinstance(error, str) else None for error in runs["error"]]
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
