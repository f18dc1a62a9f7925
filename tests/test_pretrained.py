"""Trained weights as initial weights: what is loaded, what is not, and how a run's id tells them apart."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from initbench import build, load
from initbench.analysis.axes import cell_axes
from initbench.config.grid import expand
from initbench.errors import DoesNotFit, InputError
from initbench.parts.inits.pretrained import fit_of
from initbench.parts.layer_order import layers_in_order
from initbench.planning.pretrained import weights_under
from initbench.planning.sweep import Sweep, prepare

SMALL = ["depth=2", "width=8", "batch_size=20"]
TASK = [*SMALL, "data.classes=5-9", "steps=2"]


def trained(overrides, root, **options) -> Sweep:
    sweep = prepare(overrides, out=root, workers=1, timed=False, **options)
    sweep.save()
    failed = [row for status in sweep.train(lambda stack, step: None) for row in status.rows if "error" in row]
    assert not failed
    return sweep


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> tuple[Path, list[str]]:
    """A results folder with a network of two seeds and two activations, trained on digits 0 to 4; the runs' ids."""
    root = tmp_path_factory.mktemp("first")
    sweep = trained([*SMALL, "data.classes=0-4", "act=relu,tanh", "steps=10", "save_weights=true"], root, seeds=2)
    return root, [run.id for run in sweep.runs]


def with_task(overrides) -> list[str]:
    """The overrides, and those of the second task whose keys they leave out."""
    given = {override.partition("=")[0] for override in overrides}
    return [*(override for override in TASK if override.partition("=")[0] not in given), *overrides]


def file_of(first, n: int = 0) -> str:
    root, ids = first
    return str(next(root.glob(f"stacks/*/weights/{ids[n]}.safetensors")))


def started(*overrides, report=None, **options):
    """The first run's weights and buffers at its start."""
    (run, *_) = expand(with_task(overrides), **options).runs
    return build.initialized(run.config, build.data(run.config), report=report).state_dict()


def test_what_fits_is_loaded_and_the_rest_is_the_other_initializers_of_the_same_seed(first):
    theirs, orthogonal = load_file(file_of(first)), started("init=orthogonal", "depth=3", "seed=5")
    report = {}
    asked = ["init=checkpoint", f"init.path={file_of(first)}", "init.rest=orthogonal", "depth=3", "seed=5"]
    ours = started(*asked, report=report)
    deeper = {"layers.2.linear.weight", "layers.2.linear.bias"}
    for name, value in ours.items():
        assert torch.equal(value, (orthogonal if name in deeper else theirs)[name])
    assert set(report["rest"]) == deeper and set(report["loaded"]) == ours.keys() - deeper
    assert (report["rest_by"], report["unused"]) == ("orthogonal", [])


@pytest.mark.parametrize(("layers", "loaded"), [(1, 2), (-1, 4), (3, 6)])
def test_only_the_first_layers(first, layers, loaded):
    report = {}
    ours = started("init=checkpoint", f"init.path={file_of(first)}", f"init.layers={layers}", report=report)
    theirs, he = load_file(file_of(first)), started("init=he")
    assert [torch.equal(ours[name], theirs[name]) for name in ours] == [True] * loaded + [False] * (6 - loaded)
    assert [torch.equal(ours[name], he[name]) for name in ours][loaded:] == [True] * (6 - loaded)
    assert len(report["loaded"]) == loaded


@pytest.mark.parametrize("norm", ["batch", "weight"])
def test_running_statistics_and_gains_are_as_they_were_trained(norm, tmp_path):
    """A gain of weight normalization is not the norm of the weight, as it is behind other initializers."""
    (run,) = expand([*TASK, f"norm={norm}"]).runs
    generator = torch.Generator().manual_seed(1)
    state = build.initialized(run.config, build.data(run.config)).state_dict()
    drawn = {name: torch.rand(value.shape, generator=generator).to(value.dtype) for name, value in state.items()}
    save_file(drawn, tmp_path / "drawn.safetensors")
    ours = started("init=checkpoint", f"init.path={tmp_path / 'drawn.safetensors'}", f"norm={norm}")
    assert all(torch.equal(ours[name], value) for name, value in drawn.items())


# Which weights


def test_a_run_by_its_id_or_its_file_or_the_beginning_of_its_id(first):
    root, ids = first
    find = weights_under(root)
    asked = [["init.run=" + ids[0]], ["init.run=" + ids[0][:9]], ["init.run=" + ids[1], "init.by=seed"]]
    runs = [expand([*TASK, "init=checkpoint", *each], find_weights=find).runs[0] for each in asked]
    assert len({run.id for run in runs}) == 1
    assert {run.config["init"]["path"] for run in runs} == {file_of(first)}
    assert expand([*TASK, "init=checkpoint", "init.run=" + ids[1]], find_weights=find).runs[0].id != runs[0].id


def test_by_keys_each_run_starts_from_its_own(first):
    """The folder has relu and tanh, seeds 0 and 1: each run starts from the one with its activation and its seed."""
    root, ids = first
    asked = [*TASK, "init=checkpoint", f"init.run={ids[2]}", "init.by=[seed,act]", "act=relu,tanh"]
    runs = expand(asked, seeds=2, find_weights=weights_under(root)).runs
    assert [Path(run.config["init"]["path"]).stem for run in runs] == ids
    with pytest.raises(InputError, match=r"init.by: no run in .* is like .* and has seed=2 act=relu"):
        expand(asked, seeds=3, find_weights=weights_under(root))


def test_a_file_enters_the_id_by_its_content_and_not_by_its_place(first, tmp_path):
    shutil.copy(file_of(first), tmp_path / "copy.safetensors")
    paths = [file_of(first), tmp_path / "copy.safetensors", file_of(first, 1)]
    ids = [expand([*TASK, "init=checkpoint", f"init.path={path}"]).runs[0].id for path in paths]
    assert ids[0] == ids[1] != ids[2]


def test_runs_that_start_from_different_files_share_a_stack_and_are_one_cell_by_seed(first, tmp_path):
    root, ids = first
    asked = [*TASK, "init=checkpoint,he", f"init.run={ids[0]}", "init.by=seed", f"init.results={root}"]
    asked += ["init.layers=-1"]
    together = trained(asked, tmp_path / "together", seeds=2)
    assert [len(stack.runs) for stack in together.stacks] == [4]
    assert together.facts()["loads"] == ["checkpoint loads 4 of 6 parameters: layers.0 and layers.1; head follows he"]
    alone = trained([each.replace(",he", "") for each in [*asked, "seed=1"]], tmp_path / "alone")
    losses = [load(tmp_path / where).losses for where in ("together", "alone")]
    ours, theirs = (table[table["run_id"] == alone.runs[0].id]["train_loss"].to_numpy() for table in losses)
    assert ours == pytest.approx(theirs, rel=1e-5)
    runs = load(tmp_path / "together").runs
    reports = runs[runs["init"] == "checkpoint"]["init_report"].map(json.loads)
    assert {report["run"] for report in reports} == {ids[0], ids[1]}
    assert cell_axes(runs) == ["init", "act", "depth"]


# What is refused, before anything is trained


def test_a_pickle_is_refused_by_its_first_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(pickle, "load", None)
    monkeypatch.setattr(torch, "load", None)
    for name, content in {"zip": b"PK\x03\x04" + bytes(40), "plain": pickle.dumps({"a": 1})}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"init.path=.*{name}': a pickle, as torch.save writes it"):
            expand(["init=checkpoint", f"init.path={tmp_path / name}"])


@pytest.mark.parametrize("content", [b"", b"hello world", (100).to_bytes(8, "little") + b"{}", bytes(8)])
def test_what_is_no_safetensors(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(InputError, match=r"x': not a file of safetensors"):
        expand(["init=checkpoint", f"init.path={tmp_path / 'x'}"])


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["init.path=nowhere"], "'init.path=nowhere': there is no file nowhere"),
        (["init.path=a", "init.run=b"], "init.path=a and init.run=b are both given; give one of them"),
        (["init.by=seed"], "init.by is for init.run; give init.run=ID too"),
        (["init.run=zebra"], "'init.run=zebra': no finished run in .* has the id"),
        (["init.run={id}", "init.by=sed"], "init.by=sed: there is no such key; did you mean 'seed'?"),
    ],
)
def test_one_line(first, overrides, says):
    root, ids = first
    overrides = [override.replace("{id}", ids[0]) for override in overrides]
    with pytest.raises(InputError, match=says) as error:
        expand([*TASK, "init=checkpoint", *overrides], find_weights=weights_under(root))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (
            ["width=9"],
            "no weight fits this model by name and shape; layers.0.linear.weight is 8 x 64 in the file",
        ),
        (["model=cnn"], "no weight fits .*; head.weight is 5 x 8 in the file and 5 x 128 here"),
        (["init.layers=4"], "'init.layers=4': the model has 3 layers, the head included; there is no layer 4"),
        (["init.layers=0"], "'init.layers=0': the model has 3 layers"),
    ],
)
def test_what_does_not_fit_is_skipped_with_its_reason(first, overrides, says):
    overrides = with_task(overrides)
    with pytest.raises(DoesNotFit, match=says):
        prepare([*overrides, "init=checkpoint", f"init.path={file_of(first)}"], timed=False)


def test_nothing_is_loaded_without_a_file():
    with pytest.raises(DoesNotFit, match=r"init=checkpoint needs init.path=FILE or init.run=ID"):
        started("init=checkpoint")


# Layers in order


@pytest.mark.parametrize(
    ("overrides", "first_names"),
    [
        (["depth=2"], ["layers.0.linear.weight", "layers.1.linear.weight", "head.weight"]),
        (["model=lstm", "data=digits_rows", "depth=1"], ["layers.0.input.weight", "head.weight"]),
        (
            ["model=resnet", "depth=2", "norm=batch"],
            ["stem.weight", "blocks.0.norm1.weight", "blocks.1.norm1.weight", "head.weight"],
        ),
        (
            ["model=transformer", "data=digits_rows", "depth=1"],
            ["embedding.weight", "blocks.0.attention.query.weight", "head.weight"],
        ),
    ],
)
def test_a_layer_is_what_depth_counts(overrides, first_names):
    (run,) = expand([*overrides, "width=8"]).runs
    model = build.model(run.config, build.data(run.config))
    found = layers_in_order(model)
    assert [next(name for name in own if name.endswith("weight")) for own in found] == first_names
    assert sorted(name for own in found for name in own) == sorted(model.state_dict())


def test_a_buffer_alone_is_no_fit():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    with pytest.raises(DoesNotFit):
        fit_of(model, {"1.running_mean": (2,), "0.bias": (2,)}, "x", None)
