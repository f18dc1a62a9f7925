"""Named streams of random numbers, each derived from a run's seed and from nothing else."""

import contextlib
import hashlib
import random
from collections.abc import Iterator

import numpy as np
import torch


def stream(seed: int, name: str) -> torch.Generator:
    """A CPU generator for one purpose (`weights`, `order`, `masks`) of the run with this seed.

    Streams of different names are independent, so that drawing more weights never moves the data order.
    """
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


@contextlib.contextmanager
def global_random_state_kept() -> Iterator[None]:
    """For code that seeds the global generators of Python, NumPy or torch."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
