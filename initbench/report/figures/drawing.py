"""A figure with the words that belong to it, and its files."""

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from initbench.report.figures.hover import with_attributes
from initbench.report.figures.style import STYLE

_PLACES = re.compile(r' (?:d|x|y)="[^"]*"')
_SMALL_DIGITS = re.compile(r"(\d\.\d\d)\d+")  # below a hundredth of a point


@dataclass(frozen=True)
class Drawing:
    """A figure."""

    name: str  # the stem of its file
    title: str
    caption: str  # how to read it
    alt: str  # for readers who can't see it: what is drawn, and its main fact with numbers
    figure: Figure
    left: float = 0.0  # inches at its left that name rows or have an axis's numbers
    tiles: Mapping[str, Any] | None = None  # of a heatmap: what its tiles are, for `page/figures.js`
    group: str = ""  # the group of figures that it belongs to, if its section has groups

    @cached_property
    def svg(self) -> str:
        """SVG in which text is text, without a background; equal results give equal SVG."""
        paper = io.StringIO()
        with matplotlib.rc_context(STYLE | {"svg.fonttype": "none", "svg.hashsalt": "initbench"}):
            self.figure.savefig(paper, format="svg", metadata={"Date": None})
        text = re.sub(r"'DejaVu Sans'(, sans-serif)?", "sans-serif", paper.getvalue())
        text = _PLACES.sub(lambda place: _SMALL_DIGITS.sub(r"\1", place[0]), text)
        return with_attributes(text, self.figure.axes)

    def save(self, file: Path) -> None:
        """Write it as SVG, PNG or PDF, by the suffix of the file, on white. (The page has a background of its own.)"""
        if file.suffix == ".svg":
            ground = r'\1<rect width="100%" height="100%" fill="#ffffff"/>'
            file.write_text(re.sub(r"(<svg [^>]*>)", ground, self.svg, count=1), encoding="utf-8")
            return
        metadata = {"CreationDate": None} if file.suffix == ".pdf" else None
        dots_per_inch = min(130.0, 20_000 / max(self.figure.get_size_inches()))  # below 20,000 pixels either way
        with matplotlib.rc_context(STYLE):
            self.figure.savefig(file, dpi=dots_per_inch, facecolor="white", metadata=metadata)
