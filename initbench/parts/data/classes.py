"""Some of a dataset's classes, as a dataset of its own: `data.classes=0-4`."""

import re
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from initbench.errors import DoesNotFit, InputError, WrongValue
from initbench.parts.data.dataset import Raw
from initbench.parts.losses import CLASSIFICATION

KEY = "data.classes"


def only_classes(raw: Raw, asked: str | int | Sequence[int | str]) -> Raw:
    """The examples of some classes, in both parts of the data; the first class asked for gets the label 0.

    asked: a range such as "0-4", or a list of numbers and ranges. Raises InputError where there is no such class,
    DoesNotFit where an example has no label of its own.
    """
    if raw.objective != CLASSIFICATION:
        raise DoesNotFit(f"{KEY}: this data has numbers to predict, and no classes")
    if raw.y.ndim != 1:
        raise DoesNotFit(f"{KEY}: here each position has a label, and an example is of no one class")
    kept = class_numbers(asked, raw.classes)
    x, y = _of(kept, raw.x, raw.y)
    if raw.x_test is None or raw.y_test is None:
        return replace(raw, x=x, y=y, classes=len(kept))
    x_test, y_test = _of(kept, raw.x_test, raw.y_test)
    return replace(raw, x=x, y=y, x_test=x_test, y_test=y_test, classes=len(kept))


def _of(kept: Sequence[int], x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The examples of the classes `kept`, and their places in that list as labels."""
    chosen = torch.isin(y, torch.tensor(kept))
    label = torch.full((max(kept) + 1,), -1)
    label[list(kept)] = torch.arange(len(kept))
    return x[chosen], label[y[chosen]]


def class_numbers(asked: str | int | Sequence[int | str], classes: int) -> list[int]:
    """The numbers of the classes asked for, at least two of those from 0 to `classes` - 1."""
    found = [number for part in (asked if isinstance(asked, list) else [asked]) for number in _numbers(part, asked)]
    for number in found:
        if number >= classes:
            raise InputError(f"{KEY}={_typed(asked)}: there is no class {number}; there is 0 to {classes - 1}")
        if found.count(number) > 1:
            raise InputError(f"{KEY}={_typed(asked)}: class {number} is there twice; name it once")
    if len(found) < 2:
        raise InputError(f"{KEY}={_typed(asked)}: two classes at least; there is 0 to {classes - 1}")
    return found


def _numbers(part: object, asked: object) -> range:
    """A number, or a range such as "0-4"."""
    if isinstance(part, int) and not isinstance(part, bool) and part >= 0:
        return range(part, part + 1)
    ends = re.fullmatch(r"(\d+)(-|:|\.\.\.?)(\d+)", part) if isinstance(part, str) else None
    if ends is None:
        said = f"{KEY}={_typed(asked)}: it must be a range such as 0-4, or a list such as [0,3,7]"
        raise WrongValue(KEY, asked, said)
    first, last = int(ends[1]), int(ends[3])
    if ends[2] != "-" or first > last:
        raise InputError(f"{KEY}={_typed(asked)}: did you mean {min(first, last)}-{max(first, last)}?")
    return range(first, last + 1)


def _typed(asked: object) -> str:
    return f"[{','.join(map(str, asked))}]" if isinstance(asked, list) else str(asked)
