"""Settings of a process that computes many small matrix products."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def configure_process(threads: int) -> None:
    """Set the number of threads, flush denormal numbers to zero, and keep freed memory for later allocations."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # gradients below 1e-38 would cost a hundred times what others do
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if hasattr(libc, "mallopt"):
        # Returning a few MiB to the system and asking for them again costs more than the arithmetic on them.
        libc.mallopt(M_MMAP_THRESHOLD, 32 * 2**20)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread, as trainings do, and afterwards with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
