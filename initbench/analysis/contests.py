"""The runs of a report in their contests: which initializers compete, where, and what everything is called.

A contest is all cells that differ in nothing but the initializer and its parameters. `Contests` is built once per
report and passed on: tables, verdicts and figures read the same groups, labels, scores and cells.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import pandas as pd

from initbench.analysis import cells
from initbench.analysis.axes import (
    OF_MODEL,
    alternative,
    cell_axes,
    contest_axes,
    followers,
    noun,
    value_text,
    with_labels,
    without_unused,
)
from initbench.analysis.measure import Measure, measure, predicts_numbers
from initbench.errors import InputError, nearest
from initbench.results.load import Results
from initbench.text import join_words


@dataclass(frozen=True)
class Contests:
    """Runs, grouped by contest.

    results: the runs as they were read. runs: the same rows with `label`, what the initializer of a run is called
    ("normal std=0.5"), and `score`, by which it is ranked: `cells.score`.
    cell_axes: the keys that tell one cell from another. axes: those of them that tell one contest from another. over:
    the axis whose values compete, by default the initializer. followers: axes that vary with another by `--zip`, and
    that other. They are no axes of their own; a parameter of the initializer is one with the value "by act".
    """

    results: Results
    runs: pd.DataFrame
    cell_axes: list[str]
    axes: list[str]
    over: str = "init"
    followers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, results: Results, over: str = "init") -> Self:
        """Contests over an axis. Raises InputError if that isn't one of these runs."""
        axes = cell_axes(results.runs)
        if over not in axes:
            what = join_words(axes)
            raise InputError(f"--contest {over}: does not vary in these runs; these vary: {what}{nearest(over, axes)}")
        if over != "model" and (runs := without_unused(results.runs)) is not results.runs:
            results = dataclasses.replace(results, runs=runs)  # models are compared at the depth that was asked for
        runs, by = results.runs, followers(results.runs, axes, results.zipped, over)
        parameters = {key: other for key, other in by.items() if key.startswith(f"{over}.") and other != over}
        axes = [axis for axis in axes if axis not in by or axis in parameters]
        for key, other in parameters.items():
            runs = runs.assign(**{key: runs[key].astype("object").mask(runs[key].notna(), f"by {other}")})
        runs = with_labels(runs, axes, over)
        _check_one_scale(runs, contest_axes(axes, over), over)
        return cls(results, runs.assign(score=cells.score(runs)), axes, contest_axes(axes, over), over, by)

    @property
    def noun(self) -> str:
        """What the alternatives are called: "initializer"."""
        return noun(self.over)

    @property
    def measure(self) -> Measure:
        """By what the runs are ranked; see `by_measure` where some predict labels and others numbers."""
        return measure(self.runs)

    def by_measure(self) -> list[Self]:
        """The contests of labels and those of numbers, whose scores have no scale in common; often one of them."""
        contest = [self.runs[axis] for axis in self.axes]
        numbers = predicts_numbers(self.runs).groupby(contest, dropna=False).transform("any")
        if numbers.nunique() < 2:
            return [self]
        return [self.where(~numbers), self.where(numbers)]

    @cached_property
    def done(self) -> pd.DataFrame:
        """The runs that were trained to their end."""
        return self.runs[cells.is_done(self.runs)]

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row per cell: `cells.cells`."""
        return cells.cells(self.runs, self.cell_axes)

    @cached_property
    def cell_of_run(self) -> pd.Series:
        """The row of `cells` that each run belongs to."""
        return self.runs.groupby(self.cell_axes, dropna=False, sort=False).ngroup()

    def __iter__(self) -> Iterator["Contest"]:
        return self.grouped(self.axes)

    def __len__(self) -> int:
        return self.runs.groupby(self.axes, dropna=False).ngroups if len(self.runs) else 0

    def grouped(self, axes: list[str]) -> Iterator["Contest"]:
        """Groups of runs with equal values of these axes, in the order of the runs."""
        for values, here in self.runs.groupby(axes, dropna=False, sort=False):
            yield Contest(dict(zip(axes, values, strict=True)), here)

    def without(self, axis: str) -> list[str]:
        """The axes of a contest but for one."""
        return [other for other in self.axes if other != axis]

    @property
    def varied(self) -> list[str]:
        """The axes that have several values: with the labels, they tell all cells apart."""
        return [axis for axis in self.axes if self.runs[axis].nunique(dropna=False) > 1]

    def where(self, chosen: pd.Series) -> Self:
        """The runs that are chosen (truths), with the axes and labels that all runs have."""
        results = dataclasses.replace(self.results, runs=self.results.runs[chosen])
        return dataclasses.replace(self, results=results, runs=self.runs[chosen])

    def label(self, cell: Mapping[Any, Any]) -> str:
        """What competes in a cell is called: its initializer. cell: its values by axis."""
        return alternative(cell, self.cell_axes, self.over)


def _check_one_scale(runs: pd.DataFrame, axes: list[str], over: str) -> None:
    """Raise InputError where labels and numbers compete, as between datasets: their scores have no scale in common."""
    known: Any = runs[runs["task"].notna()]  # what a run that failed would have predicted is not known
    numbers = predicts_numbers(known)
    if numbers.groupby([known[axis] for axis in axes], dropna=False).nunique().le(1).all():
        return
    kinds = {True: known[over][numbers], False: known[over][~numbers]}
    said = {kind: join_words(map(value_text, values.unique())) for kind, values in kinds.items()}
    raise InputError(
        f"--contest {over}: {over} {said[True]} has numbers to predict, {said[False]} has labels: their scores have no "
        f"scale in common; take one kind, as in --where \"task == 'labels'\""
    )


@dataclass(frozen=True)
class Contest:
    """One group of runs. values: axis to value."""

    values: dict[str, Any]
    runs: pd.DataFrame

    @property
    def key(self) -> tuple[str, ...]:
        return contest_key(self.values, self.values)

    @property
    def title(self) -> str:
        return contest_title(self.values, self.values.values())

    @property
    def measure(self) -> Measure:
        return measure(self.runs)


def by_contest(table: pd.DataFrame, axes: list[str]) -> dict[tuple[str, ...], pd.DataFrame]:
    """The rows of a table by the values of these axes as text: nulls equal each other, which in the data they don't."""
    groups = table.groupby(axes, dropna=False, sort=False)
    return {tuple(map(value_text, values)): rows for values, rows in groups}


def contest_key(values: Mapping[Any, Any], axes: Iterable[str]) -> tuple[str, ...]:
    """The values of some axes as text: by it rows of any table find their contest."""
    return tuple(value_text(values[axis]) for axis in axes)


def contest_title(axes: Iterable[str], values: Iterable[Any]) -> str:
    """ "relu, depth 20, lr 0.1" """
    return ", ".join(title_words(axes, values))


def title_words(axes: Iterable[str], values: Iterable[Any]) -> list[str]:
    """ "relu" and "depth 20": each value as a title has it, but for those that a model of one's own does not use."""
    pairs = [
        (axis, value_text(value))
        for axis, value in zip(axes, values, strict=True)
        if axis not in OF_MODEL or not pd.isna(value)
    ]
    return [text if axis in ("init", "act") else f"{axis} {text}" for axis, text in pairs]
