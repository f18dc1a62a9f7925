"""`initbench list`: all choices with their formulas, sources and parameters, and all keys."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand

from initbench.commands.options import AsJson, ConfigDir
from initbench.commands.printing import overrides, print_json, stdout, value_text

if TYPE_CHECKING:
    from initbench.config.documentation import DocumentedKey
    from initbench.config.registry import Choice

KEYS = "keys"  # what is typed in place of a group
NAMES = 20  # characters; a longer name has a line of its own
KEY_NAMES = 4  # so that a key always has one


class ListCommand(TyperCommand):
    """`initbench list`. Its help names all groups; they are read only then, so that other help is there at once."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from initbench.config.registry import groups

        argument = next(each for each in self.params if each.name == "group")
        argument.help = (  # type: ignore[attr-defined]
            f"Show only this group: {', '.join(groups())}; or [bold]{KEYS}[/]: every key with its default and meaning"
        )
        super().format_help(ctx, formatter)


def complete_group(incomplete: str) -> list[str]:
    from initbench.config.registry import groups

    return [group for group in [*groups(), KEYS] if group.startswith(incomplete)]


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
    """List all choices with their formulas, sources and parameters.

    [bold]initbench list init[/] shows the initializers, [bold]initbench list keys[/] everything that can be set.
    """
    from initbench.config import registry
    from initbench.config.aliases import read_key
    from initbench.config.documentation import documented_keys

    group = read_key(group) if group else None  # `activation` is `act`
    if group == KEYS:
        keys = documented_keys(config_dir)
        if as_json:
            print_json([asdict(key) for key in keys])
        else:
            stdout.print(Group(*(key_entry(key, config_dir) for key in keys)))
        return
    groups = [group] if group else list(registry.groups())
    described = {name: registry.describe(name, config_dir) for name in groups}
    if as_json:
        print_json({name: [choice_facts(name, choice) for choice in choices] for name, choices in described.items()})
        return
    for name, choices in described.items():
        stdout.print(Group(*choice_entries(name, choices)))


def choice_facts(group: str, choice: "Choice") -> dict[str, Any]:
    """A choice as plain values; of an initializer or activation also the lines of code that do the same elsewhere."""
    from initbench.analysis.code_lines import FRAMEWORKS, lines_of

    facts = asdict(choice) | {"facts": {word: said for word, said in choice.facts.items() if word not in FRAMEWORKS}}
    return facts | ({"code": lines_of(group, choice)} if group in ("init", "act") else {})


def choice_entries(group: str, choices: Sequence["Choice"]) -> Iterator[RenderableType]:
    """A group's choices, below what they have in common."""
    from initbench.config.documentation import letters
    from initbench.config.registry import shared_keys

    shared = {f"{group}.{key}": value for key, value in shared_keys(group).items()}
    yield Text(f"{group}=...", style="italic")
    if shared:
        yield Text(f"All of them also take {overrides(shared)}")
    if group == "init":
        yield Text(f"In the formulas, {letters(choice.sentence for choice in choices)}.")
    yield ""
    names = min(NAMES, max(cell_len(choice.name) for choice in choices))
    for choice in choices:
        parameters = choice.root | {f"{group}.{key}": value for key, value in choice.parameters.items()}
        own = {key: value for key, value in parameters.items() if key not in shared or value != shared[key]}
        source = choice.source.removeprefix("-")
        lines = [Text(choice.sentence), Text(source, style="dim"), Text(overrides(own), style="green")]
        yield entry(choice.name, lines, names)
    yield ""


def key_entry(key: "DocumentedKey", config_dir: Path | None) -> RenderableType:
    """A key with its default: what it means, what it takes, which choices have it, where it has another default."""
    lines = [Text(key.sentence), Text(f"takes {key.takes}", style="dim")]
    if key.choices:
        lines.append(Text(f"exists {choices_text(key, config_dir)}", style="dim"))
    others: dict[str, list[str]] = {}
    for choice, value in key.other_defaults.items():
        others.setdefault(value_text(value), []).append(choice)
    if others:
        shown = (f"{value} with {joined_choices(choices)}" for value, choices in others.items())
        lines.append(Text(f"other defaults: {'; '.join(shown)}", style="dim"))
    return entry(overrides({key.name: key.default}), lines, KEY_NAMES)


def choices_text(key: "DocumentedKey", config_dir: Path | None) -> str:
    """ "with model=gru,lstm,rnn", or what does not have it where that is shorter: "except with init=zeros"."""
    from initbench.config.registry import choices

    group = key.name.partition(".")[0]
    others = [name for name in choices(group, config_dir) if name not in key.choices]
    if len(others) < len(key.choices):
        return f"except with {group}={','.join(others)}" if others else f"with every {group}"
    return f"with {group}={','.join(key.choices)}"


def joined_choices(choices: Sequence[str]) -> str:
    """ "optim=adam", "optim=lamb" as "optim=adam,lamb", as one types it."""
    groups: dict[str, list[str]] = {}
    for choice in choices:
        group, _, name = choice.partition("=")
        groups.setdefault(group, []).append(name)
    return " ".join(f"{group}={','.join(names)}" for group, names in groups.items())


def entry(name: str, lines: Sequence[Text], names: int) -> RenderableType:
    """A name, and beside it what there is to say; a name with more than `names` characters stands above it."""
    beside = cell_len(name) <= names
    title = Text(name, style="bold cyan", overflow="fold")
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=names)
    table.add_column(overflow="fold")
    table.add_row(title if beside else "", Group(*(line for line in lines if line.plain)))
    return table if beside else Group(title, table)
