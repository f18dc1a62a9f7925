"""Numbers as the page writes them."""

import math
from collections.abc import Callable
from typing import Any

import pandas as pd
from markupsafe import Markup

from initbench.text import percent


def finite(value: Any) -> bool:
    return value is not None and value is not pd.NA and math.isfinite(value)


def accuracy(fraction: Any) -> str:
    """ "95.8 %"; a dash where there is no number"""
    return percent(fraction) if finite(fraction) else "–"


def minus(text: str) -> str:
    """A number's text with a typographer's minus sign."""
    return text.replace("-", "−")


def signed(difference: float, number: Callable[[float], str]) -> str:
    """A difference with its sign: "+1.2". number: writes it without a plus."""
    return minus(f"{'+' if difference >= 0 else ''}{number(difference)}")


def interval(low: Any, high: Any, text: Callable[[float], str], endless: str = "diverged") -> Markup:
    """The two ends, muted; nothing where there is no interval. endless: what an infinite end stands for."""
    if any(end is None or end is pd.NA or math.isnan(end) for end in (low, high)):
        return Markup("")
    ends = [minus(text(end)) if math.isfinite(end) else endless for end in (low, high)]
    return Markup(' <span class="interval">{} to {}</span>').format(*ends)


def hundredths(digits: int = 1) -> Callable[[float], str]:
    """A fraction as per cent, or a difference of two as percentage points, without the unit."""
    return lambda value: f"{100 * value:.{digits}f}"


def p_value(p: Any) -> str:
    if not finite(p):
        return "–"
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def ranges(numbers: Any) -> str:
    """ "0–4, 7": whole numbers, neighbours drawn together."""
    parts: list[list[int]] = []
    for number in sorted(map(int, numbers)):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(f"{part[0]}–{part[-1]}" if len(part) > 1 else f"{part[0]}" for part in parts)
