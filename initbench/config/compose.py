"""From YAML files to parts: what Hydra composes, once for each choice."""

import itertools
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from initbench.config.keys import RULES, check_root
from initbench.config.registry import (
    CONF,
    OVERLAY,
    check_choice,
    choices,
    find,
    groups,
    header,
    is_dotted_path,
    parted,
    read,
    root_keys,
)
from initbench.config.values import dotted, one_line, plain, shown
from initbench.errors import InputError, nearest


@dataclass(frozen=True)
class Overlay:
    """A mitigation's YAML: keys for the whole configuration, and other default choices for some groups."""

    content: dict[str, Any]
    replaces: dict[str, str]


@dataclass(frozen=True)
class Parts:
    """What Hydra composed: the root keys and each (group, choice); and the `_target_` of what is shipped."""

    root: dict[str, Any]
    groups: dict[tuple[str, str], dict[str, Any]]
    above_root: dict[tuple[str, str], dict[str, Any]]  # root keys that a choice has other defaults for
    targets: dict[tuple[str, str], str | None]


# From YAML to parts


def wanted_choices(combinations: Iterable[Mapping[str, str]]) -> dict[str, list[str]]:
    """The choices that Hydra has to compose, of each group but the overlays, in order of appearance."""
    wanted: dict[str, dict[str, None]] = {group: {} for group in groups() if group != OVERLAY}
    for chosen in combinations:
        for group, names in wanted.items():
            if not is_dotted_path(chosen[group]):
                names[chosen[group]] = None
    return {group: list(names) for group, names in wanted.items()}


def composed(wanted: Mapping[str, Collection[str]], config_dir: str | Path | None) -> Parts:
    """Every wanted choice: its YAML as it stands, or composed once where it has a defaults list of its own.

    A call of `compose` takes a thousand times as long as a merge of dicts. One is needed for the root keys, and
    composes the first choice of every group that has to be; the next one the second, and so on.
    """
    targets: dict[tuple[str, str], str | None] = {}
    parts: dict[tuple[str, str], dict[str, Any]] = {}
    above_root: dict[tuple[str, str], dict[str, Any]] = {}
    to_compose: dict[str, list[str]] = {group: [] for group in wanted}
    for group, names in wanted.items():
        for name in names:
            path = find(group, name, config_dir)
            content, above_root[group, name] = _checked_part(path, group, config_dir)
            targets[group, name] = content.get("_target_") if path.is_relative_to(CONF) else None
            if "defaults" in content:
                to_compose[group].append(name)
            parts[group, name] = content

    root: dict[str, Any] = {}
    for names in list(itertools.zip_longest(*to_compose.values())) or [[None] * len(to_compose)]:
        together = {group: name for group, name in zip(to_compose, names, strict=True) if name is not None}
        config = _compose(together, config_dir)
        parts |= {(group, name): config.get(group, {}) for group, name in together.items()}
        root = {key: value for key, value in config.items() if key not in wanted}
    return Parts(root, parts, above_root, targets)


def _compose(together: Mapping[str, str], config_dir: str | Path | None) -> dict[str, Any]:
    overrides = [f"{group}={_quoted(together[group])}" if group in together else f"~{group}" for group in groups()]
    if config_dir is not None:
        overrides.append(f"hydra.searchpath=[{_quoted(f'file://{Path(config_dir).absolute()}')}]")
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config: Any = OmegaConf.to_container(compose("config", overrides), resolve=False)
    except (HydraException, OmegaConfBaseException, RecursionError, ValueError, OSError) as error:
        asked = " ".join(f"{group}={name}" for group, name in together.items())
        raise InputError(f"{asked}: Hydra can't compose that: {one_line(error)}") from None
    return config


def _quoted(text: str) -> str:
    return QuotedString(text, Quote.single).with_quotes()


def _checked_part(path: Path, group: str, config_dir: str | Path | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """A group's YAML, as `parted` takes it apart. It is composed apart from the other groups' choices, so it must
    keep to its own."""
    content, root = parted(group, path)
    plain(content, one_line(path))
    plain(root, one_line(path))
    check_root(root, one_line(path), RULES.keys() & dotted(root))
    for line in header(path):
        if line.startswith("@package") and line != "@package _global_":
            raise InputError(f"{one_line(path)}: {shown(line)} can't be; did you mean '@package _global_'?")
    known = ["_self_", *choices(group, config_dir)]
    for entry in _defaults(content, path):
        if entry not in known:
            raise InputError(f"{one_line(path)}: no default can be {shown(entry)}{nearest(str(entry), known)}")
    return content, root


def overlay(path: Path, config_dir: str | Path | None) -> Overlay:
    """A mitigation's YAML; `override /GROUP: NAME` in its defaults replaces the default choice of a group."""
    where = one_line(path)
    content = _checked(path)
    if "@package _global_" not in header(path):
        raise InputError(f"{where}: a mitigation must open with the line '# @package _global_'")
    replaces: dict[str, str] = {}
    for entry in _defaults(content, path):
        if entry == "_self_":
            continue
        group, name = _override(entry)
        if group not in groups() or group == OVERLAY:
            raise InputError(f"{where}: no default can be {shown(entry)}; did you mean 'override /GROUP: NAME'?")
        check_choice(group, name, where, config_dir)
        replaces[group] = name
    for section in {*groups(), *(key.partition(".")[0] for key in root_keys() if "." in key)} & content.keys():
        if not isinstance(content[section], dict):
            raise InputError(f"{where}: '{section}' must hold keys, not {shown(content[section])}")
    return Overlay({key: value for key, value in content.items() if key != "defaults"}, replaces)


def _override(entry: Any) -> tuple[str, Any]:
    """`{"override /optim": "adam"}` as `("optim", "adam")`; for anything else the group is empty."""
    key, name = next(iter(entry.items()), ("", None)) if isinstance(entry, dict) else ("", None)
    match = re.fullmatch(r"override /(\w+)", str(key))
    return (match[1] if match else "", name)


def _checked(path: Path) -> dict[str, Any]:
    content = read(path)
    plain(content, one_line(path))
    return content


def _defaults(content: Mapping[str, Any], path: Path) -> list[Any]:
    defaults = content.get("defaults", [])
    if not isinstance(defaults, list):
        raise InputError(f"{one_line(path)}: 'defaults' must be a list, not {shown(defaults)}")
    return defaults
