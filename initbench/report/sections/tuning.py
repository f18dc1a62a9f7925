"""Tuned keys, such as learning rates: the best settings of each cell, which work, and how much tuning changes."""

import math
from collections.abc import Callable
from typing import Any

import pandas as pd
from markupsafe import Markup

from initbench.analysis.axes import loss_unit, value_text
from initbench.analysis.measure import ERROR
from initbench.analysis.tuning import Tuning, frames
from initbench.analysis.tuning_effects import tuning_effects
from initbench.report.figures.tuning import drawings
from initbench.report.page.page import Page
from initbench.report.sections.section import Section
from initbench.report.text_table import TextCell, TextColumn, TextTable
from initbench.text import percent


def tuning_table(tuning: Tuning) -> TextTable:
    """The cells as they are printed: contests one below the other, in the order of the runs."""
    contests, keys = tuning.contests.axes, tuning.keys
    names = [*contests, "init"]
    val_loss = f"val. loss ({loss_unit(tuning.contests.runs)})"
    scores = _scores(tuning)
    ranges = [f"workable range of {keys[0]}"] * (len(keys) == 1) + ["decades"] * ("decades" in tuning.cells)
    numbers = [*(f"best {key}" for key in keys), *ranges, val_loss, *scores.values(), "runs that learned"]
    groups = tuning.cells.groupby(contests, dropna=False, sort=False)
    return TextTable(
        caption=_caption(tuning),
        columns=[TextColumn((name,), left=name in {"act", "init"}) for name in [*names, *numbers]],
        stub=len(names),
        rows=[_row(cell, tuning, contests, list(scores)) for _, here in groups for cell in here.to_dict("records")],
    )


def _caption(tuning: Tuning) -> str:
    best = {1: f"The best {tuning.noun}" + " (lr)" * (tuning.keys == ["lr"])}.get(len(tuning.keys), "The best setting")
    text = f"{best} of each cell, by the median validation loss over its seeds"
    if len(tuning.keys) == 1:
        text += ", and the workable range: the longest unbroken row of tried values at which most runs learned"
        text += ", with its width in decades (powers of ten)" * ("decades" in tuning.cells)
    text += ". ← →: the best value is the lowest or highest that was tried."
    return text + " ≤ ≥: the range may go on beyond it." * (len(tuning.keys) == 1)


def _scores(tuning: Tuning) -> dict[str, str]:
    """The columns of scores, and their titles: accuracies where labels are predicted, errors where numbers are."""
    accuracies = {} if tuning.contests.measure is ERROR else {"val_acc": "val. acc.", "test_acc": "test acc."}
    return accuracies | ({"test_error": "test error"} if "test_error" in tuning.cells else {})


def _row(cell: dict[str, Any], tuning: Tuning, contests: list[str], scores: list[str]) -> list[TextCell]:
    def number(name: str, text: Callable[[float], str], missing: str = "–") -> str:
        return missing if math.isnan(cell[name]) else text(cell[name])

    keys = tuning.keys
    best = [
        TextCell(number(f"best_{key}", "{:g}".format, _missing(cell, keys)), mark=_mark(cell, key, keys))
        for key in keys
    ]
    ranges = [TextCell(range_text(cell, keys[0]))] if len(keys) == 1 else []
    return [
        *(TextCell(value_text(cell[axis])) for axis in contests),
        TextCell(tuning.contests.label(cell)),
        *best,
        *ranges,
        *([TextCell(number("decades", "{:.1f}".format))] if "decades" in cell else []),
        TextCell(number("val_loss", "{:.3g}".format)),
        *(TextCell(number(name, ERROR.text if name == "test_error" else percent)) for name in scores),
        TextCell(f"{cell['learned']} of {cell['finished']}"),
    ]


def _missing(cell: dict[str, Any], keys: list[str]) -> str:
    """What stands where a tuned key has no best value: the cell has none, or lacks the key."""
    return "none" if math.isnan(cell["val_loss"]) or len(keys) == 1 else "–"


def _mark(cell: dict[str, Any], key: str, keys: list[str]) -> str:
    """An arrow behind a best value that is the lowest or highest that was tried."""
    edges = cell["edge"].split(", ") if len(keys) > 1 else [f"{key} {cell['edge']}"]
    return next((arrow for end, arrow in (("low", " ←"), ("high", " →")) if f"{key} {end}" in edges), "")


def range_text(cell: dict[str, Any], key: str = "lr") -> str:
    """ "0.001 to 0.1", "≤ 0.0001 to 0.01" where the range may go on below what was tried, or "none"."""
    low, high, least, greatest = (cell[f"{name}_{key}"] for name in ("low", "high", "least", "greatest"))
    if math.isnan(low):
        return "none"
    ends = f"{'≤ ' if low == least else ''}{low:g}", f"{'≥ ' if high == greatest else ''}{high:g}"
    return " to ".join(ends) if low < high else ends[low != least]


def _html(page: Page) -> Markup | None:
    if page.report.tuning is None:
        return None
    tuning = page.report.tuning
    effects = tuning_effects(tuning)
    return page.render(
        "tuning",
        table=Markup(tuning_table(tuning).html()),
        figures=page.figures("tuning"),
        nouns=tuning.nouns,
        several=len(tuning.keys) > 1,
        sentences=list(effects["sentence"]) if len(effects) else [],
    )


def _frames(tuning: Tuning | None) -> dict[str, pd.DataFrame]:
    """The tables by the names of their files."""
    if tuning is None:
        return {}
    effects = tuning_effects(tuning)
    return frames(tuning) | ({"tuning_effect": effects} if len(effects) else {})


SECTION = Section(
    name="tuning",
    title="Tuning",
    frames=lambda report: _frames(report.tuning),
    tables=lambda report: {"tuning": tuning_table(report.tuning)} if report.tuning else {},
    draw=lambda report: drawings(report.tuning),
    html=_html,
)
