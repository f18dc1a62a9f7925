"""A newcomer's changes: each touches exactly the files that CONTRIBUTING names, and passes the tests that concern it.

All of them are made in one copy of the project, one after another. The tests of the copy then run there in one process
of their own, and one sweep uses every change: in a process, most of the time goes to imports.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parent.parent
COPIED = ["initbench", "conf", "tests", "docs", "benchmarks", "results/reference"]
COPIED += ["pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
PYTEST = ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
STRUCTURE = ["test_architecture.py", "test_docs.py"]
SMALL = ["depth=2", "width=8", "steps=20", "log_every=10", "eval_every=20", "--seeds", "2", "--workers", "1", "--quiet"]


def write(file: Path, text: str) -> None:
    file.write_text(text.lstrip("\n"), encoding="utf-8")


def append(file: Path, text: str) -> None:
    file.write_text(file.read_text(encoding="utf-8") + text, encoding="utf-8")


def insert(file: Path, before: str, text: str) -> None:
    """Put a text before the first place that matches a pattern."""
    old = file.read_text(encoding="utf-8")
    match = re.search(before, old, re.MULTILINE)
    assert match, f"{file}: nothing matches {before!r}"
    file.write_text(old[: match.start()] + text + old[match.start() :], encoding="utf-8")


def holding(folder: Path, line: str) -> Path:
    """The Python file in a folder that has this line's beginning."""
    (file,) = [file for file in sorted(folder.rglob("*.py")) if f"\n{line}" in file.read_text(encoding="utf-8")]
    return file


# ---------------------------------------------------------------- the changes, as a newcomer would make them


def initializer(root: Path) -> None:
    file = holding(root / "initbench/parts/inits", "def lecun(")
    append(
        file,
        '''

def halved(model: nn.Module, batch: object, generator: torch.Generator, *, gain=1.0, bias=0.0) -> None:
    """W ~ N(0, gain^2 / (4 n)): LeCun's weights times one half. A newcomer, 2026."""

    def draw(matrix):
        return 0.5 * matrix.n**-0.5 * matrix.weight.new_empty(matrix.weight.shape).normal_(generator=generator)

    initialize(model, draw, gain=gain, bias=bias)
''',
    )
    yaml = (root / "conf/init/lecun.yaml").read_text(encoding="utf-8")
    own = "\n".join(line for line in yaml.splitlines() if not line.startswith("#"))
    own = own.replace("inits.lecun", f"inits.{file.stem}.halved")
    own = re.sub(r"^gain: .*$", "gain: 1.0", own, flags=re.MULTILINE)
    own = re.sub(r"^bias: .*$", "bias: 0.0", own, flags=re.MULTILINE)
    claims = "# Variance: 1 / (4 * n)\n# Distribution: normal"
    write(root / "conf/init/halved.yaml", f"# W ~ N(0, gain^2 / (4 n)).\n# Source: a newcomer 2026\n{claims}\n{own}\n")


def activation(root: Path) -> None:
    append(
        root / "initbench/parts/activations.py",
        '''

def relu_squared(x: Tensor) -> Tensor:
    """max(x, 0)^2: grows faster than any line. So et al. 2021."""
    return F.relu(x).square()
''',
    )
    write(
        root / "conf/act/relu_squared.yaml",
        """
# max(x, 0)^2.
# Source: So et al. 2021
_target_: initbench.parts.activations.relu_squared
""",
    )


def mitigation(root: Path) -> None:
    write(
        root / "conf/mitigation/gentle.yaml",
        """
# @package _global_
# Layer normalization, and gradients clipped to a length of 0.5.
# Source: a newcomer 2026
defaults:
  - override /norm: layer
  - _self_
gradient:
  clip_norm: 0.5
""",
    )


def dataset(root: Path) -> None:
    file = holding(root / "initbench/parts/data", "def gaussian(")
    append(
        file,
        '''

def rings(*, samples: int = 600) -> Raw:
    """Points on two circles around 0, labelled by the circle: x (samples, 2), radius 1 or 2. A newcomer, 2026."""
    generator = torch.Generator().manual_seed(0)
    angle = 2 * torch.pi * torch.rand(samples, generator=generator)
    label = torch.arange(samples) % 2
    return Raw((1 + label)[:, None] * torch.stack([angle.cos(), angle.sin()], 1), label, classes=2)
''',
    )
    yaml = (root / "conf/data/gaussian.yaml").read_text(encoding="utf-8")
    shared = [line for line in yaml.splitlines() if not re.match(r"#|features|classes|samples|_target_", line)]
    header = ["# Points on two circles, labelled by the circle.", "# Source: a newcomer 2026"]
    own = [f"_target_: initbench.parts.data.{file.stem}.rings", "samples: 600"]
    write(root / "conf/data/rings.yaml", "\n".join([*header, *own, *shared]) + "\n")


def metric(root: Path) -> None:
    append(
        root / "initbench/engine/metrics.py",
        '''

def weight_norm(weights: Weights) -> Tensor:
    """Frobenius norm of the layer's weights."""
    return norm(weights.weight)
''',
    )
    insert(root / "conf/config.yaml", r"^  - nonfinite", "  - weight_norm\n")


def figure(root: Path) -> None:
    write(
        root / "initbench/report/figures/spans.py",
        '''
"""How far apart the seeds of an initializer are."""

from matplotlib.figure import Figure

from initbench.report.figures.drawing import Drawing
from initbench.report.figures.styled import StyledContests


def spans(contests: StyledContests) -> Drawing | None:
    """One bar per initializer: highest less lowest test accuracy of its runs. None where no run has an accuracy."""
    runs = contests.runs.dropna(subset="test_acc")
    if runs.empty:
        return None
    groups = runs.groupby("label", sort=False)["test_acc"]
    heights = groups.max() - groups.min()
    colors = [contests.styles[label].color for label in heights.index]
    figure = Figure(figsize=(6, 3), layout="constrained")
    figure.suptitle("Range of test accuracy")
    figure.add_subplot().barh(list(heights.index), heights.to_numpy("float64"), color=colors)
    return Drawing(
        name="spans",
        title="Range of test accuracy",
        caption="Highest less lowest test accuracy of each initializer's runs.",
        alt=f"Bars of the range of test accuracy, one per initializer ({len(heights)}); the longest is that of "
        f"{heights.idxmax()}, with {heights.max():.3f}.",
        figure=figure,
    )
''',
    )
    file = root / "initbench/report/sections/figures.py"
    insert(file, r"^from initbench\.report\.figures\.styled", "from initbench.report.figures.spans import spans\n")
    insert(file, r"^    FigureGroup\(\"curves\"", '    FigureGroup("spans", "Ranges", [spans]),\n')


def rule(root: Path) -> None:
    insert(
        root / "initbench/analysis/diagnosis/rules_of_end.py",
        r"^    FaultRule\(\n        fault=\"unexplained\"",
        """    FaultRule(
        fault="worse than a guess",
        statement="The loss at the end is at least twice that of the best constant prediction.",
        applies=lambda runs: runs["train_loss"] >= 2 * runs["constant_loss"],
        evidence=lambda cell: f"The last loss is {cell['train_loss']:.3g}.",
        advice="Look at the loss curve.",
        choices=("lr", "init"),
    ),
""",
    )
    insert(
        root / "docs/report.md",
        r"^\| unexplained \| ",
        "| worse than a guess | The loss at the end is at least twice that of the best constant prediction. "
        "| Look at the loss curve. |\n",
    )
    insert(
        root / "tests/test_diagnosis.py",
        r'^        \("too slow", \{"distance": 4e-4\}\),',
        '        ("worse than a guess", {"train_loss": 5.0}),\n',
    )


def executor(root: Path) -> None:
    write(
        root / "initbench/executors/backwards.py",
        '''
"""The tasks in this process, the last one first."""

from initbench.executors.local import LocalExecutor


class BackwardsExecutor(LocalExecutor):
    """This machine with one process, which does the last task first."""

    def run(self, worker, tasks, report, *, workers=1, timeout=None, isolated=False):
        """Yield what the worker returns for each task; see `Executor.run`."""
        for task in reversed(list(tasks)):
            yield worker(task, report)
''',
    )
    write(
        root / "conf/executor/backwards.yaml",
        """
# The tasks in this process, the last one first.
# Source: a newcomer 2026
_target_: initbench.executors.backwards.BackwardsExecutor
start_seconds: 0.0
""",
    )


# ---------------------------------------------------------------- what the changed project must do


@dataclass(frozen=True)
class Case:
    """A change, the files that it may touch (`+` new, `~` changed), and the tests that concern it."""

    change: Callable[[Path], None]
    files: set[str]
    tests: Sequence[str]  # files in tests/
    select: str  # those of their tests that concern it, as pytest's -k
    overrides: Sequence[str] = ()  # what a sweep must ask for to use it


CASES = {
    "initializer": Case(
        initializer,
        {"~ initbench/parts/inits/*.py", "+ conf/init/halved.yaml"},
        ["test_conf.py", "test_inits*.py", "test_engine.py", "test_figures_style.py"],
        "halved or public_part or its_look or a_look or facts",
        ["init=halved"],
    ),
    "activation": Case(
        activation,
        {"~ initbench/parts/activations.py", "+ conf/act/relu_squared.yaml"},
        ["test_conf.py", "test_activations.py", "test_engine.py"],
        "relu_squared or public_part or facts",
        ["act=relu_squared"],
    ),
    "mitigation": Case(
        mitigation,
        {"+ conf/mitigation/gentle.yaml"},
        ["test_conf.py", "test_compatibility.py"],
        "gentle or all_mitigations_at_once",
        ["mitigation=gentle"],
    ),
    "dataset": Case(
        dataset,
        {"~ initbench/parts/data/*.py", "+ conf/data/rings.yaml"},
        ["test_conf.py", "test_data*.py"],
        "rings or public_part",
        ["data=rings"],
    ),
    "metric": Case(
        metric,
        {"~ initbench/engine/metrics.py", "~ conf/config.yaml"},
        ["test_metrics.py", "test_engine.py", "test_stored.py", "test_schema.py"],
        "every_metric or statistics or snapshot or ids_are or schema",
    ),
    "figure": Case(
        figure,
        {"+ initbench/report/figures/spans.py", "~ initbench/report/sections/figures.py"},
        ["test_figures.py"],
        "all_drawings or no_text_leaves or svg_is or unusual",
    ),
    "rule of diagnosis": Case(
        rule,
        {"~ initbench/analysis/diagnosis/*.py", "~ docs/report.md", "~ tests/test_diagnosis.py"},
        ["test_diagnosis.py"],
        "(one_fault or rules_are or no_fault) and not trained",
    ),
    "executor": Case(
        executor,
        {"+ initbench/executors/backwards.py", "+ conf/executor/backwards.yaml"},
        ["test_conf.py", "test_executors*.py"],
        "backwards or public_part",
        ["--executor", "backwards"],
    ),
}


def contents(root: Path) -> dict[str, bytes]:
    files = (file for file in root.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in files}


def changes(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    assert before.keys() <= after.keys()
    new = {f"+ {name}" for name in after.keys() - before.keys()}
    return new | {f"~ {name}" for name in before if before[name] != after[name]}


def python(root: Path, *arguments: str, cwd: Path | None = None) -> None:
    """Run Python on the copied package; its output is the message when it fails."""
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd or root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The project, as a newcomer gets it."""
    root = tmp_path / "initbench"
    root.mkdir()
    for entry in COPIED:
        copy = shutil.copytree if (ROOT / entry).is_dir() else shutil.copy
        (root / entry).parent.mkdir(exist_ok=True)
        copy(ROOT / entry, root / entry)
    return root


def test_a_change_takes_the_files_that_contributing_names_and_no_other(copied: Path):
    for case in CASES.values():
        before = contents(copied)
        case.change(copied)
        touched = changes(before, contents(copied))
        assert len(touched) == len(case.files)
        assert touched == {file for file in touched for pattern in case.files if fnmatch(file, pattern)}


@pytest.mark.slow
def test_the_tests_that_concern_a_change_pass(copied: Path):
    names: dict[str, None] = {}
    for case in CASES.values():
        case.change(copied)
        found = {pattern: sorted((copied / "tests").glob(pattern)) for pattern in [*case.tests, *STRUCTURE]}
        assert all(found.values()), "the name of a test file has changed"
        names |= dict.fromkeys(str(file.relative_to(copied)) for files in found.values() for file in files)
    structure = "(test_architecture or test_docs) and not understood and not planned and not unimported"
    structure += " and not file_is_long"  # a file that is nearly full is split first, which is no newcomer's task
    concerned = " or ".join(f"({select})" for select in [*(case.select for case in CASES.values()), structure])
    python(copied, *PYTEST, *names, "-k", concerned)


@pytest.mark.slow
def test_a_sweep_uses_all_changes_and_its_report_shows_them(copied: Path, tmp_path: Path):
    for case in CASES.values():
        case.change(copied)
    out = tmp_path / "results"
    overrides = [override for case in CASES.values() for override in case.overrides]
    python(copied, "-m", "initbench", "run", *overrides, *SMALL, "--out", str(out), cwd=tmp_path)
    python(copied, "-m", "initbench", "report", str(out), cwd=tmp_path)
    runs = pd.read_csv(out / "report/runs.csv")
    assert len(runs) == 2 and (runs["status"] == "done").all()
    (layers,) = out.glob("stacks/*/layers.parquet")
    assert (pd.read_parquet(layers)["weight_norm"] > 0).all()
    assert (out / "report/spans.svg").exists()
    page = (out / "report/index.html").read_text(encoding="utf-8")
    assert all(name in page for name in ("halved", "relu_squared", "gentle", "rings", "Range of test accuracy"))
