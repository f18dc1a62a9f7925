"""An axis of a grid: one override, a key and its values."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from initbench.config.ranges import Range
from initbench.config.registry import groups
from initbench.errors import InputError

LIMIT = 1_000_000  # runs per grid


@dataclass(frozen=True)
class Axis:
    """One override: a key and its values."""

    key: str  # a group or a key with dots.
    listed: list[Any]  # its values as they are typed.
    text: str  # the override, for messages.
    adds: str = ""  # "", or the "+" or "++" before the key.
    notes: tuple[str, ...] = ()  # which names were read as others: "kaiming_normal is he here".
    tuned: Range | None = None  # of `lr=tune`: between which values it is tried.

    @cached_property
    def values(self) -> list[Any]:
        """Its values, each once."""
        return list({json.dumps(value): value for value in self.listed}.values())

    @property
    def is_group(self) -> bool:
        return self.key in groups()


def check_length(length: int, room: int, where: str) -> None:
    """Refuse a grid that is too large before its values take memory."""
    if length == 0:
        raise InputError(f"{where}: the range is empty; did you mean range(0,1)?")
    if length > room:
        raise InputError(f"{where}: that asks for more than {LIMIT:,} runs; did you mean fewer values?")
