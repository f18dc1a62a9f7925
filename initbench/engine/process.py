"""Settings of a process that computes many small matrix products."""

import ctypes
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
THREADS = 1  # of every training: with another number torch adds in another order, and in a deep net rounding grows


def configure_process(threads: int = THREADS) -> None:
    """Set the number of threads, flush denormal numbers to zero, and keep freed memory for later allocations."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # gradients below 1e-38 would cost a hundred times what others do
    warnings.filterwarnings("ignore", "The value of the smallest subnormal", UserWarning)  # is 0 now: numpy < 2.4
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if hasattr(libc, "mallopt"):
        # Returning a few MiB to the system and asking for them again costs more than the arithmetic on them.
        libc.mallopt(M_MMAP_THRESHOLD, 32 * 2**20)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


@contextmanager
def training_threads() -> Iterator[None]:
    """Compute as trainings do, and afterwards with as many threads as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(before)
