"""What the layers do over training: a tile a cell, in it a column a step and a row a hidden layer or a time step."""

from collections.abc import Iterator
from dataclasses import dataclass

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PatchCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from initbench.analysis.contests import title_words
from initbench.analysis.layer_names import kind, readable
from initbench.report.figures.layout import (
    MOST,
    Drawing,
    FigurePanel,
    FigureSheet,
    Styled,
    deepest,
    median,
    power_of_ten,
    text_width,
)
from initbench.report.figures.style import MUTED, RULE, Style
from initbench.text import plural

STEPS = 16  # looks of a run that are drawn
DECADES = 12  # at most so many on a logarithmic scale of colour
GAP = 0.07  # inches between tiles
PIXELS = 96  # of an image an inch
USUAL_RATIO = 1e-3  # of updates to weights: a rule of thumb for healthy training


@dataclass(frozen=True)
class LayerQuantity:
    """A quantity of layers that is drawn, and the scale of its colour."""

    name: str  # the column of layers.parquet
    title: str
    label: str
    meaning: str
    scale: str  # "log", "fraction", "signed" (about 0) or "ratio" (logarithmic about USUAL_RATIO)


METRICS = [
    LayerQuantity(
        "pre_grad_norm",
        "Gradient norm over training",
        "norm of ∂loss / ∂pre-activations",
        "Frobenius norm of the loss's gradient by the pre-activations, over the batch and the units",
        "log",
    ),
    LayerQuantity(
        "act_mean",
        "Mean activation over training",
        "mean activation",
        "Mean of the activation over the batch and the units; white is 0",
        "signed",
    ),
    LayerQuantity(
        "act_var",
        "Variance of the activation over training",
        "variance of the activation",
        "Variance of the activation over the batch and the units",
        "log",
    ),
    LayerQuantity(
        "dead",
        "Fraction of dead units over training",
        "dead units (fraction)",
        "Fraction of units whose slope |φ'| is below 0.001 on every example of the batch",
        "fraction",
    ),
    LayerQuantity(
        "saturated",
        "Saturated fraction over training",
        "saturated (fraction of units × examples)",
        "Fraction of (unit, example) pairs whose slope |φ'| is below 0.05; a ReLU that is off counts",
        "fraction",
    ),
    LayerQuantity(
        "update_ratio",
        "Update-to-weight ratio over training",
        "update-to-weight ratio of a step",
        "Norm of a step's change of the weights over the norm of the weights, and none where those are 0. White is "
        "0.001, the usual orientation: much less hardly learns, much more is unstable",
        "ratio",
    ),
]
OVER_TIME = LayerQuantity(
    "pre_grad_norm",
    "Gradient norm over time steps",
    "norm of ∂loss / ∂pre-activations",
    "Frobenius norm of the loss's gradient by the pre-activations at each time step, over the batch and the units",
    "log",
)


# ---------------------------------------------------------------- data


def read_looks(contests: Styled) -> pd.DataFrame:
    """The metrics of the hidden layers at no more than `STEPS` steps a run, step 0 among them.

    run_id (categorical), step, layer (from 1, next to the input), its name, and a column a metric; infinite or null
    where it is not a number. What a run measured after it had diverged is left out.
    """
    looks = _read(contests, "layers", ["name", *(metric.name for metric in METRICS)])
    if looks.empty:
        return looks
    run = looks["run_id"].cat.codes.to_numpy()
    last_layer = np.zeros(len(looks["run_id"].cat.categories), "int64")
    np.maximum.at(last_layer, run, looks["layer"].to_numpy())
    looks = looks[looks["layer"].to_numpy() < last_layer[run]]
    return looks.assign(layer=looks["layer"] + 1)


def read_times(contests: Styled) -> pd.DataFrame:
    """The gradient norms of each run's first recurrent layer at the same steps: run_id (categorical), step, layer,
    name (of the layer), time (from 0), pre_grad_norm. Empty where nothing is recurrent.
    """
    looks = _read(contests, "times", ["name", "time", OVER_TIME.name])
    if looks.empty:
        return looks
    first = looks.groupby("run_id", observed=True)["layer"].transform("min")
    return looks[looks["layer"] == first]


def _read(contests: Styled, table: str, columns: list[str]) -> pd.DataFrame:
    """What finished runs measured before they diverged, if they did: run_id (categorical), step, layer, columns."""
    looks = contests.results.read(table, columns=["step", "layer", *columns], filters=_wanted(contests.done))
    looks["run_id"] = looks["run_id"].astype("category")
    of_run = contests.runs.set_index("run_id").reindex(looks["run_id"].cat.categories)
    last_step = of_run["diverged_step"].astype("float64").fillna(np.inf).to_numpy()
    return looks[looks["step"].to_numpy() <= last_step[looks["run_id"].cat.codes.to_numpy()]]


def layer_names(contests: Styled, looks: pd.DataFrame) -> str:
    """A sentence on what is numbered as a layer, for models whose layers are of several kinds; else empty."""
    model = contests.runs.set_index("run_id")["model"].reindex(looks["run_id"].cat.categories)
    model = model.to_numpy()[looks["run_id"].cat.codes.to_numpy()]
    named = looks.assign(model=model)[["model", "layer", "name"]].drop_duplicates().sort_values("layer")
    kinds = named.assign(kind=named["name"].astype("str").map(kind).map(readable))
    return "".join(
        f" From the input on, the layers of {name} are {'; '.join(several)}."
        for name, here in kinds.groupby("model", sort=False)["kind"]
        if len(several := list(dict.fromkeys(here))) > 1
    )


def _wanted(done: pd.DataFrame) -> list[tuple[str, str, list[int]]] | None:
    """pyarrow's filter for evenly spread looks; None, all of them, where the runs don't say when they looked."""
    if "log_every" not in done or done[["steps", "log_every"]].isna().to_numpy().any():
        return None
    steps: set[int] = set()
    for schedule in done[["steps", "log_every"]].drop_duplicates().itertuples():
        steps.update(_spread(np.arange(0, schedule.steps, max(int(schedule.log_every), 1))).tolist())
    return [("step", "in", sorted(steps))] if steps else None


def _spread(steps: np.ndarray) -> np.ndarray:
    """At most `STEPS` of the steps, evenly, first and last among them."""
    return steps[np.unique(np.linspace(0, len(steps) - 1, STEPS).round().astype(int))]


@dataclass(frozen=True)
class Tiles:
    """Medians over seeds of one contest: values[metric, label, row, step], NaN where no seed has a finite value."""

    title: str
    words: list[str]  # the title's parts
    labels: list[str]
    steps: np.ndarray
    rows: np.ndarray  # the layers, or time steps
    values: np.ndarray
    trained: np.ndarray  # whether any run of the label is finished


def tiles(contests: Styled, looks: pd.DataFrame, names: list[str], down: str) -> tuple[list[Tiles], str]:
    """The tiles of at most `MOST` contests, and a sentence on the contests that are left out.

    names: the columns whose medians are taken. down: the column that rows stand for.
    """
    groups, left_out = deepest(list(contests.done.groupby(contests.axes, dropna=False, sort=False)))
    place = pd.Series(-1, index=looks["run_id"].cat.categories)
    for number, (_, here) in enumerate(groups):
        place[place.index.isin(here["run_id"])] = number
    contest = place.to_numpy()[looks["run_id"].cat.codes.to_numpy()]
    order = np.argsort(contest, kind="stable")
    bounds = np.searchsorted(contest[order], np.arange(len(groups) + 1))
    values = looks[names].to_numpy("float32")
    found = []
    for (key, here), first, last in zip(groups, bounds[:-1], bounds[1:], strict=True):
        rows = order[first:last]
        words = title_words(contests.axes, key)
        medians = _medians(looks.iloc[rows], down, values[rows], here, list(contests.look))
        if medians is not None:
            found.append(Tiles(", ".join(words), words, list(contests.look), *medians))
    return found, left_out


def _medians(
    looks: pd.DataFrame, down: str, values: np.ndarray, runs: pd.DataFrame, labels: list[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """Steps, rows, medians over the seeds of a contest as (metric, label, row, step), which labels were trained."""
    if looks.empty:
        return None
    label = pd.Series(pd.Categorical(runs["label"], categories=labels).codes, index=runs["run_id"], dtype="int64")
    seed = label.groupby(label.to_numpy()).cumcount()
    categories = looks["run_id"].cat.categories
    run = looks["run_id"].cat.codes.to_numpy()
    steps, rows = np.unique(looks["step"]), np.unique(looks[down])
    steps = _spread(steps)
    step, row = looks["step"].to_numpy(), looks[down].to_numpy()
    shown = np.isin(step, steps)
    run, step, row, values = run[shown], step[shown], row[shown], values[shown]
    dense = np.full((len(labels), seed.max() + 1, len(rows), len(steps), values.shape[1]), np.nan, "float32")
    at = (
        label.reindex(categories).to_numpy()[run].astype(int),
        seed.reindex(categories).to_numpy()[run].astype(int),
        np.searchsorted(rows, row),
        np.searchsorted(steps, step),
    )
    dense[at] = np.where(np.isfinite(values), values, np.nan)
    trained = np.isin(np.arange(len(labels)), label.to_numpy())
    return steps, rows, np.moveaxis(median(dense, axis=1), -1, 0), trained


# ---------------------------------------------------------------- drawing


HATCHED = (
    "its colour is the median over the seeds that had not diverged. Hatched: no seed has a finite number there, as "
    "after all have diverged. Zeros and values beyond the scale take its end's colour."
)


def heatmaps(contests: Styled, looks: pd.DataFrame) -> Iterator[Drawing]:
    """A figure a metric: a row of tiles an initializer, a column a contest."""
    if looks.empty:
        return
    found, left_out = tiles(contests, looks, [metric.name for metric in METRICS], "layer")
    names = layer_names(contests, looks)
    for number, metric in enumerate(METRICS):
        if any(np.isfinite(tile.values[number]).any() for tile in found):
            figure, alt = _heatmap(contests, metric, number, found, "layer")
            yield Drawing(
                name=metric.name if metric.name != "pre_grad_norm" else "gradient_norm_over_training",
                title=metric.title,
                caption=f"{metric.meaning}. A tile is a cell: steps from left to right, hidden layers from the input "
                f"(below) to the output (above); {HATCHED}{names}{left_out}{_not_shown(contests)}",
                alt=alt,
                section="layers",
                figure=figure,
            )


def over_time(contests: Styled, times: pd.DataFrame) -> Drawing | None:
    """Gradient norms of the first recurrent layer, time step by training step. times: as `read_times` has them."""
    found, left_out = tiles(contests, times, [OVER_TIME.name], "time") if len(times) else ([], "")
    if not any(np.isfinite(tile.values).any() for tile in found):
        return None
    figure, alt = _heatmap(contests, OVER_TIME, 0, found, "time step")
    names = ", ".join(map(readable, times["name"].unique()))
    return Drawing(
        name="gradient_norm_over_time",
        title=OVER_TIME.title,
        caption=f"{OVER_TIME.meaning}, of each model's first recurrent layer ({names}). A "
        "tile is a cell: training steps from left to right, time steps from the first that the layer reads (below) to "
        f"the last (above); where it darkens downwards, gradients vanish on their way back in time. In a tile "
        f"{HATCHED}{left_out}{_not_shown(contests)}",
        alt=alt,
        section="layers",
        figure=figure,
    )


def _not_shown(contests: Styled) -> str:
    count = len(contests.look)
    return f" The first {MOST} of {count} initializers are shown: `--where` chooses others." if count > MOST else ""


def _heatmap(contests: Styled, metric: LayerQuantity, number: int, found: list[Tiles], down: str) -> tuple[Figure, str]:
    """The figure of a metric, and what it shows in words. down: what rows stand for."""
    labels = list(contests.look)[:MOST]
    values = [tile.values[number, : len(labels)] for tile in found]
    norm, colours, ends = colour_scale(metric.scale, np.concatenate([value.ravel() for value in values]))
    sheet, width, height = _sheet(metric.title, labels, found)
    ax = sheet.figure.axes[0]
    _tiles(ax, found, values, norm, colours, (width, height))
    _headings(ax, found, (width, height), len(labels))
    _row_labels(ax, labels, found, contests.look, height, down)
    bar = sheet.colour_bar(ScalarMappable(norm, colours), metric.label, extend=ends)
    if isinstance(norm, LogNorm):
        bar.ax.yaxis.set_major_formatter(FuncFormatter(power_of_ten))
        bar.ax.yaxis.set_minor_formatter(NullFormatter())
        bar.ax.yaxis.set_minor_locator(NullLocator())
    if metric.scale == "ratio":
        bar.ax.axhline(USUAL_RATIO, color=MUTED, linewidth=1)
    alt = f"Heatmaps of {down} by step, {plural(len(labels), 'initializer')} by {plural(len(found), 'contest')}. "
    return sheet.figure, alt + _fact(metric, labels, found, values, down)


def _fact(metric: LayerQuantity, labels: list[str], found: list[Tiles], values: list[np.ndarray], down: str) -> str:
    """The cells with the lowest and the highest value at the end of training, in the middle of the rows."""
    ends = {
        f"{label} on {tile.title}": float(np.median(finite))
        for tile, value in zip(found, values, strict=True)
        for label, cell in zip(labels, value, strict=True)
        if len(finite := cell[:, -1][np.isfinite(cell[:, -1])])
    }
    if not ends:
        return "No cell has a finite number at the last step."
    quantity = metric.title.split(" over ")[0].lower()
    low, high = min(ends, key=ends.__getitem__), max(ends, key=ends.__getitem__)
    return (
        f"At the last step shown the {quantity}, median over {down}s, is lowest for {low} ({ends[low]:.2g}) and "
        f"highest for {high} ({ends[high]:.2g})."
    )


def colour_scale(scale: str, values: np.ndarray) -> tuple[Normalize, matplotlib.colors.Colormap, str]:
    """Norm, colour map and which ends go on, for values that may be NaN; extremes don't stretch it."""
    shown = values[np.isfinite(values)]
    if scale == "fraction":
        return Normalize(0, 1), matplotlib.colormaps["viridis"], "neither"
    if scale == "signed":
        sizes = np.abs(shown[shown != 0]).astype("float64")
        limit = min(float(np.quantile(sizes, 0.98)), 10 * float(np.median(sizes))) if len(sizes) else 1.0
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
    return {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[below, above]


def _sheet(heading: str, labels: list[str], found: list[Tiles]) -> tuple[FigureSheet, float, float]:
    """A sheet with one axes for all tiles, in inches from its upper left corner; and the size of a tile."""
    width = float(np.clip(8.5 / len(found), 0.5, 1.7))
    height = float(np.clip(5.5 / len(labels), 0.36, min(width, 0.9)))
    room = _heading_height(found, width)
    whole = (len(found) * (width + GAP) - GAP, len(labels) * (height + GAP) - GAP)
    panel = FigurePanel("", (), 0, 0, pd.DataFrame({"status": ["done"]}))
    sheet = FigureSheet(
        [panel],
        title=heading,
        xlabel="step",
        width=whole[0],
        height=whole[1] + room,
        left=0.75 + text_width(labels),
        key=1.35,
        top=0.5,
    )
    ax = panel.ax
    ax.set_xlim(0, whole[0])
    ax.set_ylim(whole[1], -room)
    ax.grid(False)
    ax.axis("off")
    return sheet, width, height


def _heading_height(found: list[Tiles], width: float) -> float:
    if _upright(found, width):
        return text_width([", ".join(tile.words) for tile in found], 7.5) + 0.1
    return 0.13 * max(len(tile.words) for tile in found) + 0.05


def _upright(found: list[Tiles], width: float) -> bool:
    """Whether the contests' names are too long to lie above their tiles."""
    return text_width([word for tile in found for word in tile.words], 7.5) > width + GAP


def _tiles(
    ax: Axes,
    found: list[Tiles],
    values: list[np.ndarray],
    norm: Normalize,
    colours: matplotlib.colors.Colormap,
    size: tuple[float, float],
) -> None:
    """All tiles as one image (one a tile would be slow), with frames around them and hatches behind their gaps."""
    width, height = size
    corners = [
        (column * (width + GAP), row * (height + GAP)) for column in range(len(found)) for row in range(len(values[0]))
    ]
    cells = [
        (tile.trained[row], cell) for tile, value in zip(found, values, strict=True) for row, cell in enumerate(value)
    ]
    gaps = [corner for corner, (trained, cell) in zip(corners, cells, strict=True) if trained and np.isnan(cell).any()]
    paint = canvas(values, size)
    if isinstance(norm, LogNorm):
        paint = np.where(paint <= 0, np.finfo(float).tiny, paint)  # below the scale
    image = AxesImage(
        ax,
        norm=norm,
        cmap=colours,
        extent=(0, paint.shape[1] / PIXELS, paint.shape[0] / PIXELS, 0),
        origin="upper",
        interpolation="none",
    )
    image.set_data(np.ma.masked_invalid(paint))
    ax.add_image(image)
    hatched, frames = ([Rectangle(corner, width, height) for corner in places] for places in (gaps, corners))
    ax.add_collection(PatchCollection(hatched, facecolor="none", edgecolor=MUTED, hatch="////", linewidth=0, zorder=-1))
    ax.add_collection(PatchCollection(frames, facecolor="none", edgecolor=RULE, linewidth=0.6, zorder=3))


def canvas(values: list[np.ndarray], size: tuple[float, float]) -> np.ndarray:
    """Every tile in its place at `PIXELS` an inch, NaN between them, the last row of each at its top.

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


def _headings(ax: Axes, found: list[Tiles], size: tuple[float, float], rows: int) -> None:
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


def _row_labels(
    ax: Axes, labels: list[str], found: list[Tiles], look: dict[str, Style], height: float, down: str
) -> None:
    """Beside each row of tiles its initializer, with its colour, and the first and last layer or time step."""
    lasts = {int(tile.rows[-1]) for tile in found}
    first, last = str(min(tile.rows[0] for tile in found)), str(lasts.pop()) if len(lasts) == 1 else "last"
    for row, label in enumerate(labels):
        y = row * (height + GAP)
        ax.text(-0.06, y, last, ha="right", va="top", fontsize=6.5)
        if last != first:
            ax.text(-0.06, y + height, first, ha="right", va="bottom", fontsize=6.5)
        ax.text(-0.5, y + height / 2, label, ha="right", va="center", fontsize=8.5)
        ax.plot(-0.42, y + height / 2, marker="s", markersize=5, color=look[label].color, clip_on=False)
    ax.text(-0.06, len(labels) * (height + GAP) - GAP + 0.04, down, ha="right", va="top", fontsize=6.5)
