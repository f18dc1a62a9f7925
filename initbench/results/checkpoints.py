"""Checkpoints of stacks under way: `ROOT/work/checkpoints/STACK_ID.safetensors`, one file each.

Tensors and arrays are safetensors; everything else is JSON in the file's header: never pickle. A file is replaced in
one act by the next one, so that there is always one whole checkpoint.
"""

import contextlib
import functools
import hashlib
import json
import math
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from initbench.config.values import one_line
from initbench.results.files import replace_file, visible
from initbench.results.owners import Owner
from initbench.results.provenance import provenance
from initbench.text import join_words, percent, plural

if TYPE_CHECKING:
    from initbench.config.run import Run

FOLDER = Path("work", "checkpoints")
NAMED = 4  # steps, before only the least and the most are
SUFFIX, DRAFT = ".safetensors", ".tmp"
KEY = "initbench"  # of the header's metadata
CODE, SETTINGS = HASHES = ("code of initbench", "settings")  # of an identity


@dataclass(frozen=True)
class Checkpoint:
    """What is known of a checkpoint without reading its tensors.

    Args:
        stack_id: its stack.
        run_ids: the runs of the stack.
        built: those of them that could be built, and are trained.
        steps_done: updates made.
        steps: updates to be made.
        seconds: time spent so far, on building the runs too.
        started: ISO time, UTC: when the stack's training began.
        looped: whether its runs are trained one after the other at each step.
        identity: see `identity`.
        tree: the state as nested dictionaries; in the place of a tensor stands a list with its name.
    """

    stack_id: str
    run_ids: list[str]
    built: list[str]
    steps_done: int
    steps: int
    seconds: float
    started: str
    looped: bool
    identity: dict[str, Any]
    tree: dict[str, Any]


def identity(runs: Iterable["Run"], device: str, threads: int) -> dict[str, Any]:
    """What must be the same for a training to go on bit for bit, beside the runs: by the word that says what it is.

    device: its name. Settings without effect on a run's id, such as `log_every`, count here too.
    """
    configs = json.dumps([[run.id, run.config] for run in runs], sort_keys=True)
    return {
        **versions(),
        CODE: code(),
        "device": device,
        "threads": threads,
        SETTINGS: hashlib.sha256(configs.encode()).hexdigest()[:16],
    }


def versions() -> dict[str, str]:
    """Of the packages that compute."""
    return {name: version for name, version in provenance()["versions"].items() if name != "hydra-core"}


@functools.cache
def code() -> str:
    """A hash of initbench's source code: a checkout changes without a change of its version."""
    package, found = Path(__file__).parent.parent, hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        found.update(f"{file.relative_to(package).as_posix()}\0".encode() + file.read_bytes())
    return found.hexdigest()[:16]


def difference(checkpoint: Checkpoint, here: Mapping[str, Any]) -> str | None:
    """Why a checkpoint can't be used: "it was made with torch 2.8.0, here is 2.9.0"; None if it can."""
    for name, own in here.items():
        theirs = checkpoint.identity.get(name)
        if theirs != own and name in HASHES:
            return f"it was made with other {name}"
        if theirs != own:
            return f"it was made with {name} {one_line(theirs)}, here is {own}"
    return None


def steps_in_words(found: Sequence[Checkpoint]) -> str:
    """ "steps 400 and 900 of 1,000"; of many, or of different lengths, the least and the most."""
    done, lengths = sorted(each.steps_done for each in found), {each.steps for each in found}
    if len(lengths) > 1:
        shares = [each.steps_done / each.steps for each in found]
        return f"{percent(min(shares), 0)} to {percent(max(shares), 0)} of their steps"
    some = join_words([f"{step:,}" for step in done]) if len(done) <= NAMED else f"{done[0]:,} to {done[-1]:,}"
    return f"step{'s' * (len(done) > 1)} {some} of {lengths.pop():,}"


def not_used(file: Path, reason: str, runs: int | None = None) -> str:
    """The sentence that says why a training starts anew."""
    what = "its runs start" if runs is None else f"{plural(runs, 'run')} {'starts' if runs == 1 else 'start'}"
    return f"{file} is not used: {reason}; {what} anew"


def place(root: Path, stack_id: str) -> Path:
    """Where the checkpoint of a stack lies."""
    return root / FOLDER / f"{stack_id}{SUFFIX}"


def stored(root: Path) -> list[Path]:
    """The files of all checkpoints."""
    return [file for file in visible(root / FOLDER) if file.suffix == SUFFIX]


def drafts(root: Path) -> list[Path]:
    """The hidden files that are being written, and those that a killed process left."""
    return sorted((root / FOLDER).glob(f".*{DRAFT}"))


def write(root: Path, checkpoint: Checkpoint, tensors: Mapping[str, Any]) -> None:
    """Write a checkpoint in place of the stack's last one, through to the disk. tensors: by the names in its tree."""
    from safetensors.torch import save_file

    target = place(root, checkpoint.stack_id)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{Owner.this().name}.{checkpoint.stack_id}.{uuid.uuid4().hex[:8]}{DRAFT}")
    try:
        save_file(dict(tensors), draft, metadata={KEY: json.dumps(vars(checkpoint), allow_nan=False)})
        replace_file(draft, target)
    finally:
        draft.unlink(missing_ok=True)


def remove(root: Path, stack_id: str) -> None:
    """Delete the checkpoint of a stack, which is finished or given up, and what killed processes began to write."""
    for file in (place(root, stack_id), *(root / FOLDER).glob(f".*.{stack_id}.*{DRAFT}")):
        with contextlib.suppress(OSError):  # it costs space, and `initbench clean` removes it
            file.unlink(missing_ok=True)


def read(path: Path) -> Checkpoint:
    """What a file says of itself. Raises OSError, or ValueError with a clause where it can't be used."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():  # a pipe would wait for ever
        raise ValueError("not a file")
    try:
        with safe_open(path, framework="numpy") as file:  # looks whether the file is as long as its header says
            content = json.loads((file.metadata() or {}).get(KEY, "null"))
    except SafetensorError as error:
        raise ValueError(f"not safetensors, or cut off: {error}") from error
    except RecursionError:
        raise ValueError("not one of initbench's files: nested too deep") from None
    if not isinstance(content, dict) or content.keys() != {field.name for field in fields(Checkpoint)}:
        raise ValueError("not one of initbench's checkpoints")
    for name, kind in WANTED.items():
        if type(content[name]) is not kind:
            raise ValueError(f"not one of initbench's checkpoints: {name} is no {kind.__name__}")
    if content["stack_id"] != path.stem or not all(
        type(run_id) is str for run_id in content["run_ids"] + content["built"]
    ):
        raise ValueError("not the checkpoint of the stack that it is named after")
    found = Checkpoint(**content)
    datetime.fromisoformat(found.started)  # or a ValueError
    whole = len(set(found.run_ids)) == len(found.run_ids) > 0 and 0 <= found.steps_done <= found.steps
    if not whole or found.steps == 0 or not 0 <= found.seconds < math.inf:
        raise ValueError("not one of initbench's checkpoints: its numbers can't be")
    return found


WANTED: dict[str, type] = {
    "stack_id": str,
    "run_ids": list,
    "built": list,
    "steps_done": int,
    "steps": int,
    "seconds": float,
    "started": str,
    "looped": bool,
    "identity": dict,
    "tree": dict,
}


def split(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A state as a tree for JSON, and its tensors by the names that stand in their places."""
    tensors: dict[str, Any] = {}
    return _plain(state, "", tensors), tensors


def _plain(part: Any, name: str, tensors: dict[str, Any]) -> Any:
    import torch

    if isinstance(part, Mapping):
        return {key: _plain(entry, f"{name}/{quote(key)}".lstrip("/"), tensors) for key, entry in part.items()}
    if isinstance(part, int | float | str):
        return part
    tensors[name] = torch.as_tensor(part).contiguous()
    return [name]


def state(root: Path, checkpoint: Checkpoint) -> dict[str, Any]:
    """The state that was `split`. Raises OSError or ValueError where the file lacks a tensor."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return _whole(checkpoint.tree, load_file(os.fspath(place(root, checkpoint.stack_id))))
    except (SafetensorError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"damaged: {error}") from error


def _whole(part: Any, tensors: Mapping[str, Any]) -> Any:
    if isinstance(part, dict):
        return {key: _whole(entry, tensors) for key, entry in part.items()}
    return tensors[part[0]] if isinstance(part, list) else part
