"""Curves of a few characters, for the cells of a table."""

import math
from collections.abc import Sequence

import numpy as np

BARS = "▁▂▃▄▅▆▇█"
MISSING = "·"  # NaN; zeros and infinities of a logarithmic curve are its lowest and its highest bar
LEAST_RANGE = 400.0  # of a logarithmic curve: what changes less than a tenth of it looks level

LEVEL = 4.5 / 8  # where a level curve stands: in the middle of a bar


def level_curve(values: Sequence[float], width: int = 10) -> str:
    """Values from 0 to 1 on a linear scale."""
    return "".join(map(_bar, _thinned(values, width)))


def log_curve(values: Sequence[float], width: int = 10) -> str:
    """Positive values on a logarithmic scale of their own, which spans a factor of LEAST_RANGE at least."""
    thin = _thinned(values, width)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(thin)
    finite = logs[np.isfinite(logs)]
    if not len(finite):
        return "".join(MISSING if math.isnan(log) else BARS[0] if log < 0 else BARS[-1] for log in logs)
    low, high = finite.min(), finite.max()
    spare = max(0.0, math.log(LEAST_RANGE) - (high - low))
    low, high = low - LEVEL * spare, high + (1 - LEVEL) * spare
    return "".join(_bar((log - low) / (high - low)) for log in logs)


def _thinned(values: Sequence[float], width: int) -> np.ndarray:
    """At most `width` of the values, evenly spaced, the first and the last among them."""
    array = np.asarray(values, float)
    places = np.linspace(0, len(array) - 1, min(width, len(array))).round().astype(int)
    return array[places]


def _bar(share: float) -> str:
    if math.isnan(share):
        return MISSING
    return BARS[min(len(BARS) - 1, max(0, int(min(max(share, 0), 1) * len(BARS))))]
