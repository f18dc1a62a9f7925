"""Saved weights that runs start from: found before anything is built, and part of a run's id by what they hold."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from initbench.config.values import dotted
from initbench.errors import InputError, nearest

CHECKPOINT = "initbench.parts.inits.checkpoint"
LONGEST_HEADER = 100 * 1024**2  # bytes, as safetensors has it

# The id of a finished run and the file of its weights, given the beginning of its id, its results folder (None: that of
# the command), and values by key: wanted is the run that has them and differs from the one named in nothing else.
FindWeights = Callable[[str, str | None, Mapping[str, Any]], tuple[str, Path]]


def located(choices: Mapping[str, str], config: dict[str, Any], find: FindWeights | None) -> dict[str, Any]:
    """The configuration with the file of `init.run` as `init.path`.

    Raises InputError where there is no such run, or the file is none of safetensors.
    """
    init = config["init"]
    if init.get("_target_") != CHECKPOINT:
        return config
    path, run, by = init["path"], init["run"], init["by"]
    if path is not None and run is not None:
        raise InputError(f"init.path={path} and init.run={run} are both given; give one of them")
    for key in ("by", "results"):
        if run is None and init[key] is not None:
            raise InputError(f"init.{key} is for init.run; give init.run=ID too")
    if run is not None and find is not None:
        wanted = values_of(by if isinstance(by, list) else [by] if by else [], choices, config)
        run_id, file = find(run, init["results"], wanted)
        init = init | {"run": run if by else run_id, "path": str(file)}
    if init["path"] is not None:
        check_safetensors(init["path"])
    return config | {"init": init}


def values_of(keys: Iterable[str], choices: Mapping[str, str], config: Mapping[str, Any]) -> dict[str, Any]:
    """The values of keys and groups, as `init.by` names them; InputError where there is no such key."""
    known = {**dotted(config), **choices}
    for key in keys:
        if key not in known:
            raise InputError(f"init.by={key}: there is no such key{nearest(str(key), known)}")
    return {key: known[key] for key in keys}


def by_content(flat: dict[str, Any]) -> dict[str, Any]:
    """A configuration, `dotted`, as it enters a run's id: saved weights by the run that they are of, or by their hash.

    Where they lie, and how they were found, is not part of it.
    """
    if flat.get("init._target_") != CHECKPOINT or flat.get("init.path") is None:
        return flat
    kept = {key: value for key, value in flat.items() if key not in ("init.results", "init.by")}
    if flat.get("init.run") is not None:
        return kept | {"init.run": Path(flat["init.path"]).stem, "init.path": None}
    return kept | {"init.path": f"sha256:{digest(flat['init.path'])}"}


def digest(path: str) -> str:
    """The SHA-256 of a file's content."""
    stat = Path(path).stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest(path: str, size: int, modified: int) -> str:
    with open(str(path), "rb") as file:  # a number would be a file that is open already
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_safetensors(path: str) -> None:
    """Raise InputError where a file is not there or is none of safetensors. Only its header is read.

    A pickle could run code when it is opened: it is told by its first bytes.
    """
    where = f"'init.path={path}'"
    try:
        with open(str(path), "rb") as file:  # a number would be a file that is open already
            first = file.read(8)
            if first.startswith((b"PK\x03\x04", b"\x80")) and not _is_header(first, file):
                raise InputError(
                    f"{where}: a pickle, as torch.save writes it, which may run code when it is opened; save the "
                    "state_dict with safetensors.torch.save_file"
                )
            if not _is_header(first, file):
                raise InputError(f"{where}: not a file of safetensors; save_weights=true or safetensors writes one")
    except OSError as error:
        what = f"there is no file {path}" if isinstance(error, FileNotFoundError) else error.strerror
        raise InputError(f"{where}: {what}") from None


def _is_header(first: bytes, file: Any) -> bool:
    """Whether a file begins with the length of a header in JSON, and that header."""
    length = int.from_bytes(first, "little")
    if len(first) < 8 or not 2 <= length <= LONGEST_HEADER:
        return False
    file.seek(8)
    text = file.read(length)
    try:
        return len(text) == length and isinstance(json.loads(text), dict)
    except ValueError:
        return False
