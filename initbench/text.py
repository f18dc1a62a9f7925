"""Numbers and names as text, the same in tables, figures, verdicts and the terminal."""

import math
from collections.abc import Iterable


def plural(count: int, noun: str) -> str:
    """ "1 run", "1,200 runs" """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def last_line(text: str) -> str:
    """The last line of a traceback: the error and its message."""
    return (text.strip().splitlines() or [""])[-1].strip()


def join_words(names: Iterable[str]) -> str:
    """ "he, xavier and lecun" """
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else str(last)


def capitalized(text: str) -> str:
    """With a capital first letter; the others stay as they are."""
    return text[:1].upper() + text[1:]


def split_words(text: str) -> list[str]:
    """ "act,depth" as ["act", "depth"], without spaces and empty words."""
    return [word.strip() for word in text.split(",") if word.strip()]


def percent(fraction: float, digits: int = 1) -> str:
    """ "95.8 %" """
    return f"{100 * fraction:.{digits}f} %"


def rough(value: float) -> str:
    """Two digits, or one digit and a power of ten: "0.25", "12", "1e-12"; NaN is "null"."""
    if math.isnan(value):
        return "null"
    if value == 0 or math.isinf(value):
        return f"{value:g}"
    if 0.001 <= abs(value) < 1000:
        return f"{value:.2g}" if abs(value) < 99.5 else f"{value:.0f}"
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def rough_percent(fraction: float) -> str:
    """At most two digits: "12 %", "0.3 %" """
    return f"{100 * fraction:.0f} %" if 0.1 <= fraction < 10 else f"{rough(100 * fraction)} %"
