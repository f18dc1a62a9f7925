"""What to try: what worked in the sweep itself, then settings taken back to their defaults, then what usually helps."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pandas as pd

from initbench.analysis.axes import value_text
from initbench.analysis.cells import positions
from initbench.analysis.contests import Contests
from initbench.analysis.diagnosis.conditions import Cell
from initbench.analysis.diagnosis.cures import is_set, settings_of
from initbench.analysis.diagnosis.rule import FaultRule
from initbench.analysis.diagnosis.settings import Setting, away_from_default

MOST_WAYS = 2  # that a sentence offers


class Way(NamedTuple):
    """One thing to try."""

    override: str  # what to type: "init=lecun init.gain=auto"
    proof: str = ""  # " (learned in 5 of 5 runs)", where the sweep shows it

    def __str__(self) -> str:
        return self.override + self.proof


class Neighbours:
    """The cells of a sweep, and which of those that differ in one or two choices learned."""

    def __init__(self, done: Contests, faulty: pd.Series):
        """done: the runs that were trained to their end; faulty: which of them learned and have a fault all the same,
        so that they prove nothing."""
        self.axes = done.cell_axes
        parts = list(positions(done.runs, self.axes))
        first = done.runs.iloc[[part[0] for part in parts]].reset_index(drop=True)
        cells = first.assign(cell=first.index, **done.cells[["runs", "learned", "most_learned", "score"]])
        self.cells = cells.to_dict("records")
        # A mitigation that is of no use is left away first.
        proves = cells["most_learned"] & ~pd.Series([bool(faulty.iloc[part].any()) for part in parts], cells.index)
        simple = proves & (cells.get("mitigation") == "none")
        order = ["proves", "simple", "share", "score"]
        self.ranked = cells.assign(proves=proves, simple=simple, share=cells["learned"] / cells["runs"]).sort_values(
            order, ascending=False, kind="stable"
        )
        self.proves = proves.to_dict()
        self.best: dict[tuple[str, ...], dict[int, int]] = {}
        self.having: dict[tuple[str, str], set[int]] = {}

    def choices(self, first: Sequence[str]) -> list[str]:
        """All choices that were swept, these first. Other data is no cure, unless it is among these."""
        swept = dict.fromkeys(choice_of(axis) for axis in self.axes)
        others = [choice for choice in swept if choice != "data"]
        return [choice for choice in dict.fromkeys([*first, *others]) if choice in swept]

    def learned(self, cell: Cell, *choices: str) -> Way | None:
        """The best cell with only these choices changed, if most of it learned: "init=he (learned in 5 of 5 runs)"."""
        if choices not in self.best:
            others = [axis for axis in self.axes if choice_of(axis) not in choices]
            ranked = self.ranked.assign(everything=0)
            self.best[choices] = (
                ranked.groupby(others or ["everything"], dropna=False)["cell"].transform("first").to_dict()
            )
        other = self.cells[self.best[choices][cell["cell"]]]
        if other["cell"] == cell["cell"] or not self.proves[other["cell"]]:
            return None
        settings = [
            f"{key}={value_text(other[key])}"
            for choice in choices
            for key in self.axes
            if choice_of(key) == choice and not pd.isna(other[key])
        ]
        return Way(" ".join(settings), f" (learned in {other['learned']} of {other['runs']} runs)")

    def tried(self, cell: Cell, override: str) -> bool:
        """Whether the sweep has a cell like this one but for these settings."""
        wanted = settings_of(override)
        changed = {choice_of(key) for key in wanted}
        same = [axis for axis in self.axes if choice_of(axis) not in changed]
        candidates = set.intersection(*(self._having(*setting) for setting in wanted.items()))
        return any(
            all(value_text(self.cells[other][axis]) == value_text(cell[axis]) for axis in same) for other in candidates
        )

    def _having(self, key: str, value: str) -> set[int]:
        """The cells with one setting."""
        if (key, value) not in self.having:
            cells = {cell["cell"] for cell in self.cells if value_text(cell.get(key)) == value}
            self.having[key, value] = cells
        return self.having[key, value]


def choice_of(axis: str) -> str:
    """What is changed as one: a group with its parameters. A dataset's own name is apart, as its keys may be cures."""
    group = axis.split(".")[0]
    return "data." if group == "data" and axis != "data" else group


def suspects(rule: FaultRule, cell: Cell) -> list[Setting]:
    """The settings away from their defaults that bring this fault about."""
    settings = away_from_default(cell)
    found = [
        settings[suspect.key]
        for suspect in rule.suspects
        if suspect.key in settings and suspect.fits(settings[suspect.key])
    ]
    return list(dict.fromkeys(found))


def ways(rule: FaultRule, cell: Cell, settings: Sequence[Setting], neighbours: Neighbours) -> list[Way]:
    """What to try, the best first: settings are the suspects."""
    proven = list(_proven(rule, cell, settings, neighbours))[:MOST_WAYS]
    guesses = [setting.reset for setting in settings]
    guesses += [override for cure in rule.cures if (override := cure(cell))] if not proven else []
    untried = [Way(override) for override in dict.fromkeys(guesses) if _is_new(cell, override, neighbours)]
    return _of_other_keys([*proven, *untried])[:MOST_WAYS]


def _of_other_keys(ways: Sequence[Way]) -> list[Way]:
    """The ways without guesses at another value of what an earlier way changes."""
    kept: list[Way] = []
    for way in ways:
        taken = {key for other in kept for key in settings_of(other.override)}
        if way.proof or not taken & settings_of(way.override).keys():
            kept.append(way)
    return kept


def _proven(rule: FaultRule, cell: Cell, settings: Sequence[Setting], neighbours: Neighbours) -> Iterator[Way]:
    """What learned with one choice changed, the suspects' first; else with the initializer and another choice."""
    own = ["mitigation" if setting.mitigation else choice_of(setting.key) for setting in settings]
    first = [*own, *rule.choices]
    found = [way for choice in neighbours.choices(first) if (way := neighbours.learned(cell, choice))]
    pairs = (neighbours.learned(cell, "init", choice) for choice in ("lr", "act"))
    yield from found or [way for way in pairs if way][:1]


def _is_new(cell: Cell, override: str, neighbours: Neighbours) -> bool:
    """Whether a guess changes anything, and the sweep has not tried it in vain."""
    return not is_set(cell, override) and not neighbours.tried(cell, override)


def sentence(ways: Sequence[Way], rule: FaultRule) -> str:
    """ "Try init=he (learned in 5 of 5 runs), with nothing else changed. Use larger weights, ..." """
    if not ways:
        return rule.advice
    unchanged = ", with nothing else changed" if ways[0].proof else ""
    return f"Try {' or '.join(map(str, ways))}{unchanged}. {rule.advice}"
