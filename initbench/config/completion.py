"""Shell completion of overrides."""

from pathlib import Path

from initbench.config.keys import BOOLEAN, RULES
from initbench.config.registry import choices, describe, groups, root_keys
from initbench.errors import InputError


def completion(incomplete: str, config_dir: str | Path | None = None) -> list[str]:
    """What the beginning of an override can become: `dep` -> `depth=`, `init=he,xav` -> `init=he,xavier`.

    Nothing is composed. A YAML that cannot be read is not offered.
    """
    key, equals, value = incomplete.partition("=")
    try:
        options = _value_options(key, value, config_dir) if equals else _key_options(key, config_dir)
    except InputError:
        return []
    return [option for option in options if option.startswith(incomplete)]


def _key_options(begun: str, config_dir: str | Path | None) -> list[str]:
    group, dot, _ = begun.partition(".")
    if dot and group in groups():
        names = {name for choice in describe(group, config_dir) for name in choice.parameters}
        return sorted(f"{group}.{name}=" for name in names)
    return [f"{key}=" for key in [*groups(), *root_keys()]]


def _value_options(key: str, begun: str, config_dir: str | Path | None) -> list[str]:
    if key == "lr":
        return ["lr=tune"]
    if RULES.get(key) is BOOLEAN:
        return [f"{key}=true", f"{key}=false"]
    if key not in groups():
        return []
    *given, _ = begun.split(",")
    return [f"{key}={','.join([*given, name])}" for name in choices(key, config_dir) if name not in given]
