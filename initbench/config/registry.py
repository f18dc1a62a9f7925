"""The `conf/` folder is the registry: what there is to choose from, and what each choice says of itself."""

import itertools
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from initbench.config.values import dotted, one_line, shown
from initbench.errors import InputError, nearest

_PACKAGE = Path(__file__).parent.parent
_INSIDE = _PACKAGE / "conf"  # in a wheel; in a checkout conf/ stands beside the package
CONF = _INSIDE if _INSIDE.is_dir() else _PACKAGE.parent / "conf"
OVERLAY = "mitigation"  # this group's YAMLs are laid over the whole configuration

_FACT = re.compile(r"([A-Z][a-z]+): *(.*)")
_DOTTED_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


@dataclass(frozen=True)
class Choice:
    """One YAML of a group: its name, a sentence or formula, whose it is, and its parameters' defaults."""

    name: str
    sentence: str
    source: str
    parameters: dict[str, Any] = field(hash=False)
    root: dict[str, Any] = field(hash=False, default_factory=dict)  # root keys with a default of the choice's own
    facts: dict[str, str] = field(hash=False, default_factory=dict)  # the other `# Word: value` lines of its header


@cache
def groups() -> dict[str, str]:
    """The groups of a run, in the order in which they are merged, and the choice that each has by default."""
    defaults = read(CONF / "config.yaml")["defaults"]
    return {group: name for entry in defaults if isinstance(entry, dict) for group, name in entry.items()}


@cache
def root_keys() -> list[str]:
    """The keys of a run that belong to no group: `depth`, `lr`, `outcome.window`, ..."""
    content = read(CONF / "config.yaml")
    return [key for key in dotted(content) if key != "defaults"]


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


def is_dotted_path(name: object) -> bool:
    """Whether a choice's name is the dotted path of the user's own function: `mypackage.myinit`."""
    return isinstance(name, str) and _DOTTED_PATH.fullmatch(name) is not None


def check_choice(group: str, name: object, where: str, config_dir: str | Path | None = None) -> None:
    """A group takes the name of one of its choices or, but for an overlay, a dotted path.

    Raises:
        InputError: it's neither.
    """
    if is_dotted_path(name) and group != OVERLAY:
        return
    if name not in choices(group, config_dir):
        known = choices(group, config_dir)
        raise InputError(f"{where}: no {group} {shown(name)}{nearest(str(name), known)}")


def find(group: str, name: str, config_dir: str | Path | None = None) -> Path:
    """The YAML of a choice that exists."""
    return _files(group, config_dir)[name]


def read(path: Path) -> dict[str, Any]:
    """A YAML as a plain dict, interpolations unresolved.

    Raises:
        InputError: the file is unreadable or is no mapping.
    """
    try:
        content = OmegaConf.load(path)
        if not isinstance(content, DictConfig):
            raise ValueError("a mapping of names to values is needed")
        return OmegaConf.to_container(content, resolve=False)  # type: ignore[return-value]
    except (OSError, ValueError, RecursionError, YAMLError, OmegaConfBaseException) as error:
        raise InputError(f"{one_line(path)}: can't be read: {one_line(error)}") from None


def parted(group: str, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A choice's own keys, and the root keys that it has other defaults for.

    Those a choice may have that goes with them, as a convolutional net with a width of its own or Adam with its
    learning rate: its YAML opens with `# @package _global_` and holds its own keys under the group's name.

    Raises:
        InputError: as `read`.
    """
    content = read(path)
    if group == OVERLAY or "@package _global_" not in header(path):
        return content, {}
    own = content.pop(group, {})
    if not isinstance(own, dict) or not dotted(content).keys() <= set(root_keys()):
        raise InputError(f"{one_line(path)}: holds '{group}' and root keys such as width, nothing else")
    return own, content


def header(path: Path) -> list[str]:
    """The comment lines that a YAML opens with, without their `#`; blank lines end nothing, as in Hydra."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    comments = itertools.takewhile(lambda line: line.startswith("#"), filter(None, lines))
    return [line.lstrip("#").strip() for line in comments]


def sentence_and_facts(path: Path) -> tuple[str, dict[str, str]]:
    """What a YAML's header says: its sentence, and from the line `Source: ...` on every `Word: value`.

    A line without a word of its own continues the value above it.
    """
    lines = [line for line in header(path) if not line.startswith("@package")]
    first = next((n for n, line in enumerate(lines) if line.startswith("Source:")), len(lines))
    facts: dict[str, str] = {}
    word = "Source"
    for line in lines[first:]:
        if match := _FACT.fullmatch(line):
            word, line = match.groups()
        facts[word] = f"{facts.get(word, '')} {line}".strip()
    return " ".join(lines[:first]), facts


@cache
def shipped_facts(group: str) -> dict[str, dict[str, str]]:
    """By name, what the headers of a group's shipped choices say beside the sentence: `{"he": {"Look": "0", ...}}`."""
    return {name: sentence_and_facts(path)[1] for name, path in sorted(_files(group, None).items())}


def completion(incomplete: str, config_dir: str | Path | None = None) -> list[str]:
    """What a begun override can become: `dep` to `depth=`, `init=he,xav` to `init=he,xavier`.

    Nothing is composed, and what can't be read isn't on offer.
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
    if key in ("save_weights", "save_predictions"):
        return [f"{key}=true", f"{key}=false"]
    if key not in groups():
        return []
    *given, _ = begun.split(",")
    return [f"{key}={','.join([*given, name])}" for name in choices(key, config_dir) if name not in given]


def _files(group: str, config_dir: str | Path | None) -> dict[str, Path]:
    if group not in groups():
        raise InputError(f"there is no group {shown(group)}{nearest(group, groups())}")
    shipped = {path.stem: path for path in (CONF / group).glob("*.yaml")}
    own = {} if config_dir is None else {path.stem: path for path in _own(Path(config_dir), group)}
    for name in sorted(shipped.keys() & own.keys()):
        raise InputError(f"{one_line(own[name])}: initbench has {group}={name} already; give yours another name")
    return shipped | own


def _own(folder: Path, group: str) -> list[Path]:
    try:
        if not folder.is_dir():
            raise InputError(f"--config-dir {one_line(folder)}: there is no such folder")
        if not any((folder / name).is_dir() for name in [*groups(), "executor"]):
            raise InputError(f"--config-dir {one_line(folder)}: holds none of the folders {', '.join(groups())}")
        return list((folder / group).glob("*.yaml"))
    except OSError as error:
        raise InputError(f"--config-dir {one_line(folder)}: {error.strerror}") from None


def _describe(name: str, path: Path) -> Choice:
    own, root = parted(path.parent.name, path)
    if path.parent.name == OVERLAY:  # all that it sets: choices of other groups, and keys
        chosen = {
            key.removeprefix("override /"): choice
            for entry in own.pop("defaults", [])
            if isinstance(entry, dict)
            for key, choice in entry.items()
        }
        own, root = {}, chosen | dotted(own)
    sentence, facts = sentence_and_facts(path)
    return Choice(
        name,
        sentence=sentence,
        source=facts.pop("Source", ""),
        parameters={key: value for key, value in own.items() if key not in ("_target_", "defaults")},
        root=root,
        facts=facts,
    )
