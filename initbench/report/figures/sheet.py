"""The panels of a figure, one per contest, on a sheet with titles and a legend. All lengths are in inches."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from initbench.analysis.axes import value_text
from initbench.analysis.cells import is_done
from initbench.analysis.contests import contest_key, contest_title
from initbench.report.figures.drawing import Drawing
from initbench.report.figures.hover import tell, tell_axes, tell_legend
from initbench.report.figures.style import Style

NO_LABELS: Mapping[str, str] = {}
MOST = 30  # panels, or rows or columns of tiles, in one figure: more can't be read


@dataclass
class FigurePanel:
    """One contest's place in a figure: its runs, its axes, and the runs of the panels with the same y axis."""

    title: str
    key: tuple[str, ...]
    row: int
    column: int
    runs: pd.DataFrame
    alike: pd.DataFrame = field(default_factory=pd.DataFrame)
    ax: Any = None

    @property
    def finished(self) -> bool:
        return bool(is_done(self.runs).any())


@dataclass(frozen=True)
class PanelGrid:
    """The panels of a figure. grid: whether rows are activations (and what else varies) and columns depths."""

    panels: list[FigurePanel]
    grid: bool
    left_out: str  # a sentence on the contests that are not drawn; empty if all are

    def __iter__(self):
        return iter(self.panels)


def panels(runs: pd.DataFrame, axes: list[str], columns: int = 4) -> PanelGrid:
    """A panel for each combination of the axes' values, of the deepest networks where they are more than `MOST`.

    They make a grid with one column per depth; with one depth only, or where half of the grid would be empty, they fill
    lines of up to `columns` instead.
    """
    groups = list(runs.groupby(axes, dropna=False, sort=False))
    chosen, left_out = deepest(groups)
    depths = sorted({here["depth"].iloc[0] for _, here in chosen if here["depth"].notna().all()})
    others = [axis for axis in axes if axis != "depth"]
    rest = list(dict.fromkeys(contest_key(here.iloc[0], others) for _, here in chosen))
    known = all(here["depth"].notna().all() for _, here in chosen)
    grid = "depth" in axes and known and len(depths) > 1 and 2 * len(chosen) > len(rest) * len(depths)
    found = []
    for number, (key, here) in enumerate(chosen):
        place = divmod(number, columns)
        if grid:
            place = rest.index(contest_key(here.iloc[0], others)), depths.index(here["depth"].iloc[0])
        found.append(FigurePanel(contest_title(axes, key), tuple(map(value_text, key)), *place, here))
    for panel in found:
        panel.alike = pd.concat(p.runs for p in found if p.row == panel.row) if grid else panel.runs
    return PanelGrid(found, grid, left_out)


def deepest(
    groups: list[tuple[Any, pd.DataFrame]], most: int = MOST, noun: str = "contests"
) -> tuple[list[tuple[Any, pd.DataFrame]], str]:
    """At most so many of the groups, those with the deepest networks, in their order; and a sentence on the others."""
    if len(groups) <= most:
        return groups, ""
    order = sorted(range(len(groups)), key=lambda i: -groups[i][1]["depth"].fillna(0).iloc[0])[:most]
    left_out = f" Shown are the {most} deepest of {len(groups)} {noun}; choose others with `--where`."
    return [groups[i] for i in sorted(order)], left_out


FEW = 12  # rows that have room to breathe
TITLE = 9  # points, of a panel's title


def text_width(texts: Iterable[str], size: float = 8.5) -> float:
    """How wide the longest line of these texts is in DejaVu Sans, which is wider than most; an estimate."""
    return max((len(line) for text in texts for line in text.split("\n")), default=0) * size * 0.0087


def broken(title: str, width: float, size: float) -> str:
    """A title in as many lines as keep within the width, where a comma lets it be broken."""
    lines: list[str] = []
    for word in title.split(", "):
        if lines and text_width([f"{lines[-1]}, {word}"], size) <= width:
            lines[-1] += f", {word}"
        else:
            lines.append(word)
    return ",\n".join(lines)


class FigureSheet:
    """A figure with a title, panels beside each other, axis labels that all share, and room for a key at the right.

    width, height: of a panel; left: room for the ticks' labels; top: for the titles; key: room at the right; least:
    height of the key.
    shared_x, shared_y: ticks are labelled at the outer panels alone.
    """

    def __init__(
        self,
        panels: Sequence[FigurePanel],
        *,
        title: str,
        xlabel: str,
        ylabel: str = "",
        width: float,
        height: float,
        left: float = 0.85,
        key: float = 0.2,
        least: float = 0.0,
        top: float = 0.72,
        shared_x: bool = False,
        shared_y: bool = False,
    ):
        rows, columns = 1 + max(p.row for p in panels), 1 + max(p.column for p in panels)
        gap_x, gap_y = 0.2 if shared_y else 0.55, 0.46 if shared_x else 0.62
        titles = {panel.key: broken(panel.title, width + gap_x - 0.05, TITLE) for panel in panels}
        more_lines = max(heading.count("\n") for heading in titles.values()) * TITLE / 60
        gap_y, self.top = gap_y + more_lines, top + more_lines
        inner_width = columns * (width + gap_x) - gap_x
        inner_height = rows * (height + gap_y) - gap_y
        self.height = self.top + max(inner_height + 0.6, least)
        self.inner_height = inner_height
        middle = left + inner_width / 2
        self.right = max(left + inner_width, middle + text_width([xlabel], 9) / 2)  # where panels and labels end
        self.width = max(self.right + key, text_width([title], 13) + 0.5)
        self.title = title
        self.figure = Figure(figsize=(self.width, self.height))
        for panel in panels:
            x, y = left + panel.column * (width + gap_x), self.top + panel.row * (height + gap_y)
            panel.ax = self.axes(x, y, width, height)
            style_axes(panel)
            panel.ax.set_title(titles[panel.key], fontsize=TITLE, loc="left", pad=7)
            lowest = panel.row == max(p.row for p in panels if p.column == panel.column)
            first = panel.column == min(p.column for p in panels if p.row == panel.row)
            panel.ax.tick_params(labelbottom=lowest or not shared_x, labelleft=first or not shared_y)
        self.left = left
        self.text(0.15, 0.12, title, fontsize=13, weight="bold", va="top", gid="title")
        self.text(middle, self.top + inner_height + 0.32, xlabel, fontsize=9, ha="center", va="top")
        if ylabel:
            self.text(0.12, self.top + inner_height / 2, ylabel, fontsize=9, va="center", rotation=90)

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes whose upper left corner is at x, y from the sheet's."""
        box = (x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height)
        return self.figure.add_axes(box)

    def text(self, x: float, y: float, text: str, **options: Any) -> None:
        self.figure.text(x / self.width, 1 - y / self.height, text, **options)

    def drawing(self, name: str, caption: str, alt: str, title: str = "") -> Drawing:
        """The finished figure. name, caption, alt: as a `Drawing` has them. title: by default the sheet's."""
        return Drawing(name, title or self.title, caption, alt, self.figure, left=self.left)

    def legend(self, handles: list[Any], labels: Mapping[str, str] = NO_LABELS) -> None:
        """labels: the initializers', by the text of their entry."""
        legend = self.figure.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=((self.right + 0.2) / self.width, 1 - (self.top - 0.1) / self.height),
            fontsize=8.5,
            frameon=False,
            handlelength=2.6,
        )
        tell_legend(legend, labels)

    def colour_bar(self, mappable: Any, label: str, **options: Any) -> Any:
        """A bar beside the panels, as high as they are or as its label, but 3 inches at most; returns matplotlib's."""
        ax = self.axes(self.right + 0.3, self.top, 0.14, min(max(self.inner_height, text_width([label])), 3.0))
        bar = self.figure.colorbar(mappable, cax=ax, **options)
        bar.outline.set_visible(False)
        bar.set_label(label, fontsize=8.5)
        ax.tick_params(labelsize=8, length=3)
        return bar


def legend_size(handles: list[Any]) -> tuple[float, float]:
    """Width and height that a sheet's legend takes."""
    return 0.95 + text_width(str(handle.get_label()) for handle in handles), 0.2 * (
        sum(str(handle.get_label()).count("\n") for handle in handles) + len(handles) + 1
    )


def curve_sheet(panels: PanelGrid, handles: list[Any], styles: dict[str, Style], **options: Any) -> FigureSheet:
    """A sheet of curves with its legend. Panels are as large as lets all of them stand on one page."""
    key, least = legend_size(handles)
    rows, columns = 1 + max(p.row for p in panels), 1 + max(p.column for p in panels)
    widest = 5.0 if rows <= 2 else 4.2 if rows <= 4 else 3.4
    width = float(np.clip(9.5 / columns, 2.4, widest))
    height = float(np.clip(least / rows - 0.6, 0.66 * width, 0.9 * width))
    sheet = FigureSheet(panels.panels, width=width, height=height, key=key, least=least, **options)
    sheet.legend(handles, {label: label for label in styles})
    return sheet


def row_sheet(
    panels: PanelGrid,
    styles: dict[str, Style],
    handles: list[Any],
    *,
    narrowest: float,
    grid: str = "x",
    **options: Any,
) -> FigureSheet:
    """A sheet with its legend, if it has one, whose panels have one row per label; the first of a line names them."""
    key, least = legend_size(handles) if handles else (0.3, 0.0)
    width = float(np.clip(9.0 / (1 + max(p.column for p in panels)), narrowest, 4.5))
    size = {"width": width, "height": rows_height(styles), "left": 0.35 + text_width(styles)}
    sheet = FigureSheet(panels.panels, key=key, least=least, shared_y=True, **size, **options)
    for panel in panels:
        label_rows(panel.ax, styles, grid, options["xlabel"])
    if handles:
        sheet.legend(handles)
    return sheet


def style_axes(panel: FigurePanel) -> None:
    ax = panel.ax
    ax.tick_params(labelsize=8, length=3)
    ax.grid(linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    if not panel.finished:
        ax.text(0.5, 0.5, "no finished run", transform=ax.transAxes, ha="center", fontsize=9)


def label_rows(ax: Axes, styles: dict[str, Style], grid: str = "x", x: str = "") -> None:
    """One row per label, the first at the top. grid: the axis whose ticks have lines. x: what is measured across."""
    tell_axes(ax, x, "", styles)
    ax.grid(axis="y" if grid == "x" else "x", visible=False)
    ax.set_yticks(range(len(styles)), list(styles))
    for tick, label in zip(ax.get_yticklabels(), styles, strict=False):  # none where an outer panel has them
        tell(tick, label)
    ax.set_ylim(len(styles) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0, labelsize=8.5 if len(styles) <= FEW else 7.5)


def rows_height(labels: Collection[str]) -> float:
    """The height in inches of one row per label."""
    return (0.24 if len(labels) <= FEW else 0.18) * len(labels) + 0.1
