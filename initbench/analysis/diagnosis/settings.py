"""Settings of a run that were set away from their defaults: where a run fails, each of them is a suspect."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd

from initbench.analysis.axes import value_text
from initbench.config import registry
from initbench.config.keys import WITHOUT_EFFECT
from initbench.config.values import dotted, is_interpolation

# What is compared, and when a run has learned: nobody sets these by mistake.
_QUESTIONS = {"seed", "depth", "width", "data.split_seed", "data.val_fraction"}
_NULL_IS = {"data.scale": 1.0}  # the number that null stands for; of others 0


@dataclass(frozen=True)
class Setting:
    """One key of a run whose value is not its default."""

    key: str
    value: Any
    default: Any
    mitigation: str | None = None  # the preset that sets it, where that is why

    def __str__(self) -> str:
        """ "init.gain=3" """
        return f"mitigation={self.mitigation}" if self.mitigation else f"{self.key}={value_text(self.value)}"

    @property
    def reset(self) -> str:
        """The override that takes it back."""
        return "mitigation=none" if self.mitigation else f"{self.key}={value_text(self.default)}"

    @property
    def sentence(self) -> str:
        """ "init.gain is 3; its default is 1." """
        preset = f" (mitigation={self.mitigation})" if self.mitigation else ""
        default = "it is not set by default" if _is_null(self.default) else f"its default is {value_text(self.default)}"
        return f"{self.key} is {value_text(self.value)}{preset}; {default}."


@dataclass(frozen=True)
class Suspect:
    """A key that brings a fault about when its value is above, below or just other than its default."""

    key: str
    guilty: Callable[[float, float], bool] | None = None  # (value, default) to truth; None: any other value

    def fits(self, setting: Setting) -> bool:
        if self.guilty is None:
            return True
        value, default = (number(setting.key, x) for x in (setting.value, setting.default))
        return self.guilty(value, default)


def higher(*keys: str) -> tuple[Suspect, ...]:
    return tuple(Suspect(key, lambda value, default: abs(value) > abs(default)) for key in keys)


def lower(*keys: str) -> tuple[Suspect, ...]:
    return tuple(Suspect(key, lambda value, default: abs(value) < abs(default)) for key in keys)


def changed(*keys: str) -> tuple[Suspect, ...]:
    return tuple(Suspect(key) for key in keys)


def number(key: str, value: Any) -> float:
    """A value as a number; NaN, which is neither above nor below anything, for a word such as `auto`."""
    if _is_null(value):
        return _NULL_IS.get(key, 0.0)
    try:
        return float(value)
    except ValueError:
        return math.nan


def away_from_default(cell: Mapping[Any, Any]) -> dict[str, Setting]:
    """The settings of a run, or of a cell, whose values are not the defaults of its choices, by key.

    Parameters of somebody's own functions and files are left out: their defaults are not known here.
    """
    chosen = tuple((group, str(cell.get(group))) for group in registry.groups())
    mitigation = shipped(registry.OVERLAY).get(str(cell.get("mitigation")))
    preset = mitigation.root if mitigation is not None else {}
    found = {}
    for key, default in _defaults(chosen).items():
        value = cell.get(key)
        if key not in cell or _same(value, default) or (_is_null(value) and default is not None):
            continue  # null: of another choice's parameter
        by_preset = mitigation.name if mitigation is not None and _same(value, preset.get(key)) else None
        found[key] = Setting(key, value, default, by_preset)
    return found


@cache
def _defaults(chosen: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """The defaults of all keys that a run with these choices (group, name) has and that may be at fault."""
    content = registry.read(registry.CONF / "config.yaml")
    defaults = dotted({key: value for key, value in content.items() if key != "defaults"})
    own: dict[str, Any] = {}
    for group, name in chosen:
        choice = shipped(group).get(name)
        if group != registry.OVERLAY and choice is not None:
            own |= choice.root | {f"{group}.{key}": value for key, value in choice.parameters.items()}
    ignored = WITHOUT_EFFECT | _QUESTIONS
    return {
        key: json.dumps(value) if isinstance(value, list) else value
        for key, value in (defaults | own).items()
        if key not in ignored and not key.startswith("outcome.") and not is_interpolation(value)
    }


@cache
def shipped(group: str) -> dict[str, registry.Choice]:
    """What the shipped choices of a group say of themselves, by name."""
    return {choice.name: choice for choice in registry.describe(group)}


def _same(value: Any, default: Any) -> bool:
    """Whether two values mean the same: 3 and "3" of a column with words in it, false and null."""
    if _is_null(value) or _is_null(default):
        return (_is_null(value) or value is False) and (_is_null(default) or default is False)
    try:
        return float(value) == float(default)
    except (TypeError, ValueError):
        return str(value) == str(default)


def _is_null(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))
