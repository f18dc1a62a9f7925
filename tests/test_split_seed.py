"""`data.split_seed=seed`: each run's seed draws its split; runs of one seed share it, whatever else is in the sweep."""

import sys

import pytest
import torch

from initbench import build
from initbench.analysis.axes import cell_axes, split_by_seed
from initbench.analysis.contests import Contests
from initbench.config.grid import expand
from initbench.config.stacks import shape_key, stacks
from initbench.errors import DoesNotFit, InputError
from initbench.planning.sweep import prepare
from initbench.results.load import Results, load
from results_on_disk import finished, results_of, row

SMALL = ["init=he,xavier", "depth=1", "width=8", "steps=30", "batch_size=50"]


def trained(out, *overrides: str, seeds: int | None = None) -> Results:
    sweep = prepare([*SMALL, *overrides], seeds=seeds, out=out, workers=1)
    folder = sweep.save()
    list(sweep.train(lambda stack, step: None))
    return load(folder)


def test_it_is_another_configuration_than_any_number():
    ids = {expand([f"data.split_seed={value}"]).runs[0].id for value in ("0", "1", "seed")}
    assert len(ids) == 3 and expand([]).runs[0].id in ids  # 0 is the default


@pytest.mark.parametrize("value", ["sed", "true", "[1]", "Seed"])
def test_other_words_are_refused(value):
    with pytest.raises(InputError, match=r"'data\.split_seed' must be a whole number, or the word seed"):
        expand([f"data.split_seed={value}"])


def test_a_stack_has_one_split():
    runs = expand([*SMALL, "lr=0.1,1", "data.split_seed=0,seed"], seeds=3).runs
    planned = stacks(runs, lambda run: 100)
    seeds = [
        (stack.runs[0].config["data"]["split_seed"], sorted({run.config["seed"] for run in stack.runs}))
        for stack in planned
    ]
    assert sorted(seeds, key=str) == [("seed", [0]), ("seed", [1]), ("seed", [2]), (0, [0, 1, 2])]
    assert sorted(len(stack.runs) for stack in planned) == [4, 4, 4, 12]
    assert len({shape_key(run) for run in runs}) == 4


def test_the_split_is_that_of_the_number():
    drawn, fixed, default = (
        build.data(expand([f"data.split_seed={value}", "seed=3"]).runs[0].config) for value in ("seed", "3", "0")
    )
    assert torch.equal(drawn.x_test, fixed.x_test) and torch.equal(drawn.x_train, fixed.x_train)
    assert not torch.equal(drawn.y_test, default.y_test)
    large = build.data(expand(["data.split_seed=seed", f"seed={2**40 + 3}"]).runs[0].config)
    assert torch.equal(large.x_test, drawn.x_test)  # the seed of a split has 32 bits


@pytest.mark.slow
def test_runs_are_those_of_the_numbers(tmp_path):
    """Seed 1 of a sweep with `seed` is the run that was asked for with split_seed=1 and seed=1, bit for bit."""
    drawn = trained(tmp_path / "drawn", "data.split_seed=seed", seeds=2)
    fixed = trained(tmp_path / "fixed", "data.split_seed=1", "seed=1")
    ones = drawn.runs[drawn.runs["seed"] == 1].set_index("init")
    for init, run in fixed.runs.set_index("init").iterrows():
        assert (ones.loc[init, "test_acc"], ones.loc[init, "test_loss"]) == (run["test_acc"], run["test_loss"])
    assert cell_axes(drawn.runs) == ["init", "act", "depth"]
    assert len(Contests.of(drawn)) == 1  # not one per seed


TOY = """\
import torch
from initbench.parts.data import Raw

def toy():
    x, y = torch.randn(60, 4, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 3
    return Raw(x, y, x, y, classes=3)
"""


def test_data_with_a_test_part_has_no_split_to_draw(tmp_path, monkeypatch):
    (tmp_path / "toys.py").write_text(TOY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "toys", raising=False)
    asked = ["data=toys.toy", "+data.split_seed=seed", "batch_size=20"]
    with pytest.raises(DoesNotFit, match=r"data\.split_seed=seed: this data has its own test part"):
        build.data(expand(asked).runs[0].config)
    first, second = (build.data(run.config).y_val for run in expand([*asked, "+data.val_fraction=0.5"], seeds=2).runs)
    assert not torch.equal(first, second)


def runs_of(split_of: dict[int, object]) -> list[dict]:
    return [finished(row(init, seed=seed) | {"run_id": f"{init} {seed} {split}", "data.split_seed": split})
            for init in ("he", "xavier") for seed, split in split_of.items()]  # fmt: skip


@pytest.mark.parametrize(
    "splits, by_seed",
    [
        ({0: "seed", 1: "seed"}, True),
        ({0: 0, 1: 1, 7: 7}, True),  # data.split_seed=${seed}
        ({0: 0, 1: 0}, False),
        ({0: 0}, False),
        ({0: 1, 1: 0}, False),
    ],
)
def test_the_report_knows_what_the_seed_draws(tmp_path, splits, by_seed):
    runs = results_of(tmp_path, *runs_of(splits)).runs
    assert split_by_seed(runs) == by_seed
    varies = not by_seed and len(set(splits.values())) > 1
    assert ("data.split_seed" in cell_axes(runs)) == varies


def test_beside_a_fixed_split_it_is_an_axis(tmp_path):
    mixed = results_of(tmp_path, *runs_of({0: 0, 1: 0}), *runs_of({0: "seed", 1: "seed"})).runs
    assert cell_axes(mixed) == ["init", "act", "depth", "data.split_seed"]
    assert set(mixed["data.split_seed"]) == {"0", "seed"}


@pytest.mark.slow
def test_there_is_no_ensemble_over_other_test_examples(tmp_path):
    from initbench.report.compose import report_on

    made = report_on(trained(tmp_path / "a", "data.split_seed=seed", "save_predictions=true", seeds=2), drawn=False)
    assert "ensemble_acc" not in made.summary
    made = report_on(trained(tmp_path / "b", "save_predictions=true", seeds=2), drawn=False)
    assert made.summary["ensemble_members"].tolist() == [2, 2]
