"""Initializer by mitigation, coloured by outcome: which failures each mitigation rescues."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.collections import PatchCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from initbench.analysis.axes import value_text
from initbench.analysis.cells import FINISHED
from initbench.analysis.contests import contest_title
from initbench.analysis.measure import ERROR, Measure, of_labels
from initbench.analysis.mitigations import MitigationEffects
from initbench.report.figures.drawing import Drawing
from initbench.report.figures.hover import tell
from initbench.report.figures.sheet import TITLE, FigurePanel, FigureSheet, broken, deepest, text_width
from initbench.report.figures.style import INK, MUTED
from initbench.report.figures.styled import StyledContests
from initbench.text import plural

CELL = (0.33, 0.205)  # inches: two digits at 7 points
WIDEST = 12.0  # inches that panels side by side take: as wide as the page
MOST = 12  # panels
STRIP = 0.2  # of a cell's height: the shares of its seeds, where they differ
# As on the page, where text has these colours; slow and stuck are lighter here, so that lightness differs as well.
COLOURS = {"learned": "#0a7a52", "slow": "#7ab1dc", "stuck": "#f0cf8e", "diverged": "#b3322c"}
INKS = {"learned": "#ffffff", "slow": "#06263f", "stuck": "#3d2a05", "diverged": "#ffffff"}


def mitigation_heatmap(contests: StyledContests, rescue: MitigationEffects) -> Drawing:
    """Which initializers learn with each value of an axis: one panel per value of everything else."""
    table, rest = contests.cells[contests.cells["finished"] > 0], contests.without(rescue.axis)
    table = table.assign(value=table[rescue.axis].map(value_text), status="done")
    values = [rescue.baseline, *rescue.values]
    table = table[table["value"].isin(values)]
    labels = by_learned(table)
    groups = list(table.groupby(rest, dropna=False, sort=False))
    chosen, left_out = deepest(groups, MOST, "panels")
    width, height = len(labels) * CELL[0], len(values) * CELL[1]
    chosen, across = _arranged(chosen, max(1, int(WIDEST / (width + 0.2))))
    panels = [
        FigurePanel(contest_title(rest, key), key, *divmod(place, across), here)
        for place, (key, here) in enumerate(chosen)
    ]
    head, name = text_width(labels, 8), "Mitigations" if rescue.axis == "mitigation" else rescue.axis
    sheet = FigureSheet(
        panels,
        title=f"{name}: which initializers learn",
        xlabel="",
        width=width,
        height=height + head,
        left=0.3 + text_width(values, 8.5),
        key=1.5,
        least=1.4,
        shared_y=True,
    )
    for panel in panels:
        box = panel.ax.get_position()
        panel.ax.set_position((box.x0, box.y0, box.width, box.height * height / (height + head)))
        panel.ax.set_title(broken(panel.title, width, TITLE), fontsize=TITLE, loc="left", pad=5 + 72 * head)
        _draw(panel, labels, values, of_labels(contests.runs))
    measures = [part.measure for part in contests.by_measure()]
    labelled = [f"{each.short}, %" for each in measures if each.share]
    marker, label = ("$97$", labelled[0]) if labelled else ("$.12$", ERROR.short)
    number = Line2D([], [], linestyle="none", marker=marker, markersize=9, color=INK, label=label)
    patch = partial(Patch, edgecolor=INK, linewidth=0.3)
    sheet.legend([*(patch(facecolor=colour, label=name) for name, colour in COLOURS.items()), number])
    saved, lost = int(rescue.overall["rescued"].sum()), int(rescue.overall["broken"].sum())
    best = rescue.overall.iloc[0]
    return sheet.drawing(
        name="rescue" if rescue.axis == "mitigation" else f"rescue_{rescue.axis.replace('.', '_')}",
        title=f"Initializer by {rescue.axis}, coloured by outcome",
        caption="Colour: learned where most seeds of the cell learned, otherwise the outcome of most of the others. "
        "Where seeds differ, the strip below shows their shares. Number: median over the seeds of the "
        f"{' or '.join(f'{each.name} in {each.of_numbers}' for each in measures)}; ×: the median run diverged. "
        f"Rows below {rescue.baseline}: sorted by the number of cells rescued minus the number broken. Columns: "
        f"initializers that learn most often come first.{left_out}",
        alt=f"Heatmap of initializer by {rescue.axis}, one panel per {' and '.join(rest) or 'contest'}. Over all "
        f"panels, {plural(saved, 'cell')} learn only with a {rescue.axis}, and {lost} only without; {best['value']} "
        f"rescues {best['rescued']} of {plural(best['rescued'] + best['failing'], 'failing cell')}.",
    )


def _arranged(groups: list[tuple[Any, pd.DataFrame]], most: int) -> tuple[list[tuple[Any, pd.DataFrame]], int]:
    """The panels in their order, and how many stand in a line: one line per depth where that leaves no gaps."""
    depths = [here["depth"].fillna(0).iloc[0] for _, here in groups]
    each = len(groups) // len(set(depths))
    if 1 < each <= most and all(depths.count(depth) == each for depth in depths):
        return [groups[place] for place in np.argsort(depths, kind="stable")], each
    lines = -(-len(groups) // most)
    return groups, -(-len(groups) // lines)


def by_learned(table: pd.DataFrame) -> list[str]:
    """Initializers, the one that learns most often first. table: rows of `Contests.cells`."""
    counts: Any = table.groupby("label", sort=False)[list(FINISHED)].sum()
    share = counts["learned"] / counts.sum(axis=1)
    return list(share.sort_values(ascending=False, kind="stable").index)


def _brief(score: float, numbers: bool) -> str:
    """ "97", of per cent; ".12", of an error"""
    if not np.isfinite(score):
        return "×"
    return f"{abs(score):.2g}"[:4].removeprefix("0") if numbers else f"{100 * score:.0f}"


def _said(cell: Any, counts: dict[str, int], scored: Measure) -> str:
    """ "adam: median test accuracy 97.2 %; 2 learned, 1 stuck" """
    median = f"median {scored.name} {scored.text(cell.score)}" if np.isfinite(cell.score) else "diverged"
    return f"{cell.value}: {median}; {', '.join(f'{count} {fate}' for fate, count in counts.items() if count)}"


def _draw(panel: FigurePanel, labels: list[str], values: list[str], labels_by: Measure) -> None:
    ax: Any = panel.ax
    ax.set_xlim(-0.5, len(labels) - 0.5)
    ax.set_ylim(len(values) - 0.5, -0.5)
    ax.set_xticks(range(len(labels)), labels, rotation=90, fontsize=8)
    ax.set_yticks(range(len(values)), values, fontsize=8.5)
    ax.tick_params(length=0, labeltop=True, labelbottom=False, top=False, pad=2)
    for tick, label in zip(ax.get_xticklabels(), labels, strict=True):
        tell(tick, label)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    boxes: dict[str, list[Rectangle]] = {fate: [] for fate in FINISHED}
    for cell in panel.runs.itertuples():
        x, y = labels.index(cell.label), values.index(cell.value)
        counts = {fate: getattr(cell, fate) for fate in FINISHED}
        mixed = max(counts.values()) < sum(counts.values())
        boxes[cell.outcome].append(Rectangle((x - 0.47, y - 0.46), 0.94, 0.92 - STRIP * mixed))
        if mixed:
            at = x - 0.47
            for fate, count in counts.items():
                part = 0.94 * count / sum(counts.values())
                if count:
                    boxes[fate].append(Rectangle((at, y + 0.5 - STRIP), part, STRIP - 0.04))
                at += part
        text = _brief(cell.score, cell.numbers)
        at = y - STRIP / 2 * mixed + 0.02
        words = ax.text(x, at, text, ha="center", va="center", fontsize=7, color=INKS[cell.outcome])
        tell(words, cell.label, cell=_said(cell, counts, ERROR if cell.numbers else labels_by))
    for fate, here in boxes.items():
        if here:
            ax.add_collection(PatchCollection(here, facecolor=COLOURS[fate], linewidth=0))
    if len(values) > 1:
        ax.axhline(0.5, color=MUTED, linewidth=0.8)
