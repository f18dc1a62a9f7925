"""What a rule of diagnosis is, and the overrides that rules suggest."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from initbench.analysis.diagnosis.conditions import Cell, Runs
from initbench.analysis.diagnosis.evidence import bias, still_falling
from initbench.config.registry import shipped_facts

SUGGESTED = "lecun init.gain=auto"  # for an activation whose YAML names no initializer that trains 20 layers of it


@dataclass(frozen=True)
class FaultRule:
    """One fault: when a run has it, how it shows, and what to try.

    Args:
        fault: its name; several rules may find the same fault.
        statement: a sentence that says when the rule applies.
        applies: failed runs to truths; a number that wasn't measured is NaN and meets no condition.
        evidence: a cell to the sentence that cites its numbers.
        advice: what to do, in the imperative.
        choices: the keys and groups worth another value, the most promising first.
        try_next: a cell to an override to try where no run of the sweep shows what works; None: nothing comes to mind.
    """

    fault: str
    statement: str
    applies: Callable[[Runs], Any]
    evidence: Callable[[Cell], str]
    advice: str
    choices: tuple[str, ...]
    try_next: Callable[[Cell], str | None] = lambda cell: None


def another_init(cell: Cell) -> str | None:
    """The initializer that trains deep networks of this activation."""
    suggested = shipped_facts("act").get(cell["act"], {}).get("Initializer", SUGGESTED)
    return None if suggested.split(" ")[0] in ("none", cell["init"]) else f"init={suggested}"


def isometry(cell: Cell) -> str | None:
    """Recurrent weights that keep lengths."""
    return None if cell.get("init.recurrent") in ("orthogonal", "identity") else "init.recurrent=orthogonal"


def no_bias(cell: Cell) -> str | None:
    return "init.bias=0" if bias(cell) else another_init(cell)


def lower_rate(cell: Cell) -> str:
    return f"lr={cell['lr'] / 10:g}"


def longer(cell: Cell) -> str:
    """More steps where the loss was still falling, else a higher rate."""
    return f"steps={3 * int(cell['steps'])}" if still_falling(cell) else f"lr={cell['lr'] * 10:g}"
