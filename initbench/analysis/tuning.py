"""Equal tuning: of each cell whose rates were tried (`lr=tune`) the best by validation, and how many would have done.

Every cell has the same budget of learning rates, and none is chosen by looking at the test part: an initializer must
not win because the default rate suits it (Sivaprasad et al. 2020; Choi et al. 2019). Everything else in a report is
about each cell at its own best rate.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from initbench.analysis import stats
from initbench.analysis.axes import cell_axes
from initbench.analysis.cells import is_done, most_learned
from initbench.analysis.contests import Contests, contest_title
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
    the median validation loss and accuracy, the median test accuracy, how many are finished and how many learned.
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
    tuned = tried(results.runs)
    if not tuned.any():
        return results
    keep = ~tuned
    frame = results.runs[tuned].assign(tuned=True)
    for _, cell in frame.groupby(cell_axes(frame), dropna=False, sort=False):
        chosen = cell["lr"] == _shown(_rates(cell))
        keep[cell.index[chosen]] = True
    runs = results.runs.assign(tuned=tuned)[keep]
    if not rate or runs.loc[~runs["tuned"], "lr"].nunique() > 1:
        runs["lr"] = runs["lr"].mask(runs["tuned"])
    return dataclasses.replace(results, runs=runs.reset_index(drop=True))


def tuning(results: Results) -> Tuning | None:
    """What all results say of tuned cells, not `selected` ones; None where nothing was tuned."""
    runs = results.runs[tried(results.runs)].assign(tuned=True).reset_index(drop=True)
    if runs.empty:
        return None
    contests, rates, cells = Contests.of(dataclasses.replace(results, runs=runs)), [], []
    for cell in contests.over(contests.cell_axes):
        table = _rates(cell.runs)
        at_best = cell.runs[cell.runs["lr"] == _shown(table)]
        cells.append(cell.values | _summary(table, at_best))
        rates += [cell.values | row for row in table.to_dict("records")]
    types = {axis: runs[axis].dtype for axis in contests.cell_axes}
    return Tuning(contests, pd.DataFrame(rates).astype(types), pd.DataFrame(cells).astype(types))


def frames(tuning: Tuning | None) -> dict[str, pd.DataFrame]:
    """The tables by the names of their files."""
    return {"tuning": tuning.cells, "rates": tuning.rates} if tuning else {}


def _rates(cell: pd.DataFrame) -> pd.DataFrame:
    """One row per rate of one cell, the smallest first. cell: its runs, at all rates and under all seeds."""
    rows = []
    for lr, runs in cell.groupby("lr"):
        done = runs[is_done(runs)]
        learned, diverged = ((done["outcome"] == outcome).to_numpy() for outcome in ("learned", "diverged"))
        loss = done["val_loss"].to_numpy("float64", na_value=math.nan)
        loss = np.where(diverged | ~np.isfinite(loss), math.inf, loss)
        rows.append(
            {
                "lr": float(lr),
                "finished": len(done),
                "learned": int(learned.sum()),
                "diverged": int(diverged.sum()),
                "val_loss": stats.median(loss).value if len(done) else math.nan,
                "val_acc": _accuracy(done, "val_acc"),
                "works": bool(most_learned(learned.sum(), len(done))),
            }
        )
    table = pd.DataFrame(rows)
    losses = table["val_loss"].where(np.isfinite(table["val_loss"]))
    return table.assign(best=table.index == losses.idxmin() if losses.notna().any() else False)


def _accuracy(done: pd.DataFrame, column: str) -> float:
    """The median accuracy, null where it falls on a diverged run or there is none."""
    accuracy = done[column].astype("float64").to_numpy("float64", na_value=math.nan)
    accuracy = np.where(done["outcome"] == "diverged", -math.inf, accuracy)
    value = stats.median(accuracy).value if not np.isnan(accuracy).all() else math.nan
    return value if math.isfinite(value) else math.nan


def _shown(table: pd.DataFrame) -> float:
    """The rate at which a cell is compared with others."""
    return table.loc[table["best"].idxmax() if table["best"].any() else 0, "lr"]


def _summary(table: pd.DataFrame, at_best: pd.DataFrame) -> dict[str, Any]:
    there = table[table["finished"] > 0]
    best = table[table["best"]]
    low, high = _workable(there)
    row: dict[str, Any] = {
        "rates": len(there),
        "least_lr": there["lr"].min(),
        "greatest_lr": there["lr"].max(),
        "best_lr": math.nan,
        "edge": "",
        "low_lr": low,
        "high_lr": high,
        "decades": math.log10(high / low) if low > 0 else math.nan,
        "val_loss": math.nan,
        "val_acc": math.nan,
        "test_acc": math.nan,
        "finished": int(is_done(at_best).sum()),
        "learned": int((at_best["outcome"] == "learned").sum()),
    }
    if best.empty:
        return row
    (chosen,) = best.to_dict("records")
    ends = {"low": row["least_lr"], "high": row["greatest_lr"]} if chosen["works"] and len(there) > 1 else {}
    edge = next((end for end, lr in ends.items() if lr == chosen["lr"]), "")
    test = _accuracy(at_best[is_done(at_best)], "test_acc")
    return row | {
        "best_lr": chosen["lr"],
        "edge": edge,
        "val_loss": chosen["val_loss"],
        "val_acc": chosen["val_acc"],
        "test_acc": test,
    }


def _workable(table: pd.DataFrame) -> tuple[float, float]:
    """The ends of the longest unbroken line of rates that work, the smaller of equals; null where none does."""
    lines = [[row["lr"] for row in line] for works, line in _lines(table) if works]
    longest = max(lines, key=len, default=[math.nan])
    return longest[0], longest[-1]


def _lines(table: pd.DataFrame) -> Iterator[tuple[bool, list[dict[str, Any]]]]:
    for works, line in itertools.groupby(table.to_dict("records"), key=lambda row: row["works"]):
        yield works, list(line)


# ---------------------------------------------------------------- words


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
            f"At every rate at least half of the runs diverged in {_where(lost, tuning.contests)}: shown at the lowest."
        )
    never = cells[cells["decades"].isna() & cells["best_lr"].notna()]
    if len(never):
        said.append(f"At no rate did most runs learn in {_where(never, tuning.contests)}.")
    if few != many:
        said.append("Cells differ in the number of rates tried, so their tuning budgets are not equal.")
    pending = int((tuning.contests.runs["status"] == "pending").sum())
    if pending:
        said.append(f"{plural(pending, 'tuned run')} still to be trained: another rate may turn out best.")
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
