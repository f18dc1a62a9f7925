"""What a terminal, a pipe and another encoding get to see: help in one style, no traceback, nothing cut off."""

import os
import subprocess
import sys
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from initbench.cli import app

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def started(*arguments: object, **options: Any) -> subprocess.Popen:
    """`initbench` with these arguments, as another program starts it, in an environment with `options`."""
    command = [sys.executable, "-m", "initbench", *map(str, arguments)]
    environment = os.environ | {name: str(value) for name, value in options.items()}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


@pytest.mark.parametrize("name", COMMANDS)
def test_h_is_help_and_every_option_says_what_it_does(name):
    short, long = (CliRunner().invoke(app, [name, option]) for option in ("-h", "--help"))
    assert short.exit_code == 0 and short.stdout == long.stdout
    for parameter in COMMANDS[name].params:
        assert parameter.help or name == "list", f"{name}: {parameter.name} has no help"
        assert parameter.metavar is not None, f"{name}: {parameter.name} is shown with the name of a Python type"
    assert COMMANDS[name].help.splitlines()[0].endswith(".")


@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"], ["plan"]], ids=" ".join)
def test_a_reader_who_leaves_ends_a_command_silently(arguments, tmp_path):
    with started(*arguments, *(["--out", tmp_path] if arguments == ["plan"] else [])) as command:
        command.stdout.close()  # as `| head` does, sooner than the first line
        message = command.stderr.read().decode()
    assert (command.returncode, message) == (141, "")
