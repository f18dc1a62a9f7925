"""Hover texts of figures: the label of a line, the value of a tile, the quantity of an axis.

matplotlib gives an artist's `gid` to its element of the SVG. Here a gid holds attributes for that element, as a query
string, until `with_attributes` writes them out: data-init (the initializer, or what else competes), data-cell and
data-line (words to show) and data-axes (JSON: where a panel lies, and what its scales are).
"""

import json
import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any
from urllib.parse import parse_qsl, urlencode

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.legend import Legend

from initbench.report.figures.percent_ticks import ErrorTicks, PercentTicks

_GID = re.compile(r'id="data\?([^"]*)"')


def tell(artist: Artist, label: str, *, cell: str = "", line: str = "") -> None:
    """Say whose the artist is; of a cell of a grid what it shows, and of a line what holds for all of it."""
    said = {"init": label, "cell": cell, "line": line}
    artist.set_gid("data?" + urlencode({name: text for name, text in said.items() if text}))


def tell_axes(ax: Axes, x: str, y: str, rows: Iterable[str] = ()) -> None:
    """Say what the two axes of a panel measure; rows: the labels of its rows, from the top, if it has rows."""
    ax.set_gid("data?" + urlencode({"x": x, "y": y, "rows": json.dumps(list(rows))}))


def tell_legend(legend: Legend, labels: Mapping[str, str]) -> None:
    """Say which entries of a legend are of initializers. labels: by the text of their entry."""
    for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
        if handle is not None and text.get_text() in labels:
            tell(handle, labels[text.get_text()])
            tell(text, labels[text.get_text()])


def with_attributes(svg: str, axes: Iterable[Axes]) -> str:
    """The SVG with attributes in place of gids. axes: those of the figure; their limits are final now."""
    told = {ax.get_gid(): ax for ax in axes if str(ax.get_gid()).startswith("data?x=")}
    left = iter([ax for ax in axes if ax.get_gid() in told])

    def attributes(found: re.Match[str]) -> str:
        values = dict(parse_qsl(found[1].replace("&amp;", "&"), keep_blank_values=True))
        if "x" in values:
            values = {"axes": json.dumps(_panel(next(left), values), separators=(",", ":"))}
        return " ".join(f'data-{name}="{escape(value)}"' for name, value in values.items())

    return _GID.sub(attributes, svg)


def _panel(ax: Axes, named: dict[str, str]) -> dict[str, Any]:
    """Where a panel lies, in the SVG's points from its upper left corner, and its scales."""
    width, height = 72 * ax.figure.get_figwidth(), 72 * ax.figure.get_figheight()  # pyright: ignore
    box = ax.get_position()
    place = [width * box.x0, height * (1 - box.y1), width * box.width, height * box.height]
    return {
        "box": [round(each, 2) for each in place],
        "x": _scale(ax.xaxis, named["x"]),
        "y": _scale(ax.yaxis, named["y"]),
        "rows": json.loads(named["rows"]),
    }


def _scale(axis: Axis, name: str) -> dict[str, Any]:
    low, high = map(float, axis.get_view_interval() if axis.axis_name == "x" else axis.axes.get_ylim())
    ticks = axis.get_major_formatter()
    if isinstance(ticks, ErrorTicks):
        low, high = -low, -high  # said as they are written
    return {
        "name": name,
        "log": axis.get_scale() == "log",
        "ends": [low, high],
        "share": isinstance(ticks, PercentTicks),
    }
