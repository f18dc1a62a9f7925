"""Axes of figures: learning rates, losses and powers of ten."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from initbench.report.figures.sheet import text_width


def power_of_ten(value: float, _: Any = None) -> str:
    """ "10⁻⁷", "0.1", "1" or "10": a label of a logarithmic axis, as text that needs no layout."""
    exponent = round(np.log10(value)) if value > 0 else 0
    if abs(exponent) <= 1:
        return f"{value:g}"
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def rate_axis(ax: Axes, rates: Sequence[float], room: float = 1.35) -> None:
    """A logarithmic axis with a tick at each tested learning rate, as many of them labelled as have room.

    room: where the axis ends, over the greatest rate.
    """
    ax.set_xscale("log")
    ax.set_xlim(rates[0] / 1.35, rates[-1] * room)
    width = ax.get_position().width * ax.figure.get_figwidth()
    every = 1 + int(len(rates) * (text_width([f"{rate:g}" for rate in rates], 8) + 0.08) / width)
    ax.xaxis.set_major_locator(FixedLocator(rates))
    ax.xaxis.set_major_formatter(FixedFormatter([f"{r:g}" if i % every == 0 else "" for i, r in enumerate(rates)]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())


def log_loss_axis(ax: Axes, limits: tuple[float, float]) -> None:
    """A logarithmic axis of losses, labelled at 1, 2 and 5 of each decade where there are few."""
    ax.set_yscale("log", nonpositive="clip")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if limits[1] < 500 * limits[0] else (1,)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))
    ax.yaxis.set_minor_locator(NullLocator())


def loss_range(losses: np.ndarray, constant: float, ceiling: float) -> tuple[float, float] | None:
    """The lowest and highest of the losses that are finite and above 0, with the best constant prediction's among them.

    ceiling: how many times the constant prediction's loss is shown at most. None where there are no such losses.
    """
    shown = losses[np.isfinite(losses) & (losses > 0)]
    if not len(shown):
        return None
    low, high = float(shown.min()), float(shown.max())
    if constant > 0:
        low, high = min(low, constant), max(min(high, ceiling * constant), constant)
    return low, high
