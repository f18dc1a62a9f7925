"""From Hydra's override grammar to axes: `init=he,xavier`, `depth=5`, `seed=range(0,5)`."""

import math
import re
import shlex
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

from hydra.core.override_parser import types as hydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from initbench.config.aliases import read_choice, read_key
from initbench.config.axis import LIMIT, Axis, check_length
from initbench.config.elsewhere import instead_of
from initbench.config.registry import OVERLAY, choices, groups, is_dotted_path, root_keys
from initbench.config.stray import check_words
from initbench.config.tune import tuned_axes
from initbench.config.values import is_whole, one_line, plain, shown
from initbench.errors import InputError, nearest

_KEY = re.compile(r"[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*", re.ASCII)
_ADDS = {hydra.OverrideType.CHANGE: "", hydra.OverrideType.ADD: "+", hydra.OverrideType.FORCE_ADD: "++"}


def read_axes(overrides: Iterable[str], seeds: int | None, config_dir: str | Path | None) -> list[Axis]:
    """One axis per override, in the order asked, the seed last.

    `init._target_=my.init` is read as `init=my.init`, and `lr=tune` as what `tune.tuned_axes` makes of it. Raises
    InputError where an override is not in the grammar, names no choice, or asks for nothing or for too much.
    """
    axes: dict[str, Axis] = {}
    room = LIMIT
    overrides = list(overrides)
    check_words(overrides, config_dir)
    for text in overrides:
        axis = _axis(text, room, config_dir)
        for other in axes.values():
            if _overlap(axis, other):
                raise InputError(f"{axis.text}: '{axis.key}' is already given by {other.text}")
        axes[axis.key] = axis
        room //= len(axis.values)
    if seeds is not None:
        if "seed" in axes:
            raise InputError(f"--seeds {shown(seeds)} and {axes['seed'].text} are both given; give one of them")
        axes["seed"] = _seed_axis(seeds, room)
    axes = tuned_axes(axes, room // (seeds or 1), config_dir)
    return sorted(axes.values(), key=lambda axis: axis.key == "seed")


def _overlap(a: Axis, b: Axis) -> bool:
    """Whether two overrides set the same key, or one sets a key inside the other's value."""
    if a.is_group or b.is_group:
        return a.key == b.key
    return f"{a.key}.".startswith(f"{b.key}.") or f"{b.key}.".startswith(f"{a.key}.")


def _seed_axis(seeds: int, room: int) -> Axis:
    text = f"--seeds {shown(seeds)}"
    if not is_whole(seeds) or seeds < 1:
        raise InputError(f"{text}: must be a whole number of at least 1; did you mean --seeds 1?")
    check_length(seeds, room, text)
    return Axis("seed", list(range(seeds)), text)


def _axis(text: str, room: int, config_dir: str | Path | None) -> Axis:
    where = shown(text)
    override = _parsed(text, where)
    given, adds = override.key_or_group, _ADDS[override.type]
    if override.package is not None or not _KEY.fullmatch(given) or given.split(".")[0] == "hydra":
        raise InputError(
            f"{where}: {shown(given)} is not a key{instead_of(given, where[1:-1].partition('=')[2], _known())}"
        )
    key = read_key(given)
    notes = [f"{given} is {key} here"] if key != given else []
    values = [plain(value, where) for value in _elements(override, key, room, config_dir)]
    group, _, rest = key.partition(".")
    if rest == "_target_" and group in groups() and group != OVERLAY:
        for value in values:
            if not is_dotted_path(value):
                raise InputError(f"{where}: {shown(value)} is not a dotted path; did you mean 'package.function'?")
        return Axis(group, values, where, notes=tuple(notes))
    if key in groups():
        if adds:
            raise InputError(f"{where}: '{key}' is part of every run; did you mean {shown(text.lstrip('+'))}?")
        names = [read_choice(key, value, where, config_dir) for value in values]
        told = [value if isinstance(value, str) else shown(value) for value in values]
        notes += [f"{value} is {name} here" for value, name in zip(told, names, strict=True) if value != name]
        values = names
    return Axis(key, values, where, adds, tuple(notes))


def _parsed(text: str, where: str) -> hydra.Override:
    """An override in Hydra's grammar. Its error tells how to quote a value, if it is one in quotes."""
    try:
        return OverridesParser.create().parse_override(text)
    except Exception as error:  # its own errors, and AssertionError, ValueError, RecursionError, ... from below
        reason = one_line(error)
    if text.endswith(","):
        raise InputError(f"{where}: a value is missing behind the last comma; did you mean {shown(text.rstrip(','))}?")
    key, _, value = text.partition("=")
    quoted = f"{key}={hydra.QuotedString(value, hydra.Quote.single).with_quotes()}"
    typed = shlex.quote(quoted) if re.search(r'["$`!\\]', quoted) else f'"{quoted}"'
    try:
        OverridesParser.create().parse_override(quoted)
        helps = quoted.isprintable() and len(quoted) <= 100
    except Exception:
        helps = False
    if not helps:
        raise InputError(f"{where}: not in Hydra's override grammar ({reason})")
    raise InputError(
        f"{where}: not in Hydra's override grammar; a value with ( ) = ~ * or spaces needs quotes of its own within "
        f"those that the shell takes away: did you mean {typed}?"
    )


def _known() -> list[str]:
    return [*groups(), *root_keys()]


def _elements(override: hydra.Override, key: str, room: int, config_dir: str | Path | None) -> list[Any]:
    """The values of an override as Hydra lists them, after checking that there are at most `room`."""
    where, value = shown(override.input_line), override.value()
    match value:
        case hydra.IntervalSweep():
            raise InputError(
                f"{where}: an interval has no list of values; did you mean range(start,stop,step)"
                f", or {key}=tune tune.{key}=[low,high]?"
            )
        case hydra.Glob():
            elements = value.filter(choices(key, config_dir)) if key in groups() else []
            if not elements:
                raise InputError(f"{where}: glob() matches none of the choices of a group{nearest(key, _known())}")
        case hydra.RangeSweep():
            check_length(_length(value, where), room, where)
            elements = list(override.sweep_iterator())
        case hydra.ChoiceSweep():
            elements = list(override.sweep_iterator())
        case _:
            elements = [value]
    check_length(len(elements), room, where)
    return elements


def _length(sweep: hydra.RangeSweep, where: str) -> int:
    start, stop, step = (plain(number, where) for number in (sweep.start, sweep.stop, sweep.step))
    if step == 0:
        raise InputError(f"{where}: the step of a range can't be 0; did you mean 1?")
    return max(0, math.ceil((Fraction(stop) - Fraction(start)) / Fraction(step)))
