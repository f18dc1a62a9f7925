"""Heatmaps of tiles: one tile per cell, in it one column per step and one row per hidden layer or time step."""

from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from initbench.report.figures.hover import tell, tell_axes
from initbench.report.figures.quantities import USUAL_RATIO
from initbench.report.figures.sheet import FigurePanel, FigureSheet, text_width
from initbench.report.figures.snapshots import Tiles
from initbench.report.figures.style import MUTED, RULE, Style

DECADES = 12  # that a logarithmic scale of colour spans at most
GAP = 0.07  # inches between tiles
PIXELS = 96  # per inch of an image
UNSEEN = 0.04  # of the scale of colours: differences below it can't be seen
SHADES = 128  # that a pointer tells apart


def colour_scale(scale: str, values: np.ndarray) -> tuple[Normalize, matplotlib.colors.Colormap, str]:
    """Norm, colour map, and which ends of the scale have values beyond; values may be NaN, and extremes are ignored."""
    shown = values[np.isfinite(values)]
    if scale == "fraction":
        return Normalize(0, 1), matplotlib.colormaps["viridis"], "neither"
    if scale == "signed":
        sizes = np.abs(shown[shown != 0]).astype("float64")
        limit = min(float(np.quantile(sizes, 0.98)), 4 * float(np.quantile(sizes, 0.75))) if len(sizes) else 1.0
        return Normalize(-limit, limit), matplotlib.colormaps["RdBu_r"], _ends(shown, -limit, limit)
    positive = shown[shown > 0]
    if not len(positive):
        return LogNorm(0.1, 10), matplotlib.colormaps["viridis"], "min"
    if scale == "ratio":
        reach = np.abs(np.log10(np.quantile(positive, [0.02, 0.98]) / USUAL_RATIO)).max()
        reach = 10 ** float(np.clip(reach, 1, 4))
        low, high = USUAL_RATIO / reach, USUAL_RATIO * reach
        return LogNorm(low, high), matplotlib.colormaps["RdBu_r"], _ends(shown, low, high)
    low, middle, high = (float(value) for value in np.quantile(positive.astype("float64"), [0.02, 0.5, 0.98]))
    low, high = max(low, middle / 10 ** (DECADES / 2)), min(high, middle * 10 ** (DECADES / 2))
    if high < 10 * low:
        low, high = middle / 10**0.5, middle * 10**0.5
    return LogNorm(low, high), matplotlib.colormaps["viridis"], _ends(shown, low, high)


def _ends(values: np.ndarray, low: float, high: float) -> str:
    below, above = bool((values < low).any()), bool((values > high).any())
    return "both" if below and above else "min" if below else "max" if above else "neither"


def tells_something(values: np.ndarray, norm: Normalize) -> bool:
    """Whether the numbers of a contest have more than one colour, as far as the eye can tell."""
    finite = values[np.isfinite(values)]
    return len(finite) > 0 and bool(np.ptp(norm(np.clip(finite, norm.vmin, norm.vmax))) > UNSEEN)


def tile_facts(
    found: list[Tiles],
    labels: list[str],
    norm: Normalize,
    colours: matplotlib.colors.Colormap,
    size: tuple[float, float],
) -> dict[str, Any]:
    """What the page needs to say which tile is where, and which value a colour stands for (page/figures.js)."""
    return {
        "size": [size[0], size[1], GAP],
        "titles": [tile.title for tile in found],
        "labels": labels,
        "steps": [tile.steps.tolist() for tile in found],
        "rows": [tile.rows.tolist() for tile in found],
        "ends": [float(norm.vmin), float(norm.vmax)],
        "log": isinstance(norm, LogNorm),
        "colours": [matplotlib.colors.to_hex(colours(place)) for place in np.linspace(0, 1, SHADES)],
    }


def tile_sheet(heading: str, labels: list[str], found: list[Tiles]) -> tuple[FigureSheet, float, float]:
    """A sheet with one axes for all tiles, in inches from its upper left corner; and the size of a tile."""
    width = float(np.clip(8.5 / len(found), 0.5, 1.7))
    height = float(np.clip(5.5 / len(labels), 0.36, min(width, 0.9)))
    if _upright(found, width):
        room = text_width([tile.title for tile in found], 7.5) + 0.1
    else:
        room = 0.13 * max(len(tile.words) for tile in found) + 0.05
    across, down = len(found) * (width + GAP) - GAP, len(labels) * (height + GAP) - GAP
    panel = FigurePanel("", (), 0, 0, pd.DataFrame({"status": ["done"]}))
    left = 0.75 + text_width(labels)
    sheet = FigureSheet(
        [panel], title=heading, xlabel="step", width=across, height=down + room, left=left, key=1.35, top=0.5, least=2.4
    )
    panel.ax.set_xlim(0, across)
    panel.ax.set_ylim(down, -room)
    panel.ax.grid(False)
    panel.ax.axis("off")
    tell_axes(panel.ax, "", "")
    return sheet, width, height


def _upright(found: list[Tiles], width: float) -> bool:
    """Whether the contests' names are too long to lie above their tiles."""
    return text_width([word for tile in found for word in tile.words], 7.5) > width + GAP


def draw_tiles(
    ax: Axes,
    found: list[Tiles],
    values: list[np.ndarray],
    norm: Normalize,
    colours: matplotlib.colors.Colormap,
    size: tuple[float, float],
) -> None:
    """All tiles as one image (one per tile would be slow), with frames around them and hatches behind their gaps."""
    width, height = size
    corners, gaps = [], []
    for column, (tile, value) in enumerate(zip(found, values, strict=True)):
        for row, cell in enumerate(value):
            corners.append((column * (width + GAP), row * (height + GAP)))
            if tile.trained[row] and np.isnan(cell).any():
                gaps.append(corners[-1])
    paint = canvas(values, size)
    if isinstance(norm, LogNorm):
        paint = np.where(paint <= 0, np.finfo(float).tiny, paint)  # below the scale
    extent = (0, paint.shape[1] / PIXELS, paint.shape[0] / PIXELS, 0)
    image = AxesImage(ax, norm=norm, cmap=colours, extent=extent, origin="upper", interpolation="none")
    image.set_data(np.ma.masked_invalid(paint))
    ax.add_image(image)
    hatched, frames = ([Rectangle(corner, width, height) for corner in places] for places in (gaps, corners))
    ax.add_collection(PatchCollection(hatched, facecolor="none", edgecolor=MUTED, hatch="////", linewidth=0, zorder=-1))
    ax.add_collection(PatchCollection(frames, facecolor="none", edgecolor=RULE, linewidth=0.6, zorder=3))


def canvas(values: list[np.ndarray], size: tuple[float, float]) -> np.ndarray:
    """Every tile in its place at `PIXELS` per inch, NaN between them, the last row of each at its top.

    values: of a contest as (label, row, step); size: width and height of a tile in inches.
    """
    across, down = _edges(size[0], len(values)), _edges(size[1], len(values[0]))
    paint = np.full((down[-1, 1], across[-1, 1]), np.nan)
    for (left, right), value in zip(across, values, strict=True):
        step = _nearest(value.shape[2], right - left)
        for (top, bottom), cell in zip(down, value, strict=True):
            row = _nearest(value.shape[1], bottom - top)[::-1]
            paint[top:bottom, left:right] = cell[np.ix_(row, step)]
    return paint


def _nearest(count: int, pixels: int) -> np.ndarray:
    """Which of `count` equal parts of a line each pixel's middle lies in."""
    return ((np.arange(pixels) + 0.5) * count / pixels).astype(int)


def _edges(length: float, count: int) -> np.ndarray:
    """First and last pixel of each of so many tiles in a line, (count, 2)."""
    start = np.arange(count) * (length + GAP)
    return np.round(np.stack([start, start + length], 1) * PIXELS).astype(int)


def draw_headings(ax: Axes, found: list[Tiles], size: tuple[float, float], rows: int) -> None:
    """Above each column its contest, below it the first and last step."""
    width, height = size
    upright = _upright(found, width)
    bottom = rows * (height + GAP) - GAP + 0.04
    for column, tile in enumerate(found):
        x = column * (width + GAP)
        text = ", ".join(tile.words) if upright else "\n".join(tile.words)
        ax.text(x + width / 2, -0.05, text, rotation=90 if upright else 0, ha="center", va="bottom", fontsize=7.5)
        ax.text(x, bottom, f"{tile.steps[0]}", ha="left", va="top", fontsize=6.5)
        if len(tile.steps) > 1:
            ax.text(x + width, bottom, f"{tile.steps[-1]}", ha="right", va="top", fontsize=6.5)


def draw_row_labels(
    ax: Axes, labels: list[str], found: list[Tiles], styles: dict[str, Style], height: float, down: str
) -> None:
    """Beside each row of tiles its initializer, with its colour, and the first and last layer or time step."""
    lasts = {int(tile.rows[-1]) for tile in found}
    first, last = str(min(tile.rows[0] for tile in found)), str(lasts.pop()) if len(lasts) == 1 else "last"
    for row, label in enumerate(labels):
        y = row * (height + GAP)
        ax.text(-0.06, y, last, ha="right", va="top", fontsize=6.5)
        if last != first:
            ax.text(-0.06, y + height, first, ha="right", va="bottom", fontsize=6.5)
        tell(ax.text(-0.5, y + height / 2, label, ha="right", va="center", fontsize=8.5), label)
        ax.plot(-0.42, y + height / 2, marker="s", markersize=5, color=styles[label].color, clip_on=False)
    ax.text(-0.06, len(labels) * (height + GAP) - GAP + 0.04, down, ha="right", va="top", fontsize=6.5)
