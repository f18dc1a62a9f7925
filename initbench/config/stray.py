"""Words of a command line that are not overrides: what the user probably meant."""

import re
from collections.abc import Sequence
from pathlib import Path

from initbench.config.aliases import meaning, read_key
from initbench.config.elsewhere import KEYS_SHOWN_BY, here
from initbench.config.registry import OVERLAY, groups, root_keys
from initbench.config.values import shown
from initbench.errors import InputError, nearest

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)


def check_words(words: Sequence[str], config_dir: str | Path | None) -> None:
    """Raise InputError at the first word that is no `key=value`, and say what it would be as one."""
    for n, word in enumerate(words):
        where, whole = shown(word), _without_spaces(words[n:])
        if word.startswith("~"):
            raise InputError(f"{where}: a key can't be removed; did you mean {shown(word[1:] + '=')}?")
        if whole != word:
            raise InputError(f"{where}: an override has no spaces; did you mean {shown(whole)}?")
        if "=" not in word and Path(word).exists() and sum("=" not in each for each in words) > 1:
            hint = 'the shell puts file names for a bare *; did you mean "init=glob(*)", in quotes?'
            raise InputError(f"{where}: an override must be key=value, and this is a file; {hint}")
        if "=" not in word:
            before = words[n - 1] if n else ""
            raise InputError(f"{where}: an override must be key=value{_meant(word, before, config_dir)}")


def _without_spaces(words: Sequence[str]) -> str:
    """The first word and those that belong to it: `depth`, `=`, `5` are `depth=5`; `init=he,`, `xavier` are one too."""
    whole = words[0]
    for word in words[1:]:
        goes_on = whole.endswith(("=", ",")) and "=" not in word
        if not goes_on and not word.startswith("="):
            break
        whole += word
    return whole


def _meant(word: str, before: str, config_dir: str | Path | None) -> str:
    """The end of a line about a word without `=` behind another word: a further value, a choice, or a key."""
    key, _, value = before.partition("=")
    if _may_be_value(read_key(key), word, value, config_dir):
        return f"; did you mean {shown(f'{before},{word}')}, with a comma?"
    if match := re.fullmatch(r"([A-Za-z_][\w.]*):(.+)", word):
        return f"; did you mean {shown(f'{read_key(match[1])}={match[2]}')}?"
    for group in groups():
        if group != OVERLAY and (meant := meaning(group, word, config_dir)):
            return f"; did you mean {shown(f'{group}={meant.name}')}?"
    name, value = re.fullmatch(r"\W*([^\s=]*)\s*(.*)", word, re.DOTALL).groups()  # type: ignore[union-attr]
    key, known = read_key(name), [*groups(), *root_keys()]
    if key in known:
        return f"; did you mean {shown(f'{key}=' + (value or '...'))}?"
    return here(name, value) or nearest(name, known, KEYS_SHOWN_BY)


def _may_be_value(key: str, word: str, value: str, config_dir: str | Path | None) -> bool:
    """Whether a word behind `key=value` reads like another value of that key."""
    if key in groups():
        return meaning(key, word, config_dir) is not None
    return all(_NUMBER.fullmatch(each) for each in (word, value.rpartition(",")[2]))
