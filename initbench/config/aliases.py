"""Names that PyTorch, Keras, JAX, scikit-learn and Hydra have for initbench's keys and choices.

A choice's YAML lists its other names, below its source: `# Also: kaiming_normal, msra`. They can be typed in its place
and give the same run, with the same id. A name that promises something else than the choice is listed with the
difference: `# Near: random_normal (in Keras std is 0.05)`. An error names that choice, and nothing is trained.
The other names of keys stand in `config/keys.py`, what is no key here in `config/foreign.py`.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from initbench.config.keys import KEYS
from initbench.config.registry import OVERLAY, choices, find, groups, is_dotted_path, root_keys, sentence_and_facts
from initbench.config.values import shown
from initbench.errors import InputError, folded, nearest
from initbench.text import split_words

_NEAR = re.compile(r"([^();]+)\(([^()]*)\)")  # names, comma-separated, and in parentheses what is different


class Meaning(NamedTuple):
    """What another name stands for."""

    name: str  # the name here.
    difference: str = ""  # what the other name promises and this one does not keep; "": they are the same.


def meaning(group: str, name: object, config_dir: str | Path | None = None) -> Meaning | None:
    """What a name that is no choice stands for, whatever its case; None where that is unknown or not unique."""
    word = folded(name if isinstance(name, str) else json.dumps(name))
    known = list(_meanings(group, config_dir))
    for form in dict.fromkeys([word, word.rstrip("_")]):
        found = list(dict.fromkeys(meant for other, meant in known if other == form))
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _meanings(group: str, config_dir: str | Path | None) -> Iterator[tuple[str, Meaning]]:
    """Every other name of a group's choices, folded, with what it stands for."""
    for choice in choices(group, config_dir):
        yield folded(choice), Meaning(choice)
        facts = sentence_and_facts(find(group, choice, config_dir))[1]
        yield from ((folded(other), Meaning(choice, difference)) for other, difference in other_names(facts))


def other_names(facts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The other names in the header of a choice's YAML, each with what it promises and the choice does not keep."""
    yield from ((name, "") for name in split_words(facts.get("Also", "")))
    for names, difference in _NEAR.findall(facts.get("Near", "")):
        yield from ((name, difference) for name in split_words(names))


def read_choice(group: str, name: Any, where: str, config_dir: str | Path | None = None) -> str:
    """The choice that a name stands for; InputError where it is none, nor, except for mitigations, a dotted path."""
    if name in choices(group, config_dir) or (is_dotted_path(name) and group != OVERLAY):
        return name
    if isinstance(name, list) and name:
        listed = ",".join(map(str, name))
        raise InputError(f"{where}: no {group} {shown(name)}; did you mean '{group}={listed}', without the brackets?")
    if isinstance(name, str) and "${" in name:
        raise InputError(
            f"{where}: a choice can't be an interpolation; did you mean {group}=$NAME, which the shell fills in?"
        )
    if isinstance(name, str) and "*" in name:
        raise InputError(f'{where}: no {group} {shown(name)}; did you mean "{group}=glob({name})", in quotes?')
    meant = meaning(group, name, config_dir)
    if meant is None:
        raise InputError(f"{where}: no {group} {shown(name)}{suggestion(group, name, config_dir)}")
    if meant.difference:
        raise InputError(f"{where}: no {group} {shown(name)}; did you mean '{meant.name}'? ({meant.difference})")
    return meant.name


def same_choice(group: str, name: str) -> str:
    """The choice that another name stands for without a difference; any other text as it is."""
    meant = meaning(group, name) if group in groups() else None
    return name if meant is None or meant.difference else meant.name


def check_choice(group: str, name: object, where: str, config_dir: str | Path | None = None) -> None:
    """Raise InputError where a name is not one that `read_choice` takes as it is, as files must have it."""
    read = read_choice(group, name, where, config_dir)
    if read != name:
        raise InputError(f"{where}: no {group} {shown(name)}; did you mean '{read}'?")


def suggestion(group: str, name: object, config_dir: str | Path | None = None) -> str:
    """The end of a line about a name that stands for nothing here."""
    return nearest(str(name), choices(group, config_dir), f"initbench list {group}")


def same_here(group: str, path: str) -> str:
    """The end of a line about somebody's function that can't be used: the choice of its name, as of `torch.nn.ReLU`."""
    if group not in groups():
        return ""
    meant = meaning(group, path.rpartition(".")[2])
    if meant is None:
        return ""
    return f"; did you mean {group}={meant.name}?" + (f" ({meant.difference})" if meant.difference else "")


# ---------------------------------------------------------------- keys


def read_key(key: str) -> str:
    """The key that a name stands for: `learning_rate` -> `lr`, `optimizer.momentum` -> `optim.momentum`.

    A name that stands for nothing comes back as it is; so does one that begins as ours do, except where it is the other
    name of a key (`augment.jitter`).
    """
    head, dot, rest = key.partition(".")
    if key in _all_keys():
        return key
    if head in _heads():
        return next((own.name for own in KEYS if key in own.also.split()), key)
    whole = _one(_other_keys(), key)
    if whole is None and dot and (group := _one(_other_keys(), head)) in groups():
        whole = f"{group}.{rest}"
    return whole or key


def _one(names: Iterable[tuple[str, str]], word: str) -> str | None:
    found = {name for other, name in names if other == folded(word)}
    return found.pop() if len(found) == 1 else None


def _other_keys() -> Iterator[tuple[str, str]]:
    for name in _all_keys():
        yield folded(name), name
    for key in KEYS:
        yield from ((folded(other), key.name) for other in key.also.split())


def _all_keys() -> list[str]:
    return [*groups(), *root_keys()]


def _heads() -> set[str]:
    """The first words of keys with dots."""
    return {*groups(), *(key.partition(".")[0] for key in root_keys() if "." in key)}
