"""TODO initbench.report.page.numbers"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
import numpy as np
import pandas as pd
from markupsafe import Markup
from initbench.analysis.axes import cell_axes, initializer, labelled, loss_unit, value_text
from initbench.analysis.cells import OUTCOMES
from initbench.report.figures.style import Style, styles
from initbench.results.load import Results
from initbench.text import percent



# ---------------------------------------------------------------- numbers


def finite(value: Any) -> bool:
    return value is not None and value is not pd.NA and math.isfinite(value)


def accuracy(fraction: Any) -> str:
    """ "95.8 %", a dash where there is none"""
    return percent(fraction) if finite(fraction) else "–"


def signed(points: float) -> str:
    """A difference of fractions in percentage points, with a typographer's minus."""
    return f"{100 * points:+.1f}".replace("-", "−")


def interval(low: Any, high: Any, text: Callable[[float], str], endless: str = "diverged") -> Markup:
    """The two ends, muted; nothing where there is no interval. endless: what an infinite end stands for."""
    if any(end is None or end is pd.NA or math.isnan(end) for end in (low, high)):
        return Markup("")
    ends = [text(end).replace("-", "−") if math.isfinite(end) else endless for end in (low, high)]
    return Markup(' <span class="interval">{} to {}</span>').format(*ends)


def hundredths(digits: int = 1) -> Callable[[float], str]:
    """A fraction in per cent, or a difference of two in points, without the unit."""
    return lambda value: f"{100 * value:.{digits}f}"


def shortened(value: float) -> str:
    return f"{value:.3g}"


def p_value(p: Any) -> str:
    if not finite(p):
        return "–"
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"
