"""Every key of the configuration as `initbench list keys` shows it: its default, its type, its sentence, its choices.

Sentences stand in `config.keys` and as comments behind the keys of the YAML files in `conf/`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from initbench.config.keys import BY_NAME, value_words
from initbench.config.registry import OVERLAY, Choice, choices, describe, find, groups, root_defaults, shared_keys

_LINE = re.compile(r"( *)([A-Za-z_]\w*):[^#]*(?:# (.*))?")  # of a YAML: indentation, key, comment
BESIDE_NULL = {  # what keys take whose default is null, where no rule and no preset shows it
    "data.train_size": "a whole number",
    "data.scale": "a number",
    "data.path": "a file's name",
    "model.truncate": "a whole number",
    "model.branch_layers": "1 or 2",
    "model.causal": "true or false",
    "model.scalar_biases": "true or false",
    "init.recurrent": "a name that `initbench list init` shows",
    "init.forget_bias": "a number",
    "init.bias_std": "a number of at least 0",
    "init.connections": "a whole number",
}
LETTERS = {"n": "n: inputs of a layer (fan-in)", "m": "m: its outputs (fan-out)"}


def letters(texts: Iterable[str]) -> str:
    """What the letters in formulas stand for: "n: inputs of a layer (fan-in), m: its outputs (fan-out)"."""
    text = " ".join(texts)
    return ", ".join(words for letter, words in LETTERS.items() if re.search(rf"\b{letter}\b", text))


@dataclass(frozen=True)
class DocumentedKey:
    """One key as `initbench list keys` shows it."""

    name: str  # as it is typed: "init.std".
    default: Any  # that of most choices.
    takes: str  # what a value must be.
    sentence: str  # what it means.
    choices: list[str] = field(default_factory=list)  # of its group, those that have it; empty: every run has it.
    other_defaults: dict[str, Any] = field(default_factory=dict)  # by choice, "optim=adam".


def documented_keys(config_dir: str | Path | None = None) -> list[DocumentedKey]:
    """All keys: the groups, the keys that every run has, and the parameters of choices, group by group."""
    described = {group: describe(group, config_dir) for group in groups()}
    presets = [choice.root for choice in described[OVERLAY]]
    found = [*_groups(config_dir), *_root(described, presets)]
    for group in groups():
        found += _parameters(group, described[group], presets, config_dir)
    return found


def _groups(config_dir: str | Path | None) -> Iterator[DocumentedKey]:
    for group, default in groups().items():
        takes = f"one of the {len(choices(group, config_dir))} names that `initbench list {group}` shows"
        yield DocumentedKey(group, default, takes, _sentence(group, {}))


def _root(described: Mapping[str, list[Choice]], presets: list[dict[str, Any]]) -> Iterator[DocumentedKey]:
    for name, default in root_defaults().items():
        if name.partition(".")[0] in groups():
            continue
        others = {
            f"{group}={choice.name}": choice.root[name]
            for group, found in described.items()
            for choice in found
            if group != OVERLAY and choice.root.get(name, default) != default
        }
        yield DocumentedKey(name, default, _takes(name, [default], presets), _sentence(name, {}), [], others)


def _parameters(
    group: str, described: list[Choice], presets: list[dict[str, Any]], config_dir: str | Path | None
) -> Iterator[DocumentedKey]:
    """The parameters of a group's choices: those that all have first, then in the order of their choices."""
    having = [choice for choice in described if choice.parameters]
    comments = {choice.name: comments_of(find(group, choice.name, config_dir)) for choice in having}
    for key in dict.fromkeys([*shared_keys(group), *(key for choice in having for key in choice.parameters)]):
        defaults = {choice.name: choice.parameters[key] for choice in having if key in choice.parameters}
        usual = shared_keys(group)[key] if key in shared_keys(group) else _most_common(defaults.values())
        name = f"{group}.{key}"
        yield DocumentedKey(
            name,
            usual,
            _takes(name, [usual, *defaults.values()], presets),
            _sentence(name, {choice: comments[choice].get(key, "") for choice in defaults}),
            [] if key in shared_keys(group) else list(defaults),
            {f"{group}={choice}": value for choice, value in defaults.items() if value != usual},
        )


def _takes(name: str, values: Iterable[Any], presets: list[dict[str, Any]]) -> str:
    """What a value must be. Where the default is null, as most choices or presets that set it show."""
    shown = [*values, *(preset[name] for preset in presets if name in preset)]
    telling = [value for value in shown if value is not None]
    words = BESIDE_NULL.get(name) or value_words(name, telling[0] if telling else None)
    return words if None not in shown or "null" in words else f"{words}, or null"


def _sentence(name: str, comments: Mapping[str, str]) -> str:
    """That of `config.keys`, else the comment in the YAMLs of choices; where these differ, each with its choice."""
    if name in BY_NAME:
        return BY_NAME[name].sentence
    said: dict[str, str] = {}
    for choice, comment in comments.items():
        if comment:
            said.setdefault(comment, choice)
    if len(said) == 1:
        return next(iter(said))
    return "; ".join(f"{choice}: {comment}" for comment, choice in said.items())


def comments_of(path: Path) -> dict[str, str]:
    """The comments behind the keys of a choice's YAML, by key without the group: `{"heads": "must divide width"}`."""
    found = {}
    parents: list[tuple[int, str]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not (match := _LINE.fullmatch(line)):
            continue
        indentation, key, comment = len(match[1]), match[2], match[3]
        parents = [parent for parent in parents if parent[0] < indentation]
        names = [*(name for _, name in parents), key]
        parents.append((indentation, key))
        if comment:
            found[".".join(names).removeprefix(f"{path.parent.name}.")] = comment
    return found


def _most_common(values: Iterable[Any]) -> Any:
    values = list(values)
    return max(values, key=values.count)
