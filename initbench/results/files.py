"""Files of a results folder: written through to the disk, and read without trust in what they hold.

A reader raises OSError where a file can't be read, and ValueError with one line where its content can't be used.
"""

import errno
import json
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from initbench.results.schema import JSON_KINDS, Field

MAGIC = b"PAR1"  # at both ends of a Parquet file; a truncated one lacks the second
SHORTEST = 8  # bytes before the second: the first, and the length of the footer
REMEDIES = {
    errno.ENOSPC: "free some space there, or choose another folder with --out",
    errno.EDQUOT: "your quota is used up: delete something, or choose another folder with --out",
    errno.EROFS: "choose another folder with --out",
    errno.EACCES: "choose a folder that you may write to with --out",
}


class CannotWrite(OSError):
    """The results folder takes no more: its disk is full, say. What was written before is whole."""


@contextmanager
def writing_to(root: Path, raises: type[Exception] = CannotWrite) -> Iterator[None]:
    """Say of an OSError inside which folder it is about, and what to do."""
    try:
        yield
    except OSError as error:
        text = f"can't write results to {root}: {error.strerror or error}"
        raise raises("; ".join(filter(None, [text, REMEDIES.get(error.errno or 0)]))) from error


def write_through(folder: Path) -> None:
    """Wait until all files below a folder, and the folders that name them, are on the disk."""
    for place, _, files in os.walk(folder):
        for name in files:
            _sync(Path(place) / name)
        _sync(Path(place))


def move_into_place(draft: Path, place: Path) -> bool:
    """Rename a folder that is written through; False where the place is taken.

    After a power cut there is the whole folder under its name, or none.
    """
    if place.exists():
        return False
    try:
        os.rename(draft, place)
    except OSError:
        if place.exists():  # another process was faster
            return False
        raise
    _sync(place.parent)
    return True


def replace_file(draft: Path, place: Path) -> None:
    """Put a file in the place of another: after a power cut one of them is there, whole."""
    _sync(draft)
    os.replace(draft, place)
    _sync(place.parent)


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # Windows opens no folders, and writes their entries by itself
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def visible(folder: Path) -> list[Path]:
    """The entries of a folder, sorted, without drafts and other hidden ones; none where there is no folder."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def read_json(path: Path, fields: Iterable[Field], needed: Collection[str]) -> dict[str, Any]:
    """A JSON object that has the keys `needed`; of its keys, those of `fields` have their type, or are null."""
    _check_regular(path)
    try:
        content = json.loads(path.read_bytes())
    except RecursionError:
        raise ValueError("not one of initbench's files: nested too deep") from None
    if not isinstance(content, dict) or not content.keys() >= set(needed):
        raise ValueError(f"not one of initbench's files: lacks {', '.join(sorted(needed))}")
    for field in fields:
        value = content.get(field.name)
        if value is None and field.name not in needed:
            continue
        if not JSON_KINDS[str(field.type)](value):
            raise ValueError(f"not one of initbench's files: {field.name} is no {field.type}")
    return content


def is_whole(path: Path) -> bool:
    """Whether a Parquet file begins and ends as one: a quick look, which finds what was cut off."""
    try:
        _check_regular(path)
        with path.open("rb") as file:
            begins = file.read(4) == MAGIC
            ends_at = file.seek(-4, os.SEEK_END)
            return begins and ends_at >= SHORTEST and file.read(4) == MAGIC
    except (OSError, ValueError):
        return False


def read_table(
    path: Path,
    types: Mapping[str, pa.DataType],
    needed: Collection[str],
    *,
    columns: Collection[str] | None = None,
    filters: Any = None,
) -> pa.Table:
    """A Parquet table that has the columns `needed`, without nulls in `run_id`.

    types: by column, as it is returned; a column of another kind (text in place of numbers) is an error. columns: those
    to read, of which the file may lack some; None: all.
    """
    _check_regular(path)
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            _check_schema(schema, types, needed)
            names = None if columns is None else [name for name in schema.names if name in columns]
            table = file.read(columns=names, use_threads=False) if filters is None else None
        if table is None:
            # A folder named a=b above the file is no column.
            options: Any = {"columns": names, "filters": filters, "use_threads": False, "partitioning": None}
            table = pq.read_table(path, **options)
        if "run_id" in table.column_names and table["run_id"].null_count:
            raise ValueError("not one of initbench's files: a run_id is null")
        kinds = [(field.name, types.get(field.name, field.type)) for field in table.schema]
        return table.cast(pa.schema(kinds))
    except (pa.ArrowException, OverflowError) as error:  # some of Arrow's are no ValueError: of types, of keys
        raise ValueError(f"not Parquet, or damaged: {error}") from error


def column_names(path: Path) -> list[str]:
    """The columns of a Parquet file."""
    _check_regular(path)
    try:
        return pq.read_schema(path).names
    except pa.ArrowException as error:
        raise ValueError(f"not Parquet, or damaged: {error}") from error


def _check_schema(schema: pa.Schema, types: Mapping[str, pa.DataType], needed: Collection[str]) -> None:
    if lacking := sorted(set(needed) - set(schema.names)):
        raise ValueError(f"not one of initbench's files: lacks {', '.join(lacking)}")
    if len(set(schema.names)) < len(schema.names):
        raise ValueError("not one of initbench's files: two columns of one name")
    for name in schema.names:
        if name in types and not _reads_as(schema.field(name).type, types[name], null=name not in needed):
            raise ValueError(f"not one of initbench's files: column {name} is {schema.field(name).type}")


def _reads_as(there: pa.DataType, wanted: pa.DataType, *, null: bool) -> bool:
    """Whether a stored column can be taken for one of the wanted type: numbers for numbers, text for text."""
    if pa.types.is_null(there):
        return null
    there, wanted = (kind.value_type if pa.types.is_dictionary(kind) else kind for kind in (there, wanted))
    for is_kind in (_is_text, _is_number, pa.types.is_boolean, pa.types.is_list):
        if is_kind(wanted):
            return is_kind(there)
    return there == wanted


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _check_regular(path: Path) -> None:
    """A pipe would wait for ever, and a device has no end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("not a file" if not path.is_dir() else "a folder, not a file")
