"""Where commands print, and how they write times and sizes."""

import codecs
import io
import json
import sys
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from initbench.results.load import Results

CLOSED_PIPE = 141  # 128 + SIGPIPE, the exit code of other programs whose reader has left
# What stands in place of a character that the terminal's encoding lacks; "?" where nothing does.
PLAIN = {"★": "*", "→": "->", "←": "<-", "−": "-", "–": "-", "—": "-", "±": "+-", "×": "x", "·": ".", "…": "..."}
PLAIN |= {"≤": "<=", "≥": ">=", "≈": "~", "○": "o", "▸": ">", "•": "*", "\u00a0": " ", "─": "-", "│": "|", "⠋": "*"}


class Output(Console):
    """A stream of this process. Where its reader has left, as in `initbench list | head`, the command ends silently."""

    def on_broken_pipe(self) -> None:
        try:
            super().on_broken_pipe()  # what is still written goes nowhere
        except SystemExit:
            raise SystemExit(CLOSED_PIPE) from None


stdout, stderr = Output(), Output(stderr=True)


def print_json(facts: Any) -> None:
    """Facts as JSON on standard output, for other programs."""
    print_text(json.dumps(facts, indent=1))


def print_text(text: str) -> None:
    """A text on standard output just as it is: nothing is wrapped."""
    try:  # rich takes 2 s per MB for that
        print(text, file=stdout.file, flush=True)
    except BrokenPipeError:
        stdout.on_broken_pipe()


def accept_all_characters() -> None:
    """Let the standard streams replace what their encoding lacks: ★ is * on Windows' cp1252 and in ASCII."""
    codecs.register_error("plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    """What an encoder writes in place of characters that it lacks, and where it goes on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain_character, error.object[error.start : error.end])), error.end


def _plain_character(char: str) -> str:
    return PLAIN.get(char) or unicodedata.normalize("NFKD", char).encode("ascii", "ignore").decode() or "?"


def print_line(label: str, text: str, style: str = "bold red") -> None:
    """One line for standard error, such as "error: ..."; nothing in `text` is taken for markup."""
    stderr.print(f"[{style}]{label}[/] {escape(text)}", highlight=False, soft_wrap=True)


def print_unread_files(results: "Results") -> None:
    """Name the files that could not be read, each with the reason."""
    for file, reason in results.skipped:
        print_line("skipped", f"{file}: {reason}", "yellow")


def duration(seconds: float) -> str:
    """12 s, 3 min 20 s, 2 h 5 min."""
    whole = max(0, round(seconds))
    if whole < 100:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(count: float) -> str:
    """Bytes as 12 KiB, 312 MiB, 1.4 GiB."""
    if count < 2**20:
        return f"{count / 2**10:.0f} KiB"
    return f"{count / 2**20:.0f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"


def value_text(value: Any) -> str:
    """A value as it is typed in an override."""
    return str(value) if isinstance(value, str) else json.dumps(value, separators=(",", ":")).replace('"', "")


def overrides(settings: Mapping[str, Any]) -> str:
    """ "init.std=0.01 init.bias=0" """
    return " ".join(f"{key}={value_text(value)}" for key, value in settings.items())
