"""`initbench check`: whether an initializer is what its name says."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from initbench.commands.options import AsJson, ConfigDir, complete
from initbench.commands.printing import stdout
from initbench.text import plural

if TYPE_CHECKING:
    from initbench.jobs.certify import Certificate


def complete_initializer(incomplete: str) -> list[str]:
    from initbench.config.registry import choices

    return [name for name in choices("init") if name.startswith(incomplete)]


def check(
    name: Annotated[
        str,
        typer.Argument(
            help="Check this initializer: a name of `initbench list init`, or your function package.module.function",
            metavar="NAME",
            autocompletion=complete_initializer,
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help="Set its parameters and the activation: init.gain=2 act=tanh",
            metavar="KEY=VALUE",
            autocompletion=complete,
        ),
    ] = None,
    variance: Annotated[
        str | None, typer.Option(help="Claim that its weights have this variance, e.g. 2/fan_in", metavar="FORMULA")
    ] = None,
    distribution: Annotated[
        str | None,
        typer.Option(help="Claim that they are normal, uniform or truncated (at 2 deviations)", metavar="WORD"),
    ] = None,
    orthogonal: Annotated[
        str | None,
        typer.Option(help="Claim that each matrix, or each kernel's centre, is orthonormal", metavar="matrix|centre"),
    ] = None,
    symmetric: Annotated[
        bool, typer.Option("--symmetric", help="Claim that all units of a layer start equal", metavar="")
    ] = False,
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
) -> None:
    """Check an initializer line by line: PASS or FAIL. Exit code 1 if a line fails.

    The YAML of a shipped initializer says what it claims; for yours, the options do. Other properties are measured.

    [bold]initbench check he[/]

    [bold]initbench check mine.scaled init.k=3 --variance 3/fan_in --distribution normal[/]
    """
    from initbench.jobs.certify import certify

    stated = {"variance": variance, "distribution": distribution, "orthogonal": orthogonal}
    given: dict[str, Any] = {key: value for key, value in stated.items() if value is not None}
    if symmetric:
        given["symmetric"] = True
    certificate = certify(name.replace(":", "."), overrides or [], given, config_dir)
    if as_json:
        print(json.dumps(certificate.facts(), indent=1))
    else:
        stdout.print(certificate_table(certificate))
        failed = sum(not line.passed for line in certificate.checks)
        stdout.print(
            f"[bold]{escape(certificate.name)}[/]: "
            + (f"FAIL in {plural(failed, 'line')}" if failed else "all lines PASS")
        )
    if not certificate.passed:
        raise typer.Exit(1)


def certificate_table(certificate: "Certificate") -> Table:
    """PASS or FAIL, the line's name, and what was seen."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(style="dim")
    for line in certificate.checks:
        detail = line.detail
        if line.expected is not None and line.tolerance:
            detail += f" (expected {line.expected:.3g} ± {line.tolerance:.2g})"
        table.add_row("[green]PASS[/]" if line.passed else "[bold red]FAIL[/]", line.name, escape(detail))
    return table
