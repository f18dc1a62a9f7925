"""Processes that work on a results folder: who they are, and whether they still live."""

import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Owner:
    """A process on a machine.

    Args:
        host: name of the machine, of letters, digits and _.
        pid: number of the process there.
        born: when it started, in clock ticks since that machine did; a number is given again to later processes.
    """

    host: str
    pid: int
    born: int

    @classmethod
    def this(cls) -> "Owner":
        """This process."""
        return cls(_host(), os.getpid(), _born(os.getpid()) or 0)

    @property
    def name(self) -> str:
        """For names of files: "node7_4026531836-4711-86213"."""
        return f"{self.host}-{self.pid}-{self.born}"

    @classmethod
    def named(cls, name: str) -> "Owner | None":
        """The owner of a name; None for another text."""
        parts = name.rsplit("-", 2)
        if len(parts) != 3 or not (parts[1].isdecimal() and parts[2].isdecimal()):
            return None
        return cls(parts[0], int(parts[1]), int(parts[2]))

    def alive(self) -> bool | None:
        """Whether the process is there; None where it is another machine's, which can't be asked."""
        if self.host != _host():
            return None
        born = _born(self.pid)
        return born is not None and born == self.born


def _host() -> str:
    """The machine's name; with the number of its own list of processes, where a container has one."""
    host = re.sub("[^A-Za-z0-9_]", "_", socket.gethostname().partition(".")[0]) or "localhost"
    try:
        return f"{host}_{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return host


def _born(pid: int) -> int | None:
    """When a process of this machine started; None where there is none, 0 where the system doesn't tell."""
    try:
        # The second field is the program's name in brackets and may hold anything; the 22nd is the start.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return None if fields[0] in "ZX" else int(fields[19])
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
    try:  # no Linux
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return 0
    return 0
