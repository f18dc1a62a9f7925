"""Ticks of scores: fractions in per cent, and errors."""

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import Formatter, FuncFormatter

from initbench.analysis.measure import Measure
from initbench.text import percent


class PercentTicks(Formatter):
    """ "97.5 %": fractions as per cent, with as many digits as tell where the ticks are."""

    def __call__(self, value: float, pos: int | None = None) -> str:
        return percent(value)

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        return [percent(value, digits_apart(values)) for value in values]


class ErrorTicks(FuncFormatter):
    """Scores that are minus an error, written as the error, which grows to the left."""

    def __init__(self):
        super().__init__(lambda score, _: f"{abs(round(score, 6)):g}")


def score_ticks(scored: Measure) -> Formatter:
    """How the ticks of an axis of scores are written: as per cent, or as errors."""
    return PercentTicks() if scored.share else ErrorTicks()


def digits_apart(fractions: Sequence[float]) -> int:
    """Digits of per cents so that rounding moves none by more than a fiftieth of the way to its neighbour."""
    places = 100 * np.unique(fractions)
    if len(places) < 2:
        return 1
    step = np.diff(places).min()
    return next((digits for digits in range(4) if np.abs(places - places.round(digits)).max() <= step / 50), 4)
