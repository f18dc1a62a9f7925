"""A results folder with several sweeps: a report shows the latest, the others are one click away."""

import json
import os
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from typer.testing import CliRunner

from initbench.cli import app
from initbench.commands.run import report_command
from initbench.commands.sweeps import ShownSweeps
from initbench.errors import InputError
from initbench.report.compose import report_on
from initbench.report.outputs import facts
from initbench.report.sweeps import other_sweeps, write_others
from initbench.results.load import load, read_folder
from initbench.results.store import Store
from results_on_disk import curves_of, finished, joined, row


def invoke(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def saved(root: Path, name: str, year: int, *runs: dict, trained: bool = True) -> None:
    """A sweep that was asked for on the first day of a year, with its runs in one stack."""
    store, time = Store(root), f"{year}-01-01T00:00:00Z"
    store.save_sweep(name, info={"created": time, "overrides": ["init=he", f"lr={year}"]}, runs=list(runs))
    if trained:
        done = [finished(run) for run in runs]
        curves = joined([curves_of(run, np.random.default_rng(0), 0.9) for run in done])
        store.save_stack(f"{year}", runs=done, **curves, info={"started": time})


@pytest.fixture
def root(tmp_path) -> Path:
    """Three sweeps; `all stds`, the second, has a run of `first`, and `last, of all` makes no use of either."""
    he, xavier = row("he", steps=40), row("xavier", steps=40)
    normals = [row("normal", steps=40) | {"run_id": f"normal {std}", "init.std": std} for std in (0.01, 1.0)]
    saved(tmp_path, "first", 2001, he, xavier, normals[0])
    saved(tmp_path, "all stds", 2002, he, *normals, trained=False)
    Store(tmp_path).save_stack("2002", runs=[finished(normals[1])], info={"started": "2002-01-01T00:00:00Z"})
    saved(tmp_path, "last, of all", 2003, normals[0], row("lecun", steps=40))
    return tmp_path


def test_a_run_that_several_sweeps_asked_for_belongs_to_all_of_them(root):
    folder = read_folder(root)
    assert list(folder.sweeps) == ["last, of all", "all stds", "first"]
    runs = {name: folder.results([name]).runs for name in folder.sweeps}
    assert {name: list(each["init"]) for name, each in runs.items()} == {
        "last, of all": ["normal", "lecun"],
        "all stds": ["he", "normal", "normal"],
        "first": ["he", "xavier", "normal"],
    }
    assert {status for each in runs.values() for status in each["status"]} == {"done"}
    assert len(set.intersection(*(set(each["run_id"]) for each in runs.values()))) == 1  # the normal of std 0.01
    assert {name: set(each["sweep"]) for name, each in runs.items()} == {name: {name} for name in runs}
    assert len(set(folder.results(["all stds"]).losses["run_id"])) == 2  # one stack has no curves


def test_other_sweeps_do_not_change_the_labels(root):
    labels = {name: set(report_on(load(root, [name]), drawn=False).contests.runs["label"]) for name in ("first", "all")}
    assert labels["first"] == {"he", "xavier", "normal"}
    assert labels["all"] == {"he", "xavier", "lecun", "normal std=0.01", "normal std=1"}


def test_what_is_chosen(root):
    folder = read_folder(root)
    assert folder.chosen(["first"]) == ["first"]
    assert folder.chosen(["last, of all"]) == ["last, of all"]  # a name with a comma
    assert folder.chosen(["first,all stds", "first"]) == ["first", "all stds"]
    assert folder.chosen(["all"]) is None
    for wrong, says in [("frist", "did you mean 'first'"), ("first,frist", "--sweep frist"), (",", "no name given")]:
        with pytest.raises(InputError, match=says):
            folder.chosen([wrong])
    pooled = folder.results(["all stds", "first"])
    assert list(pooled.runs["init"]) == ["he", "xavier", "normal", "normal"]
    assert list(pooled.sweeps["name"]) == ["first", "all stds"]


def test_sweeps_of_one_name_are_told_apart_by_their_folders(tmp_path):
    saved(tmp_path / "cpu", "demo", 2001, row("he"))
    saved(tmp_path / "gpu", "demo", 2002, row("xavier"))
    folder = read_folder(tmp_path)
    assert list(folder.sweeps) == ["gpu/demo", "cpu/demo"]
    assert list(folder.results(["cpu/demo"]).runs["init"]) == ["he"]
    with pytest.raises(InputError, match=r"did you mean .cpu/demo. or .gpu/demo"):
        folder.chosen(["demo"])


def test_runs_of_no_sweep_are_only_in_all(root):
    saved(root, "lost", 2004, row("zeros"))
    os.remove(root / "sweeps" / "lost" / "sweep.json")
    folder = read_folder(root)
    assert folder.unasked == 1 and "zeros" in set(folder.results().runs["init"])
    assert any("1 run belongs to no sweep" in line for line in ShownSweeps.of(root, None).sentences())
    assert [file.name for file, _ in folder.skipped] == ["sweep.json"]


def test_the_terminal_names_the_sweep_and_the_others(root):
    first, second = ShownSweeps.of(root, None).sentences()
    assert first == f"Sweep last, of all, the latest of 3 in {root}"
    assert second == "Others: all stds, first (--sweep NAME shows one, --sweep all pools them)"
    assert next(ShownSweeps.of(root, ["first"]).sentences()) == f"Sweep first, of 3 in {root}"
    assert next(ShownSweeps.of(root, ["first,all stds"]).sentences()).startswith("Sweeps first and all stds, pooled")
    assert next(ShownSweeps.of(root, ["all"]).sentences()).startswith("All 3 sweeps")
    assert not list(ShownSweeps.of(root / "sweeps" / "first", None).sentences())


def test_what_each_first_page_links_to(root):
    folder = read_folder(root)
    assert [other.name for other in other_sweeps(folder, ["first"])] == ["last, of all", "all stds"]
    assert [other.name for other in other_sweeps(folder, None)] == ["last, of all", "all stds", "first"]
    assert len(other_sweeps(folder, ["first", "all stds"])) == 3
    (other,) = [other for other in other_sweeps(folder, None) if other.name == "all stds"]
    assert (other.asked, other.runs, other.href) == ("init=he lr=2002", 3, "others/all%20stds/index.html")
    assert not other_sweeps(read_folder(root / "sweeps" / "first"), ["first"])


def test_the_json_names_the_sweep(root):
    made = report_on(load(root, ["first"]), drawn=False, others=other_sweeps(read_folder(root), ["first"]))
    told = facts(made)
    assert told["sweep"] == ["first"] and told["other_sweeps"] == ["last, of all", "all stds"]


def test_after_run_the_command_shows_the_sweep_that_was_run(root):
    assert report_command(root / "sweeps" / "last, of all", root) == f"initbench report {root}"
    assert report_command(root / "sweeps" / "all stds", root) == f"initbench report {root} --sweep 'all stds'"


def test_a_wrong_name_is_one_line_and_exit_code_2(root):
    result = invoke("report", root, "--sweep", "frist")
    assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1
    assert "did you mean 'first'?" in result.stderr and not (root / "report").exists()


@pytest.mark.slow
def test_the_pages_link_to_each_other(root):
    result = invoke("report", root, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["sweep"] == ["last, of all"]
    first = (root / "report" / "index.html").read_text(encoding="utf-8")
    links = re.findall(r'href="(others/[^"]+)"', first)
    assert len(links) == 2 and "xavier" not in first
    for link in links:
        page = root / "report" / unquote(link)
        (home,) = re.findall(r'href="([^"#]+index.html)"', page.read_text(encoding="utf-8"))
        assert (page.parent / home).resolve() == (root / "report" / "index.html").resolve()
    assert "xavier" in (root / "report" / "others" / "first" / "index.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_page_is_written_again_only_if_something_changed(root):
    def written() -> int:
        folder = read_folder(root)
        first = [each for each in other_sweeps(folder, None) if each.name == "first"]
        (page,) = write_others(folder, root / "report", first)
        return page.stat().st_mtime_ns

    before = written()
    assert written() == before
    Store(root).save_stack("new", runs=[finished(row("xavier", steps=40))], info={})
    assert written() != before


def test_two_folders_are_compared_by_their_latest_sweeps(root, tmp_path):
    """The latest has two runs, which differ in nothing; all sweeps together have five."""
    printed = " ".join(invoke("report", root, root, "--to", tmp_path / "to").output.split())
    assert "2 runs with the same run ids in both" in printed
    assert "the latest of 3 in" in printed and "--sweep all pools them" in printed
    printed = " ".join(invoke("report", root, root, "--to", tmp_path / "to", "--sweep", "all").output.split())
    assert "5 runs with the same run ids in both" in printed and "pooled" in printed
