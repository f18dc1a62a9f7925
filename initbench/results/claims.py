"""Who trains which run: several processes, here or on other machines, share the work of one results folder.

Below `ROOT/work` each process has a file `owners/NAME`, which it writes anew every few seconds. Each run in training
has a file `claims/RUN_ID` with the name of its owner: a hard link, which is made in one act, on NFS too, so that two
processes never hold one run. An owner of this machine is dead when its process is; another machine's when its file
has not changed for `LEASE` seconds of the observer's own clock. Clocks are never compared.
"""

import contextlib
import os
import threading
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from initbench.results.files import visible, writing_to
from initbench.results.owners import Owner

BEAT = 5.0  # seconds between two writes of an owner's file
LEASE = 60.0  # seconds without one, after which an owner on another machine is dead


def place(owner: str) -> str:
    """ "process 4711 on node7", of an owner's name."""
    host, pid, _ = owner.rsplit("-", 2)
    return f"process {pid} on {host.rpartition('_')[0] or host}"


class RunClaims:
    """The claims of this process on the runs of a results folder; a context that gives them back at its end."""

    def __init__(self, root: str | Path):
        self.root = Path(root)
        self.work = self.root / "work"
        self.owner = f"{Owner.this().name}.{uuid.uuid4().hex[:8]}"
        self.held: set[str] = set()
        self.beats: dict[str, tuple[bytes, float]] = {}  # of other owners: what was read, and when it was new here
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        with writing_to(self.root):
            for kind in ("owners", "claims"):
                (self.work / kind).mkdir(parents=True, exist_ok=True)
            self._own_claim.write_text(self.owner, encoding="utf-8")
            self._write_beat(0)
        self.thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stopped.set()
        self.thread.join()
        self.release(list(self.held))
        self._own_file.unlink(missing_ok=True)
        self._own_claim.unlink(missing_ok=True)
        self._bury_the_dead()
        for name in ("owners", "claims", "checkpoints", ""):
            try:
                (self.work / name).rmdir()  # the last one turns off the light
            except FileNotFoundError:
                continue
            except OSError:
                return

    def _bury_the_dead(self) -> None:
        """Remove the files of this machine's processes that were killed, and the claims that nobody took over."""
        for file in visible(self.work / "owners"):
            owner = Owner.named(file.name.split(".")[0])
            if owner and owner.alive() is False:
                for left in (file, file.with_name(f".{file.name}.claim"), file.with_name(f".{file.name}")):
                    left.unlink(missing_ok=True)
        for file in visible(self.work / "claims"):
            name = self._holder(file.name)
            if name and not self._is_alive(name):
                self._bury(file, name)

    def take(self, run_ids: Iterable[str]) -> set[str]:
        """Claim these runs; returns those that are this process's now. RunClaims of the dead are taken over."""
        taken = {run_id for run_id in run_ids if self._take(run_id)}
        self.held |= taken
        return taken

    def release(self, run_ids: Iterable[str]) -> None:
        """Give claims back: their runs are finished, or others may train them."""
        for run_id in run_ids:
            if run_id in self.held:
                self.held.discard(run_id)
                if self._holder(run_id) == self.owner:  # not taken over while this process slept
                    (self.work / "claims" / run_id).unlink(missing_ok=True)

    def others(self, run_ids: Iterable[str]) -> dict[str, str]:
        """Of these runs, those that a living process other than this holds, with the name of its owner."""
        found = {run_id: self._holder(run_id) for run_id in run_ids}
        return {run_id: name for run_id, name in found.items() if name and name != self.owner and self._is_alive(name)}

    def holders(self) -> dict[str, str]:
        """All runs that a living process holds, with the name of its owner."""
        return self.others(file.name for file in visible(self.work / "claims"))

    def _take(self, run_id: str) -> bool:
        file = self.work / "claims" / run_id
        while True:
            try:
                os.link(self._own_claim, file)  # made whole, or not at all
                return True
            except FileExistsError:
                name = self._holder(run_id)
            if name == self.owner:
                return True
            if name is not None and (self._is_alive(name) or not self._bury(file, name)):
                return False

    def _bury(self, file: Path, name: str) -> bool:
        """Take the claim of a dead owner away; of several that try, one succeeds."""
        grave = file.with_name(f".{self.owner}.{file.name}")
        try:
            os.rename(file, grave)
        except FileNotFoundError:
            return True  # another was faster: look again
        buried = grave.read_text(encoding="utf-8")
        if buried != name:  # meanwhile another had buried it and claimed the run: give it back
            with contextlib.suppress(FileExistsError):
                os.link(grave, file)
            grave.unlink()
            return False
        grave.unlink()
        return True

    def _holder(self, run_id: str) -> str | None:
        """The owner's name; None where nobody holds the run."""
        try:
            return (self.work / "claims" / run_id).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def _is_alive(self, name: str) -> bool:
        owner = Owner.named(name.split(".")[0])
        alive = owner.alive() if owner else None
        if alive is not None:
            return alive
        try:
            beat = (self.work / "owners" / name).read_bytes()
        except FileNotFoundError:
            return False
        now = time.monotonic()
        before, since = self.beats.get(name, (b"", now))
        if beat != before:
            self.beats[name] = beat, now
            return True
        return now - since < LEASE

    @property
    def _own_claim(self) -> Path:
        """The file that a claim is a hard link to."""
        return self.work / "owners" / f".{self.owner}.claim"

    @property
    def _own_file(self) -> Path:
        return self.work / "owners" / self.owner

    def _beat(self) -> None:
        number = 0
        while not self.stopped.wait(BEAT):
            number += 1
            try:
                self._write_beat(number)
            except OSError:
                continue  # a file server that is away for a moment: the lease is long

    def _write_beat(self, number: int) -> None:
        draft = self._own_file.with_name(f".{self.owner}")
        draft.write_text(str(number), encoding="utf-8")
        os.replace(draft, self._own_file)
