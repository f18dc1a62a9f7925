"""Checks of values that a user gives. Each returns the value, or raises InputError that names the key."""

import math
from collections.abc import Collection

from initbench.errors import InputError, nearest


def number(key: str, value, interval: str = "(-inf, inf)") -> float:
    """A finite number inside `interval`, such as "[0, 1)"."""
    if not (isinstance(value, int | float) and math.isfinite(value) and _inside(value, interval)):
        where = "" if interval == "(-inf, inf)" else f" in {interval}"
        raise InputError(f"{key} must be a number{where}, got {value!r}")
    return value


def integer(key: str, value, interval: str) -> int:
    """A whole number inside `interval`."""
    if not (isinstance(value, int) and _inside(value, interval)):
        raise InputError(f"{key} must be a whole number in {interval}, got {value!r}")
    return value


def choice(key: str, value, words: Collection[str]) -> str:
    """One of `words`."""
    if value not in words:
        raise InputError(f"{key} must be one of {', '.join(words)}, got {value!r}{nearest(str(value), words)}")
    return value


def boolean(key: str, value) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise InputError(f"{key} must be true or false, got {value!r}")
    return value


def _inside(value: float, interval: str) -> bool:
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = low <= value if interval[0] == "[" else low < value
    below = value <= high if interval[-1] == "]" else value < high
    return above and below and not isinstance(value, bool)
