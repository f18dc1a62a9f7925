"""What runs came to: outcome and accuracy over depth, the deepest net that trains, and learning rates that work."""

from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter, NullLocator, PercentFormatter

from initbench.analysis.axes import value_text
from initbench.analysis.contests import by_contest, title_words
from initbench.report.figures.layout import (
    TITLE,
    Drawing,
    FigurePanel,
    FigureSheet,
    Styled,
    label_rows,
    legend_size,
    panels,
    rows_height,
    style_axes,
    text_width,
)
from initbench.report.figures.style import INK, MUTED, RULE, Style
from initbench.text import percent, plural

CELL = (0.68, 0.44)  # inches: a number above up to three outcomes
UNLEARNED = ("stuck", "diverged", "failed", "pending")  # outcomes that a cell names; the others learned
WIDEST = 10.0  # inches that panels side by side take
STAR = {"marker": "*", "markersize": 10, "markeredgecolor": INK, "markeredgewidth": 0.6, "linestyle": "none"}


# ---------------------------------------------------------------- outcome and accuracy


def outcomes(contests: Styled) -> Drawing | None:
    """Median test accuracy and what became of the seeds: a row an initializer, a column a depth."""
    if contests.done.empty:
        return None
    across = _across(contests)
    columns = _values(contests.runs[across])
    labels = list(contests.look)
    cells = contests.cells
    rest = contests.without(across)
    words = {
        word for key in contests.runs[rest].drop_duplicates().itertuples(index=False) for word in title_words(rest, key)
    }
    cell = max(CELL[0], text_width([value_text(value) for value in columns], 8) + 0.1)
    width, height = max(len(columns) * cell, text_width(words, TITLE)), len(labels) * CELL[1]
    arranged = panels(contests.runs, rest, columns=max(1, int(WIDEST / (width + 0.2))))
    norm, colours = _accuracy_scale(cells["score"]), matplotlib.colormaps["cividis"]
    sheet = FigureSheet(
        arranged.panels,
        title="Outcome and median test accuracy (%)",
        xlabel=_axis_name(across),
        width=width,
        height=height,
        left=0.35 + text_width(labels),
        key=1.2,
        least=1.9,
        shared_x=False,
        shared_y=True,
    )
    groups = by_contest(cells, rest)
    for panel in arranged:
        label_rows(panel.ax, contests.look)
        panel.ax.set_xlim(-0.5, len(columns) - 0.5)
        panel.ax.set_xticks(range(len(columns)), [value_text(value) for value in columns])
        panel.ax.grid(False)
        panel.ax.tick_params(length=0)
        panel.ax.spines[:].set_visible(False)
        for cell in groups[panel.key].assign(across=groups[panel.key][across]).itertuples():
            place = columns.index(cell.across), labels.index(cell.label)
            _cell(panel.ax, place, cell, norm, colours)
    bar = sheet.colour_bar(ScalarMappable(norm, colours), "median test accuracy")
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    return Drawing(
        name="outcomes",
        title="Outcome and median test accuracy",
        caption="Number and colour: median test accuracy over the seeds in per cent, a diverged run ranking below "
        "every finite one. Below it, how many seeds did not learn: stuck (the final training loss stayed near the best "
        "constant prediction's), diverged, failed with an error, or pending. Hatched: the median run diverged."
        f"{arranged.left_out}",
        alt=f"Heatmap of initializer by {across}, a panel each {' and '.join(rest) or 'contest'}. "
        f"{_best_cell(cells, contests)}",
        section="outcomes",
        figure=sheet.figure,
    )


def _across(contests: Styled) -> str:
    """The axis that columns stand for: depth, or with one depth only what has most values, if they are numbers."""
    numbers = [axis for axis in contests.axes if pd.api.types.is_numeric_dtype(contests.runs[axis])]
    values = {axis: contests.runs[axis].nunique() for axis in numbers}
    return max(values, key=values.__getitem__) if values and values.get("depth", 1) < 2 else "depth"


def _axis_name(axis: str) -> str:
    return {"depth": "depth (layers)", "lr": "learning rate"}.get(axis, axis)


def _values(column: pd.Series) -> list[Any]:
    return sorted(column.dropna().unique().tolist()) + ([np.nan] if column.isna().any() else [])


def _accuracy_scale(medians: pd.Series) -> Normalize:
    shown = medians[np.isfinite(medians)]
    if not len(shown):
        return Normalize(0, 1)
    low, high = shown.min(), shown.max()
    return Normalize(min(low, high - 0.1), high)


def _cell(ax: Axes, place: tuple[int, int], cell: Any, norm: Normalize, colours: matplotlib.colors.Colormap) -> None:
    """One cell: its colour, its number, and the fates of those that did not learn."""
    x, y = place
    finite, diverged = np.isfinite(cell.score), np.isneginf(cell.score)
    colour = colours(norm(cell.score)) if finite else "none"
    ink = ("#0b0f14" if _luminance(colour) > 0.2 else "#fdfdfd") if finite else INK
    look: dict[str, Any] = {"facecolor": colour, "edgecolor": RULE, "linewidth": 0.6}
    if diverged:
        look = {"facecolor": "none", "edgecolor": MUTED, "hatch": "//", "linewidth": 0.0}
    ax.add_patch(Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, **look))
    fates = [f"{getattr(cell, fate)} {fate}" for fate in UNLEARNED if getattr(cell, fate)]
    number = f"{100 * cell.score:.1f}" if finite else ""
    if not number:
        ax.text(x, y, "\n".join(fates), ha="center", va="center", fontsize=6.8, color=ink)
        return
    rise, drop = ((0, 0), (0.13, 0.28), (0.23, 0.2), (0.3, 0.16), (0.3, 0.16))[len(fates)]
    ax.text(x, y - rise, number, ha="center", va="center", fontsize=8.5, color=ink)
    if fates:
        ax.text(x, y + drop, "\n".join(fates), ha="center", va="center", fontsize=6, color=ink)


def _luminance(colour: tuple[float, ...]) -> float:
    """Relative luminance, 0 to 1 (WCAG 2)."""
    rgb = np.array(colour[:3])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def _best_cell(cells: pd.DataFrame, contests: Styled) -> str:
    finite = cells[np.isfinite(cells["score"])]
    lost = int(cells[["stuck", "diverged"]].to_numpy().sum())
    count = f"{lost} of {plural(int(cells[['learned', 'stuck', 'diverged']].to_numpy().sum()), 'run')} did not learn."
    if finite.empty:
        return f"No cell has a finite median; {count}"
    best = finite.loc[finite["score"].idxmax()]
    where = ", ".join(f"{axis} {value_text(best[axis])}" for axis in contests.axes)
    return f"The best cell is {best['label']} ({where}) with {percent(best['score'])} median test accuracy; {count}"


# ---------------------------------------------------------------- maximum trainable depth


def trainable_depths(contests: Styled) -> pd.DataFrame:
    """The deepest net that trains, for each initializer and contest without its depth: a row with those axes, `label`,
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


def trainable_depth(contests: Styled) -> Drawing | None:
    """Bars of the maximum trainable depth, a row an initializer, a panel an activation."""
    depths = sorted(contests.done["depth"].dropna().unique().tolist())
    if len(depths) < 2:
        return None
    rest, labels = contests.without("depth"), list(contests.look)
    found = trainable_depths(contests)
    arranged = panels(contests.runs, rest)
    sheet = FigureSheet(
        arranged.panels,
        title="Maximum trainable depth",
        xlabel=_axis_name("depth"),
        width=float(np.clip(9.0 / (1 + max(p.column for p in arranged)), 2.0, 4.5)),
        height=rows_height(labels),
        left=0.35 + text_width(labels),
        shared_x=False,
        shared_y=True,
        key=0.3,
    )
    groups = by_contest(found, rest)
    place = {depth: number + 1 for number, depth in enumerate(depths)}
    for panel in arranged:
        label_rows(panel.ax, contests.look)
        panel.ax.grid(axis="y", visible=False)
        panel.ax.set_xlim(0, len(depths) + 0.9)
        panel.ax.set_xticks(list(place.values()), [str(depth) for depth in depths])
        for cell in groups[panel.key].itertuples() if panel.key in groups else ():
            row = labels.index(cell.label)
            end = place.get(cell.depth, 0)
            panel.ax.barh(row, end, height=0.6, color=contests.look[cell.label].color)
            panel.ax.text(end + 0.08, row, depth_text(cell.depth, cell.deepest), va="center", fontsize=8)
    return Drawing(
        name="trainable_depth",
        title="Maximum trainable depth",
        caption="The greatest depth at which more than half of the finished seeds learned, where they did at every "
        "smaller tested depth as well. ≥: the greatest depth tested still trains. None: not even the smallest does. "
        f"Depths tested: {', '.join(map(str, depths))}.{arranged.left_out}",
        alt=f"Bar charts of maximum trainable depth by initializer, a panel each {' and '.join(rest)}. "
        f"{_depth_fact(found, rest, depths)}",
        section="outcomes",
        figure=sheet.figure,
    )


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


# ---------------------------------------------------------------- learning rate


def rates(contests: Styled) -> pd.DataFrame:
    """How each learning rate did, a row a contest, initializer and rate: the contest's axes (with lr), `label`,
    `median` test accuracy (-inf where it falls on a diverged run), `works` (more than half of the finished seeds
    learned), `best` (the highest median among the rates of the initializer that work; the lowest rate of equals).
    """
    table = contests.cells[contests.cells["finished"] > 0].drop(columns="best")
    table = table.rename(columns={"score": "median", "most_learned": "works"})
    table = table.sort_values("lr", kind="stable", ignore_index=True)
    working = table[table["works"]].sort_values("median", ascending=False, kind="stable")
    winners = working.groupby([*contests.without("lr"), "label"], dropna=False, sort=False).head(1)
    return table.assign(best=table.index.isin(winners.index))


def learning_rate(contests: Styled) -> Drawing | None:
    """Median test accuracy over the learning rate, and beneath it the rates that work for each initializer."""
    table = rates(contests) if "lr" in contests.axes else pd.DataFrame()
    if table.empty or table["lr"].nunique() < 2:
        return None
    labels, rest = list(contests.look), contests.without("lr")
    arranged = panels(contests.runs, rest, columns=3)
    strip = rows_height(labels)
    handles = [
        *(style.handle(label) for label, style in contests.look.items()),
        Line2D([], [], color=MUTED, linewidth=4, alpha=0.5, solid_capstyle="butt", label="rates that work"),
        Line2D([], [], **STAR, markerfacecolor=MUTED, label="best rate"),
        Line2D([], [], color=MUTED, linestyle="none", marker="x", label="median run\ndiverged"),
    ]
    key, least = legend_size(handles)
    columns = 1 + max(p.column for p in arranged)
    sheet = FigureSheet(
        arranged.panels,
        title="Sensitivity to the learning rate",
        xlabel="learning rate",
        width=float(np.clip(8.5 / columns, 2.6, 4.5)),
        height=2.3 + strip,
        left=max(0.85, 0.35 + text_width(labels)),
        key=key,
        least=least,
        shared_x=False,
        shared_y=True,
    )
    groups = by_contest(table, rest)
    for panel in arranged:
        here = groups.get(panel.key, table.iloc[:0])
        _rate_panel(sheet, panel, here, contests, strip, sorted(table["lr"].unique().tolist()))
    sheet.legend(handles)
    return Drawing(
        name="learning_rate",
        title="Sensitivity to the learning rate",
        caption="Above: median test accuracy over the seeds, a diverged run ranking below every finite one. "
        "Below: dots are the rates at which more than half of the finished seeds learned, joined "
        "where neighbouring rates both work; ★: the best of them; ×: the median run diverged. A "
        "wide bar forgives a poor guess of the rate."
        f"{arranged.left_out}",
        alt="Line charts of median test accuracy over learning rate, with a bar of workable rates for each "
        f"initializer. {_rate_fact(table)}",
        section="outcomes",
        figure=sheet.figure,
    )


def _rate_panel(
    sheet: FigureSheet, panel: FigurePanel, table: pd.DataFrame, contests: Styled, strip: float, rates: list[float]
) -> None:
    upper = panel.ax
    box = upper.get_position()
    part = strip / (box.height * sheet.height)
    upper.set_position((box.x0, box.y0 + box.height * (part + 0.03), box.width, box.height * (0.97 - part)))
    lower = sheet.figure.add_axes((box.x0, box.y0, box.width, box.height * part))
    below = FigurePanel("", (), 0, panel.column, panel.runs, ax=lower)
    style_axes(below)
    label_rows(lower, contests.look)
    lower.tick_params(labelleft=panel.column == 0)
    lower.grid(axis="y", visible=False)
    for ax in (upper, lower):
        _log_rates(ax, rates)
    upper.tick_params(labelbottom=False)
    upper.set_ylim(-0.02, 1.03)
    upper.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    if panel.column == 0:
        upper.set_ylabel("median test accuracy", fontsize=8.5)
    by_label = dict(iter(table.groupby("label", sort=False)))
    for row, (label, style) in enumerate(contests.look.items()):
        if label in by_label:
            _rate_line(upper, lower, row, by_label[label], style)


def _rate_line(upper: Axes, lower: Axes, row: int, cells: pd.DataFrame, style: Style) -> None:
    lr, median, works = (cells[name].to_numpy() for name in ("lr", "median", "works"))
    finite = np.isfinite(median)
    upper.plot(
        lr,
        np.where(finite, median, np.nan),
        color=style.color,
        linestyle=style.linestyle,
        marker=style.marker or ".",
        markersize=4,
        linewidth=1.5,
    )
    lower.plot(
        lr[~finite], np.full((~finite).sum(), row), color=style.color, marker="x", markersize=5, linestyle="none"
    )
    best = cells["best"].to_numpy(bool)
    for ax, height in ((upper, median[best]), (lower, np.full(best.sum(), row))):
        ax.plot(lr[best], height, markerfacecolor=style.color, zorder=4, **STAR)
    lower.plot(lr[works], np.full(works.sum(), row), color=style.color, marker="o", markersize=3.5, linestyle="none")
    bar = np.where(works, row, np.nan)
    lower.plot(lr, bar, color=style.color, linewidth=5, alpha=0.5, solid_capstyle="butt")


def _log_rates(ax: Axes, rates: list[float]) -> None:
    """A logarithmic axis with a tick a tested rate, and as many of them labelled as have room."""
    ax.set_xscale("log")
    ax.set_xlim(rates[0] / 1.35, rates[-1] * 1.35)
    every = -(-len(rates) // 6)
    ax.xaxis.set_major_locator(FixedLocator(rates))
    ax.xaxis.set_major_formatter(FixedFormatter([f"{r:g}" if i % every == 0 else "" for i, r in enumerate(rates)]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())


def _rate_fact(table: pd.DataFrame) -> str:
    working = table[table["works"]]
    if working.empty:
        return "At no rate did most seeds learn."
    counts = working.groupby("label", sort=False).size()
    best = table[table["best"]]
    top = best.loc[best["median"].idxmax()]
    return (
        f"The best is {top['label']} at {top['lr']:g} with {percent(top['median'])}; over all contests "
        f"{counts.idxmax()} works at {plural(int(counts.max()), 'rate')}, {counts.idxmin()} at {counts.min()}."
    )
