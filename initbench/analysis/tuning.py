"""Equal tuning (`lr=tune`): the best learning rate of each cell by validation loss, and the range of rates that work.

Every cell has the same budget of learning rates, and none is chosen by looking at the test part: an initializer must
not win because the default rate suits it (Sivaprasad et al. 2020; Choi et al. 2019). Everything else in a report is
about each cell at its own best rate.
"""

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pandas as pd

from initbench.analysis import cells
from initbench.analysis.cells import is_done, ranked
from initbench.analysis.contests import Contests, contest_title
from initbench.analysis.measure import predicts_numbers
from initbench.results.load import Results
from initbench.text import plural

MANY = 4  # cells that a note names one by one


@dataclasses.dataclass(frozen=True)
class Tuning:
    """The result of trying several rates. Both tables begin with the axes of a cell, without the rate.

    contests: the tuned runs at all their rates.
    rates: one row per cell and rate: lr, finished runs and how many of them learned and diverged, the median validation
    loss (inf where it falls on a diverged run) and accuracy (a fraction), `works` (more than half of the finished runs
    learned) and `best`.
    cells: one row per cell: how many rates have a finished run, and the least and greatest of them; the `best_lr`, null
    where at every rate half of the runs diverged or more; `edge`, "low" or "high" where the best works and is the
    least or greatest that was tried; `low_lr` and `high_lr`, the ends of the workable range, the longest unbroken line
    of rates that work, and its width in `decades`, 0 for one rate and null for none; and of the runs at the best rate
    the median validation loss and accuracy, the median test accuracy, how many are finished and how many learned. Where
    numbers are predicted, accuracies are null and there is a `test_error`.
    """

    contests: Contests
    rates: pd.DataFrame
    cells: pd.DataFrame


def tried(runs: pd.DataFrame) -> pd.Series:
    """Which runs have one of several rates that were tried for their cell."""
    return runs["tune.rates"].notna() if "tune.rates" in runs else pd.Series(False, index=runs.index)


def selected(results: Results, *, rate: bool = True) -> Results:
    """The results with every tuned cell at its best rate alone, the smallest where it has none.

    They have a column `tuned`, by which `axes.cell_axes` knows that the rate was chosen and not swept. The rate is null
    where others were swept beside, or with rate=False. Results without tuned runs are returned as they are.
    """
    contests = _tuned_runs(results)
    if contests is None:
        return results
    tuned, rates = tried(results.runs), _rates(contests)
    shown = rates[rates["shown"]].set_index("cell")["lr"]
    best = contests.cell_of_run.map(shown) == contests.runs["lr"]
    keep = ~tuned | best.reindex(tuned.index, fill_value=False)
    runs = results.runs.assign(tuned=tuned)[keep]
    if not rate or runs.loc[~runs["tuned"], "lr"].nunique() > 1:
        runs["lr"] = runs["lr"].mask(runs["tuned"])
    return dataclasses.replace(results, runs=runs.reset_index(drop=True))


def tuning(results: Results) -> Tuning | None:
    """What all results say of tuned cells, not `selected` ones; None where nothing was tuned."""
    contests = _tuned_runs(results)
    if contests is None:
        return None
    rates = _rates(contests)
    table = pd.DataFrame([_cell(contests.cell_axes, here) for _, here in rates.groupby("cell")])
    table = table.astype({axis: contests.runs[axis].dtype for axis in contests.cell_axes})
    if table["test_error"].isna().all() and not predicts_numbers(contests.runs).any():
        table = table.drop(columns="test_error")
    return Tuning(contests, rates.drop(columns=["cell", "test_acc", "test_error", "shown"]), table)


def frames(tuning: Tuning | None) -> dict[str, pd.DataFrame]:
    """The tables by the names of their files."""
    return {"tuning": tuning.cells, "rates": tuning.rates} if tuning else {}


def _tuned_runs(results: Results) -> Contests | None:
    """The tuned runs at all their rates; None where there are none."""
    runs = results.runs[tried(results.runs)].assign(tuned=True)
    return None if runs.empty else Contests.of(dataclasses.replace(results, runs=runs))


def _rates(contests: Contests) -> pd.DataFrame:
    """`Tuning.rates`, the smallest rate of each cell first.

    Beside them: `cell`, its number; `test_acc` or `test_error`, the median; `shown`, the one rate at which the cell is
    compared.
    """
    loss = ranked(contests.runs, "val_loss", math.inf)
    loss = loss.mask(is_done(contests.runs) & ~np.isfinite(loss), math.inf)
    acc = {name: ranked(contests.runs, name, -math.inf) for name in ("val_acc", "test_acc")}
    runs = contests.runs.assign(cell=contests.cell_of_run, val_loss=loss, **acc)
    at = ["cell", "lr"]
    medians = runs.groupby(at)[["val_loss", "val_acc", "test_acc", "score"]].median().reset_index()
    finite = ["val_acc", "test_acc", "score"]
    medians[finite] = medians[finite].where(np.isfinite)
    counts = cells.cells(runs, [*contests.cell_axes, *at])[
        [*contests.cell_axes, *at, "finished", "learned", "diverged", "most_learned", "numbers"]
    ]
    table = counts.merge(medians, on=at).sort_values(at, ignore_index=True)
    table = table.rename(columns={"most_learned": "works"})
    numbers = table["numbers"]
    table["val_acc"], table["test_acc"] = (table[name].mask(numbers) for name in acc)
    table["test_error"] = -table["score"].where(numbers)
    losses = table["val_loss"].where(np.isfinite(table["val_loss"])).dropna()
    table["best"] = table.index.isin(losses.groupby(table["cell"]).idxmin())
    without_best = ~table.groupby("cell")["best"].transform("any")
    table["shown"] = table["best"] | (without_best & ~table["cell"].duplicated())
    order = ["lr", "finished", "learned", "diverged", "val_loss", "val_acc", "works", "best"]
    return table[[*contests.cell_axes, *order, "cell", "test_acc", "test_error", "shown"]]


def _cell(axes: list[str], rates: pd.DataFrame) -> dict[str, Any]:
    """A row of `Tuning.cells`. rates: the rows of one cell."""
    there = rates[rates["finished"] > 0]
    least, greatest = float(there["lr"].min()), float(there["lr"].max())
    low, high = _workable(there)
    (shown,) = rates[rates["shown"]].to_dict("records")
    best = {"lr": math.nan, "val_loss": math.nan, "val_acc": math.nan, "test_acc": math.nan, "test_error": math.nan}
    edge = ""
    if shown["best"]:
        best = {name: shown[name] for name in best}
        if shown["works"] and len(there) > 1:
            edge = {least: "low", greatest: "high"}.get(shown["lr"], "")
    return {axis: shown[axis] for axis in axes} | {
        "rates": len(there),
        "least_lr": least,
        "greatest_lr": greatest,
        "best_lr": best.pop("lr"),
        "edge": edge,
        "low_lr": low,
        "high_lr": high,
        "decades": math.log10(high / low) if low > 0 else math.nan,
        **best,
        "finished": shown["finished"],
        "learned": shown["learned"],
    }


def _workable(rates: pd.DataFrame) -> tuple[float, float]:
    """The ends of the longest unbroken line of rates that work, the smaller of equals; null where none does."""
    lines = itertools.groupby(rates.to_dict("records"), key=lambda row: row["works"])
    working = [[row["lr"] for row in line] for works, line in lines if works]
    longest = max(working, key=len, default=[math.nan])
    return longest[0], longest[-1]


def notes(tuning: Tuning | None) -> list[str]:
    """How the rates were chosen, and what limits that, in sentences."""
    if tuning is None:
        return []
    cells, rates = tuning.cells, tuning.rates
    few, many = int(cells["rates"].min()), int(cells["rates"].max())
    tested = f"{few} to {many}" if few != many else f"{many}"
    said = [
        f"Each tuned cell is shown at the best of {tested} learning rates ({rates['lr'].min():g} to "
        f"{rates['lr'].max():g}), chosen by the median validation loss over its seeds; test data were not used."
    ]
    for end, advice in {"low": "lower tune.low", "high": "raise tune.high"}.items():
        here = cells[cells["edge"] == end]
        if len(here):
            where = _where(here, tuning.contests)
            said.append(f"The best rate is the {_END[end]} one tried in {where}: {advice}.")
    lost = cells[cells["best_lr"].isna() & (cells["rates"] > 0)]
    if len(lost):
        said.append(
            f"At every rate, at least half of the runs diverged in {_where(lost, tuning.contests)}: the report shows "
            "the lowest rate."
        )
    never = cells[cells["decades"].isna() & cells["best_lr"].notna()]
    if len(never):
        said.append(f"At no rate did most runs learn in {_where(never, tuning.contests)}.")
    if few != many:
        said.append("Cells differ in the number of rates tried, so their tuning budgets are not equal.")
    pending = int((tuning.contests.runs["status"] == "pending").sum())
    if pending:
        said.append(f"{plural(pending, 'tuned run')} still to be trained: another rate may turn out to be the best.")
    return said


_END = {"low": "lowest", "high": "highest"}


def _where(cells: pd.DataFrame, contests: Contests) -> str:
    """ "2 cells (he with relu, depth 5; zeros with relu, depth 5)" """
    names = [_name(cell, contests) for cell in cells.head(MANY).to_dict("records")]
    more = [f"{len(cells) - MANY} more"] if len(cells) > MANY else []
    return f"{plural(len(cells), 'cell')} ({'; '.join([*names, *more])})"


def _name(cell: dict[str, Any], contests: Contests) -> str:
    """ "he with relu, depth 5" """
    return f"{contests.label(cell)} with {contest_title(contests.axes, [cell[axis] for axis in contests.axes])}"
