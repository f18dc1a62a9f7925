"""Heatmaps of what the layers did over training, one figure per quantity."""

from dataclasses import replace

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from initbench.analysis.layer_names import readable
from initbench.report.figures.drawing import Drawing
from initbench.report.figures.heatmap import (
    colour_scale,
    draw_headings,
    draw_row_labels,
    draw_tiles,
    tells_something,
    tile_facts,
    tile_sheet,
)
from initbench.report.figures.lines import power_of_ten
from initbench.report.figures.percent_ticks import PercentTicks
from initbench.report.figures.quantities import OVER_TIME, USUAL_RATIO, LayerQuantity
from initbench.report.figures.sheet import MOST
from initbench.report.figures.snapshots import Tiles, read_times, tiles_of
from initbench.report.figures.style import MUTED
from initbench.report.figures.styled import StyledContests
from initbench.text import plural, rough

COLOURS = (
    "Colour: median over the seeds that had not diverged. Hatched: every seed has diverged, or has no finite number. "
    "Zeros and values off the scale have the end colours."
)


def heatmap(contests: StyledContests, quantity: LayerQuantity) -> Drawing | None:
    """One quantity over training: one row of tiles per initializer, one column per contest."""
    how_to_read = (
        f"{quantity.meaning} One tile per cell: steps from left to right, hidden layers from the input (bottom) to the "
        f"output (top). {COLOURS}{contests.layer_names}"
    )
    return _drawing(contests, quantity, *contests.layer_tiles, "layer", how_to_read)


def over_time(contests: StyledContests) -> Drawing | None:
    """Gradient norms of the first recurrent layer, by time step of the sequence and by training step."""
    times = read_times(contests)
    if times.empty:
        return None
    found, left_out = tiles_of(contests, list(contests.styles), times, [OVER_TIME.name], "time")
    names = ", ".join(map(readable, times["name"].unique()))
    how_to_read = (
        f"{OVER_TIME.meaning}, of each model's first recurrent layer ({names}). One tile per cell: training steps from "
        "left to right, time steps from the first that the layer reads (bottom) to the last (top). Where a tile "
        f"darkens towards the bottom, gradients vanish on their way back in time. {COLOURS}"
    )
    return _drawing(contests, OVER_TIME, found, left_out, "time step", how_to_read)


def _drawing(
    contests: StyledContests, quantity: LayerQuantity, found: list[Tiles], left_out: str, down: str, how_to_read: str
) -> Drawing | None:
    """The heatmap of some tiles; None where they have no number. down: what the rows of a tile stand for."""
    if not any(np.isfinite(tile.of(quantity.name)).any() for tile in found):
        return None
    labels, count = list(contests.styles)[:MOST], len(contests.styles)
    values = [tile.of(quantity.name)[: len(labels)] for tile in found]
    norm, colours, ends = colour_scale(quantity.scale, np.concatenate([value.ravel() for value in values]))
    told = [tells_something(value, norm) for value in values]
    if not any(told):
        return None
    alike = _alike([pair for pair, tells in zip(zip(found, values, strict=True), told, strict=True) if not tells])
    found = [tile for tile, tells in zip(found, told, strict=True) if tells]
    values = [value for value, tells in zip(values, told, strict=True) if tells]
    sheet, width, height = tile_sheet(quantity.title, labels, found)
    ax = sheet.figure.axes[0]
    draw_tiles(ax, found, values, norm, colours, (width, height))
    draw_headings(ax, found, (width, height), len(labels))
    draw_row_labels(ax, labels, found, contests.styles, height, down)
    bar = sheet.colour_bar(ScalarMappable(norm, colours), quantity.label, extend=ends)
    if isinstance(norm, LogNorm):
        bar.ax.yaxis.set_major_formatter(FuncFormatter(power_of_ten))
        bar.ax.yaxis.set_minor_formatter(NullFormatter())
        bar.ax.yaxis.set_minor_locator(NullLocator())
    if quantity.scale == "fraction":
        bar.ax.yaxis.set_major_formatter(PercentTicks())
    if quantity.scale == "ratio":
        bar.ax.axhline(USUAL_RATIO, color=MUTED, linewidth=1)
    not_shown = (
        f" The first {MOST} of {count} initializers are shown: `--where` chooses others." if count > MOST else ""
    )
    drawing = sheet.drawing(
        name=quantity.figure,
        caption=f"{how_to_read}{alike}{left_out}{not_shown}",
        alt=f"Heatmaps of {down} by step, {plural(len(labels), 'initializer')} by {plural(len(found), 'contest')}. "
        f"{_fact(quantity, labels, found, values, down)}",
    )
    return replace(
        drawing,
        tiles=tile_facts(found, labels, norm, colours, (width, height))
        | {"down": down, "share": quantity.scale == "fraction", "beyond": ends},
    )


def _alike(left_out: list[tuple[Tiles, np.ndarray]]) -> str:
    """A sentence on the contests that have the same colour everywhere; empty where there are none."""
    parts = []
    for tile, value in left_out:
        finite = value[np.isfinite(value)]
        parts.append(f"{tile.title} ({rough(finite.min())} to {rough(finite.max())})" if len(finite) else tile.title)
    return f" Not drawn, as it is nearly the same everywhere: {'; '.join(parts)}." if parts else ""


def _fact(quantity: LayerQuantity, labels: list[str], found: list[Tiles], values: list[np.ndarray], down: str) -> str:
    """The cells with the lowest and the highest value at the end of training, in the middle of the rows."""
    ends = {
        f"{label} on {tile.title}": float(np.median(finite))
        for tile, value in zip(found, values, strict=True)
        for label, cell in zip(labels, value, strict=True)
        if len(finite := cell[:, -1][np.isfinite(cell[:, -1])])
    }
    if not ends:
        return "No cell has a finite number at the last step."
    name = quantity.title.split(" over ")[0].lower()
    low, high = min(ends, key=ends.__getitem__), max(ends, key=ends.__getitem__)
    return (
        f"At the last step shown, the {name} (median over {down}s) is lowest for {low} ({ends[low]:.2g}) and "
        f"highest for {high} ({ends[high]:.2g})."
    )
