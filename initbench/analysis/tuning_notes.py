"""What a report says of tuned cells in sentences: how settings were chosen, and what limits that."""

from typing import Any

import pandas as pd

from initbench.analysis.contests import Contests, contest_title
from initbench.analysis.measure import ACCURACY, ERROR
from initbench.analysis.tuning import Tuning
from initbench.text import join_words, plural

MANY = 4  # cells that a note names one by one


def notes(tuning: Tuning | None) -> list[str]:
    """How the settings were chosen, and what limits that, in sentences."""
    if tuning is None:
        return []
    cells, rates = tuning.cells, tuning.rates
    few, many = int(cells["rates"].min()), int(cells["rates"].max())
    tested = f"{few} to {many}" if few != many else f"{many}"
    spans = [_span(rates[key], key, len(tuning.keys)) for key in tuning.keys]
    said = [
        f"Each tuned cell is shown at the best of {tested} {tuning.nouns} ({', '.join(spans)}), chosen by the median "
        "validation loss over its seeds; test data were not used."
    ]
    said += _lacking(tuning)
    said += [*_edges(tuning), *_without_best(tuning)]
    if few != many:
        budget = "the number of rates tried" if tuning.keys == ["lr"] else "the number of settings tried"
        said.append(f"Cells differ in {budget}, so their tuning budgets are not equal.")
    said += _seeds_note(tuning)
    pending = int((tuning.contests.runs["status"] == "pending").sum())
    if pending:
        another = "rate" if tuning.keys == ["lr"] else "setting"
        text = f"{plural(pending, 'tuned run')} still to be trained: another {another} may turn out to be the best."
        said.append(text)
    return said


def _span(values: pd.Series, key: str, keys: int) -> str:
    """ "0.001 to 1", or with its key where there are several."""
    return f"{f'{key} ' if keys > 1 else ''}{values.min():g} to {values.max():g}"


def _lacking(tuning: Tuning) -> list[str]:
    """Which initializers lack a tuned key, so that they were tuned by the others alone."""
    said = []
    for key in tuning.keys:
        lacking = tuning.cells[tuning.cells[f"greatest_{key}"].isna() & (tuning.cells["rates"] > 0)]
        if len(lacking):
            names = dict.fromkeys(tuning.contests.label(cell) for cell in lacking.to_dict("records"))
            others = [other for other in tuning.keys if other != key]
            has = "has" if len(names) == 1 else "have"
            instead = f"tuned by {join_words(others)} alone" if others else "not tuned"
            said.append(f"{join_words(names)} {has} no {key}: {instead}.")
    return said


def _edges(tuning: Tuning) -> list[str]:
    """Cells whose best settings lie at an end of a grid: a search tries few values near the ends."""
    said: list[str] = []
    for key in [] if tuning.searched else tuning.keys:
        for end in ("low", "high"):
            edge = end if len(tuning.keys) == 1 else f"{key} {end}"
            here = tuning.cells[[edge in edges.split(", ") for edges in tuning.cells["edge"]]]
            if len(here):
                what = "rate" if key == "lr" else key
                said.append(f"The best {what} is the {_END[end]} one tried in {_where(here, tuning.contests)}: "
                            f"{_WIDEN[end]} {_end_key(key, end)}.")  # fmt: skip
    return said


def _end_key(key: str, end: str) -> str:
    return f"tune.{end}" if key == "lr" else f"that end of tune.{key}"


def _without_best(tuning: Tuning) -> list[str]:
    """Cells that diverge or do not learn at any setting."""
    cells, said = tuning.cells, []
    what = "rate" if tuning.keys == ["lr"] else "setting"
    lost = cells[cells[f"best_{tuning.keys[0]}"].isna() & (cells["rates"] > 0)]
    if len(lost):
        where = _where(lost, tuning.contests)
        said.append(
            f"At every {what}, at least half of the runs diverged in {where}: the report shows the lowest {what}."
        )
    works = tuning.rates.groupby(tuning.contests.cell_axes, dropna=False, sort=False)["works"].any()
    works = works.reindex(pd.MultiIndex.from_frame(cells[tuning.contests.cell_axes])).to_numpy(bool)
    never = cells[~works & cells[f"best_{tuning.keys[0]}"].notna()]
    if len(never):
        said.append(f"At no {what} did most runs learn in {_where(never, tuning.contests)}.")
    return said


def _seeds_note(tuning: Tuning) -> list[str]:
    """How much the shown scores owe to being those of the seeds that chose: what is lost where others choose."""
    measure = tuning.contests.measure
    column = "test_error" if measure is ERROR else "test_acc"
    known = tuning.cells.dropna(subset=["other_seeds", column])
    if known.empty or measure not in (ACCURACY, ERROR):
        return []
    lost = (-known[column] if measure is ERROR else known[column]) - known["other_seeds"]
    mean, most = float(lost.mean()), float(lost.max())
    return [
        "The seeds that choose are also those that are shown. With settings chosen by the other seeds, the median "
        f"{measure.name} of a cell would be {'worse' if mean >= 0 else 'better'} by {measure.gap(abs(mean))} on average"
        + (f", and worse by {measure.gap(most)} at most." if most > 0 else ".")
    ]


_END = {"low": "lowest", "high": "highest"}
_WIDEN = {"low": "lower", "high": "raise"}


def _where(cells: pd.DataFrame, contests: Contests) -> str:
    """ "2 cells (he with relu, depth 5; zeros with relu, depth 5)" """
    names = [_name(cell, contests) for cell in cells.head(MANY).to_dict("records")]
    more = [f"{len(cells) - MANY} more"] if len(cells) > MANY else []
    return f"{plural(len(cells), 'cell')} ({'; '.join([*names, *more])})"


def _name(cell: dict[str, Any], contests: Contests) -> str:
    """ "he with relu, depth 5" """
    return f"{contests.label(cell)} with {contest_title(contests.axes, [cell[axis] for axis in contests.axes])}"
