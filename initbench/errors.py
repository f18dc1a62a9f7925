"""Bad input, said in one line."""

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """What the user gave can't be used; the message is one clear line that names the value and where it came from."""


class DoesNotFit(InputError):
    """Settings that are valid each by itself make no sense together; a grid leaves such a cell out, with the reason."""


def nearest(name: str, options: Iterable[str]) -> str:
    """The end of an error line: the valid name closest to `name`, or all of them when none is close."""
    options = sorted(options)
    close = difflib.get_close_matches(name, options, n=1)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; there is {', '.join(options)}" if options else "; there is none"
