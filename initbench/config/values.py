"""Plain values: what they may be, and how a message shows them."""

import json
import math
from collections.abc import Mapping
from typing import Any

from hydra.core.override_parser.types import QuotedString

from initbench.errors import InputError


def one_line(text: object) -> str:
    """Any text, such as another library's message, as one printable line of at most 200 characters."""
    words = " ".join(str(text).split())
    printable = "".join(c if c.isprintable() else "?" for c in words)
    return printable if len(printable) <= 200 else printable[:197] + "..."


def shown(value: Any) -> str:
    """A value for a message: a string in quotes, anything else as JSON, on one line of at most 100 characters."""
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
    """A value as JSON has it; InputError for numbers that are not finite or exceed 64 bits and keys with dots."""
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
            raise InputError(f"{where}: {one_line(value)} is not a finite number within 64 bits")
        case str():
            if any("\ud800" <= c <= "\udfff" for c in value):
                raise InputError(f"{where}: {value!a} is not Unicode text")
            return value
    raise InputError(f"{where}: a {type(value).__name__} is not a plain value; did you mean choice(...) around it all?")


def _key(key: Any, where: str) -> str:
    if not isinstance(plain(key, where), str | QuotedString) or "." in plain(key, where):
        raise InputError(f"{where}: {one_line(key)} can't be a key; it must be a name without dots")
    return plain(key, where)


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    return is_whole(value) or isinstance(value, float)


def is_interpolation(value: Any) -> bool:
    """Whether a value, at any depth, holds a `${...}` for OmegaConf to resolve."""
    match value:
        case str():
            return "${" in value
        case dict():
            return any(map(is_interpolation, value.values()))
        case list():
            return any(map(is_interpolation, value))
    return False
