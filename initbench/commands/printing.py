"""Where commands print, and how they write times and sizes."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from initbench.results.load import Results

stdout, stderr = Console(), Console(stderr=True)


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
    """Bytes as 312 MiB, 1.4 GiB."""
    return f"{count / 2**20:.0f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"
