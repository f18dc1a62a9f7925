"""Lines of figures: the median over seeds, in a band from the lowest to the highest."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from initbench.report.figures.points import median
from initbench.report.figures.style import MUTED, Style

BAND = [
    Line2D([], [], color=MUTED, linewidth=1.5, label="median over seeds"),
    Patch(facecolor=MUTED, alpha=0.25, label="lowest to highest"),
]


def hollow_marker(marker: str, label: str) -> Line2D:
    return Line2D(
        [], [], linestyle="none", marker=marker, markersize=5, markerfacecolor="none", color=MUTED, label=label
    )


def line_and_band(ax: Axes, x: np.ndarray, values: np.ndarray, style: Style, **line: Any) -> None:
    """The median of values (points, runs) as a line, from the lowest to the highest as a band; gaps where an infinite
    value decides.
    """
    middle = median(values, axis=1)
    finite = np.where(np.isfinite(values), values, np.nan)
    if values.shape[1] > 1:
        low, high = np.fmin.reduce(finite, axis=1), np.fmax.reduce(finite, axis=1)
        ax.fill_between(x, low, high, color=style.color, alpha=0.15, linewidth=0)
    line = {"marker": style.marker, "markersize": 4} | line
    ax.plot(
        x,
        np.where(np.isfinite(middle), middle, np.nan),
        color=style.color,
        linestyle=style.linestyle,
        linewidth=1.5,
        zorder=3,
        **line,
    )
