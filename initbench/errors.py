"""Bad input, reported in one line."""

import difflib
import re
from collections.abc import Iterable
from typing import Any

ALIKE = 0.7  # share of the letters of two names that agree, in order, where one may be a slip of the other
RELATED = 0.5  # where one may help to find the other
MOST = 12  # names that an error line lists


class InputError(Exception):
    """The user's input cannot be used. The message is one line that names the value and where it came from."""


class Terminated(KeyboardInterrupt):
    """This process was told to end by SIGTERM, which is taken as Ctrl-C is."""


class WrongValue(InputError):
    """A key has a value that it doesn't take. Planning, which knows the files and the command line, says where from."""

    def __init__(self, key: str, value: Any, message: str):
        super().__init__(message)
        self.key, self.value = key, value


class DoesNotFit(InputError):
    """Settings that are valid one by one do not work together. A grid skips such a combination and says why."""


def folded(name: str) -> str:
    """A name as it is compared: `BatchNorm`, `batch_norm` and `batch-norm` are one name.

    A `_` at the end counts: PyTorch's functions in place have one, and defaults of their own.
    """
    letters = "".join(c for c in name.casefold() if c not in "_- ")
    return letters + "_" * (len(name) > 1 and name.endswith("_"))


def closest(name: str, options: Iterable[str], count: int = 1, *, alike: float = ALIKE) -> list[str]:
    """At most `count` valid names that look like `name`, the most similar first; case, `_` and `-` do not count."""

    ranked = sorted((-_similarity(name, option), option) for option in options)
    return [option for score, option in ranked[:count] if -score >= alike]


def _similarity(name: str, option: str) -> float:
    """From 0 to 1: how alike they are, of the option the whole or what follows the last dot or slash."""
    whole, last = folded(option), folded(re.split(r"[./]", option)[-1])
    return max(difflib.SequenceMatcher(None, folded(name), text).ratio() for text in (whole, last))


def nearest(name: str, options: Iterable[str], shown_by: str = "") -> str:
    """The end of an error line: the valid name closest to `name`, or two that are equally close.

    If none is close: all names, or the nearest few of many. shown_by: the command that lists them all.
    """
    options = sorted(options)
    if close := closest(name, options, 2):
        equally = [option for option in close if _similarity(name, option) == _similarity(name, close[0])]
        return f"; did you mean {' or '.join(map(repr, equally))}?"
    if len(options) <= MOST:
        return f"; there is {', '.join(options)}" if options else "; there is none"
    few = ", ".join(closest(name, options, 3, alike=RELATED)) or ", ".join(options[:3])
    return f"; there is {few} and {len(options) - few.count(',') - 1} more" + (f": {shown_by}" if shown_by else "")
