"""How things look in every figure: the ink, and the colour, dashes and marker of each initializer."""

import zlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from initbench.config.registry import shipped_facts
from initbench.report.figures.hover import tell

INK, MUTED, RULE = "#222b38", "#667085", "#e4e7ec"  # nothing but ink has these, so that a page can swap them

# After Okabe & Ito (2008), made legible on white and on near-black alike, with violet and wine for their black and
# yellow. An initializer's YAML gives its number (`# Look: 3`): colours come first, then dashes, so that those usually
# compared have solid lines. NEW_DASHES are kept for initializers without a number.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#D99000", "#45A5DF", "#9A68FE", "#A5485B")
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (6, 1.2, 1, 1.2)), (0, (1, 3)), (0, (3, 1, 3, 3)), (0, (10, 1, 1, 1)))
NEW_DASHES = ((0, (8, 2)), (0, (2, 2.5)), (0, (4, 1.2, 1, 1.2, 1, 1.2)), (0, (8, 1.5, 3, 1.5)))
MARKERS = (None, "o", "s", "^", "D", "v", "P", "X", "<", ">")  # tell one initializer's swept parameters apart

STAR: dict[str, Any] = {
    "marker": "*",
    "markersize": 10,
    "markeredgecolor": INK,
    "markeredgewidth": 0.6,
    "linestyle": "none",
}
STYLE: dict[Any, Any] = {  # matplotlib's settings while a figure is made
    **dict.fromkeys(["text.color", "axes.labelcolor", "axes.titlecolor", "legend.labelcolor"], INK),
    **dict.fromkeys(["xtick.labelcolor", "ytick.labelcolor"], INK),
    **dict.fromkeys(["axes.edgecolor", "xtick.color", "ytick.color"], MUTED),
    **dict.fromkeys(["axes.facecolor", "figure.facecolor"], "none"),
    "grid.color": RULE,
    "hatch.linewidth": 0.7,
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
    label: str = ""

    def line(self, ax: Axes, x: Any, y: Any, said: str = "", **options: Any) -> None:
        """Draw it as a line with a marker at each point. said: of the whole line, on the page."""
        look = {"linestyle": self.linestyle, "marker": self.marker or ".", "markersize": 4, "linewidth": 1.5}
        for line in ax.plot(x, y, color=self.color, **look | options):
            tell(line, self.label, line=said)

    def handle(self, label: str) -> Line2D:
        """Its entry in a legend of lines."""
        return Line2D([], [], color=self.color, linestyle=self.linestyle, marker=self.marker, markersize=4, label=label)


def label_styles(runs: pd.DataFrame, over: str = "init") -> dict[str, Style]:
    """The style of every label, in the legend's order: colour and dashes say which initializer it is, the marker
    which of its swept parameters. runs: columns `over` (whose values compete) and `label`.
    """
    found = {}
    names = runs[over].astype("str")
    for name, look in looks(set(names)).items():
        color, dashes = PALETTE[look % len(PALETTE)], (*DASHES, *NEW_DASHES)[look // len(PALETTE)]
        for number, label in enumerate(runs.loc[names == name, "label"].unique()):
            found[label] = Style(color, dashes, MARKERS[number % len(MARKERS)], label)
    return found


def looks(names: Collection[str]) -> dict[str, int]:
    """The number of each initializer's look, in order: from its YAML, or else from its name alone.

    A number made from a name is never one that a YAML may give. Two such names that share a number are told apart by
    taking the next free one for the second.
    """
    numbers = {name: int(facts["Look"]) for name, facts in shipped_facts("init").items() if "Look" in facts}
    numbered, new = len(PALETTE) * len(DASHES), len(PALETTE) * len(NEW_DASHES)
    found = {name: numbers[name] % numbered for name in names if name in numbers}
    for name in sorted(set(names) - found.keys()):
        first = zlib.crc32(name.encode())
        options = [numbered + (first + k) % new for k in range(new)]
        found[name] = next((look for look in options if look not in found.values()), options[0])
    return dict(sorted(found.items(), key=lambda item: item[1]))
