"""From YAML files to configuration: what Hydra composes, once per choice and not once per run."""

import itertools
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from initbench.config.aliases import check_choice
from initbench.config.keys import RULES, check_root
from initbench.config.registry import (
    CONF,
    OVERLAY,
    choices,
    find,
    groups,
    header,
    is_dotted_path,
    own_and_root,
    read,
    root_keys,
    shared_keys,
    with_shared,
)
from initbench.config.values import dotted, one_line, plain, shown
from initbench.errors import InputError, nearest


@dataclass(frozen=True)
class Overlay:
    """A mitigation's YAML: keys of the whole configuration, and the default choices that it replaces, by group."""

    content: dict[str, Any]
    replaces: dict[str, str]


@dataclass(frozen=True)
class Composed:
    """What the grid merges for each run."""

    root: dict[str, Any]  # the root keys with their defaults.
    sections: dict[tuple[str, str], dict[str, Any]]  # the keys of each (group, choice).
    above_root: dict[tuple[str, str], dict[str, Any]]  # the root keys for which a (group, choice) has another default.
    # values, by dotted key, that the name of a (group, choice) already says; they are not part of an id.
    implied: dict[tuple[str, str], dict[str, Any]]


def wanted_choices(combinations: Iterable[Mapping[str, str]]) -> dict[str, list[str]]:
    """The choices that have a YAML, by group and in order of appearance; mitigations apart."""
    wanted: dict[str, dict[str, None]] = {group: {} for group in groups() if group != OVERLAY}
    for chosen in combinations:
        for group, names in wanted.items():
            if not is_dotted_path(chosen[group]):
                names[chosen[group]] = None
    return {group: list(names) for group, names in wanted.items()}


def composed(wanted: Mapping[str, Collection[str]], config_dir: str | Path | None) -> Composed:
    """Every wanted choice. Its YAML is taken as it stands; Hydra composes it only if it has a defaults list of its own.

    One call of `compose` takes as long as merging a thousand dicts. One call is needed for the root keys; it also
    composes the first such choice of every group, the second call the second, and so on.
    """
    found = Composed({}, {}, {}, {})
    to_compose: dict[str, list[str]] = {group: [] for group in wanted}
    for group, names in wanted.items():
        for name in names:
            own, found.above_root[group, name] = _checked_choice(find(group, name, config_dir), group, config_dir)
            found.implied[group, name] = _implied(group, name, own, config_dir)
            found.sections[group, name] = with_shared(group, own)
            if "defaults" in own:
                to_compose[group].append(name)

    for names in list(itertools.zip_longest(*to_compose.values())) or [[None] * len(to_compose)]:
        together = {group: name for group, name in zip(to_compose, names, strict=True) if name is not None}
        config = _compose(together, config_dir)
        found.sections.update({(group, name): config.get(group, {}) for group, name in together.items()})
        found.root.update({key: value for key, value in config.items() if key not in wanted})
    return found


def _compose(together: Mapping[str, str], config_dir: str | Path | None) -> dict[str, Any]:
    """What Hydra composes of these choices. Of shipped files only, it is composed once per process."""
    if config_dir is None or not together:
        return _compose_shipped(tuple(together.items()))
    return _composed_by_hydra(together, config_dir)


@cache
def _compose_shipped(together: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    return _composed_by_hydra(dict(together), None)


def _composed_by_hydra(together: Mapping[str, str], config_dir: str | Path | None) -> dict[str, Any]:
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


def _implied(group: str, name: str, own: Mapping[str, Any], config_dir: str | Path | None) -> dict[str, Any]:
    """What the name of a choice already says: where shipped code lies, and shared keys that a user's YAML leaves out.

    Shipped YAMLs once stated the shared keys themselves, so these are part of the ids of their runs.
    """
    if find(group, name, config_dir).is_relative_to(CONF):
        return {f"{group}._target_": own.get("_target_")}
    if _inherits_shipped(group, own, config_dir):
        return {}
    return {f"{group}.{key}": default for key, default in shared_keys(group).items() if key not in own}


def _inherits_shipped(group: str, own: Mapping[str, Any], config_dir: str | Path | None, depth: int = 0) -> bool:
    """Whether a YAML builds on a shipped one, directly or not. Circles end after ten files; Hydra then reports them."""
    defaults, known = own.get("defaults"), choices(group, config_dir)
    parents = [name for name in defaults if name in known] if isinstance(defaults, list) and depth < 10 else []
    paths = [find(group, name, config_dir) for name in parents]
    return any(
        path.is_relative_to(CONF) or _inherits_shipped(group, own_and_root(group, path)[0], config_dir, depth + 1)
        for path in paths
    )


def _checked_choice(path: Path, group: str, config_dir: str | Path | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """A group's YAML as `own_and_root` reads it. Composed without the other groups, it cannot refer to them."""
    where = one_line(path)
    own, root = own_and_root(group, path)
    plain(own, where)
    plain(root, where)
    check_root(root, where, RULES.keys() & dotted(root))
    for line in header(path):
        if line.startswith("@package") and line != "@package _global_":
            raise InputError(f"{where}: {shown(line)} is not possible here; did you mean '@package _global_'?")
    known = ["_self_", *choices(group, config_dir)]
    for entry in _defaults(own, path):
        if entry not in known:
            raise InputError(f"{where}: {shown(entry)} can't be a default{nearest(str(entry), known)}")
    return own, root


def overlay(path: Path, config_dir: str | Path | None) -> Overlay:
    """A mitigation's YAML. `override /GROUP: NAME` in its defaults list replaces the default choice of a group."""
    where = one_line(path)
    content = read(path)
    plain(content, where)
    if "@package _global_" not in header(path):
        raise InputError(f"{where}: a mitigation must open with the line '# @package _global_'")
    replaces: dict[str, str] = {}
    for entry in _defaults(content, path):
        if entry == "_self_":
            continue
        key, name = next(iter(entry.items()), ("", "")) if isinstance(entry, dict) else ("", "")
        match = re.fullmatch(r"override /(\w+)", str(key))
        group = match[1] if match else ""
        if group not in groups() or group == OVERLAY:
            raise InputError(f"{where}: {shown(entry)} can't be a default; did you mean 'override /GROUP: NAME'?")
        check_choice(group, name, where, config_dir)
        replaces[group] = name
    for section in {*groups(), *(key.partition(".")[0] for key in root_keys() if "." in key)} & content.keys():
        if not isinstance(content[section], dict):
            raise InputError(f"{where}: '{section}' must hold keys, not {shown(content[section])}")
    return Overlay({key: value for key, value in content.items() if key != "defaults"}, replaces)


def _defaults(content: Mapping[str, Any], path: Path) -> list[Any]:
    defaults = content.get("defaults", [])
    if not isinstance(defaults, list):
        raise InputError(f"{one_line(path)}: 'defaults' must be a list, not {shown(defaults)}")
    return defaults
