"""The structure that DESIGN promises: imports run downward only, and what must be quick to start leaves torch alone."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import initbench

PACKAGE = Path(initbench.__file__).parent
LAYERS = [  # the top first; a module imports from its own layer or from below
    {"cli", "__main__"},
    {"commands"},
    {"planning"},
    {"executors", "jobs", "report"},
    {"analysis", "build"},
    {"engine"},
    {"parts"},
    {"results"},
    {"config", "randomness"},
    {"errors", "text"},
]
LEVEL = {name: len(LAYERS) - i for i, names in enumerate(LAYERS) for name in names}


def imported(path: Path) -> set[str]:
    """The first names below `initbench` that a module imports, at its top or inside a function."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and node.module.split(".")[0] == "initbench"
            and not node.level
        ):
            parts = node.module.split(".")
            names |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute"
        elif isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("initbench.")}
    return names & LEVEL.keys()


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downward(path):
    name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if name == "__init__":
        assert imported(path) <= {"results"}
        return
    assert name in LEVEL, f"{name} has no place in LAYERS"
    above = {other for other in imported(path) - {name} if LEVEL[other] > LEVEL[name]}
    assert not above, f"{name} imports {above} from above"


def test_only_the_engine_knows_the_run_dimension():
    """No part uses vmap or names a stack."""
    for path in (PACKAGE / "parts").rglob("*.py"):
        code = ast.unparse(without_docstrings(ast.parse(path.read_text())))
        assert "vmap" not in code and "stack_module_state" not in code, path


def without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            node.body = body[1:] or [ast.Pass()]
    return tree


@pytest.mark.slow
def test_torch_stays_unimported(small_results, tmp_path):
    """One program does all that needs no torch, one thing after the other, and no pyplot, which opens windows."""
    commands = [["--help"], ["list", "init"], ["report", str(small_results), "--to", str(tmp_path)]]
    code = f"""
import sys

def check(what):
    assert not {{"torch", "matplotlib.pyplot"}} & sys.modules.keys(), f"torch or pyplot was imported by {{what}}"

import initbench
check("import initbench")
import initbench.cli, initbench.config.stacks, initbench.report, initbench.results.load, initbench.results.store
check("the modules")
for command in {commands}:
    sys.argv = ["initbench", *command]
    try:
        initbench.cli.main()
    except SystemExit as end:
        assert not end.code, end.code
    check(command)
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
