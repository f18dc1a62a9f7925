"""Named streams of random numbers, each derived from a run's seed and from nothing else."""

import hashlib

import torch


def stream(seed: int, name: str) -> torch.Generator:
    """A CPU generator for one purpose (`weights`, `order`, `masks`) of the run with this seed.

    Streams of different names are independent, so that drawing more weights never moves the data order.
    """
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
