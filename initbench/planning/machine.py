"""What there is to compute on: the device, its cores and its memory."""

import os
import re
from typing import TYPE_CHECKING

import torch

from initbench.errors import InputError

if TYPE_CHECKING:
    pass


GIB = 1024**3
CPU_MEMORY = 4 * GIB
CUDA_SHARE = 0.35  # of a GPU's free memory: at a log step a stack takes up to 2.6 times its estimate


def chosen_device(device: str) -> str:
    """`cpu` or `cuda`; `auto` is CUDA where there is one."""
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"--device {device}: there is auto, cpu, cuda")
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise InputError("--device cuda: torch finds no CUDA device here; did you mean cpu?")
    return "cuda" if available and device != "cpu" else "cpu"


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_budget(text: str | None, device: str) -> int:
    """Bytes from `4GiB`, `512MiB`, `2GB`; by default 4 GiB, or a share of the GPU's free memory."""
    if text is None:
        return CPU_MEMORY if device == "cpu" else int(CUDA_SHARE * torch.cuda.mem_get_info()[0])
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT])(i?)B?\s*", text, re.IGNORECASE)
    if not match or float(match[1]) <= 0:
        raise InputError(f"--memory {text}: a size such as 4GiB or 512MiB is needed")
    base = 1024 if match[3] else 1000
    return int(float(match[1]) * base ** ("KMGT".index(match[2].upper()) + 1))


def gib(size: int) -> str:
    return f"{size / GIB:.2g} GiB"
