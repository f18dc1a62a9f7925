"""`initbench merge`: the results of several machines as one."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from initbench.commands.printing import print_line, stdout
from initbench.text import plural


def merge(
    paths: Annotated[list[Path], typer.Argument(help="Merge these results folders", metavar="PATH...")],
    out: Annotated[Path, typer.Option(help="Into this folder; what it holds stays as it is", metavar="DIR")],
) -> None:
    """Copy the results of several folders into one. Nothing is overwritten.

    [bold]initbench merge laptop/results cluster/results --out results[/]
    """
    from initbench.results.load import read_folder
    from initbench.results.upkeep import merge as merged

    folders = [read_folder(path) for path in paths]
    for folder in folders:
        for file, reason in folder.skipped:
            print_line("skipped", f"{file}: {reason}", "yellow")
    copied = list(merged(folders, out))
    new, known = (sum((each.place is None) is there for each in copied) for there in (False, True))
    text = f"Copied {plural(new, 'folder')} into {escape(str(out))}"
    stdout.print(text + (f"; {known} were there already" if known else ""), highlight=False, soft_wrap=True)
    for each in copied:
        if each.place is not None and each.place.name != each.source.name:
            stdout.print(
                f"{escape(str(each.source))} is {escape(str(each.place))} there", highlight=False, soft_wrap=True
            )
