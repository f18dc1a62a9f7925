"""`initbench clean`: remove what no result needs."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from initbench.commands.printing import size, stdout
from initbench.text import plural


def clean(
    path: Annotated[Path, typer.Argument(help="Clean this results folder", metavar="PATH")] = Path("results"),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove it without asking", metavar="")] = False,
) -> None:
    """Remove what no result needs: superseded stacks, writes that were cut off, useless checkpoints. Asks first.

    [bold]initbench clean results[/]
    """
    from initbench.results.load import read_folder
    from initbench.results.upkeep import leftovers, remove

    found = leftovers(read_folder(path))
    if not found:
        stdout.print(f"Nothing to remove in {escape(str(path))}", highlight=False)
        return
    for each in found:
        stdout.print(f"{escape(str(each.path))}  {size(each.bytes)}: {each.why}", highlight=False, soft_wrap=True)
    what = f"{plural(len(found), 'left-over')}, {size(sum(each.bytes for each in found))}"
    if not (yes or typer.confirm(f"Remove {what}?", default=False)):
        stdout.print("Nothing removed", highlight=False)
        return
    for each in found:
        remove(each.path)
    stdout.print(f"Removed {what}", highlight=False)
