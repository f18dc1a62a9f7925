"""The `conf/` folder is the registry: what there is to choose from, and what each choice says of itself."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from initbench.errors import InputError, nearest

_INSIDE = Path(__file__).parent / "conf"  # in a wheel; in a checkout conf/ stands beside the package
CONF = _INSIDE if _INSIDE.is_dir() else Path(__file__).parent.parent / "conf"
OVERLAY = "mitigation"  # this group's YAMLs are laid over the whole configuration


@dataclass(frozen=True)
class Choice:
    """One YAML of a group: its name, what it is in a sentence or formula, whose it is, and its parameters' defaults."""

    name: str
    sentence: str
    source: str
    parameters: dict[str, Any] = field(hash=False)


def groups() -> dict[str, str]:
    """The groups of a run, in the order in which they are merged, and the choice that each has by default."""
    defaults = read(CONF / "config.yaml")["defaults"]
    return {group: name for entry in defaults if isinstance(entry, dict) for group, name in entry.items()}


def choices(group: str, config_dir: str | Path | None = None) -> list[str]:
    """Names of a group's choices, sorted: the shipped ones and those of the user's folder.

    Raises:
        InputError: no such group, no such folder, or a name in the user's folder that is taken.
    """
    return sorted(_files(group, config_dir))


def describe(group: str, config_dir: str | Path | None = None) -> list[Choice]:
    """Every choice of a group with its sentence, source and parameters, read from its YAML.

    Raises:
        InputError: as `choices`, and a YAML that can't be read.
    """
    return [_describe(name, path) for name, path in sorted(_files(group, config_dir).items())]


def find(group: str, name: str, config_dir: str | Path | None = None) -> Path:
    """The YAML of a choice that exists."""
    return _files(group, config_dir)[name]


def read(path: Path) -> dict[str, Any]:
    """A YAML as a plain dict, interpolations unresolved.

    Raises:
        InputError: the file is unreadable or is no mapping with names for keys.
    """
    try:
        content = OmegaConf.load(path)
        if not isinstance(content, DictConfig):
            raise InputError(f"{path}: a mapping of names to values is needed")
        plain = OmegaConf.to_container(content, resolve=False)
    except (OSError, UnicodeError, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise InputError(f"{path}: can't be read: {one_line(error)}") from None
    assert isinstance(plain, dict)
    return plain  # type: ignore[return-value]


def comments(path: Path) -> list[str]:
    """The comment lines that a YAML opens with, without their `#`."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("#").strip())
    return lines


def one_line(error: object) -> str:
    """Another library's message as one printable line of readable length."""
    words = " ".join(str(error).split())
    printable = "".join(c if c.isprintable() else "?" for c in words)
    return printable if len(printable) <= 200 else printable[:197] + "..."


def completion(incomplete: str, config_dir: str | Path | None = None) -> list[str]:
    """What an override that was begun can become: `in` -> `init=`, `init=he,xav` -> `init=he,xavier`, `init.s` -> `init.std=`.

    Reads the folder only: nothing is composed, and what can't be read is not on offer.
    """
    try:
        key, equals, value = incomplete.partition("=")
        options = _values(key, value, config_dir) if equals else _keys(key, config_dir)
    except InputError:
        return []
    return [option for option in options if option.startswith(incomplete)]


def _keys(begun: str, config_dir: str | Path | None) -> list[str]:
    group, dot, _ = begun.partition(".")
    if dot and group in groups():
        names = {name for choice in describe(group, config_dir) for name in choice.parameters}
        return sorted(f"{group}.{name}=" for name in names)
    root = {key: value for key, value in read(CONF / "config.yaml").items() if key != "defaults"}
    return [f"{key}=" for key in [*groups(), *dotted(root)]]


def _values(key: str, begun: str, config_dir: str | Path | None) -> list[str]:
    if key == "save_weights":
        return [f"{key}=true", f"{key}=false"]
    if key not in groups():
        return []
    *given, _ = begun.split(",")
    before = "".join(f"{name}," for name in given)
    return [f"{key}={before}{name}" for name in choices(key, config_dir) if name not in given]


def dotted(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested dict as a flat one: `{"init": {"gain": 1}}` -> `{"init.gain": 1}`."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _files(group: str, config_dir: str | Path | None) -> dict[str, Path]:
    if group not in groups():
        raise InputError(f"there is no group '{group}'{nearest(group, groups())}")
    shipped = {path.stem: path for path in (CONF / group).glob("*.yaml")}
    own = {path.stem: path for path in _folder(config_dir, group)}
    for name in shipped.keys() & own.keys():
        raise InputError(f"{own[name]}: initbench ships {group}={name} already; give yours another name")
    return shipped | own


def _folder(config_dir: str | Path | None, group: str) -> list[Path]:
    if config_dir is None:
        return []
    folder = Path(config_dir)
    try:
        if not any(folder.iterdir()):
            raise InputError(f"--config-dir {folder}: the folder is empty")
        return list((folder / group).glob("*.yaml"))
    except OSError as error:
        raise InputError(f"--config-dir {folder}: {error.strerror}") from None


def _describe(name: str, path: Path) -> Choice:
    content = read(path)
    lines = [line for line in comments(path) if not line.startswith("@package")]
    source = next((n for n, line in enumerate(lines) if line.startswith("Source:")), len(lines))
    return Choice(
        name,
        sentence=" ".join(lines[:source]),
        source=" ".join(lines[source:]).removeprefix("Source:").strip(),
        parameters={key: value for key, value in content.items() if key not in ("_target_", "defaults")},
    )
