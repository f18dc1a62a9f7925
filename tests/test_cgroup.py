"""Cores and memory are those that control groups leave, as their files say it; the files are made up."""

import math
import os
from pathlib import Path

import pytest

from initbench.executors import local
from initbench.executors.cgroup import cpu_quota, memory_limit
from initbench.executors.local import LocalExecutor

GIB = 2**30
NONE_V1 = "9223372036854771712\n"  # what version 1 says without a limit: the largest number of whole pages
IN_V1 = "5:cpu,cpuacct:/job/7\n4:memory:/job/7\n1:name=systemd:/\n0::/\n"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def v2(group: str, **files: str) -> dict[str, str]:
    return {f"sys/fs/cgroup{group}/{name.replace('_', '.', 1)}": content for name, content in files.items()}


CASES = {
    "version 2, in a container: its own group is the top": (
        {"proc/self/cgroup": "0::/\n", **v2("", cpu_max="150000 100000\n", memory_max=f"{2 * GIB}\n")},
        (1.5, 2 * GIB),
    ),
    "version 2, without limits": (
        {"proc/self/cgroup": "0::/user\n", **v2("/user", cpu_max="max 100000\n", memory_max="max\n")},
        (None, None),
    ),
    "version 2, the limits of the groups around": (
        {
            "proc/self/cgroup": "0::/slice/job\n",
            **v2("/slice", cpu_max="400000 100000\n", memory_max=f"{GIB}\n"),
            **v2("/slice/job", cpu_max="max 100000\n", memory_max=f"{3 * GIB}\n"),
        },
        (4.0, GIB),
    ),
    "version 2, a path that is seen from outside of the container": (
        {"proc/self/cgroup": "0::/../docker/abc\n", **v2("", cpu_max="50000 100000\n", memory_max=f"{GIB}\n")},
        (0.5, GIB),
    ),
    "version 1, in folders of two controllers each": (
        {
            "proc/self/cgroup": IN_V1,
            "sys/fs/cgroup/cpu,cpuacct/job/7/cpu.cfs_quota_us": "200000\n",
            "sys/fs/cgroup/cpu,cpuacct/job/7/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/job/7/memory.limit_in_bytes": f"{5 * GIB}\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": NONE_V1,
        },
        (2.0, 5 * GIB),
    ),
    "version 1, without limits": (
        {
            "proc/self/cgroup": IN_V1,
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": NONE_V1,
        },
        (None, None),
    ),
    "version 1 for the cores, version 2 beside it for memory": (
        {
            "proc/self/cgroup": "1:cpu:/\n0::/job\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/unified/job/memory.max": f"{GIB}\n",
        },
        (1.0, GIB),
    ),
    "no Linux": ({}, (None, None)),
}


@pytest.mark.parametrize("case", CASES)
def test_limits_are_read_from_the_files_of_both_versions(tmp_path: Path, case: str):
    files, (cores, memory) = CASES[case]
    root = write(tmp_path, files)
    assert cpu_quota(root) == cores
    assert memory_limit(root) == memory


@pytest.mark.parametrize(("quota", "cores"), [(None, 8), (0.5, 1), (1.5, 2), (4.0, 4), (100.0, 8)])
def test_a_quota_takes_cores_away_and_never_adds_any(monkeypatch: pytest.MonkeyPatch, quota: float | None, cores: int):
    """Two workers at a quota of 1.5 train faster than one, which could use one core only: parts are rounded up."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(local, "cpu_quota", lambda: quota)
    assert local.cores() == LocalExecutor().machine("cpu").cores == cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_a_cpuset_takes_cores_away():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})  # what a cpuset does to all processes in it: sched_setaffinity(2)
    try:
        assert local.cores() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(("limit", "gib"), [(None, 4.0), (16 * GIB, 4.0), (2 * GIB, 1.0)])
def test_stacks_take_half_of_little_memory(monkeypatch: pytest.MonkeyPatch, limit: int | None, gib: float):
    monkeypatch.setattr(os, "sysconf", lambda name: 2**12 if name == "SC_PAGE_SIZE" else 2**23)  # 32 GiB
    monkeypatch.setattr(local, "memory_limit", lambda: limit)
    assert LocalExecutor().machine("cpu").memory == gib * GIB
    monkeypatch.setattr(os, "sysconf_names", {})
    assert local.memory() == (limit or math.inf)
