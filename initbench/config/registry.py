"""The `conf/` folder is the registry: which choices each group has, and what each choice says about itself."""

import copy
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

_FACT = re.compile(r"([A-Z][A-Za-z]+): *(.*)")
_DOTTED_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


@dataclass(frozen=True)
class Choice:
    """What the YAML of one choice says."""

    name: str  # the file's name.
    sentence: str  # a sentence or formula that says what the choice is.
    source: str  # the paper or program it is from.
    parameters: dict[str, Any] = field(hash=False)  # the defaults of its parameters, shared ones last.
    root: dict[str, Any] = field(hash=False, default_factory=dict)  # the root keys for which it has another default.
    facts: dict[str, str] = field(hash=False, default_factory=dict)  # the other `# Word: value` lines of its header.


@cache
def groups() -> dict[str, str]:
    """The groups, in the order in which their choices are merged, each with its default choice."""
    defaults = read(CONF / "config.yaml")["defaults"]
    return {group: name for entry in defaults if isinstance(entry, dict) for group, name in entry.items()}


@cache
def root_keys() -> list[str]:
    """The keys that belong to no group: `depth`, `lr`, `outcome.window`, ..."""
    content = read(CONF / "config.yaml")
    return [key for key in dotted(content) if key != "defaults" and key.partition(".")[0] not in groups()]


@cache
def root_defaults() -> dict[str, Any]:
    """The defaults of all keys that every run has, by dotted name; choices and mitigations may have others."""
    return {key: value for key, value in dotted(read(CONF / "config.yaml")).items() if key != "defaults"}


@cache
def shared_keys(group: str) -> dict[str, Any]:
    """The keys that all choices of a group have, with their defaults, which a choice's YAML may replace."""
    return read(CONF / "config.yaml").get(group, {})


def choices(group: str, config_dir: str | Path | None = None) -> list[str]:
    """The names of a group's choices, sorted: those that are shipped and those of the user's folder.

    Raises InputError where there is no such group or folder, or a name in the user's folder is taken.
    """
    return sorted(_files(group, config_dir))


def describe(group: str, config_dir: str | Path | None = None) -> list[Choice]:
    """What the YAMLs of a group say; raises InputError as `choices` does, and where a YAML cannot be read."""
    return [_describe(name, path) for name, path in sorted(_files(group, config_dir).items())]


@cache
def shipped_choice(group: str, name: str) -> Choice | None:
    """What the YAML of a shipped choice says; None where no such choice is shipped, as of a user's own."""
    path = _files(group, None).get(name)
    return None if path is None else _describe(name, path)


@cache
def shipped_facts(group: str) -> dict[str, dict[str, str]]:
    """The facts in the headers of a group's shipped YAMLs, by name: `{"he": {"Source": "...", "Look": "0"}, ...}`."""
    return {name: sentence_and_facts(path)[1] for name, path in sorted(_files(group, None).items())}


def is_dotted_path(name: object) -> bool:
    """Whether a choice's name is the dotted path of a function: `mypackage.myinit`."""
    return isinstance(name, str) and _DOTTED_PATH.fullmatch(name) is not None


def find(group: str, name: str, config_dir: str | Path | None = None) -> Path:
    """The YAML of a choice that exists."""
    return _files(group, config_dir)[name]


def _files(group: str, config_dir: str | Path | None) -> dict[str, Path]:
    if group not in groups():
        raise InputError(f"there is no group {shown(group)}{nearest(group, groups())}")
    shipped = {path.stem: path for path in (CONF / group).glob("*.yaml")}
    own = {} if config_dir is None else {path.stem: path for path in _own_files(Path(config_dir), group)}
    for name in sorted(shipped.keys() & own.keys()):
        raise InputError(f"{one_line(own[name])}: initbench already has {group}={name}; give yours another name")
    return shipped | own


def _own_files(folder: Path, group: str) -> list[Path]:
    try:
        if not folder.is_dir():
            raise InputError(f"--config-dir {one_line(folder)}: there is no such folder")
        if not any((folder / name).is_dir() for name in [*groups(), "executor"]):
            raise InputError(f"--config-dir {one_line(folder)}: has none of the folders {', '.join(groups())}")
        return list((folder / group).glob("*.yaml"))
    except OSError as error:
        raise InputError(f"--config-dir {one_line(folder)}: {error.strerror}") from None


def read(path: Path) -> dict[str, Any]:
    """A YAML as a plain dict, interpolations unresolved; InputError if it cannot be read or is not a mapping."""
    return copy.deepcopy(_read_shipped(path)) if path.is_relative_to(CONF) else _read(path)


@cache
def _read_shipped(path: Path) -> dict[str, Any]:
    return _read(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = OmegaConf.load(path)
        if not isinstance(content, DictConfig):
            raise ValueError("it must be a mapping of names to values")
        return OmegaConf.to_container(content, resolve=False)  # type: ignore[return-value]
    except (OSError, ValueError, RecursionError, YAMLError, OmegaConfBaseException) as error:
        raise InputError(f"{one_line(path)}: can't be read: {one_line(error)}") from None


def own_and_root(group: str, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A choice's own keys, and the root keys for which it has another default.

    A convolutional net has its own default width, Adam its own learning rate. Such a YAML opens with
    `# @package _global_` and holds the choice's own keys under the group's name. Raises InputError where it cannot be
    read, or holds other keys too.
    """
    content = read(path)
    if group == OVERLAY or "@package _global_" not in header(path):
        return content, {}
    own = content.pop(group, {})
    if not isinstance(own, dict) or not dotted(content).keys() <= set(root_keys()):
        raise InputError(f"{one_line(path)}: may hold only '{group}' and root keys such as width")
    return own, content


def header(path: Path) -> list[str]:
    """The comment lines at the top of a YAML, without their `#`. Blank lines between them do not count, as in Hydra."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    comments = itertools.takewhile(lambda line: line.startswith("#"), filter(None, lines))
    return [line.lstrip("#").strip() for line in comments]


def sentence_and_facts(path: Path) -> tuple[str, dict[str, str]]:
    """What a YAML's header says: its sentence, and from the line `Source: ...` on every `Word: value`.

    A line that does not begin with `Word:` continues the value above it.
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


def _describe(name: str, path: Path) -> Choice:
    group = path.parent.name
    own, root = own_and_root(group, path)
    if group == OVERLAY:  # all that it sets: choices of other groups, and keys
        entries = [entry for entry in own.pop("defaults", []) if isinstance(entry, dict)]
        chosen = {key.removeprefix("override /"): name for entry in entries for key, name in entry.items()}
        own, root = {}, chosen | dotted(own)
    sentence, facts = sentence_and_facts(path)
    source = facts.pop("Source", "")
    parameters = {k: value for k, value in with_shared(group, own).items() if k not in ("_target_", "defaults")}
    return Choice(name, sentence, source, parameters, dotted(root), facts)


def with_shared(group: str, own: dict[str, Any]) -> dict[str, Any]:
    """A choice's own keys, and behind them the group's shared keys that it leaves as they are."""
    return own | {key: default for key, default in shared_keys(group).items() if key not in own}
