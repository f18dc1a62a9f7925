"""The outcomes and the score of each cell."""

from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from initbench.analysis.axes import value_text
from initbench.analysis.cells import FINISHED
from initbench.analysis.contests import by_contest, title_words
from initbench.analysis.measure import ERROR, chances
from initbench.outcomes import DIVERGED, SLOW, STUCK
from initbench.report.figures.drawing import Drawing
from initbench.report.figures.hover import tell
from initbench.report.figures.percent_ticks import score_ticks
from initbench.report.figures.sheet import TITLE, FigureSheet, label_rows, panels, text_width
from initbench.report.figures.style import INK, MUTED, RULE
from initbench.report.figures.styled import StyledContests
from initbench.text import plural

CELL = (0.68, 0.44)  # inches: a number above up to three outcomes
UNLEARNED = ("slow", "stuck", "diverged", "failed", "pending")  # outcomes that a cell names; the others learned
WIDEST = 10.0  # inches that panels side by side take


def outcomes(contests: StyledContests) -> Drawing | None:
    """Median scores and outcomes of the seeds: one row per initializer, one column per depth."""
    if contests.done.empty or len(contests.cells) < 2:
        return None
    across, scored = _across(contests), contests.measure
    values = contests.runs[across]
    columns = [*sorted(values.dropna().unique().tolist()), *([np.nan] if values.isna().any() else [])]
    labels, cells, rest = list(contests.styles), contests.cells, contests.without(across)
    words = {
        word for key in contests.runs[rest].drop_duplicates().itertuples(index=False) for word in title_words(rest, key)
    }
    names = list(map(value_text, columns))
    cell = max(CELL[0], text_width(names, 8) + 0.1)
    width, height = max(len(columns) * cell, text_width(words, TITLE)), len(labels) * CELL[1]
    arranged = panels(contests.runs, rest, columns=max(1, int(WIDEST / (width + 0.2))))
    norm = _scale(contests)
    colours = matplotlib.colormaps["cividis"]
    sheet = FigureSheet(
        arranged.panels,
        title=f"Outcome and median {scored.name}{' (%)' if scored.share else ''}",
        xlabel=axis_name(across),
        width=width,
        height=height,
        left=0.35 + text_width(labels),
        key=1.2,
        least=1.9,
        shared_y=True,
    )
    groups = by_contest(cells, rest)
    for panel in arranged:
        label_rows(panel.ax, contests.styles)
        panel.ax.set_xlim(-0.5, len(columns) - 0.5)
        panel.ax.set_xticks(range(len(columns)), names)
        panel.ax.grid(False)
        panel.ax.tick_params(length=0)
        panel.ax.spines[:].set_visible(False)
        for cell in groups[panel.key].assign(across=groups[panel.key][across]).itertuples():
            place = names.index(value_text(cell.across)), labels.index(cell.label)
            number = scored.number(abs(cell.score))
            said = f"median {scored.name} {scored.text(cell.score)}"
            _cell(panel.ax, *place, cell, number, said, norm, colours)
    ticks = np.linspace(norm.vmin, norm.vmax, 4)
    bar = sheet.colour_bar(ScalarMappable(norm, colours), f"median {scored.axis}", ticks=ticks)
    bar.ax.yaxis.set_major_formatter(score_ticks(scored))
    return sheet.drawing(
        name="outcomes",
        title=f"Outcome and median {scored.name}",
        caption=f"Number and colour: median {scored.name} over the seeds, in {scored.of_numbers}; a diverged run ranks "
        "below every finite one. Below it: how many seeds did not learn. They were slow (the loss was still falling), "
        "got stuck (it was not), diverged, failed with an error, or are pending. Hatched: the median run diverged. "
        f"Colours go from chance, which is {scored.chance}, to {'100 %' if scored.share else '0'}."
        f"{arranged.left_out}",
        alt=f"Heatmap of initializer by {across}, one panel per {' and '.join(rest) or 'contest'}. "
        f"{_best_cell(cells, contests)}",
    )


def _across(contests: StyledContests) -> str:
    """The axis that columns stand for: depth, or with one depth only what has most values, if they are numbers."""
    numbers = [axis for axis in contests.axes if pd.api.types.is_numeric_dtype(contests.runs[axis])]
    values = {axis: contests.runs[axis].nunique() for axis in numbers}
    return max(values, key=values.__getitem__) if values and values.get("depth", 1) < 2 else "depth"


def _scale(contests: StyledContests) -> Normalize:
    """The scale of colours, the same for all results: from chance, the lowest of several datasets', to no error."""
    if contests.measure is ERROR:
        return Normalize(-1, 0)
    chance = chances(contests.done).min()
    if np.isfinite(chance) and chance < 1:
        return Normalize(float(chance), 1)
    scores = contests.cells["score"]
    shown = scores[np.isfinite(scores)]
    return Normalize(min(shown.min(), shown.max() - 0.1), shown.max()) if len(shown) else Normalize(0, 1)


def axis_name(axis: str) -> str:
    return {"depth": "depth (layers)", "lr": "learning rate"}.get(axis, axis)


def _cell(
    ax: Axes, x: int, y: int, cell: Any, number: str, said: str, norm: Normalize, colours: matplotlib.colors.Colormap
) -> None:
    """One cell: its colour, its number, and the outcomes of the runs that did not learn. said: under a pointer."""
    finite, diverged = np.isfinite(cell.score), np.isneginf(cell.score)
    colour = colours(norm(cell.score)) if finite else "none"
    ink = ("#0b0f14" if _luminance(colour) > 0.2 else "#fdfdfd") if finite else INK
    options: dict[str, Any] = {"facecolor": colour, "edgecolor": RULE, "linewidth": 0.6}
    if diverged:
        options = {"facecolor": "none", "edgecolor": MUTED, "hatch": "//", "linewidth": 0.0}
    patch = ax.add_patch(Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, **options))
    fates = [f"{getattr(cell, fate)} {fate}" for fate in UNLEARNED if getattr(cell, fate)]
    words = "\n".join(fates)
    if finite:
        rise, drop = ((0, 0), (0.13, 0.28), (0.23, 0.2), (0.3, 0.16), (0.3, 0.16), (0.3, 0.16))[len(fates)]
        texts = [(y - rise, number, 8.5), (y + drop, words, 6)]
    else:
        texts = [(y, words, 6.8)]
    drawn = [
        ax.text(x, at, text, ha="center", va="center", fontsize=size, color=ink) for at, text, size in texts if text
    ]
    for each in (patch, *drawn):
        tell(each, cell.label, cell="; ".join([said, *fates] if finite else fates))


def _luminance(colour: tuple[float, ...]) -> float:
    """Relative luminance, 0 to 1 (WCAG 2)."""
    rgb = np.array(colour[:3])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def _best_cell(cells: pd.DataFrame, contests: StyledContests) -> str:
    finite = cells[np.isfinite(cells["score"])]
    lost = int(cells[[SLOW, STUCK, DIVERGED]].to_numpy().sum())
    count = f"{lost} of {plural(int(cells[list(FINISHED)].to_numpy().sum()), 'run')} did not learn."
    if finite.empty:
        return f"No cell has a finite median. {count}"
    best, scored = finite.loc[finite["score"].idxmax()], contests.measure
    where = ", ".join(f"{axis} {value_text(best[axis])}" for axis in contests.axes)
    return f"The best cell is {best['label']} ({where}) with {scored.text(best['score'])} median {scored.name}. {count}"
