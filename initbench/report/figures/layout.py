"""What a figure is made of: runs in contests, a panel a contest, and a sheet that has room for them all.

All lengths are in inches.
"""

import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from initbench.analysis.axes import value_text
from initbench.analysis.cells import is_done
from initbench.analysis.contests import Contests, contest_title
from initbench.report.figures.style import STYLE, Style, styles
from initbench.results.load import Results

FEW = 12  # rows that have room to breathe
TITLE = 9  # points, of a panel's title
MOST = 30  # panels, or rows or columns of tiles, in one figure: more can't be read


@dataclass(frozen=True)
class Drawing:
    """A figure with the words that belong to it."""

    name: str  # its file's stem
    title: str
    caption: str
    alt: str  # what one who can't see it needs: what is drawn, and its main fact with numbers
    section: str  # "curves", "layers", "outcomes", "seeds" or "pooled"
    figure: Figure


def svg(drawing: Drawing) -> str:
    """The drawing as SVG whose text is text, without a background; equal results give equal text."""
    paper = io.StringIO()
    with matplotlib.rc_context(STYLE | {"svg.fonttype": "none", "svg.hashsalt": "initbench"}):
        drawing.figure.savefig(paper, format="svg", metadata={"Date": None})
    return re.sub(r"'DejaVu Sans'(, sans-serif)?", "sans-serif", paper.getvalue())


def save(drawing: Drawing, file: Path) -> None:
    """Write the drawing as SVG, PNG or PDF, by the file's suffix, on white."""
    if file.suffix == ".svg":
        file.write_text(on_white(svg(drawing)), encoding="utf-8")
        return
    metadata = {"CreationDate": None} if file.suffix == ".pdf" else None
    with matplotlib.rc_context(STYLE):
        drawing.figure.savefig(file, dpi=_dpi(drawing.figure), facecolor="white", metadata=metadata)


def on_white(text: str) -> str:
    """An SVG's text with a white background: the page has one of its own, a file has not."""
    return re.sub(r"(<svg [^>]*>)", r'\1<rect width="100%" height="100%" fill="#ffffff"/>', text, count=1)


def _dpi(figure: Figure) -> float:
    """Dots an inch that keep a picture below 20,000 pixels either way."""
    return min(130.0, 20_000 / max(figure.get_size_inches()))


# ---------------------------------------------------------------- runs in contests


@dataclass(frozen=True)
class Styled(Contests):
    """Contests with the style of every label."""

    @classmethod
    def of(cls, results: Results | Contests) -> Self:
        found = results if isinstance(results, Contests) else Contests.of(results)
        return cls(**{field.name: getattr(found, field.name) for field in fields(Contests)})

    @cached_property
    def look(self) -> dict[str, Style]:
        """By label, in the legend's order."""
        return styles(self.runs)


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
    """The panels of a figure. grid: a row is an activation (and what else varies), a column a depth."""

    panels: list[FigurePanel]
    grid: bool
    left_out: str  # a sentence on the contests that are not drawn; empty if all are

    def __iter__(self):
        return iter(self.panels)


def panels(runs: pd.DataFrame, axes: list[str], columns: int = 4) -> PanelGrid:
    """A panel for each combination of the axes' values, of the deepest nets where they are more than `MOST`.

    They make a grid with a column a depth; with one depth only, or where half of the grid would be empty, they fill
    lines of up to `columns` instead.
    """
    groups = list(runs.groupby(axes, dropna=False, sort=False))
    chosen, left_out = deepest(groups)
    depths = sorted({here["depth"].iloc[0] for _, here in chosen if here["depth"].notna().all()})
    rest = list(dict.fromkeys(_key(axes, key, but="depth") for key, _ in chosen))
    known = all(here["depth"].notna().all() for _, here in chosen)
    grid = "depth" in axes and known and len(depths) > 1 and 2 * len(chosen) > len(rest) * len(depths)
    found = []
    for number, (key, here) in enumerate(chosen):
        place = divmod(number, columns)
        if grid:
            place = rest.index(_key(axes, key, but="depth")), depths.index(here["depth"].iloc[0])
        found.append(FigurePanel(contest_title(axes, key), _key(axes, key), *place, here))
    for panel in found:
        panel.alike = pd.concat(p.runs for p in found if p.row == panel.row) if grid else panel.runs
    return PanelGrid(found, grid, left_out)


def deepest(groups: list[tuple[Any, pd.DataFrame]]) -> tuple[list[tuple[Any, pd.DataFrame]], str]:
    """At most `MOST` of the groups, those with the deepest nets, in their order; and a sentence on the others."""
    if len(groups) <= MOST:
        return groups, ""
    order = sorted(range(len(groups)), key=lambda i: -groups[i][1]["depth"].fillna(0).iloc[0])[:MOST]
    left_out = f" The {MOST} deepest of {len(groups)} contests are shown: `--where` chooses others."
    return [groups[i] for i in sorted(order)], left_out


def _key(axes: Sequence[str], values: Sequence[Any], but: str = "") -> tuple[str, ...]:
    return tuple(value_text(value) for axis, value in zip(axes, values, strict=True) if axis != but)


# ---------------------------------------------------------------- a sheet of panels


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
    """A figure with a title, a panel beside a panel, axis labels that all share, and room for a key at the right.

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
        self.figure = Figure(figsize=(self.width, self.height))
        for panel in panels:
            x, y = left + panel.column * (width + gap_x), self.top + panel.row * (height + gap_y)
            panel.ax = self.axes(x, y, width, height)
            style_axes(panel)
            panel.ax.set_title(titles[panel.key], fontsize=TITLE, loc="left", pad=7)
            lowest = panel.row == max(p.row for p in panels if p.column == panel.column)
            first = panel.column == min(p.column for p in panels if p.row == panel.row)
            panel.ax.tick_params(labelbottom=lowest or not shared_x, labelleft=first or not shared_y)
        self.text(0.15, 0.12, title, fontsize=13, weight="bold", va="top")
        self.text(middle, self.top + inner_height + 0.32, xlabel, fontsize=9, ha="center", va="top")
        if ylabel:
            self.text(0.12, self.top + inner_height / 2, ylabel, fontsize=9, va="center", rotation=90)

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes whose upper left corner is at x, y from the sheet's."""
        box = (x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height)
        return self.figure.add_axes(box)

    def text(self, x: float, y: float, text: str, **look: Any) -> None:
        self.figure.text(x / self.width, 1 - y / self.height, text, **look)

    def legend(self, handles: list[Any]) -> None:
        self.figure.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=((self.right + 0.2) / self.width, 1 - (self.top - 0.1) / self.height),
            fontsize=8.5,
            frameon=False,
            handlelength=2.6,
        )

    def colour_bar(self, mappable: Any, label: str, **look: Any) -> Any:
        """A bar of at most 3 inches beside the panels; returns matplotlib's."""
        ax = self.axes(self.right + 0.3, self.top, 0.14, min(max(self.inner_height, 1.2), 3.0))
        bar = self.figure.colorbar(mappable, cax=ax, **look)
        bar.outline.set_visible(False)
        bar.set_label(label, fontsize=8.5)
        ax.tick_params(labelsize=8, length=3)
        return bar


def legend_size(handles: list[Any]) -> tuple[float, float]:
    """Width and height that a sheet's legend takes."""
    return 0.95 + text_width(str(handle.get_label()) for handle in handles), 0.2 * (
        sum(str(handle.get_label()).count("\n") for handle in handles) + len(handles) + 1
    )


def curve_size(panels: PanelGrid, legend_height: float) -> tuple[float, float]:
    """Width and height of a panel of curves: as large as lets all of them stand on one page."""
    rows, columns = 1 + max(p.row for p in panels), 1 + max(p.column for p in panels)
    widest = 5.0 if rows <= 2 else 4.2 if rows <= 4 else 3.4
    width = float(np.clip(9.5 / columns, 2.4, widest))
    return width, float(np.clip(legend_height / rows - 0.6, 0.66 * width, 0.9 * width))


def curve_sheet(panels: PanelGrid, handles: list[Any], **look: Any) -> FigureSheet:
    """A sheet of curves with its legend."""
    key, least = legend_size(handles)
    width, height = curve_size(panels, least)
    sheet = FigureSheet(panels.panels, width=width, height=height, key=key, least=least, **look)
    sheet.legend(handles)
    return sheet


def row_sheet(
    panels: PanelGrid, labels: Sequence[str], handles: list[Any], *, narrowest: float, **look: Any
) -> FigureSheet:
    """A sheet with its legend whose panels have a row a label; the first panel of a line names them."""
    key, least = legend_size(handles)
    width = float(np.clip(9.0 / (1 + max(p.column for p in panels)), narrowest, 4.5))
    size = {"width": width, "height": rows_height(labels), "left": 0.35 + text_width(labels)}
    sheet = FigureSheet(panels.panels, key=key, least=least, shared_y=True, **size, **look)
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


def label_rows(ax: Axes, look: dict[str, Style]) -> None:
    """A row a label, the first at the top."""
    ax.set_yticks(range(len(look)), list(look))
    ax.set_ylim(len(look) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0, labelsize=8.5 if len(look) <= FEW else 7.5)


def rows_height(labels: Sequence[str]) -> float:
    """Inches that a row a label takes."""
    return (0.24 if len(labels) <= FEW else 0.18) * len(labels) + 0.1


def median(values: np.ndarray, axis: int) -> np.ndarray:
    """The median in float64 of those that are not NaN, infinite where an infinite value decides; NaN where none is.

    (numpy's nanmedian is many times slower.)
    """
    ordered = np.sort(np.moveaxis(values, axis, 0), axis=0)
    count = (~np.isnan(ordered)).sum(axis=0)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(ordered) - 1)
    lower, upper = (np.take_along_axis(ordered, middle[None], axis=0)[0] for middle in (low, high))
    return (lower.astype("float64") + upper) / 2


def power_of_ten(value: float, _: Any = None) -> str:
    """ "10⁻⁷", "0.1", "1" or "10": a label of a logarithmic axis, as text that needs no layout."""
    exponent = round(np.log10(value)) if value > 0 else 0
    if abs(exponent) <= 1:
        return f"{value:g}"
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
