"""Names that a user chose for what a table shows: `he=He,normal=N(0, 1)`."""

from collections.abc import Collection

from initbench.errors import InputError, nearest


def display_names(text: str, known: Collection[str]) -> dict[str, str]:
    """The chosen name of each thing. known: what can be named; such as the label "normal std=0.5", which has a "=".

    A comma stands between two names, or in one: within parentheses, or where no "=" follows it. Raises InputError for
    what is not known.
    """
    names = {}
    for entry in _entries(text):
        keys = [key for key in known if entry.startswith(f"{key}=")]
        if not keys:
            key, equals, _ = entry.partition("=")
            if not equals:
                raise InputError(f"--names {entry}: write what is to be named and its name, as in he=He")
            raise InputError(f"--names {entry}: the table has no '{key}'{nearest(key, known)}")
        key = max(keys, key=len)
        names[key] = _unquoted(entry.removeprefix(f"{key}=").strip())
    return names


def _entries(text: str) -> list[str]:
    """ "he=He,normal=N(0, 1)" as ["he=He", "normal=N(0, 1)"]."""
    entries: list[str] = []
    depth, start = 0, 0
    for place, char in enumerate(text + ","):
        depth += {"(": 1, ")": -1}.get(char, 0)
        if char == "," and (depth <= 0 or place == len(text)):
            piece = text[start:place]
            if "=" in piece or not entries:
                entries.append(piece)
            else:
                entries[-1] += f",{piece}"
            start = place + 1
    return [entry.strip() for entry in entries if entry.strip()]


def _unquoted(text: str) -> str:
    """Without the quotes that a shell left."""
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text
