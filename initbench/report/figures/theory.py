"""Figures of mean-field theory: the phase diagram, and variance and correlation by layer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from initbench.report.figures.drawing import Drawing
from initbench.report.figures.style import INK, MUTED, PALETTE, RULE, STYLE
from initbench.text import join_words
from initbench.theory.activations import Phi
from initbench.theory.mean_field import Profile
from initbench.theory.plane import chi_1_over

SIGMA_W = np.geomspace(0.07, 14, 241)
SIGMA_B = np.linspace(0, 1, 81)
STRONGEST = 3.0  # powers of 2 of chi_1 that get the strongest colour
PALE = 1.4  # the colours end before the map's own ends, which are too dark for text
LOOK: dict[str, Any] = {"cmap": "RdBu_r", "norm": Normalize(-PALE * STRONGEST, PALE * STRONGEST)}
MOST_NAMES = 3  # at one point; how many more there are is said
APART = 0.1  # powers of 10 of sigma_w within which the label of a point goes to its other side
GROUND = {"facecolor": "#ffffffb0", "edgecolor": "none", "pad": 1.2}  # below text, which stays text in SVG
MOST_PANELS = 6
MOST_CURVES = 12
LOWEST, HIGHEST = 1e-15, 1e15  # of a variance that is drawn


@dataclass(frozen=True)
class PlaneMark:
    """One or more initializers at a point of the plane."""

    labels: tuple[str, ...]
    sigma_w: float
    sigma_b: float


def phase_diagram(panels: Sequence[tuple[Phi, Sequence[PlaneMark]]], width: int) -> Drawing:
    """chi_1 over the plane of sigma_w and sigma_b, one panel per activation, with initializers as points on it.

    width: of the networks for which the points are, since the variance of some initializers doesn't go with 1 / n.
    """
    shown = panels[:MOST_PANELS]
    columns = min(len(shown), 2)
    rows = math.ceil(len(shown) / columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4 * columns + 1.0, 4.5 * rows + 0.5), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        drawn = [plane(ax, phi, marks) for ax, (phi, marks) in zip(axes, shown, strict=False)]
        for ax in axes[len(shown) :]:
            ax.set_axis_off()
        colour_bar(figure, drawn[0], list(axes), rows)
        figure.suptitle("Phase diagram of wide networks at birth", fontsize=13, weight="bold", x=0.01, ha="left")
    names = join_words(phi.name for phi, _ in shown)
    left_out = f" Shown are the first {MOST_PANELS} of {len(panels)} activations." if len(panels) > MOST_PANELS else ""
    return Drawing(
        name="phase_diagram",
        title="Phase diagram of wide networks at birth",
        caption="The plane of weight variance σ_w²/n and bias variance σ_b². Blue: the ordered phase, where gradients "
        "vanish and inputs become alike. Red: the chaotic phase, where gradients explode and inputs become unlike. "
        "Black: the critical line, χ₁ = 1. Hatched: the variance grows without bound. Points: initializers, for layers "
        f"of {width} units; those left or right of the frame are at its edge, with an arrow (Poole et al. 2016; "
        f"Schoenholz et al. 2017).{left_out}",
        alt=f"Map of chi_1 over sigma_w and sigma_b for {names}. {_diagram_fact(shown)}",
        figure=figure,
    )


def colour_bar(figure: Figure, mesh: QuadMesh, axes: Sequence[Axes], rows: int) -> None:
    """What the colours of `plane` mean."""
    bar = figure.colorbar(mesh, ax=axes, shrink=min(1.0, 3.2 / (4.5 * rows)), aspect=24, pad=0.015)
    bar.set_label("χ₁: factor of the gradient's mean square per layer", fontsize=8.5)
    bar.ax.set_ylim(-STRONGEST, STRONGEST)
    ticks = np.arange(-STRONGEST, STRONGEST + 1)
    bar.set_ticks(list(ticks), labels=[f"{2.0**tick:g}" for tick in ticks])
    bar.outline.set_visible(False)  # type: ignore[operator]


def colours_of(chi_1: np.ndarray) -> np.ndarray:
    """Where values of chi_1 are on the map of colours LOOK: powers of 2."""
    return np.log2(np.clip(chi_1, 2.0**-STRONGEST, 2.0**STRONGEST))


def plane(ax: Axes, phi: Phi, marks: Sequence[PlaneMark]) -> QuadMesh:
    """One panel: chi_1 over the plane, the critical line, and marks."""
    chi_1, q_star = chi_1_over(phi, SIGMA_W, SIGMA_B)
    mesh = ax.pcolormesh(SIGMA_W, SIGMA_B, colours_of(chi_1), rasterized=True, **LOOK)
    unbounded = np.isinf(q_star).astype(float)
    if unbounded.any():
        hatched = ax.contourf(SIGMA_W, SIGMA_B, unbounded, levels=[0.5, 1.5], colors="none", hatches=["//"])
        hatched.set_edgecolor("#00000026")
        hatched.set_linewidth(0)
    if chi_1.min() < 1 < chi_1.max():
        ax.contour(SIGMA_W, SIGMA_B, np.log(chi_1), levels=[0], colors=INK, linewidths=2)
    ax.set_xscale("log")
    ax.set_ylim(-0.03, SIGMA_B[-1])
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_xticks([0.1, 0.2, 0.5, 1, 2, 5, 10])
    ax.set_xlim(SIGMA_W[0], SIGMA_W[-1])
    ax.minorticks_off()
    ax.tick_params(labelsize=8, length=3)
    ax.set_xlabel("σ_w (weights have variance σ_w² / n)", fontsize=9)
    ax.set_ylabel("σ_b (biases have variance σ_b²)", fontsize=9)
    ax.set_title(phi.name, fontsize=10, loc="left")
    for side in ax.spines.values():
        side.set_color(RULE)
    for text, x, align in (("ordered", 0.015, "left"), ("chaotic", 0.985, "right")):
        ax.text(x, 0.97, text, transform=ax.transAxes, ha=align, va="top", fontsize=10, style="italic", bbox=GROUND)
    before = -math.inf
    for mark in sorted(marks, key=lambda mark: (mark.sigma_w, mark.sigma_b)):
        if mark.sigma_w > 0:
            place = math.log10(mark.sigma_w)
            _mark(ax, mark, to_right=place - before < APART)
            before = place
    return mesh


def _mark(ax: Axes, mark: PlaneMark, *, to_right: bool) -> None:
    """A point with its initializers' names beside it, upright; one outside the frame has an arrow and its sigma_w."""
    low, high = SIGMA_W[0] * 1.06, SIGMA_W[-1] / 1.06
    x, y = min(max(mark.sigma_w, low), high), min(mark.sigma_b, SIGMA_B[-1] * 0.98)
    more = len(mark.labels) - MOST_NAMES
    name = ", ".join(mark.labels[:MOST_NAMES]) + (f" + {more}" if more > 0 else "")
    if x != mark.sigma_w:
        name += f" (σ_w = {mark.sigma_w:.2g})"
    marker = "<" if x > mark.sigma_w else ">" if x < mark.sigma_w else "o"
    ax.plot([x], [y], marker=marker, markersize=6, color=INK, markeredgecolor="white", clip_on=False, zorder=5)
    ax.annotate(
        name,
        (x, y),
        (7 if to_right else -3, 5),
        textcoords="offset points",
        rotation=90,
        ha="center" if to_right else "right",
        va="bottom",
        fontsize=7.5,
        color=INK,
        bbox=GROUND,
        zorder=6,
    ).set_in_layout(False)


def _diagram_fact(panels: Sequence[tuple[Phi, Sequence[PlaneMark]]]) -> str:
    """Which initializers are nearest to the critical line of the first activation."""
    phi, marks = panels[0]
    if not marks:
        return ""
    chi = {mark: chi_1_over(phi, np.array([mark.sigma_w]), np.array([mark.sigma_b]))[0].item() for mark in marks}
    nearest = min(marks, key=lambda mark: abs(math.log(max(chi[mark], 1e-300))))
    return (
        f"With {phi.name}, nearest to the critical line is {join_words(nearest.labels)}, at chi_1 {chi[nearest]:.3g}."
    )


def profiles(curves: Sequence[tuple[str, Profile]], c0: float) -> Drawing:
    """Variance and correlation of the pre-activations by layer, one curve per setting."""
    shown = curves[:MOST_CURVES]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 4.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        for number, (name, profile) in enumerate(shown):
            look = {
                "color": PALETTE[number % len(PALETTE)],
                "linestyle": "-" if number < len(PALETTE) else "--",
                "linewidth": 1.7,
            }
            layers = np.arange(1, len(profile.q) + 1)
            drawn = (profile.q >= LOWEST) & (profile.q <= HIGHEST)
            left.plot(layers[drawn], profile.q[drawn], label=name, **look)
            right.plot(layers, profile.c, **look)
        left.set_yscale("log")
        left.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        left.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        left.set_title("Variance q", fontsize=10, loc="left")
        right.set_title(f"Correlation c of two inputs (at first {c0:g})", fontsize=10, loc="left")
        for ax in (left, right):
            ax.grid(True)
            ax.set_xlabel("layer", fontsize=9)
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            ax.tick_params(labelsize=8, length=3)
            for side, spine in ax.spines.items():
                spine.set_visible(side in ("left", "bottom"))
                spine.set_color(MUTED)
        figure.legend(loc="outside lower center", ncols=min(len(shown), 3), fontsize=8.5, frameon=False)
        figure.suptitle("What wide networks do to signals", fontsize=13, weight="bold", x=0.01, ha="left")
    ends = " ".join(
        f"{name}: variance {profile.q[-1]:.3g}, correlation {profile.c[-1]:.3g}." for name, profile in shown
    )
    left_out = f" Shown are the first {MOST_CURVES} of {len(curves)} settings." if len(curves) > MOST_CURVES else ""
    return Drawing(
        name="profiles",
        title="What wide networks do to signals",
        caption="Left: variance of the pre-activations of every layer; a level line keeps the signal's size. Right: "
        "the correlation between two inputs on their way through the layers; at 1 they cannot be told apart."
        f"{left_out}",
        alt=f"Two line charts over the layers, of variance and of correlation. At the last layer {ends}",
        figure=figure,
    )
