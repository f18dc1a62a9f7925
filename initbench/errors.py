"""Bad input, reported in one line."""

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """The user's input cannot be used. The message is one line that names the value and where it came from."""


class DoesNotFit(InputError):
    """Settings that are valid one by one do not work together. A grid skips such a combination and says why."""


def nearest(name: str, options: Iterable[str]) -> str:
    """The end of an error line: the valid name closest to `name`, or all valid names if none is close."""
    options = sorted(options)
    close = difflib.get_close_matches(name, options, n=1)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; there is {', '.join(options)}" if options else "; there is none"
