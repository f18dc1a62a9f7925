"""What may be removed from results folders, and two of them made one. Nothing that counts is changed."""

import filecmp
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from initbench.errors import InputError
from initbench.results import checkpoints
from initbench.results.claims import RunClaims
from initbench.results.files import move_into_place, write_through, writing_to
from initbench.results.folders import StoredFolder, roots
from initbench.results.load import ResultsFolder
from initbench.results.owners import Owner
from initbench.results.status import size_of, superseded
from initbench.results.store import DRAFT, damaged, drafts, free_names

ABANDONED = 24 * 3600.0  # seconds after which a draft of another machine's process is taken for left over


@dataclass(frozen=True)
class Leftover:
    """A folder or a file that no result needs. why: one clause."""

    path: Path
    why: str
    bytes: int


def leftovers(folder: ResultsFolder) -> list[Leftover]:
    """What `clean` removes: superseded stacks, drafts of processes that are gone, checkpoints that nobody can use."""
    found = [(stack.path, "other stacks have newer trainings of all its runs") for stack in superseded(folder.stacks)]
    for root in roots(folder.path):
        now = _now_there(root)
        half = [*drafts(root), *checkpoints.drafts(root)]
        found += [(draft, "a write that was cut off") for draft in half if _is_left_over(draft, now)]
        found += _useless_checkpoints(root, folder)
    return [Leftover(path, why, size_of(path)) for path, why in found]


def _useless_checkpoints(root: Path, folder: ResultsFolder) -> Iterator[tuple[Path, str]]:
    """Those of finished stacks, and those that no training here can go on from; with the reason."""
    finished = {run_id for stack in folder.stacks if not damaged(stack.path) for run_id in stack.run_ids}
    in_work = RunClaims(root).holders()
    here = {checkpoints.CODE: checkpoints.code(), **checkpoints.versions()}
    for file in checkpoints.stored(root):
        try:
            checkpoint = checkpoints.read(file)
        except (OSError, ValueError) as error:
            yield file, f"a checkpoint that can't be used: {error}"
            continue
        if not in_work.keys().isdisjoint(checkpoint.run_ids):
            continue
        if finished.issuperset(checkpoint.run_ids):
            yield file, "a checkpoint of runs that are finished"
        elif reason := checkpoints.difference(checkpoint, here):
            yield file, f"a checkpoint that can't be used: {reason}"


def remove(path: Path) -> None:
    """Delete a folder so that nobody ever sees a part of it: it is renamed to a hidden name first. Or a file."""
    if path.is_file():
        path.unlink()
        return
    hidden = path if path.name.startswith(".") else path.with_name(f".{Owner.this().name}.{uuid.uuid4().hex}{DRAFT}")
    if hidden != path:
        os.rename(path, hidden)
    shutil.rmtree(hidden)


def _is_left_over(draft: Path, now: float) -> bool:
    owner = Owner.named(draft.name[1:].split(".")[0])
    alive = owner.alive() if owner else None
    return not alive if alive is not None else now - draft.stat().st_mtime > ABANDONED


def _now_there(root: Path) -> float:
    """The time by the clock that dates the files of a folder: a file server's may differ from this machine's."""
    probe = root / f".{Owner.this().name}.{uuid.uuid4().hex}.now"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:  # a folder that can only be read
        return time.time()
    finally:
        probe.unlink(missing_ok=True)


@dataclass(frozen=True)
class Merged:
    """What became of one folder in a merge. place: in the new folder; None: it was there already, the same."""

    source: Path
    place: Path | None


def merge(folders: Sequence[ResultsFolder], to: Path) -> Iterator[Merged]:
    """Copy all stacks and sweeps into the results folder `to`, and yield them; nothing there is overwritten.

    A folder that is there already with the same files is left out; one of the same name with other files gets the name
    `NAME-2`, then `-3`. Raises InputError before anything is copied if a stack has damaged tables.
    """
    sources = [(kind, stored) for folder in folders for kind, stored in _stored(folder)]
    for kind, stored in sources:
        if kind == "stacks" and (tables := damaged(stored.path)):
            raise InputError(
                f"{stored.path / tables[0]} is missing or cut off; train its runs again there (the same command does "
                "it), or move the folder away"
            )
    for kind, stored in sources:
        yield Merged(stored.path, _copied(stored.path, to / kind, to))


def _stored(folder: ResultsFolder) -> Iterator[tuple[str, StoredFolder]]:
    for stack in folder.stacks:
        yield "stacks", stack
    for sweep in folder.sweeps.values():
        yield "sweeps", sweep


def _copied(source: Path, kind: Path, root: Path) -> Path | None:
    for place in free_names(kind / source.name):
        if place.exists():
            if _same(source, place):
                return None
            continue
        draft = kind / f".{Owner.this().name}.{uuid.uuid4().hex}{DRAFT}"
        try:
            with writing_to(root):
                shutil.copytree(source, draft)
                write_through(draft)
                if move_into_place(draft, place):
                    return place
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    raise AssertionError("unreachable: there is always another name")


def _same(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files, byte for byte."""
    names = [{file.relative_to(folder) for file in folder.rglob("*") if file.is_file()} for folder in (one, other)]
    return names[0] == names[1] and all(filecmp.cmp(one / name, other / name, shallow=False) for name in names[0])
