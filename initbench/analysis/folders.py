"""Two folders of results side by side: what was changed between them, and which results differ beyond noise.

Cells are matched on the axes of the sweeps except the keys that were changed; runs are paired by seed.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from initbench.analysis import stats
from initbench.analysis.axes import CELL_AXES, configuration, contest_axes, value_text
from initbench.analysis.cells import FINISHED, is_done, score
from initbench.analysis.comparisons import ALPHA, LEVEL
from initbench.analysis.measure import ERROR, largest_gap, of_labels, predicts_numbers, scored
from initbench.analysis.pivot import value_order
from initbench.errors import InputError
from initbench.results.load import Results
from initbench.text import join_words, plural

VERDICTS = ("worse", "better", "cannot be told", "not distinguishable")  # in the order that they are told
SHOWN = 3  # changes in the summary
FEW = 5  # values of an axis in an error


@dataclass(frozen=True)
class Comparison:
    """How the results of the folder `after` differ from those of the folder `before`.

    changed: columns key, before, after: each configuration key that has one value in all of `before` and another in all
    of `after`, and each of the surroundings that differs. surroundings: versions, commit, device and threads that
    differ. axes: cells are matched on these. cells: one row per matched cell: its axes, how many runs had each outcome
    and the median test accuracy (a fraction; null where it falls on a diverged run) before and after, where numbers are
    predicted the `test_error` instead; the `measure` by which the cell is judged, of which `stats.paired` of after and
    before, p_adjusted (Holm 1979, over all matched cells), the verdict. unmatched: cells that only one folder
    has. shared, same: number of run ids that are finished in both, and how many of those have the same outcome and
    score.
    """

    before: str
    after: str
    changed: pd.DataFrame
    surroundings: list[str]
    axes: list[str]
    cells: pd.DataFrame
    unmatched: pd.DataFrame
    shared: int
    same: int

    def sentences(self) -> list[str]:
        """The comparison in plain text, the summary first."""
        return [self._summary(), *self._same_runs(), *self._too_few_seeds(), self._method()]

    def _summary(self) -> str:
        counts = self.cells["verdict"].value_counts()
        told = [f"{counts[verdict]:,} {verdict}" for verdict in VERDICTS if verdict in counts]
        changes = [f"{key} {before} → {after}" for key, before, after in self.changed.to_numpy() if "." not in key]
        said = ", ".join(changes[:SHOWN])
        if not {"better", "worse"} & set(counts.index):
            none_told = set(counts.index) == {"cannot be told"}
            nothing = "nothing can be told" if none_told else "nothing changed beyond noise"
            said = f"{said}: {nothing}" if said else nothing.capitalize()
        return f"{said}{'. ' if said else ''}{plural(len(self.cells), 'matched cell')}: {', '.join(told)}."

    def _same_runs(self) -> Iterator[str]:
        if not self.shared:
            return
        same = f"{self.same:,} of them" if self.same < self.shared else "All"
        yield (
            f"{plural(self.shared, 'run')} with the same run ids in both: {same} gave exactly the same outcome and "
            f"{self._measures().replace('test ', '')}."
        )
        if self.same < self.shared:
            values = self.changed.set_index("key")
            differ = [f"{name} ({' → '.join(values.loc[name, ['before', 'after']])})" for name in self.surroundings]
            known = f"the difference in {join_words(differ)}, or " if differ else ""
            none = "" if differ else " No difference of versions, commit, device or threads is recorded."
            yield (
                f"Where the same run gave different results, the cause is {known}rounding, which can change with the "
                f"runs beside it and grows in deep nets.{none}"
            )

    def _too_few_seeds(self) -> Iterator[str]:
        open_ = self.cells[self.cells["verdict"] == "cannot be told"]
        if len(open_):
            few, many = int(open_["pairs"].min()), int(open_["pairs"].max())
            seeds = plural(few, "seed") if few == many else f"{few} to {many} seeds"
            level = ALPHA / max(len(self.cells), 1)
            enough = max(stats.fewest_seeds_sign(level), stats.fewest_seeds_bimodal(level))
            scores = "errors" if self._measures() == ERROR.name else "accuracies"
            yield (
                f"{plural(len(open_), 'cell')} cannot be told with {seeds}, because runs diverge or "
                f"{scores} jump between seeds: {enough} seeds could tell."
            )

    def _measures(self) -> str:
        return " or ".join(self.cells["measure"].unique())

    def _method(self) -> str:
        return (
            f"Cells are judged by {self._measures()}, after minus before, in runs paired by seed; the chance of a "
            f"false alarm among all of them is at most {ALPHA * 100:.0f} % (p is adjusted by Holm's method)."
        )


def compare(a: Results, b: Results, by: str | None = None) -> Comparison:
    """Compare the results `b` (after) with `a` (before), cell by cell, `by` a score (`measure.scored`).

    Raises InputError if a folder has no runs, or no cell is in both.
    """
    for results in (a, b):
        if results.runs.empty:
            raise InputError(f"no runs under {results.path}")
    runs = scored(_together(a.runs, b.runs), by)
    axes, changed = _roles(runs)
    runs = _in_order(runs, axes).assign(score=score)
    runs["cell"] = _numbered(runs, axes)
    matched = runs.groupby("cell")["folder"].transform("nunique") == 2
    if not matched.any():
        raise InputError(f"{a.path} and {b.path} have no cell in common; {_apart(runs, axes)}")
    shared, same = _shared(*(runs[runs["folder"] == place] for place in ("before", "after")))
    surroundings = list(_surroundings(a, b))
    return Comparison(
        before=str(a.path),
        after=str(b.path),
        changed=pd.DataFrame([*changed, *surroundings], columns=["key", "before", "after"]),
        surroundings=[name for name, _, _ in surroundings],
        axes=axes,
        cells=_matched_cells(runs[matched], axes),
        unmatched=_unmatched_cells(runs[~matched], axes),
        shared=shared,
        same=same,
    )


def _together(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """The runs of both with a column `folder`; keys hold plain values, the same however a folder stores them."""
    runs = pd.concat([a.assign(folder="before"), b.assign(folder="after")], ignore_index=True)
    for key in _keys(runs):
        column = runs[key].astype("object")
        plain = {value: _plain(value) for value in column.dropna().unique()}
        runs[key] = pd.Series([plain.get(value) for value in column], index=runs.index, dtype="object")
    return runs


def _keys(runs: pd.DataFrame) -> list[str]:
    return [key for key in configuration(runs) if key != "folder"]


def _plain(value: Any) -> Any:
    """Text that is a number, as that number; a whole number as an integer."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    try:
        number = float(value)
    except ValueError:
        return value
    return int(number) if number.is_integer() else number


def _roles(runs: pd.DataFrame) -> tuple[list[str], list[tuple[str, str, str]]]:
    """The axes to match cells on, and (key, before, after) of each key with one value per folder, and not the same.

    A key of a choice (`init.std`) is judged within each choice, as in `axes.cell_axes`.
    """
    axes, changed = [], []
    for key in _keys(runs):
        if runs[key].nunique(dropna=False) == 1:
            continue
        found = _values(runs, key)
        if not any(len(folders) == 2 for folders in found.values()):  # its choice was changed, and it with it
            found = _values(runs, key, within=[])
        if any(len(values) > 1 for folders in found.values() for values in folders.values()):
            axes.append(key)
            continue
        differ = [folders for folders in found.values() if len(folders) == 2 and folders["before"] != folders["after"]]
        if differ:
            changed.append((key, *(_few([folders[place] for folders in differ]) for place in ("before", "after"))))
    constant = {key for key, _, _ in changed}
    axes = [axis for axis in axes if axis not in CELL_AXES]
    return [axis for axis in CELL_AXES if axis not in constant] + axes, changed


def _values(runs: pd.DataFrame, key: str, within: list[str] | None = None) -> dict[tuple, dict[str, dict[Any, None]]]:
    """The values of a key in each folder, for each choice that it belongs to."""
    if within is None:
        within = sorted({key.split(".")[0], "mitigation"} & set(_keys(runs)) - {key})
    found: dict[tuple, dict[str, dict[Any, None]]] = {}
    for folder, value, *choice in zip(runs["folder"], runs[key], *(runs[name] for name in within), strict=True):
        found.setdefault(tuple(choice), {}).setdefault(folder, {})[value] = None
    return found


def _few(values: list[dict[Any, None]]) -> str:
    texts = dict.fromkeys(value_text(value) for group in values for value in group)
    return ", ".join([*texts][:FEW]) + (", ..." if len(texts) > FEW else "")


def _in_order(runs: pd.DataFrame, axes: list[str]) -> pd.DataFrame:
    """The runs sorted so that those of a contest, and those of a cell in it, stand together."""
    order = [*contest_axes(axes), *(axis for axis in axes if axis.split(".")[0] == "init")]
    places = {axis: value_order(runs[axis].infer_objects()) for axis in order}

    def position(column: pd.Series) -> pd.Series:
        return column.map(lambda value: places[column.name][None if pd.isna(value) else value])

    return runs.sort_values(order, key=position, kind="stable")


def _apart(runs: pd.DataFrame, axes: list[str]) -> str:
    """Why no cell is in both: the axes whose values are not the same."""
    said = []
    for axis in axes:
        (folders,) = _values(runs, axis, within=[]).values()
        if not folders["before"].keys() & folders["after"].keys():
            before, after = _few([folders["before"]]), _few([folders["after"]])
            said.append(f"{axis} is {before} in one and {after} in the other")
    return "; ".join(said) or f"no combination of {', '.join(axes)} is in both"


def _shared(a: pd.DataFrame, b: pd.DataFrame) -> tuple[int, int]:
    """How many runs are finished in both, and how many of those have the same outcome and score."""
    columns = ["outcome", "score", "diverged_step"]
    a, b = (runs[is_done(runs)][["run_id", *columns]].set_index("run_id") for runs in (a, b))
    ids = a.index.intersection(b.index)
    a, b = a.loc[ids], b.loc[ids]
    alike = [(a[name] == b[name]).fillna(False).astype(bool) | (a[name].isna() & b[name].isna()) for name in columns]
    return len(ids), int(np.logical_and.reduce(alike).sum())


def _surroundings(a: Results, b: Results) -> Iterator[tuple[str, str, str]]:
    """Versions, commit, device and threads, where they are not the same."""
    before, after = _provenance(a), _provenance(b)
    for name in dict.fromkeys([*before, *after]):
        if before.get(name) != after.get(name):
            yield name, before.get(name, "–"), after.get(name, "–")


def _provenance(results: Results) -> dict[str, str]:
    """What trained the runs, by name; several values are listed."""
    found: dict[str, dict[str, None]] = {}
    used = set(results.runs["stack_path"].dropna())
    for stack in results.stacks.to_dict("records"):
        if stack["path"] in used:
            facts = {"device": stack.get("device"), "commit": stack.get("git_commit"), "threads": stack.get("threads")}
            versions = stack.get("versions")
            facts |= versions if isinstance(versions, dict) else {}
            for name, fact in facts.items():
                if fact is not None and not pd.isna(fact):
                    text = value_text(fact)
                    found.setdefault(name, {})[text[:12] if name == "commit" else text] = None
    return {name: ", ".join(sorted(facts)) for name, facts in found.items()}


def _numbered(runs: pd.DataFrame, axes: list[str]) -> pd.Series:
    """The number of each run's cell, counted from 0 as they appear."""
    return runs.groupby(axes, dropna=False, sort=False).ngroup() if axes else pd.Series(0, index=runs.index)


def _matched_cells(runs: pd.DataFrame, axes: list[str]) -> pd.DataFrame:
    """One row per cell that is in both folders. runs: columns `cell`, `folder`, `seed`, `score`, outcomes and axes."""
    pairs = list(_pairs(runs, contest_axes(axes)))
    adjusted = stats.holm([pair.p for pair in pairs])
    told = [
        {"p_adjusted": p, "verdict": _verdict(pair, p, len(pairs))} for pair, p in zip(pairs, adjusted, strict=True)
    ]
    statistics = pd.DataFrame([pair.columns() | row for pair, row in zip(pairs, told, strict=True)])
    first = runs.drop_duplicates("cell")[axes].reset_index(drop=True).infer_objects()
    return pd.concat([first, _outcomes(runs), statistics], axis="columns")


def _pairs(runs: pd.DataFrame, contests: list[str]) -> Iterator[stats.Paired]:
    """What the seeds say of each cell, after against before; runs of a contest stand together (`_in_order`)."""
    scores = runs.pivot(index=["cell", "folder"], columns="seed", values="score")
    before, after = (scores.xs(place, level="folder").to_numpy() for place in ("before", "after"))
    cells = runs.drop_duplicates("cell").reset_index(drop=True)
    for _, contest in cells.groupby(_numbered(cells, contests)):
        here = contest.index.to_numpy()
        scores = np.vstack([before[here], after[here]])
        seed_effect, most = stats.largest_seed_effect(scores), largest_gap(scores)
        yield from (
            stats.paired(b, a, LEVEL, seed_effect=seed_effect, most=most)
            for a, b in zip(before[here], after[here], strict=True)
        )


def _outcomes(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs of each outcome and the median accuracy of each cell, before and after."""
    done = is_done(runs)
    cells = [runs["cell"], runs["folder"]]
    found = {fate: (done & (runs["outcome"] == fate)).groupby(cells).sum().unstack("folder") for fate in FINISHED}
    median = runs["score"].groupby(cells).median().unstack("folder")  # -inf where it falls on a diverged run
    numbers = predicts_numbers(runs).groupby(runs["cell"]).any()
    median = median.where(np.isfinite(median))
    chosen = of_labels(runs)
    found[chosen.column] = median.mask(numbers, axis=0)
    if numbers.any():
        found["test_error"] = -median.where(numbers, axis=0)
    return pd.DataFrame(
        {f"{name}_{place}": values[place].to_numpy() for place in ("before", "after") for name, values in found.items()}
        | {"measure": np.where(numbers, ERROR.name, chosen.name)}
    )


def _verdict(pair: stats.Paired, p_adjusted: float, cells: int) -> str:
    """One of VERDICTS; "cannot be told" where so few pairs would not resolve even the clearest difference."""
    if p_adjusted <= ALPHA:
        gain = pair.improvement.value - 0.5 if math.isnan(pair.difference.value) else pair.difference.value
        return "better" if gain > 0 else "worse"
    lowest_sign = pair.test == "sign" and 2.0 ** (1 - pair.pairs) * cells > ALPHA
    lowest_t = pair.test == "paired t" and pair.p == stats.p_floor_bimodal(pair.pairs)
    return "cannot be told" if pair.pairs < 2 or lowest_sign or lowest_t else "not distinguishable"


def _unmatched_cells(runs: pd.DataFrame, axes: list[str]) -> pd.DataFrame:
    """One row per cell that only one folder has: its axes, the folder, how many runs."""
    counts = runs["cell"].value_counts()
    first = runs.drop_duplicates("cell")
    return first[[*axes, "folder"]].assign(runs=first["cell"].map(counts)).reset_index(drop=True).infer_objects()
