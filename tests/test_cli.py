"""The command line as a user meets it: what it prints, what it exits with, and that bad input starts nothing."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version

import pandas as pd
import pytest
from typer.testing import CliRunner

from initbench import load
from initbench.analysis.failures import failure_lines
from initbench.cli import app
from initbench.config.registry import groups
from initbench.results.schema import RUN_COLUMNS

TINY = ["depth=1", "width=8", "steps=40", "batch_size=50", "eval_every=40"]


def invoke(*arguments: str):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_version():
    assert invoke("--version").stdout.strip() == f"initbench {version('initbench')}"


def test_run_trains_and_says_who_won(tmp_path):
    result = invoke("run", "init=he,zeros", *TINY, "lr=0.1", "--seeds", 2, "--out", tmp_path, "--workers", 1)
    assert result.exit_code == 0, result.output
    assert "4 runs" in result.stderr
    assert "he" in result.stdout and "zeros" in result.stdout and "initbench report" in result.stdout
    again = invoke("run", "init=he,zeros", *TINY, "lr=0.1", "--seeds", 2, "--out", tmp_path, "--workers", 1)
    assert "nothing to train" in again.stderr


def test_run_as_json_has_the_names_of_runs_csv(tmp_path):
    result = invoke("run", "init=he", *TINY, "--out", tmp_path, "--json", "--workers", 1)
    facts = json.loads(result.stdout)
    (run,) = facts["runs"]
    assert list(run)[: len(RUN_COLUMNS)] == list(RUN_COLUMNS)
    assert run["status"] == "done" and run["init"] == "he"


def test_quiet_says_nothing(tmp_path):
    result = invoke("run", *TINY, "--out", tmp_path, "--quiet", "--workers", 1)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_a_failed_run_is_exit_code_1(tmp_path, monkeypatch):
    from initbench.jobs import train

    def broken(*_, **__):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(train, "fit", broken)
    result = invoke("run", *TINY, "--out", tmp_path, "--workers", 1)
    assert result.exit_code == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("failed:")]
    assert line.startswith("failed: init=he act=relu depth=1 seed=0 (")
    assert line.endswith("): RuntimeError: out of luck")
    assert load(tmp_path).runs["reason"].tolist() == ["RuntimeError: out of luck"]


def test_failed_runs_are_named_by_what_varies_one_line_per_reason():
    rows = [{"init": "he", "depth": 2, "seed": seed, "run_id": f"r{seed}", "error": "T\nE: x"} for seed in range(3)]
    rows += [rows[0] | {"init": "xavier", "run_id": "r9", "error": "E: y"}]
    assert failure_lines(rows, ["init", "seed"]) == [
        "init=he seed=0 (r0) and 2 more runs: E: x",
        "init=xavier seed=0 (r9): E: y",
    ]


def test_diverged_runs_are_exit_code_0(tmp_path):
    result = invoke("run", "init=normal", "lr=1e30", *TINY, "--out", tmp_path, "--json", "--workers", 1)
    assert result.exit_code == 0
    (run,) = json.loads(result.stdout)["runs"]
    assert run["outcome"] == "diverged" and run["test_acc"] is None and run["diverged_step"] is not None


def test_plan_tells_without_training(tmp_path):
    result = invoke("plan", "init=he,xavier", "depth=2,3", "--seeds", 5, "--out", tmp_path, "--json")
    facts = json.loads(result.stdout)
    assert (facts["runs"], facts["done"], facts["shapes"]) == (20, 0, 2)
    # digits, 64-100-100-10 and one more hidden layer, by hand
    assert facts["parameters"] == [64 * 100 + 100 + 100 * 100 + 100 + 1010, 64 * 100 + 100 + 2 * 10100 + 1010]
    assert not list(tmp_path.iterdir())
    assert "20" in invoke("plan", "init=he,xavier", "depth=2,3", "--seeds", 5, "--out", tmp_path).stdout


def test_list_shows_name_formula_source_and_parameters():
    text = invoke("list", "init").stdout
    assert "xavier" in text and "Glorot" in text and "init.gain=1" in text
    facts = json.loads(invoke("list", "--json").stdout)
    assert {"init", "act", "data", "model", "optim"} <= facts.keys()
    he = next(choice for choice in facts["init"] if choice["name"] == "he")
    assert (
        he["parameters"]
        == {"gain": 1, "bias": 0, "recurrent": None, "forget_bias": None, "bias_std": None, "freeze": None}
        and "2015" in he["source"]
    )


@pytest.mark.slow
def test_report_writes_and_prints(small_results, tmp_path):
    result = invoke("report", small_results, "--to", tmp_path / "report", "--json")
    facts = json.loads(result.stdout)
    runs = pd.read_csv(tmp_path / "report" / "runs.csv")
    assert len(facts["runs"]) == len(runs) == 8
    assert list(runs.columns[: len(RUN_COLUMNS)]) == list(RUN_COLUMNS)
    assert {"summary.csv", "summary.md", "loss_curves.svg", "gradient_norms.svg"} <= {
        path.name for path in (tmp_path / "report").iterdir()
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "init=xaviar"], "xavier"),
        (["run", "dept=3"], "depth"),
        (["run", "depth=-1"], "depth"),
        (["run", "depth=two"], "depth"),
        (["run", "init.st=1", "init=normal"], "std"),
        (["run", "seed=range(0,0)"], "range(0,1)"),
        (["run", "seed=1,2", "--seeds", "3"], "--seeds"),
        (["run", "init=normal", "init.std=-1"], "std"),
        (["run", "data.standardize=glob"], "global"),
        (["run", "batch_size=2000"], "1437"),
        (["run", "metrics=[act_men]"], "act_mean"),
        (["run", "data=mnist", "data.data_dir=/nowhere"], "data.download=true"),
        (["run", "init._target_=nowhere.scheme"], "nowhere"),
        (["run", "act=elu", "act.alpha=auto"], "act.alpha"),
        (["run", "act=torch.tanh"], "torch.tanh"),
        (["run", "act=torch.nn.ReLU"], "act"),
        (["run", "metrics=[]"], "metrics"),
        (["run", "+run_id=x"], "run_id"),
        (["run", "log_every=10,20"], "log_every"),
        (["run", "width=1000000"], "--memory"),
        (["run", "model=torch.nn.Linear", "model.in_features=3", "model.out_features=10"], "model"),
        (["run", "--device", "gpu"], "cuda"),
        (["run", "--memory", "lots"], "4GiB"),
        (["run", "--memory", "1KiB"], "--memory"),
        (["run", "--workers", "0"], "--workers"),
        (["run", "--executor", "locl"], "did you mean 'local'?"),
        (["plan", "--executor", "slurm"], "no such executor; there is"),
        (["plan", "act=rleu"], "relu"),
        (["list", "inits"], "init"),
        (["report", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_clear_line_and_nothing_starts(arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error:") and says in line
    assert not list(tmp_path.iterdir())


def test_results_that_cannot_be_written_are_known_before_training(tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = invoke("run", *TINY, "--out", tmp_path / "file" / "results")
    assert result.exit_code == 2 and "can't write" in result.stderr


@pytest.mark.slow
def test_ones_own_parts_come_in_by_dotted_path(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        """
import torch
from torch import nn

def scheme(model, batch, generator, *, k=1.0):
    for p in model.parameters():
        nn.init.zeros_(p) if p.ndim == 1 else p.data.normal_(0, k / p.shape[1] ** 0.5, generator=generator)

def wave(x, speed=1.0):
    return torch.sin(speed * x)

def spirals(n=90):
    from initbench.parts.data import Raw
    t = torch.linspace(0, 6, n)
    x = torch.stack([t.cos() * t, t.sin() * t], 1)
    return Raw(x, torch.arange(n) % 3, classes=3)

class Tiny(nn.Module):
    def __init__(self, shape, classes, width, act):
        super().__init__()
        self.inner, self.act, self.head = nn.Linear(shape[0], width), act(), nn.Linear(width, classes)
    def forward(self, x):
        return self.head(self.act(self.inner(x)))
"""
    )
    monkeypatch.syspath_prepend(tmp_path)
    overrides = ["init._target_=mine.scheme", "init.k=0.5,2", "act._target_=mine.wave", "data._target_=mine.spirals"]
    overrides += [
        "model._target_=mine.Tiny",
        "steps=20",
        "batch_size=10",
        "--out",
        str(tmp_path / "r"),
        "--workers",
        "1",
    ]
    result = invoke("run", *overrides, "--json")
    assert result.exit_code == 0, result.output
    runs = json.loads(result.stdout)["runs"]
    assert [(run["init"], run["act"], run["init.k"]) for run in runs] == [
        ("mine.scheme", "mine.wave", 0.5),
        ("mine.scheme", "mine.wave", 2),
    ]


def test_run_and_plan_take_the_same_options():
    run, plan = (set(re.findall(r"--[a-z-]+", invoke(command, "--help").stdout)) for command in ("run", "plan"))
    assert run - plan == {"--quiet", "--timeout", "--checkpoint-every"} and plan - run == {"--config"}
    assert {"--out", "--seeds", "--executor", "--fresh", "--json"} <= plan


def test_the_help_of_list_names_every_group():
    text = invoke("list", "--help").stdout
    assert all(group in text for group in groups())


def test_the_installed_command_answers():
    result = subprocess.run([sys.executable, "-m", "initbench", "--help"], capture_output=True, text=True, check=True)
    assert "report" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "offers"),
    [
        (["initbench", "run", "ini"], "init="),
        (["initbench", "run", "init=xavier,li"], None),
        (["initbench", "run", "init=he,xav"], "init=he,xavier"),
        (["initbench", "run", "init", "=", "xav"], "xavier"),  # as bash splits it
        (["initbench", "run", "init=he", "act", "="], "relu"),
        (["initbench", "plan", "init.s"], "init.std="),
        (["initbench", "list", "mit"], "mitigation"),
        (["initbench", "run", "--executor", "lo"], "local"),
    ],
)
def test_the_shell_completes_names_and_values(words, offers):
    environment = os.environ | {"_INITBENCH_COMPLETE": "complete_bash", "COMP_CWORD": str(len(words) - 1)}
    environment["COMP_WORDS"] = " ".join(words)
    program = "import initbench.cli; initbench.cli.app(prog_name='initbench')"
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert (offers in result.stdout.split()) if offers else not result.stdout.strip()
