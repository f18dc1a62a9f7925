"""How things look in every figure: the ink, and the colour, dashes and marker of each initializer."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.lines import Line2D

INK, MUTED, RULE = "#222b38", "#667085", "#e4e7ec"  # nothing but ink has these, so that a page can swap them

# After Okabe & Ito (2008), made legible on white and on near-black alike, with violet and wine for their black and
# yellow. The order of INITIALIZERS gives each its colour and dashes for good (append, and no figure changes); those
# usually compared have solid lines.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#D99000", "#45A5DF", "#9A68FE", "#A5485B")
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (6, 1.2, 1, 1.2)))
MARKERS = (None, "o", "s", "^", "D", "v", "P", "X", "<", ">")  # tell one initializer's swept parameters apart
INITIALIZERS = [
    "he",
    "xavier",
    "lecun",
    "orthogonal",
    "torch_default",
    "normal",
    "normal_small",
    "zeros",
    "he_uniform",
    "xavier_normal",
    "lecun_uniform",
    "he_fan_out",
    "mean_field",
    "kumar",
    "glorot_standard",
    "caffe_xavier",
    "ratio_he",
    "ratio_xavier",
    "uniform",
    "trunc_normal",
    "constant",
    "identity",
    "delta_orthogonal",
    "fixup",
    "skipinit",
    "rezero",
]

STAR: dict[str, Any] = {
    "marker": "*",
    "markersize": 10,
    "markeredgecolor": INK,
    "markeredgewidth": 0.6,
    "linestyle": "none",
}
STYLE: dict[Any, Any] = {  # matplotlib's settings while a figure is made
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": RULE,
    "hatch.linewidth": 0.7,
    "legend.labelcolor": INK,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "axes.unicode_minus": True,
}


@dataclass(frozen=True)
class Style:
    """How one initializer looks, in every figure."""

    color: str
    linestyle: Any
    marker: str | None

    def handle(self, label: str) -> Line2D:
        """Its entry in a legend of lines."""
        return Line2D([], [], color=self.color, linestyle=self.linestyle, marker=self.marker, markersize=4, label=label)


def label_styles(runs: pd.DataFrame) -> dict[str, Style]:
    """The style of every label, in the legend's order: colour and dashes say which initializer it is, the marker
    which of its swept parameters. runs: columns `init` and `label`.
    """
    names = [*INITIALIZERS, *sorted(set(runs["init"]) - set(INITIALIZERS))]
    found = {}
    for place, name in enumerate(names):
        color, dashes = PALETTE[place % len(PALETTE)], DASHES[place // len(PALETTE) % len(DASHES)]
        for number, label in enumerate(runs.loc[runs["init"] == name, "label"].unique()):
            found[label] = Style(color, dashes, MARKERS[number % len(MARKERS)])
    return found
