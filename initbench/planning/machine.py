"""What a sweep may use of the machine that its executor describes."""

import re

from initbench.errors import InputError
from initbench.executors.protocol import Machine

GIB = 1024**3


def memory_limit(text: str | None, machine: Machine) -> int:
    """Bytes that the stacks in training may take together: those of `4GiB`, `512MiB`, `2GB`, or the machine's."""
    if text is None:
        return machine.memory
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT])(i?)B?\s*", text, re.IGNORECASE)
    if not match or float(match[1]) <= 0:
        raise InputError(f"--memory {text}: a size such as 4GiB or 512MiB is needed")
    base = 1024 if match[3] else 1000
    return int(float(match[1]) * base ** ("KMGT".index(match[2].upper()) + 1))


def worker_limit(workers: int | None, machine: Machine) -> int:
    """How many stacks may train at the same time: as many as asked for, one on a GPU, else one per core."""
    if workers is not None and workers < 1:
        raise InputError(f"--workers {workers}: at least 1 is needed")
    return workers or (1 if machine.device != "cpu" else machine.cores)


def gib(size: int) -> str:
    return f"{size / GIB:.2g} GiB"
