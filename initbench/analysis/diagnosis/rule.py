"""What a rule of diagnosis is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from initbench.analysis.diagnosis.conditions import Cell, Runs
from initbench.analysis.diagnosis.settings import Suspect


@dataclass(frozen=True)
class FaultRule:
    """One fault: when a run has it, how it shows, and what to try."""

    fault: str  # its name; several rules may find the same fault.
    statement: str  # a sentence that says when the rule applies.
    # runs to truths; a number that wasn't measured is NaN and meets no condition.
    applies: Callable[[Runs], Any]
    evidence: Callable[[Cell], str]  # a cell to the sentence that cites its numbers.
    advice: str  # what to do, in the imperative and in words; what to type is said before it.
    choices: tuple[str, ...]  # the keys and groups worth another value, the most promising first.
    suspects: tuple[Suspect, ...] = ()  # settings that bring the fault about, the most suspicious first.
    # cells to overrides to try where no run of the sweep shows what works, the most promising first.
    cures: tuple[Callable[[Cell], str | None], ...] = ()
    of_learned: bool = False  # whether a run that learned may have this fault as well.
    birth: str = ""  # the probe's verdict on a network that has it at birth; empty where training has to show it.
