"""`initbench check`: what it prints, and its exit codes."""

import json

import pytest
from typer.testing import CliRunner

from initbench.cli import app

FUNCTIONS = """
import torch
from initbench.parts.inits import initialize


def scaled(model, batch, generator, *, k=3.0):
    def draw(matrix):
        return torch.empty(matrix.weight.shape).normal_(generator=generator) * (k / matrix.n) ** 0.5

    initialize(model, draw)
"""


@pytest.fixture(autouse=True)
def own_functions(tmp_path, monkeypatch):
    (tmp_path / "own_scaled.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(tmp_path)


def test_a_function_is_measured_against_what_is_said_of_it():
    done = CliRunner().invoke(app, ["check", "own_scaled:scaled", "init.k=5", "--variance", "5/fan_in", "--json"])
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert facts["name"] == "own_scaled.scaled" and facts["passed"] is True
    lines = {line["name"]: line for line in facts["checks"]}
    square = lines["variance, square"]
    assert square["value"] == pytest.approx(1, abs=square["tolerance"]) and square["expected"] == 1
    assert all({"name", "passed", "value", "expected", "tolerance"} <= line.keys() for line in facts["checks"])


def test_a_line_that_fails_is_named_and_the_exit_code_is_1():
    done = CliRunner().invoke(app, ["check", "own_scaled.scaled", "--variance", "2/fan_in"], env={"COLUMNS": "120"})
    assert done.exit_code == 1
    (line,) = [line for line in done.stdout.splitlines() if "variance, square" in line]
    assert line.startswith("FAIL") and "times what is claimed (expected 1 ±" in line
    assert "FAIL" in done.stdout.splitlines()[-1]


def test_without_a_claim_the_gain_is_measured():
    done = CliRunner().invoke(app, ["check", "own_scaled.scaled"], env={"COLUMNS": "120"})
    assert done.exit_code == 0
    (line,) = [line for line in done.stdout.splitlines() if "variance, square" in line]
    assert line.startswith("PASS") and "a gain of 1.73" in line  # sqrt 3


@pytest.mark.slow
def test_a_users_yaml_says_what_it_claims(tmp_path):
    (tmp_path / "init").mkdir()
    yaml = "# W.\n# Source: -\n# Variance: {}\n_target_: own_scaled.scaled\nk: 3\n"
    for claim, code in (("k / n", 0), ("k / m", 1)):
        (tmp_path / "init" / "mine.yaml").write_text(yaml.format(claim))
        assert CliRunner().invoke(app, ["check", "mine", "--config-dir", str(tmp_path)]).exit_code == code


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["hee"], "no init 'hee'; did you mean 'he'?"),
        (["he", "init.gain=1,2"], "check takes one initializer with one value of each key, not 2 combinations"),
        (["he", "init.std=1"], "init=he has no 'std'"),
        (["normal", "init.std=-1"], "init.std must be a number in [0, inf), got -1"),
        (["he", "--variance", "2/fan"], "variance: 'fan' is unknown in the formula '2/fan'"),
        (["own_scaled.missing"], "can't be imported"),
        (["he.foo"], "did you mean init=he?"),
        (["ast.walk"], "init=ast.walk is a generator, so a call runs nothing; write a function without yield"),
        (["asyncio.sleep"], "init=asyncio.sleep is an async function, so a call runs nothing"),
        (["torch.nn.Linear"], "init=torch.nn.Linear is a class; an initializer is a function f("),
    ],
)
def test_bad_input_is_one_line(words, message):
    done = CliRunner().invoke(app, ["check", *words], env={"COLUMNS": "300"})
    assert done.exit_code == 2 and message in done.stderr and not done.stdout


def test_a_function_that_is_no_initializer_is_named_in_the_error():
    result = CliRunner().invoke(app, ["check", "math.sqrt"])
    assert result.exit_code == 2 and "sqrt failed with TypeError" in result.output
