"""Equal tuning (`lr=tune`): the best settings of each cell by validation loss, and how many of them work.

Every cell has the same budget of settings, and none is chosen by looking at the test part: an initializer must not win
because the default rate suits it (Sivaprasad et al. 2020; Choi et al. 2019). Everything else in a report is about each
cell at its own best settings.
"""

import dataclasses
import itertools
import json
import math
from typing import Any

import numpy as np
import pandas as pd

from initbench.analysis import cells
from initbench.analysis.axes import tuned_keys
from initbench.analysis.cells import is_done, ranked
from initbench.analysis.contests import Contests
from initbench.analysis.measure import predicts_numbers
from initbench.analysis.setting import defaults
from initbench.config.keys import tunes
from initbench.config.ranges import LOG
from initbench.config.values import is_number
from initbench.results.load import Results


@dataclasses.dataclass(frozen=True)
class Tuning:
    """The result of trying several settings. Both tables begin with the axes of a cell, without the tuned keys.

    contests: the tuned runs at all their settings.
    keys: what was tuned, `lr` first. scales: "log" or "linear", by key. searched: whether settings were searched
    (`--tuner`), instead of a grid. shown, default: which of the runs are at the settings at which their cell is shown
    (the best), and at the default ones.
    rates: one row per cell and setting: the tuned keys, finished runs and how many of them learned and diverged, the
    median validation loss (inf where it falls on a diverged run) and accuracy (a fraction), `works` (more than half of
    the finished runs learned), `best`, and `default`, whether it is what the cell would be without tuning.
    cells: one row per cell: how many settings have a finished run (`rates`); for each key KEY the least and greatest
    value of them (`least_KEY`, `greatest_KEY`) and `best_KEY`, null where at every setting half of the runs diverged or
    more; `edge`, where the best works and is at an end of what was tried: "low" or "high", with the key where there are
    several; of one tuned key `low_KEY` and `high_KEY`, the ends of the workable range, the longest unbroken line of
    values that work, and if its scale is logarithmic the width in `decades`, 0 for one value and null for none; and of
    the runs at the best settings the median validation loss and accuracy, the median test accuracy, how many are
    finished and how many learned. `other_seeds`: the median score if each seed is shown at the settings that
    are best for the other seeds. Where numbers are predicted, accuracies are null and there is a `test_error`.
    """

    contests: Contests
    keys: list[str]
    scales: dict[str, str]
    searched: bool
    shown: pd.Series
    default: pd.Series
    rates: pd.DataFrame
    cells: pd.DataFrame

    @property
    def noun(self) -> str:
        """What was tried: "learning rate", "value of init.gain", or "setting"."""
        if len(self.keys) > 1:
            return "setting"
        return "learning rate" if self.keys == ["lr"] else f"value of {self.keys[0]}"

    @property
    def nouns(self) -> str:
        """Several of them: "learning rates"."""
        return self.noun.replace("rate", "rates").replace("value", "values").replace("setting", "settings")


def tried(runs: pd.DataFrame) -> pd.Series:
    """Which runs have one of several settings that were tried for their cell."""
    keys = [key for key in runs if tunes(key)]
    return runs[keys].notna().any(axis=1) if keys else pd.Series(False, index=runs.index)


def selected(results: Results, *, rate: bool = True) -> Results:
    """The results with every tuned cell at its best settings alone, the smallest where it has none.

    They have a column `tuned`, by which `axes.cell_axes` knows that tuned keys were chosen and not swept. Such a key is
    null where others were swept beside, or with rate=False. Results without tuned runs are returned as they are.
    """
    contests = _tuned_runs(results)
    if contests is None:
        return results
    tuned, keys = tried(results.runs), tuned_keys(contests.runs)
    rates = _rates(contests, keys)
    shown = rates.loc[rates["shown"], ["cell", "setting"]].itertuples(index=False)
    at = pd.Series(list(zip(contests.cell_of_run, _settings(contests.runs, keys), strict=True)), contests.runs.index)
    keep = ~tuned | at.isin(list(map(tuple, shown))).reindex(tuned.index, fill_value=False)
    runs = results.runs.assign(tuned=tuned)[keep]
    for key in keys:
        if not rate or runs.loc[~runs["tuned"], key].nunique() > 1:
            runs[key] = runs[key].mask(runs["tuned"])
    return dataclasses.replace(results, runs=runs.reset_index(drop=True))


def tuning(results: Results) -> Tuning | None:
    """What all results say of tuned cells, not `selected` ones; None where nothing was tuned."""
    contests = _tuned_runs(results)
    if contests is None:
        return None
    keys = tuned_keys(contests.runs)
    scales = {key: _scale(contests.runs, key) for key in keys}
    searched = "tune.tuner" in contests.runs and bool(contests.runs["tune.tuner"].notna().any())
    rates = _rates(contests, keys)
    others = _on_other_seeds(contests, keys)
    rows = [
        _cell(contests.cell_axes, here, keys, scales, searched) | {"other_seeds": others.get(cell, math.nan)}
        for cell, here in rates.groupby("cell")
    ]
    table = pd.DataFrame(rows)
    table = table.astype({axis: contests.runs[axis].dtype for axis in contests.cell_axes})
    if table["test_error"].isna().all() and not predicts_numbers(contests.runs).any():
        table = table.drop(columns="test_error")
    hidden = ["cell", "setting", "test_acc", "test_error", "shown"]
    at = [contests.cell_of_run, _settings(contests.runs, keys)]
    which = rates.set_index(["cell", "setting"])[["shown", "default"]].reindex(pd.MultiIndex.from_arrays(at))
    shown, default = (pd.Series(which[name].to_numpy(bool), contests.runs.index) for name in which)
    return Tuning(contests, keys, scales, searched, shown, default, rates.drop(columns=hidden), table)


def frames(tuning: Tuning | None) -> dict[str, pd.DataFrame]:
    """The tables by the names of their files."""
    return {"tuning": tuning.cells, "rates": tuning.rates} if tuning else {}


def _tuned_runs(results: Results) -> Contests | None:
    """The tuned runs at all their settings; None where there are none."""
    runs = results.runs[tried(results.runs)].assign(tuned=True)
    if runs.empty:
        return None
    for key in tuned_keys(runs):  # null where a choice lacks it, or has no number by default, as init.gain=auto
        runs[key] = pd.to_numeric(runs[key], errors="coerce").astype("float64")
    return Contests.of(dataclasses.replace(results, runs=runs))


def _scale(runs: pd.DataFrame, key: str) -> str:
    """The scale of a tuned key, of its range as it is stored."""
    recorded = runs[f"tune.{key}"].dropna() if f"tune.{key}" in runs else []
    return json.loads(recorded.iloc[0])[2] if len(recorded) else LOG


def _settings(runs: pd.DataFrame, keys: list[str]) -> pd.Series:
    """A number for the values of the tuned keys that each run has, smaller ones first."""
    return runs.groupby(keys, dropna=False).ngroup()


def _rates(contests: Contests, keys: list[str]) -> pd.DataFrame:
    """`Tuning.rates`, the smallest settings of each cell first.

    Beside them: `cell` and `setting`, their numbers; `test_acc` or `test_error`, the median; `shown`, the one setting
    at which the cell is compared.
    """
    loss = ranked(contests.runs, "val_loss", math.inf)
    loss = loss.mask(is_done(contests.runs) & ~np.isfinite(loss), math.inf)
    acc = {name: ranked(contests.runs, name, -math.inf) for name in ("val_acc", "test_acc")}
    runs = contests.runs.assign(cell=contests.cell_of_run, setting=_settings(contests.runs, keys), val_loss=loss, **acc)
    at = ["cell", "setting"]
    medians = runs.groupby(at)[["val_loss", "val_acc", "test_acc", "score"]].median().reset_index()
    finite = ["val_acc", "test_acc", "score"]
    medians[finite] = medians[finite].where(np.isfinite)
    counts = cells.cells(runs, [*contests.cell_axes, *at, *keys])[
        [*contests.cell_axes, *keys, *at, "finished", "learned", "diverged", "most_learned", "numbers"]
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
    untuned = pd.DataFrame([_untuned(here, keys) for _, here in runs.groupby("cell")])
    table["default"] = np.logical_and.reduce([_equal(table[key], untuned[key][table["cell"]]) for key in keys])
    order = [*keys, "finished", "learned", "diverged", "val_loss", "val_acc", "works", "best", "default"]
    return table[[*contests.cell_axes, *order, *at, "test_acc", "test_error", "shown"]]


def _untuned(runs: pd.DataFrame, keys: list[str]) -> dict[str, Any]:
    """What the tuned keys of a cell are by default; null where its choices lack a key."""
    known = defaults(runs)
    numbers = {key: value for key in keys if is_number(value := known.get(key)) and runs[key].notna().any()}
    return {key: numbers.get(key) for key in keys}


def _equal(found: pd.Series, default: pd.Series) -> np.ndarray:
    """Where a column has its default."""
    pairs = zip(found, default, strict=True)
    return np.array([(pd.isna(one) and pd.isna(other)) or one == other for one, other in pairs], dtype=bool)


def _on_other_seeds(contests: Contests, keys: list[str]) -> dict[int, float]:
    """By cell, the median score if each seed is shown at the settings that are best for the cell's other seeds.

    It is what the cell's settings are worth under seeds that did not choose them. Left out are cells with fewer than
    three seeds, or without all runs.
    """
    loss = ranked(contests.runs, "val_loss", math.inf)
    runs = contests.runs.assign(cell=contests.cell_of_run, setting=_settings(contests.runs, keys), val_loss=loss)
    found = {}
    for cell, here in runs[is_done(runs)].groupby("cell"):
        wide = here.pivot_table(index="setting", columns="seed", values=["val_loss", "score"], dropna=False)
        losses, scores = (wide[name].to_numpy() for name in ("val_loss", "score"))
        if losses.shape[1] < 3 or np.isnan(losses).any() or np.isnan(scores).any():
            continue
        seeds = range(losses.shape[1])
        chosen = [int(np.median(np.delete(losses, seed, axis=1), axis=1).argmin()) for seed in seeds]
        value = np.median([scores[setting, seed] for seed, setting in zip(seeds, chosen, strict=True)])
        found[cell] = float(value) if np.isfinite(value) else math.nan
    return found


def _cell(
    axes: list[str], rates: pd.DataFrame, keys: list[str], scales: dict[str, str], searched: bool
) -> dict[str, Any]:
    """A row of `Tuning.cells`. rates: the rows of one cell."""
    there = rates[rates["finished"] > 0]
    (shown,) = rates[rates["shown"]].to_dict("records")
    scores = ("val_loss", "val_acc", "test_acc", "test_error")
    best = {name: shown[name] if shown["best"] else math.nan for name in (*keys, *scores)}
    row = {axis: shown[axis] for axis in axes} | {"rates": len(there)}
    edges = []
    for key in keys:
        least, greatest = float(there[key].min()), float(there[key].max())
        row |= {f"least_{key}": least, f"greatest_{key}": greatest, f"best_{key}": best[key]}
        if shown["best"] and shown["works"] and there[key].nunique() > 1:
            end = {least: "low", greatest: "high"}.get(shown[key], "")
            edges += [end if len(keys) == 1 else f"{key} {end}"] if end else []
    row["edge"] = ", ".join(edges)
    if len(keys) == 1:
        (key,) = keys
        low, high = _workable(there, key)
        row |= {f"low_{key}": low, f"high_{key}": high}
        if scales[key] == LOG:
            row["decades"] = math.log10(high / low) if low > 0 else math.nan
    return row | {name: best[name] for name in scores} | {name: shown[name] for name in ("finished", "learned")}


def _workable(rates: pd.DataFrame, key: str) -> tuple[float, float]:
    """The ends of the longest unbroken line of values that work, the smaller of equals; null where none does."""
    lines = itertools.groupby(rates.to_dict("records"), key=lambda row: row["works"])
    working = [[row[key] for row in line] for works, line in lines if works]
    longest = max(working, key=len, default=[math.nan])
    return longest[0], longest[-1]
