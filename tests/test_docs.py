"""The docs say what is there: links, paths, names of choices, and command lines."""

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from initbench.analysis.diagnosis.rules import markdown
from initbench.cli import app
from initbench.commands.theory import written_out
from initbench.config.grid import expand
from initbench.config.registry import choices, groups

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), ROOT / "benchmarks/README.md"]
PAGES += [page for page in (ROOT / "results").glob("*/README.md")]
TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}
ELSEWHERE = (".venv/", "results/", "stacks/", "sweeps/", "weights/", "mine", "mixer", "FOLDER/")  # what is the reader's
PLACEHOLDERS = "GROUP|NAME|FILE"
OWN = {"mixer"}  # choices that the docs show how to write
COMPLETE = {  # groups of which one page describes every choice: a new choice needs its place there
    "docs/models.md": ["model"],
    "docs/mitigations.md": ["optim", "schedule", "norm", "average", "rebalance", "curriculum"],
}


def anchors(text: str) -> set[str]:
    """The names that GitHub gives to the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def code(text: str) -> list[str]:
    """What stands in single backticks outside code blocks, on one line each."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(inline.split()) for inline in re.findall(r"`([^`]+)`", prose)]


def commands(text: str) -> list[list[str]]:
    """The words of every `initbench ...` line in a page's code."""
    lines = re.findall(r"^    (initbench .*)$", text.replace("\\\n", " "), re.MULTILINE)
    lines += [inline for inline in code(text) if inline.startswith("initbench ") and "..." not in inline]
    return [shlex.split(line, comments=True)[1:] for line in lines]


def ids(value: object) -> str:
    return " ".join(value) if isinstance(value, list) else str(value)


EVERY_COMMAND = [(page, words) for page, text in TEXTS.items() for words in commands(text) if words[0].isalpha()]


@pytest.mark.parametrize("page", TEXTS)
def test_links_and_pictures_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[page]):
        file, _, anchor = target.partition("#")
        if file.startswith("http"):
            continue
        found = (ROOT / page).parent / file if file else ROOT / page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("page", TEXTS)
def test_paths_of_the_package_exist(page):
    for inline in code(TEXTS[page]):
        if re.match(r"[\w./]+/\S*$|\w+\.py$", inline) and not inline.startswith(ELSEWHERE):
            pattern = re.sub(PLACEHOLDERS, "*", inline).rstrip("/")
            places = [ROOT, ROOT / "initbench", ROOT / "conf", (ROOT / page).parent]
            assert any(any(place.glob(pattern)) for place in places), inline


@pytest.mark.parametrize("page", sorted(TEXTS.keys() - {"CHANGELOG.md"}))  # the changelog also names what was
def test_modules_and_their_names_exist(page):
    for dotted in set(re.findall(r"\binitbench((?:\.\w+)+)", TEXTS[page])):
        place, names = ROOT / "initbench", re.sub(rf"\.({PLACEHOLDERS})\b", "", dotted)[1:].split(".")
        while names and ((place / names[0]).is_dir() or (place / f"{names[0]}.py").exists()):
            place /= names.pop(0)
        files = [place.with_suffix(".py")] if place.with_suffix(".py").exists() else list(place.rglob("*.py"))
        assert not names or any(names[0] in file.read_text(encoding="utf-8") for file in files), dotted


@pytest.mark.parametrize("page", TEXTS)
def test_choices_that_are_named_exist(page):
    """`group=name` in prose, and in tables whose head is `group=`."""
    for inline in code(TEXTS[page]):
        group, equals, names = inline.partition("=")
        if equals and group in groups() and re.fullmatch(r"[a-z0-9_,]+", names):
            assert set(names.split(",")) <= set(choices(group)) | OWN, inline


@pytest.mark.parametrize("page, group", [(page, group) for page, named in COMPLETE.items() for group in named])
def test_every_choice_is_described(page, group):
    rows = "\n".join(line for line in TEXTS[page].splitlines() if line.startswith("|"))
    missing = [name for name in choices(group) if not re.search(rf"\b{name}\b", rows)]
    assert not missing, f"{page} has no row for {group}={missing[0]}"


@pytest.mark.parametrize("page", TEXTS)
def test_tables_have_equal_rows(page):
    """Every table has a head, and each of its rows has as many columns."""
    for table in re.findall(r"(?:^\|.*\n?)+", TEXTS[page], re.MULTILINE):
        head, rule, *rows = table.splitlines()
        assert re.fullmatch(r"\|(\s*:?-+:?\s*\|)+", rule), head
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {len(re.findall(r"(?<!\\)\|", head))}, head


def own_parts(page: str, folder: Path) -> list[str]:
    """Write the files that a page shows, and return the names of their modules.

    These are Python code that begins with `# NAME.py`, and the YAML of a model.
    """
    shown = re.findall(r"```python\n# (\w+)\.py\n(.*?)```", TEXTS[page], re.DOTALL)
    for name, block in shown:
        (folder / f"{name}.py").write_text(block, encoding="utf-8")
    for name, block in re.findall(r"`(mine/model/\w+\.yaml)`.*?```yaml\n(.*?)```", TEXTS[page], re.DOTALL):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(block, encoding="utf-8")
    return [name for name, _ in shown]


def understood(words: list[str]) -> dict[str, Any]:
    """The arguments and options of a command line."""
    name, *arguments = words
    return typer.main.get_command(app).commands[name].make_context(name, arguments).params  # type: ignore[attr-defined]


@pytest.fixture
def shown_parts(page, tmp_path, monkeypatch) -> None:
    """Stand in a folder that has the files which the page shows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in own_parts(page, tmp_path):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.parametrize("page, words", EVERY_COMMAND, ids=ids)
@pytest.mark.usefixtures("shown_parts")
def test_commands_are_understood(words):
    """Options exist, and overrides make a grid."""
    options = understood(words)
    if "overrides" in options:
        of_check = [f"init={options['name']}"] if words[0] == "check" else []
        overrides = written_out([*of_check, *(options["overrides"] or [])])
        assert expand(overrides, seeds=options.get("seeds"), config_dir=options["config_dir"]).runs


def thinned(override: str) -> str:
    """`key=a,b,c,d,e,f,g`, any list of seven or more, with its first and last value: all pairs would take a minute.

    A teacher that the docs name is not in a results folder here.
    """
    override = "distill.run=null" if override.startswith("distill.run=") else override
    return re.sub(r"=(\w+)(?:,\w+){5,},(\w+)$", r"=\1,\2", override)


def needs_a_run(words):
    """Whether a command names a run of the reader's own: `init.run=ID`."""
    return any(word.endswith("=ID") for word in words)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page, words", [each for each in EVERY_COMMAND if each[1][0] == "run" and not needs_a_run(each[1])], ids=ids
)
@pytest.mark.usefixtures("shown_parts")
def test_grids_can_be_planned(words):
    """Parts can be built and fit each other."""
    options = understood(words)
    config_dir = ["--config-dir", options["config_dir"]] if options["config_dir"] else []
    done = CliRunner().invoke(app, ["plan", *map(thinned, options["overrides"] or []), *map(str, config_dir), "--json"])
    assert done.exit_code == 0, done.output


def test_the_rules_of_diagnosis_are_those_that_are_applied():
    assert markdown() in TEXTS["docs/report.md"], "print them with: python -m initbench.analysis.diagnosis.rules"
