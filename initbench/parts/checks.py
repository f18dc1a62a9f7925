"""Checks of values that a user gives. Each returns the value, or raises WrongValue that names the key."""

import math
from collections.abc import Collection

from initbench.errors import WrongValue, closest


def number(key: str, value, interval: str = "(-inf, inf)") -> float:
    """A finite number inside `interval`, such as "[0, 1)"."""
    if not (isinstance(value, int | float) and math.isfinite(value) and _inside(value, interval)):
        where = "" if interval == "(-inf, inf)" else f" in {interval}"
        raise WrongValue(key, value, f"{key} must be a number{where}, got {_said(value)}{_nearest(value, interval)}")
    return value


def integer(key: str, value, interval: str) -> int:
    """A whole number inside `interval`."""
    if not (isinstance(value, int) and _inside(value, interval)):
        hint = _nearest(value, interval, whole=True)
        raise WrongValue(key, value, f"{key} must be a whole number in {interval}, got {_said(value)}{hint}")
    return value


def choice(key: str, value, words: Collection[str]) -> str:
    """One of `words`."""
    if value not in words:
        hint = f"; did you mean {alike[0]!r}?" if (alike := closest(str(value), words)) else ""
        raise WrongValue(key, value, f"{key} must be one of {', '.join(words)}, got {_said(value)}{hint}")
    return value


def boolean(key: str, value) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise WrongValue(key, value, f"{key} must be true or false, got {_said(value)}")
    return value


def _said(value: object) -> str:
    """A value as one types it."""
    return {"True": "true", "False": "false", "None": "null"}.get(repr(value), repr(value))


def _nearest(value: object, interval: str, *, whole: bool = False) -> str:
    """The end of an error line: the number inside `interval` that is nearest to a number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return ""
    low, high = _ends(interval)
    end, closed = (low, interval[0] == "[") if value <= low else (high, interval[-1] == "]")
    if low < value < high:  # only not whole
        end, closed = round(value), True
    elif not whole and not closed:
        return f"; take one {'above' if value <= low else 'below'} {end:g}"
    step = 0 if closed else 1 if value <= low else -1
    return f"; the nearest is {end + step:.12g}"


def _inside(value: float, interval: str) -> bool:
    low, high = _ends(interval)
    above = low <= value if interval[0] == "[" else low < value
    below = value <= high if interval[-1] == "]" else value < high
    return above and below and not isinstance(value, bool)


def _ends(interval: str) -> tuple[float, float]:
    low, high = (float(end) for end in interval[1:-1].split(","))
    return low, high
