"""`initbench status`: what is done, what failed and why, and what is missing."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from initbench.commands.options import AsJson
from initbench.commands.printing import print_json, print_line, size, stdout
from initbench.text import plural

if TYPE_CHECKING:
    from initbench.results.status import FolderStatus, RunCounts


def status(
    path: Annotated[Path, typer.Argument(help="Look at this results folder", metavar="PATH")] = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Show what is done, what failed and why, and what is missing.

    [bold]initbench status results[/]
    """
    from initbench.analysis.failures import failure_lines
    from initbench.results.load import read_folder
    from initbench.results.status import FolderStatus

    found = FolderStatus.of(read_folder(path))
    if as_json:
        print_json(found.facts())
        return
    stdout.print(sweep_table(found))
    for sentence in sentences(found):
        stdout.print(escape(sentence), highlight=False)
    axes = {axis for sweep in found.folder.sweeps.values() for axis in sweep.info.get("axes") or ()}
    for line in failure_lines(found.failures, sorted(axes)):
        print_line("failed:", line)
    for file, reason in found.folder.skipped:
        print_line("skipped", f"{file}: {reason}", "yellow")


def sweep_table(found: "FolderStatus") -> Table:
    """One row per sweep, the latest first."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("sweep", no_wrap=True)
    for name in ("runs", "done", "failed", "missing", "stale"):
        table.add_column(name, justify="right")
    for name, counts in found.by_sweep().items():
        table.add_row(escape(name), *_cells(counts))
    if len(found.folder.sweeps) != 1:
        table.add_row("all", *_cells(found.counts()), style="bold")
    return table


def _cells(counts: "RunCounts") -> list[str]:
    numbers = (counts.runs, counts.done, counts.failed, counts.missing, counts.stale)
    return [f"{number:,}" if number else "-" for number in numbers]


def sentences(found: "FolderStatus") -> Iterator[str]:
    """What to do about it, and the space that the files take."""
    from initbench.results.checkpoints import steps_in_words
    from initbench.results.claims import place

    counts, space = found.counts(), found.space
    for owner, run_ids in found.in_work.items():
        yield f"{plural(len(run_ids), 'run')} in training by {place(owner)}"
    if found.under_way:
        yield f"{plural(len(found.under_way), 'stack')} under way, at {steps_in_words(found.under_way)}"
    if counts.missing:
        yield f"{plural(counts.missing, 'run')} missing: the command of the sweep, typed again, trains only those"
    if counts.failed:
        yield f"{plural(counts.failed, 'run')} failed: the same command with --retry-failed tries them again"
    if counts.stale:
        yield f"{plural(counts.stale, 'run')} stale: trained with another version of initbench, torch or numpy"
    text = f"{size(space.stacks)} of results"
    if space.checkpoints:
        text += f", {size(space.checkpoints)} of checkpoints"
    if space.superseded or space.drafts:
        text += f"; `initbench clean` would free {size(space.superseded + space.drafts)}"
    yield text
