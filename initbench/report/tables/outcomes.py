"""Outcomes as a terminal shows them: "5L 1S", in the colour of the worst."""

from collections.abc import Iterable, Mapping
from typing import Any

COLOURS = {
    "learned": "green",
    "slow": "cyan",
    "stuck": "yellow",
    "diverged": "red",
    "failed": "magenta",
    "pending": "dim",
}
LETTERS = {"learned": "L", "slow": "Sl", "stuck": "S", "diverged": "D", "failed": "F", "pending": "P"}


def short_outcomes(counts: Mapping[str, Any]) -> str:
    """ "5L 1S"; "" where there is no run. counts: how many runs had each outcome."""
    return " ".join(f"{counts[outcome]}{LETTERS[outcome]}" for outcome in LETTERS if counts.get(outcome))


def worst_colour(counts: Mapping[str, Any]) -> str:
    """The colour of the last of these outcomes, in the order of `COLOURS`: green where all learned."""
    return next((COLOURS[outcome] for outcome in reversed(COLOURS) if counts.get(outcome)), "")


def legend(outcomes: Iterable[str] = LETTERS) -> str:
    """ "L learned, S stuck" """
    named = set(outcomes)
    return ", ".join(f"{letters} {outcome}" for outcome, letters in LETTERS.items() if outcome in named)
