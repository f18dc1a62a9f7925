"""The greatest depth at which each initializer still trains."""

import numpy as np
import pandas as pd

from initbench.analysis.axes import value_text
from initbench.analysis.contests import by_contest
from initbench.report.figures.drawing import Drawing
from initbench.report.figures.hover import tell
from initbench.report.figures.outcomes import axis_name
from initbench.report.figures.sheet import panels, row_sheet, text_width
from initbench.report.figures.styled import StyledContests


def trainable_depths(contests: StyledContests) -> pd.DataFrame:
    """The deepest network that trains, one row per initializer and contest without its depth: those axes, `label`,
    `depth`, `deepest`.

    depth: the greatest at which most finished seeds learned, where at every smaller tested depth most did as well; 0
    where there is none. deepest: the greatest depth tested. Depths without a finished run count as not tested.
    """
    rest = contests.without("depth")
    tested = contests.cells[contests.cells["finished"] > 0].dropna(subset="depth")
    rows = []
    for key, cells in tested.groupby([*rest, "label"], dropna=False):
        cells = cells.sort_values("depth")
        works = np.logical_and.accumulate(cells["most_learned"].to_numpy())
        depth = int(cells["depth"].to_numpy()[works].max(initial=0))
        rows.append((*key, depth, int(cells["depth"].max())))
    return pd.DataFrame(rows, columns=[*rest, "label", "depth", "deepest"])


def trainable_depth(contests: StyledContests) -> Drawing | None:
    """Bars of the maximum trainable depth: one row per initializer, one panel per activation."""
    depths = sorted(contests.done["depth"].dropna().unique().tolist())
    if len(depths) < 2:
        return None
    rest, labels = contests.without("depth"), list(contests.styles)
    found = trainable_depths(contests)
    arranged = panels(contests.runs, rest)
    title, xlabel = "Maximum trainable depth", axis_name("depth")
    sheet = row_sheet(arranged, contests.styles, [], narrowest=2.0, title=title, xlabel=xlabel)
    groups = by_contest(found, rest)
    for panel in arranged:
        panel.ax.set_xlim(0, 1.25 * depths[-1])
        panel.ax.set_xticks(_apart(depths, panel.ax.get_position().width * sheet.width / 1.25))
        for cell in groups[panel.key].itertuples() if panel.key in groups else ():
            row = labels.index(cell.label)
            (bar,) = panel.ax.barh(row, cell.depth, height=0.6, color=contests.styles[cell.label].color)
            tell(bar, cell.label, cell=f"trains to depth {depth_text(cell.depth, cell.deepest)}")
            panel.ax.text(
                cell.depth + 0.02 * depths[-1], row, depth_text(cell.depth, cell.deepest), va="center", fontsize=8
            )
    return sheet.drawing(
        name="trainable_depth",
        caption="The greatest depth (in layers) at which more than half of the finished seeds learned, if they "
        "did so at every smaller tested depth too. ≥: the greatest depth tested still trains. None: not even the "
        f"smallest does. Depths tested: {', '.join(map(str, depths))}.{arranged.left_out}",
        alt=f"Bar charts of maximum trainable depth by initializer, one panel per {' and '.join(rest)}. "
        f"{_depth_fact(found, rest, depths)}",
    )


def _apart(depths: list[int], width: float) -> list[int]:
    """Those of the depths that have room for their number on a scale from 0 to the greatest, which is one of them."""
    room = text_width([f"{depths[-1]}"], 8) + 0.06  # inches
    shown = [depths[-1]]
    for depth in depths[-2::-1]:
        if (shown[0] - depth) * width / depths[-1] >= room:
            shown.insert(0, depth)
    return shown


def depth_text(depth: int, deepest: int) -> str:
    """ "20", "≥ 50" where the deepest tested trains, or "none"."""
    return "none" if not depth else f"≥ {depth}" if depth == deepest else f"{depth}"


def _depth_fact(found: pd.DataFrame, rest: list[str], depths: list[int]) -> str:
    most = found["depth"].max()
    if not most:
        return "No initializer trains even the shallowest net."
    best = found[found["depth"] == most]
    names = ", ".join(
        f"{row['label']} ({', '.join(value_text(row[axis]) for axis in rest)})" for _, row in best.head(3).iterrows()
    )
    more = f" and {len(best) - 3} more" if len(best) > 3 else ""
    none = int((found["depth"] == 0).sum())
    return f"Deepest: {depth_text(most, depths[-1])} layers by {names}{more}; {none} of {len(found)} bars are none."
