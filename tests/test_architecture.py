"""The structure that CONTRIBUTING promises: who may import whom, no circle, torch only where it trains, small files."""

import ast
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

import initbench

PACKAGE = Path(initbench.__file__).parent
FILES = {
    ".".join(["initbench", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# A room (a package or a module right below initbench) and the rooms that it may import from, the top first. All may
# import from EVERYWHERE.
ROOMS = {
    "__init__": {"results"},
    "__main__": {"cli"},
    "cli": {"commands", "executors"},
    "commands": {"planning", "executors", "jobs", "report", "analysis", "results", "config", "theory"},
    "planning": {"executors", "jobs", "build", "engine", "parts", "theory", "results", "config"},
    "executors": {"config"},
    "jobs": {"build", "engine", "parts", "results", "config", "theory"},
    "build": {"engine", "parts", "config", "theory"},
    "engine": {"parts", "theory"},
    "parts": {"theory"},
    "theory": set(),
    "export": {"analysis", "results", "config"},
    "report": {"analysis", "results", "config", "theory"},
    "analysis": {"results", "config", "theory"},
    "results": {"config"},
    "config": set(),
}
EVERYWHERE = {"errors", "outcomes", "randomness", "text"}
NO_TORCH = {"__init__", "__main__", "cli", "commands", "config", "results", "analysis", "report", "export", "theory"}
NO_TORCH |= {"executors", "errors", "outcomes", "text"}  # when imported: a machine may ask torch for its GPU
LONGEST_FILE = 400  # lines
LARGEST_ROOM = 1 / 3  # of all lines


def room(module: str) -> str:
    return [*module.split("."), "__init__"][1]


@cache
def imports(module: str, *, on_import: bool = False) -> frozenset[str]:
    """The modules of initbench that a module imports, at its top or in a function; and torch.

    `on_import`: only those that are loaded with it: not in functions, not for the type checker alone.
    """
    found: set[str] = set()
    for node in nodes(ast.parse(FILES[module].read_text()), on_import=on_import):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level and node.module, f"{module}: imports are absolute"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in FILES else node.module for name in names}
    return frozenset(name for name in found if name in FILES or name.split(".")[0] == "torch")


def nodes(tree: ast.AST, *, on_import: bool) -> list[ast.AST]:
    """A module's nodes; `on_import`: without those of functions and of `if TYPE_CHECKING`."""
    if not on_import:
        return list(ast.walk(tree))
    found = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef) or (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        ):
            continue
        found += [node, *nodes(node, on_import=True)]
    return found


@pytest.mark.parametrize("module", FILES)
def test_imports_run_downward(module):
    own = room(module)
    if own in EVERYWHERE:
        allowed = EVERYWHERE
    else:
        assert own in ROOMS, f"{own} has no place in ROOMS"
        allowed = ROOMS[own] | EVERYWHERE | {own}
    others = {name for name in imports(module) if name.split(".")[0] == "initbench" and room(name) not in allowed}
    assert others <= {"initbench"}


@pytest.mark.parametrize("module", FILES)
def test_no_module_imports_itself_by_a_detour(module):
    assert not way_back(module)


def way_back(module: str) -> list[str]:
    """The shortest way from a module along its imports back to it; empty where there is none."""
    ways = {name: [module, name] for name in imports(module)}
    queue = list(ways)
    for name in queue:
        if name == module:
            return ways[name]
        for other in imports(name) if name in FILES else ():
            if other not in ways:
                ways[other] = [*ways[name], other]
                queue.append(other)
    return []


@pytest.mark.parametrize("module", [module for module in FILES if room(module) in NO_TORCH])
def test_what_is_quick_to_start_leaves_torch_alone(module):
    """As the imports stand in the source; `test_torch_stays_unimported` tries it."""
    assert not [way for way in loaded(module) if way[-1].split(".")[0] == "torch"]


def loaded(module: str) -> list[list[str]]:
    """Everything that is loaded with a module, each with the way to it."""
    ways = {module: [module]}
    queue = [module]
    for name in queue:
        for other in imports(name, on_import=True) if name in FILES else ():
            packages = [other.rsplit(".", cut)[0] for cut in range(other.count("."))]  # are loaded with it
            for each in packages:
                if each not in ways:
                    ways[each] = [*ways[name], each]
                    queue.append(each)
    return list(ways.values())


@pytest.mark.parametrize("module", FILES)
def test_no_file_is_long(module):
    assert len(FILES[module].read_text().splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("name", ROOMS)
def test_no_room_is_a_third_of_the_house(name):
    lines = Counter[str]()
    for module, path in FILES.items():
        lines[room(module)] += len(path.read_text().splitlines())
    assert lines[name] <= LARGEST_ROOM * lines.total()


def classes() -> dict[str, set[str]]:
    """The names of all classes, and the modules that define them."""
    found: dict[str, set[str]] = {}
    for module, path in FILES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name.lstrip("_"), set()).add(module)
    return found


def test_a_class_name_means_one_thing():
    assert not {name: sorted(modules) for name, modules in classes().items() if len(modules) > 1}


@pytest.mark.parametrize("module", [module for module in FILES if room(module) != "executors"])
def test_executors_are_chosen_by_configuration(module):
    """No other module names the one for this machine."""
    assert "initbench.executors.local" not in imports(module)


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
    modules = [module for module in FILES if room(module) in NO_TORCH - {"__main__"}]
    code = f"""
import importlib
import sys

def check(what):
    assert not {{"torch", "matplotlib.pyplot"}} & sys.modules.keys(), f"torch or pyplot was imported by {{what}}"

for module in {modules}:
    importlib.import_module(module)
    check(module)
import initbench.cli
for command in {commands}:
    sys.argv = ["initbench", *command]
    try:
        initbench.cli.main()
    except SystemExit as end:
        assert not end.code, end.code
    check(command)
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
