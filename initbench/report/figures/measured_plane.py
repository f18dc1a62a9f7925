"""The phase diagram with measured networks on it: what theory says as the ground, what the probe found as dots."""

import math

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from initbench.analysis.diagnosis.birth import (
    CHAOTIC,
    DEAD,
    EXPLODES,
    ORDERED,
    SATURATED,
    SOUND,
    SYMMETRIC,
    VANISHES,
)
from initbench.analysis.probe import ProbedCells
from initbench.report.figures.drawing import Drawing
from initbench.report.figures.style import INK, STYLE
from initbench.report.figures.theory import LOOK, MOST_PANELS, SIGMA_B, SIGMA_W, colour_bar, colours_of, plane
from initbench.text import rough

LEAST = 3  # points that make a picture
MARKERS = {
    SOUND: "o",
    VANISHES: "v",
    ORDERED: "<",
    EXPLODES: "^",
    CHAOTIC: ">",
    SATURATED: "s",
    DEAD: "X",
    SYMMETRIC: "D",
}


def measured_plane(probed: ProbedCells) -> Drawing | None:
    """One panel per activation: each cell at its sigma_w and sigma_b, in the colour of the chi_1 that was measured.

    None where fewer than LEAST cells have a place on it: those of plain MLPs whose weights are drawn independently.
    """
    cells = probed.cells.assign(
        sigma_w=[said.sigma_w for said in probed.theory], sigma_b=[said.sigma_b for said in probed.theory]
    )
    cells = cells[np.isfinite(cells["chi_1_measured"]) & (cells["chi_1_measured"] > 0) & (cells["sigma_w"] > 0)]
    if len(cells) < LEAST:
        return None
    acts = list(cells["act"].unique())
    shown = acts[:MOST_PANELS]
    columns = min(len(shown), 2)
    rows = math.ceil(len(shown) / columns)
    left_out = f" Shown are the first {MOST_PANELS} of {len(acts)} activations." if len(acts) > MOST_PANELS else ""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4 * columns + 1.0, 4.5 * rows + 0.9), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        meshes = [_panel(ax, probed, cells[cells["act"] == act]) for ax, act in zip(axes, shown, strict=False)]
        for ax in axes[len(shown) :]:
            ax.set_axis_off()
        colour_bar(figure, meshes[0], list(axes), rows)
        found = [word for word in MARKERS if word in set(cells["verdict"])]
        handles = [
            Line2D(
                [],
                [],
                linestyle="none",
                marker=MARKERS[word],
                markersize=7,
                markerfacecolor="none",
                markeredgecolor=INK,
                label=word,
            )
            for word in found
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(found), frameon=False, fontsize=8.5)
        figure.suptitle("Phase diagram, with measured networks", fontsize=13, weight="bold", x=0.01, ha="left")
    apart = np.abs(np.log(cells["chi_1_measured"] / cells["chi_1_theory"]))
    typical = math.expm1(float(apart[np.isfinite(apart)].median()))
    fact = f"Half of the {len(cells)} points have a χ₁ within {rough(100 * typical)} % of theory's for their layers."
    return Drawing(
        name="measured_plane",
        title="Phase diagram, with measured networks",
        caption="The ground is theory: χ₁ in deep layers of wide networks, blue where gradients vanish, red where they "
        "explode, black the critical line. Each point is a cell of networks that were measured, in the colour of their "
        f"own χ₁: a point that is hard to see agrees with theory. Its shape is its verdict. {fact}{left_out}",
        alt=f"Map of chi_1 over sigma_w and sigma_b with measured networks as points. {fact}",
        figure=figure,
    )


def _panel(ax: Axes, probed: ProbedCells, cells: pd.DataFrame) -> QuadMesh:
    """The plane of one activation, and on it its cells."""
    phi = probed.theory[int(cells.index[0])].phi
    assert phi is not None
    mesh = plane(ax, phi, [])
    for verdict, some in cells.groupby("verdict"):
        ax.scatter(
            some["sigma_w"].clip(SIGMA_W[0], SIGMA_W[-1]),
            some["sigma_b"].clip(SIGMA_B[0], SIGMA_B[-1]),
            s=62,
            c=colours_of(some["chi_1_measured"].to_numpy("float64")),
            marker=MARKERS[str(verdict)],
            edgecolors=INK,
            linewidths=0.9,
            clip_on=False,
            zorder=5,
            **LOOK,
        )
    return mesh
