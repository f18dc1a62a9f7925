"""Tuned keys: from `lr=tune init.gain=tune` to the values that a grid tries, or to the ranges that a search draws from.

Every cell has the same budget: the same grid, or as many trials. `tune.*` says which; it is recorded in each run.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from initbench.config.axis import Axis, check_length
from initbench.config.keys import RULES, TUNE, TUNERS
from initbench.config.ranges import RANGES, Range, range_of
from initbench.config.registry import describe, groups, root_defaults, root_keys
from initbench.config.values import is_number, shown
from initbench.errors import InputError, closest, nearest

WORD = "tune"  # the value of a key that is tuned
UNTUNED = ("seed", "depth", "data", "outcome", "tune")  # keys, and sections, that say what is compared, and by what
OF_LR = ("tune.low", "tune.high", "tune.rates")
OF_GRID, OF_SEARCH = ("tune.rates", "tune.points"), ("tune.trials", "tune.seed")


@dataclass(frozen=True)
class SearchSpace:
    """What a search by `random` or `tpe` may try."""

    tuner: str
    trials: int  # in each cell, the default settings among them.
    seed: int  # of the tuner.
    ranges: tuple[Range, ...]


def is_tuned(axes: Iterable[Axis]) -> bool:
    """Whether any key is tuned."""
    return any(axis.tuned for axis in axes)


def search_space(axes: Iterable[Axis]) -> SearchSpace | None:
    """What is searched; None where nothing is tuned, or on a grid."""
    by_key = {axis.key: axis for axis in axes}
    if "tune.tuner" not in by_key or by_key["tune.tuner"].values[0] == "grid":
        return None
    tuner, trials, seed = (by_key[f"tune.{name}"].values[0] for name in ("tuner", "trials", "seed"))
    return SearchSpace(tuner, trials, seed, tuple(axis.tuned for axis in by_key.values() if axis.tuned))


def tuned_axes(axes: dict[str, Axis], room: int, config_dir: str | Path | None) -> dict[str, Axis]:
    """The axes with each `KEY=tune` replaced by the values that it stands for, the same ones for every cell.

    Of a key that is searched there is one value, at which its cell is checked. `tune.*` are axes of one value each.
    """
    asked = {key: axis for key, axis in axes.items() if not axis.is_group and WORD in axis.values}
    given = {key: axis for key, axis in axes.items() if key.startswith("tune.")}
    _check_uses(asked, given)
    if not asked:
        return axes
    for axis in asked.values():
        _check_tunable(axis, config_dir)
    if (val := axes.get("data.val_fraction")) and not all(is_number(value) and value > 0 for value in val.values):
        raise InputError(f"{val.text}: {next(iter(asked))}=tune chooses by validation loss; did you mean "
                         "data.val_fraction=0.2?")  # fmt: skip
    settings = {key: value for key, axis in given.items() if key in TUNE and (value := axis.values[0]) is not None}
    tuner = settings.get("tune.tuner", "grid")
    others = OF_SEARCH if tuner == "grid" else OF_GRID
    for key in settings.keys() & {*others}:
        raise InputError(f"{given[key].text}: '{key}' is not used with --tuner {tuner}; leave it out")
    where = " ".join(axis.text for axis in [*asked.values(), *given.values()])
    ranges = {key: _range(axis, settings, given.get(f"tune.{key}"), where) for key, axis in asked.items()}
    recorded: dict[str, Any] = _recorded(settings, asked, tuner)
    recorded |= {f"tune.{key}": found.recorded for key, found in ranges.items() if key != "lr"}
    budget = {key: Axis(key, [value], where, adds="" if key in TUNE else "+") for key, value in recorded.items()}
    if tuner == "grid":
        counts = {key: recorded["tune.rates" if key == "lr" else "tune.points"] for key in asked}
        check_length(math.prod(counts.values()), room, where)
        values = {key: ranges[key].grid(count, where) for key, count in counts.items()}
    else:
        check_length(recorded["tune.trials"], room, where)
        values = {key: [ranges[key].low] for key in asked}
    return axes | budget | {key: replace(axis, listed=values[key], tuned=ranges[key]) for key, axis in asked.items()}


def _check_uses(asked: Mapping[str, Axis], given: Mapping[str, Axis]) -> None:
    """Raise InputError for a `tune.*` that nothing uses, has several values, or breaks its rule."""
    for key, axis in given.items():
        of = "lr" if key in OF_LR else key.removeprefix("tune.")
        if key not in TUNE and of not in asked and not _defaults(of):
            raise InputError(f"{axis.text}: there is no key '{key}'{nearest(key, root_keys())}")
        if (not asked) if key in TUNE and key not in OF_LR else (of not in asked):
            needed = "a tuned key, such as lr=tune" if key in TUNE and key not in OF_LR else f"{of}=tune"
            raise InputError(f"{axis.text}: '{key}' is used only with {needed}; did you mean to give that too?")
        if len(axis.values) > 1:
            raise InputError(f"{axis.text}: every combination is tuned with the same rates; give one value")
        words, holds = RULES.get(key, ("", lambda value: True))
        if not holds(axis.values[0]):
            raise InputError(f"{axis.text}: '{key}' must be {words}, not {shown(axis.values[0])}")


def _check_tunable(axis: Axis, config_dir: str | Path | None) -> None:
    key = axis.key
    if len(axis.values) > 1:
        noun = "rates" if key == "lr" else "values"
        raise InputError(
            f"{axis.text}: 'tune' already stands for several {noun}; did you mean {key}=tune or {noun} alone?"
        )
    if key.split(".")[0] in UNTUNED:
        raise InputError(f"{axis.text}: '{key}' can't be tuned, as it says what is compared; give its values instead")
    defaults = _defaults(key, config_dir)
    if defaults and not any(value is None or value == "auto" or is_number(value) for value in defaults):
        raise InputError(
            f"{axis.text}: '{key}' is not a number, so it can't be tuned; the default is {shown(defaults[0])}"
        )


def _defaults(key: str, config_dir: str | Path | None = None) -> list[Any]:
    """The defaults of a key, of each choice that has it."""
    group, _, name = key.partition(".")
    of_choices = describe(group, config_dir) if group in groups() else []
    found = [choice.parameters[name] for choice in of_choices if name in choice.parameters]
    return found or [value for name, value in root_defaults().items() if name == key]


def _range(axis: Axis, settings: Mapping[str, Any], given: Axis | None, where: str) -> Range:
    """The range of a tuned key, as the user or the key itself has it."""
    if axis.key != "lr" or given is not None:
        if axis.key == "lr":
            raise InputError(f"{where}: the range of lr is tune.low and tune.high")
        if given is None and not _defaults(axis.key) and (close := closest(axis.key, RANGES)):
            raise InputError(f"{axis.text}: there is no key '{axis.key}'; did you mean {close[0]}=tune?")
        return range_of(axis.key, given and given.values[0], (given or axis).text)
    low, high = (float(settings.get(key, TUNE[key])) for key in ("tune.low", "tune.high"))
    if low >= high:
        raise InputError(f"{where}: tune.low={low:g} must be below tune.high={high:g}")
    return range_of("lr", [low, high, "log"], where)


def _recorded(settings: Mapping[str, Any], asked: Iterable[str], tuner: str) -> dict[str, Any]:
    """The keys `tune.*` of every run, those that no one gave at what null means."""
    used = {key for key in TUNE if key in OF_LR} if "lr" in asked else set()
    used |= {"tune.points"} if {*asked} - {"lr"} else set()
    if tuner != "grid":
        used = used - {*OF_GRID} | {"tune.tuner", *OF_SEARCH}
    return {key: settings.get(key, default) for key, default in TUNE.items() if key in used}


def as_overrides(tuner: str | None, trials: int | None) -> list[str]:
    """The options `--tuner` and `--trials` as overrides; InputError where there is no such tuner or number."""
    if tuner is not None and tuner not in TUNERS:
        raise InputError(f"--tuner {shown(tuner)}: there is no such tuner{nearest(tuner, TUNERS)}")
    if trials is not None and trials < 2:
        raise InputError(f"--trials {trials}: must be at least 2, the first of which is the default settings")
    given = {"tune.tuner": tuner, "tune.trials": trials}
    return [f"{key}={value}" for key, value in given.items() if value is not None]
