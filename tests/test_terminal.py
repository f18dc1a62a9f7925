"""What a terminal, a pipe and another encoding get to see: help in one style, no traceback, nothing cut off."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from initbench.cli import app
from initbench.commands.printing import value_text
from initbench.config.registry import describe, groups, root_defaults

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


def listed(*arguments: str, width: int = 80) -> list[str]:
    result = CliRunner().invoke(app, ["list", *arguments], env={"COLUMNS": str(width)})
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_list_shows_every_name_and_every_parameter_whole(width):
    for group in groups():
        words = set(" ".join(listed(group, width=width)).split())
        for choice in describe(group):
            assert choice.name in words
            assert {f"{key}={value_text(value)}" for key, value in choice.root.items()} <= words
            assert {f"{group}.{key}={value_text(value)}" for key, value in choice.parameters.items()} <= words
    assert max(map(len, listed(width=width))) <= width


def test_list_explains_the_letters_of_its_formulas():
    assert "n: inputs of a layer (fan-in), m: its outputs (fan-out)" in "\n".join(listed("init")[:5])


def test_list_keys_has_every_key_with_its_default_type_sentence_and_choices():
    keys = {key["name"]: key for key in json.loads("\n".join(listed("keys", "--json")))}
    parameters = {f"{group}.{key}" for group in groups() for choice in describe(group) for key in choice.parameters}
    assert keys.keys() == groups().keys() | root_defaults().keys() | parameters
    for key in keys.values():
        assert len(key["sentence"]) > 3 and key["takes"] not in ("", "anything"), key["name"]
    assert keys["depth"]["default"] == 5 and keys["depth"]["takes"] == "a whole number of at least 0"
    assert keys["regularize.dropout"]["takes"] == "a number, or null"  # as mitigation=dropout sets it
    assert keys["lr"]["other_defaults"]["optim=adam"] == 0.001  # as conf/optim/adam.yaml says
    assert keys["init.std"]["choices"] == ["normal", "normal_small", "trunc_normal"]
    assert keys["init.std"]["other_defaults"] == {"init=normal_small": 0.01, "init=trunc_normal": 0.02}
    lines = [line.strip() for line in listed("keys")]
    shown = {f"{name}={value_text(key['default'])}" for name, key in keys.items() if name != "metrics"}  # two lines
    assert shown <= set(lines)
    start = lines.index("init.std=1")
    assert lines[start + 1 : start + 5] == [
        "standard deviation of the weights",
        "takes a number",
        "exists with init=normal,normal_small,trunc_normal",
        "other defaults: 0.01 with init=normal_small; 0.02 with init=trunc_normal",
    ]
