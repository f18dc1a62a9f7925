"""Numbers that a user gives: each is checked against the interval in which it makes sense."""

import math

from initbench.errors import InputError


def number(key: str, value, interval: str = "(-inf, inf)") -> float:
    """`value`, if it is a finite number inside `interval` ("[0, 1)", say); else InputError names `key`."""
    if not (isinstance(value, int | float) and math.isfinite(value) and _inside(value, interval)):
        where = "" if interval == "(-inf, inf)" else f" in {interval}"
        raise InputError(f"{key} must be a number{where}, got {value!r}")
    return value


def whole(key: str, value, interval: str) -> int:
    """As `number`, for a whole one."""
    if not (isinstance(value, int) and _inside(value, interval)):
        raise InputError(f"{key} must be a whole number in {interval}, got {value!r}")
    return value


def _inside(value: float, interval: str) -> bool:
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = low <= value if interval[0] == "[" else low < value
    below = value <= high if interval[-1] == "]" else value < high
    return above and below and not isinstance(value, bool)
