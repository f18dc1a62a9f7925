"""What a terminal, a pipe and another encoding get to see: help in one style, no traceback, nothing cut off."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
from omegaconf import OmegaConf
from rich.console import Console
from typer.testing import CliRunner

from initbench.cli import app
from initbench.commands import progress
from initbench.commands.printing import accept_all_characters, value_text
from initbench.config.grid import expand
from initbench.config.registry import CONF, describe, groups, root_defaults
from initbench.config.stacks import Stack
from initbench.config.values import dotted

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


RELU = "initbench.parts.activations.relu"


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


@pytest.mark.slow
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
    assert keys["optim.beta1"]["choices"] == ["adam", "adamw", "lamb", "radam", "ranger"]
    assert keys["optim.beta1"]["other_defaults"] == {"optim=ranger": 0.95}
    lines = [line.strip() for line in listed("keys")]
    shown = {f"{name}={value_text(key['default'])}" for name, key in keys.items() if name != "metrics"}  # two lines
    assert shown <= set(lines)
    start = lines.index("optim.beta1=0.9")
    assert lines[start + 1 : start + 5] == [
        "decay of the mean of gradients",
        "takes a number",
        "exists with optim=adam,adamw,lamb,radam,ranger",
        "other defaults: 0.95 with optim=ranger",
    ]


def settings_of(file: str, folder: Path) -> dict[str, Any]:
    """What a YAML says, by the dotted keys of a run; choices by their groups. file: as `plan --config` names it."""
    path = folder / file if (folder / file).exists() else CONF.parent / file
    content = dotted(OmegaConf.to_container(OmegaConf.load(path)))
    for entry in content.pop("defaults", []):
        content |= {key.removeprefix("override /"): name for key, name in entry.items()} if entry != "_self_" else {}
    if path.parent.name not in ("conf", "mitigation") and "@package _global_" not in path.read_text():
        return {f"{path.parent.name}.{key}": value for key, value in content.items()}
    return content


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides, telling",
    [
        (["depth=20", "--seeds", "2"], {"depth": "command line: depth=20", "seed": "command line: seed=range(0,2)"}),
        (["optim=adam", "init=normal"], {"lr": "conf/optim/adam.yaml", "init": "command line: init=normal"}),
        (["mitigation=adam", "lr=0.1,1"], {"optim": "conf/mitigation/adam.yaml", "lr": "command line: lr=0.1,1"}),
        (["mitigation=early_stopping"], {"data.val_fraction": "conf/mitigation/early_stopping.yaml"}),
        (["lr=tune"], {"data.val_fraction": "command line: lr=tune", "tune.rates": "command line: lr=tune"}),
        (["init=mine", "--config-dir", "."], {"init.std": "init/mine.yaml", "init.forget_bias": "conf/config.yaml"}),
        (
            ["act=initbench.parts.activations.relu"],
            {"act._target_": "command line: act=initbench.parts.activations.relu"},
        ),
    ],
    ids=str,
)
def test_plan_config_says_where_each_value_comes_from(overrides, telling, tmp_path, monkeypatch):
    """The YAML is the first run's, and every file that is named says the value that is shown."""
    (tmp_path / "init").mkdir()
    (tmp_path / "init" / "mine.yaml").write_text("_target_: initbench.parts.inits.normal\nstd: 0.3\ngain: 1\nbias: 0\n")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["plan", "--config", *overrides])
    assert result.exit_code == 0, result.output
    facts = json.loads(CliRunner().invoke(app, ["plan", "--config", "--json", *overrides]).stdout)
    shown = OmegaConf.to_container(OmegaConf.create(result.stdout))
    assert {key: value for key, value in shown.items() if value != {}} == {
        key: value for key, value in facts["config"].items() if value != {}
    }
    origins, values = facts["origins"], dotted(facts["config"]) | facts["choices"]
    assert {key: origins[key] for key in telling} == telling
    assert origins.keys() == values.keys()
    for key, origin in origins.items():
        assert f"{origin}" in result.stdout
        if origin.endswith(".yaml") and not (key in groups() and origin == "conf/config.yaml"):
            assert settings_of(origin, tmp_path)[key] == values[key], key
    several = {"--seeds", "lr=0.1,1", "lr=tune"} & {*overrides}
    assert ("the others differ in" in result.stdout) == bool(several)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1", "utf-8"])
def test_characters_that_an_encoding_lacks_are_replaced(encoding):
    accept_all_characters()
    written = "★ he 95 ± 0.4 %, 1 → 2, naïve, 中".encode(encoding, "plain").decode(encoding)
    expected = {
        "cp1252": "* he 95 ± 0.4 %, 1 -> 2, naïve, ?",
        "ascii": "* he 95 +- 0.4 %, 1 -> 2, naive, ?",
        "latin-1": "* he 95 ± 0.4 %, 1 -> 2, naïve, ?",
        "utf-8": "★ he 95 ± 0.4 %, 1 → 2, naïve, 中",
    }
    assert written == expected[encoding]


def output_of(*arguments: object, encoding: str) -> tuple[str, str]:
    """What a command writes to its two pipes, in this encoding; it must end well, and without control codes."""
    with started(*arguments, PYTHONIOENCODING=encoding) as command:
        out, err = (stream.decode(encoding) for stream in command.communicate())
    assert command.returncode == 0, err
    assert "\x1b" not in out + err and "Traceback" not in err
    return out, err


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_list_and_plan_write_to_a_pipe_of_any_encoding(encoding, tmp_path):
    assert "xavier" in output_of("list", "init", encoding=encoding)[0]
    assert "+--" in output_of("list", "-h", encoding=encoding)[0] or encoding == "cp1252"
    assert "sweep" in output_of("plan", "--out", tmp_path, encoding=encoding)[0]


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_run_and_report_write_to_a_pipe_of_any_encoding(encoding, tmp_path):
    settings = ["init=he,zeros", "depth=1", "width=8", "steps=40", "lr=0.1", "--seeds", 2, "--workers", 1]
    out, err = output_of("run", *settings, "--out", tmp_path, encoding=encoding)
    assert re.search(r"^\*  he .*2L", out, re.MULTILINE)  # ★
    assert re.search(r"^4 of 4 runs finished, in \d+ s  2 learned  2 stuck$", err, re.MULTILINE)
    out, _ = output_of("report", tmp_path, encoding=encoding)
    assert re.search(r"^\*  he .*2L", out, re.MULTILINE) and "index.html" in out


def progress_of(console: Console, monkeypatch) -> str:
    """What is printed of two stacks, one of which takes 12 seconds."""
    now = iter([0.0, 1.0, 6.0, 7.0, 12.0, 13.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    runs = expand(["depth=2,3", "steps=100"], seeds=2).runs
    with progress.Watch(console, [Stack.of(runs[:2]), Stack.of(runs[2:])], {}, quiet=False) as watch:
        (first, second) = watch.sizes
        watch.step(first, 10)  # at 1 s
        watch.step(first, 50)  # at 6 s
        watch.step(first, 60)
        watch.finish(first, ["learned", "stuck"])  # at 12 s
        watch.finish(second, ["learned", "diverged"])
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_pipe_gets_a_plain_line_every_few_seconds_and_one_at_the_end(monkeypatch):
    """Of 400 run-steps 100 are made after 6 s: 18 s are left; 200 after 12 s: 12 s."""
    assert progress_of(Console(file=io.StringIO(), width=80), monkeypatch).splitlines() == [
        "0 of 4 runs finished, about 18 s left",
        "2 of 4 runs finished, about 12 s left  1 learned  1 stuck",
        "4 of 4 runs finished, in 13 s  2 learned  1 stuck  1 diverged",
    ]
