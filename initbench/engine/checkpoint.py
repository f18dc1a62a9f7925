"""Nested dictionaries of tensors and arrays: copied, compared, and written back in place."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from initbench.errors import InputError


def copied(live: Mapping[str, Any]) -> dict[str, Any]:
    """The same dictionaries; tensors and arrays are copies on the CPU, which further training does not change."""
    return {name: copied(part) if isinstance(part, Mapping) else copy_of(part) for name, part in live.items()}


def copy_of(numbers: Tensor | np.ndarray) -> Tensor | np.ndarray:
    return numbers.copy() if isinstance(numbers, np.ndarray) else numbers.detach().cpu().clone()


def as_arrays(saved: Mapping[str, Any]) -> dict[str, Any]:
    """The same dictionaries with arrays in place of tensors, as a file may hold either."""
    return {
        name: as_arrays(part) if isinstance(part, Mapping) else part.numpy() if isinstance(part, Tensor) else part
        for name, part in saved.items()
    }


def check(live: Mapping[str, Any], saved: Mapping[str, Any], where: str = "") -> None:
    """InputError for the first entry that only one of them has, or whose shape or type of numbers differs."""
    for name in sorted(live.keys() ^ saved.keys()):
        has, lacks = ("this training", "the checkpoint") if name in live else ("the checkpoint", "this training")
        raise InputError(f"checkpoint: {has} has {where}{name}, {lacks} has not: they are of different trainings")
    for name, part in live.items():
        if isinstance(part, Mapping):
            check(part, saved[name], f"{where}{name}.")
        elif (ours := kind(part)) != (theirs := kind(saved[name])):
            raise InputError(f"checkpoint: {where}{name} is {theirs}, this training needs {ours}")


def kind(numbers: Tensor | np.ndarray) -> str:
    """Shape and type in words: `(2, 3) float32`."""
    return f"{tuple(numbers.shape)} {str(numbers.dtype).removeprefix('torch.')}"


def restore(live: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    """Write the saved numbers into the live tensors and arrays."""
    for name, part in live.items():
        if isinstance(part, Mapping):
            restore(part, saved[name])
        elif isinstance(part, np.ndarray):
            part[...] = np.asarray(saved[name])
        else:
            part.copy_(torch.as_tensor(saved[name]))
