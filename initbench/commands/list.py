"""`initbench list`: all choices with their formulas, sources and parameters."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from typer.core import TyperCommand

from initbench.commands.options import AsJson, ConfigDir
from initbench.commands.printing import print_json, stdout

if TYPE_CHECKING:
    from initbench.config.registry import Choice


class ListCommand(TyperCommand):
    """`initbench list`. Its help names all groups; they are read only then, so that other help is there at once."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from initbench.config.registry import groups

        argument = next(each for each in self.params if each.name == "group")
        argument.help = f"Show only this group: {', '.join(groups())}"  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)


def complete_group(incomplete: str) -> list[str]:
    from initbench.config.registry import groups

    return [group for group in groups() if group.startswith(incomplete)]


def list_(
    group: Annotated[
        str | None,
        typer.Argument(
            help="Show only this group",  # `ListCommand` adds the names
            metavar="GROUP",
            autocompletion=complete_group,
        ),
    ] = None,
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
) -> None:
    """List all choices with their formulas, sources and parameters."""
    from initbench.config import registry

    groups = [group] if group else list(registry.groups())
    described = {name: registry.describe(name, config_dir) for name in groups}
    if as_json:
        facts = {name: [asdict(choice) for choice in choices] for name, choices in described.items()}
        print_json(facts)
        return
    for name, choices in described.items():
        stdout.print(choices_table(name, choices))


def choices_table(group: str, choices: Sequence["Choice"]) -> Table:
    """A group's choices: name, formula or sentence, source, parameters."""
    table = Table(title=f"{group}=...", title_justify="left", box=None, padding=(0, 2, 1, 0), header_style="dim")
    table.add_column("name", style="bold cyan", no_wrap=True)
    table.add_column("what it is", ratio=3)
    table.add_column("source", ratio=2, style="dim")
    table.add_column("parameters", ratio=2)
    for choice in choices:
        named = choice.root | {f"{group}.{key}": value for key, value in choice.parameters.items()}
        parameters = "\n".join(f"{key}={override_text(value)}" for key, value in named.items())
        table.add_row(choice.name, escape(choice.sentence), escape(choice.source), escape(parameters))
    return table


def override_text(value: Any) -> str:
    """A value as it is typed in an override."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
