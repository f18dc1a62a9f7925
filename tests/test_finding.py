"""Finding finished runs by their ids, in the stored results of an earlier version and in a folder made up here."""

import json
import shutil
from pathlib import Path

import pytest

from initbench.config.grid import expand
from initbench.config.keys import RUN_ID
from initbench.errors import InputError
from initbench.results.finding import find_run, find_trained, seeds_of

STORED = Path(__file__).parent / "stored" / "results"
HE = "c52c507f63a519b8"  # the two seeds of a cell whose weights were saved
OTHER_SEED = "a4756ddcfc8112e1"
DIVERGED = "3c9d88040f45aed0"


def test_a_run_is_found_by_its_id_or_a_unique_beginning():
    for name in (HE, HE[:4]):
        run = find_run(STORED, name, "init.run")
        assert (run.id, run.choices["init"], run.config["seed"], run.outcome) == (HE, "he", 0, "stuck")
    assert find_trained(STORED, HE[:5], "init.run").weights == next(STORED.glob(f"stacks/*/weights/{HE}.safetensors"))


def test_the_seeds_of_a_cell():
    run = find_run(STORED, HE, "distill.run")
    assert [(other.id, other.config["seed"]) for other in seeds_of(STORED, run)] == [(HE, 0), (OTHER_SEED, 1)]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("c52c507f63a519b9", "c52c507f63a519b9': no finished run in .* has the id .*; did you mean 'c52c507f63a519b8'"),
        ("zebra", "'init.run=zebra': no finished run in .* has the id .*; there is .* more"),
        ("7", "'init.run=7': 6 finished runs .* begin with it: 70192a35b3b0, .*type more"),
        (DIVERGED[:3], "'init.run=3c9': that run diverged at step 6 and left no weights"),
        ("22f14b1f1125e710", "its weights were not saved; train that run again with save_weights=true"),
    ],
)
def test_what_cannot_be_used_is_one_line(name, says):
    with pytest.raises(InputError, match=says) as raised:
        find_trained(STORED, name, "init.run")
    assert "\n" not in str(raised.value)


def test_a_folder_without_results_has_no_run(tmp_path):
    with pytest.raises(InputError, match=r"no finished run in .*; there is none"):
        find_run(tmp_path / "nowhere", HE, "init.run")


def test_of_several_trainings_the_one_with_weights_counts(tmp_path):
    [weights] = STORED.glob(f"stacks/*/weights/{HE}.safetensors")
    first = weights.parent.parent
    shutil.copytree(first, tmp_path / "stacks" / "first")
    shutil.copytree(first, tmp_path / "stacks" / "again", ignore=lambda *_: ["weights"])
    info = json.loads((first / "stack.json").read_text())
    (tmp_path / "stacks" / "again" / "stack.json").write_text(json.dumps(info | {"started": "2099-01-01T00:00:00"}))
    assert find_trained(tmp_path, HE, "init.run").weights == tmp_path / "stacks" / "first" / "weights" / weights.name
    assert len(seeds_of(tmp_path, find_run(tmp_path, HE, "init.run"))) == 2


def test_the_beginning_and_the_whole_id_are_one_run(monkeypatch):
    """`init.recurrent` stands for a key that names finished runs."""
    monkeypatch.setattr("initbench.config.grid.NAMES_RUN", {"init.recurrent"})
    ids = {"or": "orthogonal", "orthogonal": "orthogonal"}
    grid = expand(["init.recurrent=or,orthogonal,null"], full_id=lambda name, key: ids[name])
    assert grid.axes == {"init.recurrent": ["orthogonal", None]}
    assert [run.id for run in grid.runs] == [run.id for run in expand(["init.recurrent=orthogonal,null"]).runs]


def test_an_id_that_reads_as_a_power_of_ten_is_asked_for_in_quotes(monkeypatch):
    words, holds = RUN_ID
    assert "quotes" in words
    assert holds(None) and holds("12e4") and holds(12) and not holds(120000.0) and not holds("")
    monkeypatch.setattr("initbench.config.grid.NAMES_RUN", {"init.recurrent"})
    asked = []
    expand(["init.recurrent=12"], full_id=lambda name, key: asked.append(name) or "orthogonal")
    assert asked == ["12"]
