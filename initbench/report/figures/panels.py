"""The panels of a figure: one per contest, in a grid."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from initbench.analysis.axes import value_text
from initbench.analysis.cells import is_done
from initbench.analysis.contests import contest_title

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


def deepest(
    groups: list[tuple[Any, pd.DataFrame]], most: int = MOST, noun: str = "contests"
) -> tuple[list[tuple[Any, pd.DataFrame]], str]:
    """At most so many of the groups, those with the deepest networks, in their order; and a sentence on the others."""
    if len(groups) <= most:
        return groups, ""
    order = sorted(range(len(groups)), key=lambda i: -groups[i][1]["depth"].fillna(0).iloc[0])[:most]
    left_out = f" Shown are the {most} deepest of {len(groups)} {noun}; choose others with `--where`."
    return [groups[i] for i in sorted(order)], left_out


def _key(axes: Sequence[str], values: Sequence[Any], but: str = "") -> tuple[str, ...]:
    return tuple(value_text(value) for axis, value in zip(axes, values, strict=True) if axis != but)
