"""What has become of the runs of a results folder: done, failed, missing or stale; and what its files take."""

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from initbench.results import checkpoints
from initbench.results.checkpoints import Checkpoint
from initbench.results.claims import RunClaims, place
from initbench.results.folders import StoredFolder, roots, seconds
from initbench.results.load import Results, ResultsFolder
from initbench.results.provenance import provenance
from initbench.results.store import damaged, drafts

TRAINING_PACKAGES = ("initbench", "torch", "numpy")  # another version of these could train another curve


@dataclass(frozen=True)
class RunCounts:
    """How many of some runs are in which state. stale: of the done ones, see `FolderStatus.stale`."""

    done: int
    failed: int
    missing: int
    stale: int

    @property
    def runs(self) -> int:
        return self.done + self.failed + self.missing


@dataclass(frozen=True)
class FolderStatus:
    """The state of each run under a path, by the files as they are.

    folder: what was read. results: its runs. A run is done if some stack finished it and all tables of that stack are
    whole; it is missing if a sweep asked for it and no stack has it.
    """

    folder: ResultsFolder
    results: Results

    @classmethod
    def of(cls, folder: ResultsFolder) -> "FolderStatus":
        """The status of what `read_folder` read; stacks with a table that is missing or cut off do not count."""
        cut = {stack.path: tables for stack in folder.stacks if (tables := damaged(stack.path))}
        whole = [stack for stack in folder.stacks if stack.path not in cut]
        skipped = [(path / tables[0], "missing, or cut off") for path, tables in cut.items()]
        folder = ResultsFolder(folder.path, folder.sweeps, whole, [*folder.skipped, *skipped])
        return cls(folder, folder.results(None))

    @cached_property
    def states(self) -> dict[str, str]:
        """`done`, `failed` or `missing`, by run id."""
        runs: Any = self.results.runs
        return dict(zip(runs["run_id"], runs["status"].replace("pending", "missing"), strict=True))

    @cached_property
    def stale(self) -> set[str]:
        """The done runs whose training used other versions of the packages that compute than those installed."""
        here = provenance()["versions"]
        other = {stack.path.name for stack in self.folder.stacks if _differs(stack.info.get("versions") or {}, here)}
        runs: Any = self.results.runs
        return set(runs.loc[runs["stack_id"].isin(list(other)) & (runs["status"] == "done"), "run_id"])

    def counts(self, run_ids: Iterable[str] | None = None) -> RunCounts:
        """Of these runs, or of all."""
        run_ids = list(self.states if run_ids is None else run_ids)
        found = Counter(self.states[run_id] for run_id in run_ids)
        return RunCounts(found["done"], found["failed"], found["missing"], len(self.stale.intersection(run_ids)))

    def by_sweep(self) -> dict[str, RunCounts]:
        """By the name of the sweep, the latest first."""
        return {name: self.counts(sweep.run_ids) for name, sweep in self.folder.sweeps.items()}

    @cached_property
    def in_work(self) -> dict[str, list[str]]:
        """The runs in training at this moment, by the name of the process that trains them."""
        found: dict[str, list[str]] = {}
        for root in roots(self.folder.path):
            for run_id, owner in RunClaims(root).holders().items():
                found.setdefault(owner, []).append(run_id)
        return found

    @cached_property
    def under_way(self) -> list[Checkpoint]:
        """The checkpoints of stacks of which a run is missing."""
        found = []
        for root in roots(self.folder.path):
            for file in checkpoints.stored(root):
                with contextlib.suppress(OSError, ValueError):  # `clean` names it
                    found.append(checkpoints.read(file))
        return [each for each in found if any(self.states.get(run_id) == "missing" for run_id in each.run_ids)]

    @cached_property
    def failures(self) -> list[dict[str, Any]]:
        """The rows of the failed runs, with their `error`."""
        runs: Any = self.results.runs
        return runs[runs["status"] == "failed"].to_dict("records")

    def facts(self) -> dict[str, Any]:
        """The status as plain values."""
        counts, space = self.counts(), self.space
        return {
            "path": str(self.folder.path),
            "runs": counts.runs,
            **asdict(counts),
            "sweeps": [{"name": name, "runs": each.runs, **asdict(each)} for name, each in self.by_sweep().items()],
            "in_work": [{"by": place(owner), "run_ids": ids} for owner, ids in self.in_work.items()],
            "under_way": [
                {"run_ids": each.run_ids, "steps_done": each.steps_done, "steps": each.steps} for each in self.under_way
            ],
            "failures": [{"run_id": row["run_id"], "reason": row["reason"]} for row in self.failures],
            "unreadable": [{"file": str(file), "reason": reason} for file, reason in self.folder.skipped],
            "bytes": asdict(space),
        }

    @cached_property
    def space(self) -> "Space":
        """What the files take."""
        gone = superseded(self.folder.stacks)
        return Space(
            stacks=sum(size_of(stack.path) for stack in self.folder.stacks),
            superseded=sum(size_of(stack.path) for stack in gone),
            drafts=sum(size_of(draft) for root in roots(self.folder.path) for draft in drafts(root)),
            checkpoints=sum(size_of(root / checkpoints.FOLDER) for root in roots(self.folder.path)),
        )


@dataclass(frozen=True)
class Space:
    """Bytes of stacks; those of them that are superseded; drafts; checkpoints."""

    stacks: int
    superseded: int
    drafts: int
    checkpoints: int


def superseded(stacks: Iterable[StoredFolder]) -> list[StoredFolder]:
    """The stacks of which no run counts, because other stacks have newer trainings of all of them."""
    stacks = [stack for stack in stacks if not damaged(stack.path)]
    best: dict[str, tuple[tuple[int, float], Path]] = {}
    for stack in stacks:
        for run_id, status in zip(stack.run_ids, stack.runs["status"].to_pylist(), strict=True):
            rank = (int(status == "done"), seconds(stack.info["started"]))
            if run_id not in best or rank >= best[run_id][0]:
                best[run_id] = (rank, stack.path)
    needed = {path for _, path in best.values()}
    return [stack for stack in stacks if stack.path not in needed]


def size_of(folder: Path) -> int:
    """Bytes of a file, or of the files below a folder; one that is deleted meanwhile counts nothing."""
    found = 0
    for file in (folder, *folder.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            found += file.stat().st_size if file.is_file() else 0
    return found


def _differs(there: Mapping[str, Any], here: Mapping[str, Any]) -> bool:
    return any(there.get(name) != here[name] for name in TRAINING_PACKAGES)
