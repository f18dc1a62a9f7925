"""Does it predict? What was measured before training, against what training came to."""

import math
from typing import Any

import pandas as pd
from markupsafe import Markup

from initbench.analysis.prediction import ALL, MEASURES, WITHIN, predictions
from initbench.report.page.page import Page
from initbench.report.report import Report
from initbench.report.sections.section import Section
from initbench.report.text_table import TextCell, TextColumn, TextTable

NAME = "predictions"


def prediction_table(frame: pd.DataFrame) -> TextTable | None:
    """One row per measure, the best predictor over all cells first; None where nothing can be said."""
    everything = frame[frame["scope"] == ALL].set_index("measure")
    within = frame[frame["scope"] == WITHIN].set_index("measure")
    if everything[["auc", "rank_correlation"]].isna().all(axis=None):
        return None
    order = everything.sort_values(["rank_correlation", "auc"], ascending=False, kind="stable").index
    scopes = {"all cells": everything, "cells of one contest": within}
    columns = [TextColumn(("", "measured at step 0"), left=True)]
    columns += [TextColumn((scope, name)) for scope in scopes for name in ("AUC for learning", "rank correlation")]
    rows = [
        [
            TextCell(MEASURES[name].words),
            *(TextCell(_with_bounds(table.loc[name], *each)) for table in scopes.values() for each in _NUMBERS),
        ]
        for name in order
    ]
    caption = (
        f"One row per number measured at step 0, compared with the end of training of "
        f"{int(everything['cells'].max())} cells. AUC: how often a cell that learned has a better number than one that "
        "did not; 0.5 is chance. Rank correlation: Spearman's, with the median score. Ratios of layers, of time "
        "steps, and of outputs to inputs are better the closer they are to 1; losses and shares of units the lower "
        "they are. In brackets: bounds at 95 %."
    )
    return TextTable(caption, columns, 1, rows)


_NUMBERS = (("auc", "auc_low", "auc_high"), ("rank_correlation", "rank_low", "rank_high"))


def _with_bounds(row: Any, value: str, low: str, high: str) -> str:
    if math.isnan(row[value]):
        return "–"
    return f"{row[value]:.2f}" + ("" if math.isnan(row[low]) else f" ({row[low]:.2f} to {row[high]:.2f})")


def _tables(report: Report) -> dict[str, TextTable]:
    table = prediction_table(report.frames[NAME])
    return {NAME: table} if table else {}


def _html(page: Page) -> Markup | None:
    table = prediction_table(page.report.frames[NAME])
    return page.render("prediction", table=Markup(table.html())) if table else None


SECTION = Section(
    name="prediction",
    title="Does it predict?",
    heading="Does the start predict the end?",
    frames=lambda report: {NAME: predictions(report.contests)},
    tables=_tables,
    html=_html,
)
