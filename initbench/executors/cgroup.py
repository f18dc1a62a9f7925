"""The cores and the memory that Linux control groups grant to this process, in a container or a job of a cluster.

A group has no more than the groups that it is in, so the least limit counts. Versions 1 and 2 keep the same numbers in
files of different names: cgroups(7) and the kernel's documentation of CFS bandwidth control and of memory.
The cores of a cpuset are in none of them: the kernel keeps a process's affinity within its cpuset.
"""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")  # of the files; a test makes up its own
NO_LIMIT = 2**60  # bytes; version 1 says "none" by a number above this one


def cpu_quota(root: Path = ROOT) -> float | None:
    """Processor cores that the group may use on average: 1.5, say. None where there is no limit."""
    shares = []
    for folder in _folders(root, "cpu"):
        version_1 = [*_numbers(folder / "cpu.cfs_quota_us"), *_numbers(folder / "cpu.cfs_period_us")]
        for microseconds in (_numbers(folder / "cpu.max"), version_1):
            if len(microseconds) == 2 and microseconds[0] > 0:  # version 1 says "none" by -1
                shares.append(microseconds[0] / microseconds[1])
    return min(shares, default=None)


def memory_limit(root: Path = ROOT) -> int | None:
    """Bytes that the group may use. None where there is no limit."""
    files = [folder / name for folder in _folders(root, "memory") for name in ("memory.max", "memory.limit_in_bytes")]
    return min((size for file in files for size in _numbers(file) if size < NO_LIMIT), default=None)


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's groups, and of all groups around them.

    A container often sees its own group as the top of the tree, and a path that leads nowhere: its parents are tried.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux, or /proc is not there
        return
    tree = root / "sys/fs/cgroup"
    for line in lines:  # number:controllers:path; version 2 has number 0 and no controllers
        _, controllers, path = line.split(":", 2)
        mounts = [tree, tree / "unified"] if not controllers else [tree / controllers, tree / controller]
        if not controllers or controller in controllers.split(","):
            group = Path(path.lstrip("/"))
            yield from (mount / part for mount in mounts for part in (group, *group.parents))


def _numbers(file: Path) -> list[int]:
    """The numbers of a line; none where the file is not there, or says `max`."""
    try:
        words = file.read_text(encoding="utf-8").split()
    except OSError:
        return []
    return [] if "max" in words else [int(word) for word in words]
