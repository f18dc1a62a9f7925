"""What a value may be: plain, finite, of its default's type; and how a message shows it."""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hydra.core.override_parser.types import QuotedString

from initbench.errors import InputError


def one_line(text: object) -> str:
    """Any text, another library's message say, as one printable line of readable length."""
    words = " ".join(str(text).split())
    printable = "".join(c if c.isprintable() else "?" for c in words)
    return printable if len(printable) <= 200 else printable[:197] + "..."


def shown(value: Any) -> str:
    """A value for a message: a string in quotes, anything else as JSON, on one line of readable length."""
    text = repr(value) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 100 else text[:97] + "..."


def dotted(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested dict as a flat one: `{"init": {"gain": 1}}` -> `{"init.gain": 1}`."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= dotted(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def plain(value: Any, where: str) -> Any:
    """A value as JSON has it, and checked.

    Raises:
        InputError: a number not finite or beyond 64 bits, a string that no file can hold, a key with dots.
    """
    match value:
        case QuotedString():
            return plain(value.text, where)
        case list():
            return [plain(item, where) for item in value]
        case dict():
            return {_key(key, where): plain(item, where) for key, item in value.items()}
        case None | bool():
            return value
        case int() if abs(value) < 2**63:
            return value
        case float() if math.isfinite(value):
            return value
        case int() | float():
            raise InputError(f"{where}: {one_line(value)} is no finite number within 64 bits")
        case str():
            if any("\ud800" <= c <= "\udfff" for c in value):
                raise InputError(f"{where}: {value!a} is no Unicode text")
            return value
    raise InputError(f"{where}: a {type(value).__name__} is no plain value; did you mean choice(...) around it all?")


def _key(key: Any, where: str) -> str:
    if not isinstance(plain(key, where), str | QuotedString) or "." in plain(key, where):
        raise InputError(f"{where}: {one_line(key)} can't be a key; a name without dots is needed")
    return plain(key, where)


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    return is_whole(value) or isinstance(value, float)


def is_interpolation(value: Any) -> bool:
    """Whether OmegaConf has something to resolve in a value, however deep."""
    match value:
        case str():
            return "${" in value
        case dict():
            return any(map(is_interpolation, value.values()))
        case list():
            return any(map(is_interpolation, value))
    return False


KeyRule = tuple[str, Callable[[Any], bool]]  # what a value must be, in words and as a test


def _whole_from(least: int) -> KeyRule:
    return f"a whole number of at least {least}", lambda value: is_whole(value) and value >= least


def _number(words: str, holds: Callable[[float], bool]) -> KeyRule:
    return f"a number {words}", lambda value: is_number(value) and holds(value)


def _is_names(value: Any) -> bool:
    return value != [] and isinstance(value, list) and all(isinstance(name, str) for name in value)


def _or_null(rule: KeyRule) -> KeyRule:
    words, holds = rule
    return f"{words}, or null", lambda value: value is None or holds(value)


RULES: dict[str, KeyRule] = {  # root keys
    "depth": _whole_from(0),
    "width": _whole_from(1),
    "lr": _number("above 0", lambda lr: lr > 0),
    "tune.low": _or_null(_number("above 0", lambda lr: lr > 0)),
    "tune.high": _or_null(_number("above 0", lambda lr: lr > 0)),
    "tune.rates": _or_null(_whole_from(2)),
    "batch_size": _whole_from(1),
    "steps": _whole_from(1),
    "seed": _whole_from(0),
    "log_every": _whole_from(1),
    "eval_every": _whole_from(1),
    "save_weights": ("true or false", lambda value: isinstance(value, bool)),
    "outcome.learned_ratio": _number("above 0 and at most 1", lambda ratio: 0 < ratio <= 1),
    "outcome.window": _whole_from(1),
    "metrics": ("a list of names, as in metrics=[dead,saturated]", _is_names),
}


def check_root(config: Mapping[str, Any], where: str, keys: Iterable[str] = RULES) -> None:
    """Root keys keep their rules when they come from a file or an interpolation too.

    Raises:
        InputError: one doesn't.
    """
    flat = dotted(config)
    for key in keys:
        (words, holds), value = RULES[key], flat.get(key)
        if not is_interpolation(value) and not holds(value):
            raise InputError(f"{where}: '{key}' is {shown(value)}; it must be {words}")


def fitted(key: str, value: Any, default: Any, where: str) -> Any:
    """A value asked for, in the type of its default: 1 for a default of 0.5 is 1.0.

    Raises:
        InputError: the key doesn't take such a value.
    """
    if is_interpolation(value):
        return value  # checked once it is resolved
    words, holds = RULES.get(key) or _like(key, default)
    if not holds(value):
        raise InputError(f"{where}: '{key}' must be {words}, not {shown(value)}; the default is {shown(default)}")
    return float(value) if isinstance(default, float) and is_whole(value) else value


def _like(key: str, default: Any) -> KeyRule:
    """A parameter of a choice takes what is like its default in the YAML, anything where that is null.

    A gain may be the word "auto" too: the activation's own.
    """
    if default is None or is_interpolation(default):
        return "anything", lambda value: True
    if isinstance(default, bool):
        return "true or false", lambda value: isinstance(value, bool)
    if is_number(default) or default == "auto":
        if key.endswith(".gain"):
            return "a number or auto", lambda value: is_number(value) or value == "auto"
        return "a number", is_number
    if isinstance(default, str):
        return "a string", lambda value: isinstance(value, str)
    if isinstance(default, list):
        return "a list", lambda value: isinstance(value, list)
    return f"given key by key, as in {key}.{next(iter(default), 'name')}=...", lambda value: False
