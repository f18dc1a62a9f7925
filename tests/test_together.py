"""`--zip`: the values of several keys taken together, by hand."""

import numpy as np
import pytest

from initbench.config.grid import expand
from initbench.errors import InputError
from initbench.report.compose import report_on
from initbench.report.outputs import page
from initbench.results.load import load
from initbench.results.store import Store
from results_on_disk import curves_of, finished, joined, row


def cells(*overrides: str, zipped: list[str], seeds: int | None = None) -> list[tuple]:
    asked = expand(overrides, seeds=seeds, zipped=zipped)
    return [
        (run.choices["init"], run.choices["act"], run.config["init"].get("sigma_w"), run.config["seed"])
        for run in asked.runs
    ]


def test_the_first_goes_with_the_first():
    asked = ["init=mean_field", "act=tanh,relu,gelu", "init.sigma_w=1,1.5,1.5"]
    found = cells(*asked, zipped=["act,init.sigma_w"])
    assert found == [("mean_field", act, s, 0) for act, s in (("tanh", 1), ("relu", 1.5), ("gelu", 1.5))]


def test_all_else_is_every_combination_with_the_seed_fastest():
    """An initializer without a sigma_w has one run per activation."""
    found = cells(
        "init=mean_field,he", "act=tanh,relu", "init.sigma_w=1,1.5", zipped=["act, init.sigma_w"], seeds=2
    )  # fmt: skip
    mean_field = [("mean_field", act, s, seed) for act, s in (("tanh", 1), ("relu", 1.5)) for seed in (0, 1)]
    assert found == mean_field + [("he", act, None, seed) for act in ("tanh", "relu") for seed in (0, 1)]


def test_a_run_has_the_id_that_it_has_without_zip():
    together = {run.id for run in expand(["act=tanh,relu", "depth=3,5"], zipped=["act,depth"]).runs}
    assert together == {run.id for a in ("act=tanh depth=3", "act=relu depth=5") for run in expand(a.split()).runs}


def test_groups_go_together_and_each_zip_is_an_axis():
    asked = expand(
        ["data=digits,digits_rows", "model=mlp,lstm", "depth=1,2", "width=8,9"], zipped=["data,model", "width,depth"]
    )
    found = [
        (run.choices["data"], run.choices["model"], run.config["depth"], run.config["width"]) for run in asked.runs
    ]
    parts, sizes = [("digits", "mlp"), ("digits_rows", "lstm")], [(1, 8), (2, 9)]
    assert found == [part + size for part in parts for size in sizes]
    assert asked.zipped == [["data", "model"], ["width", "depth"]]


def test_other_names_of_keys_are_understood():
    assert len(expand(["activation=tanh,relu", "hidden_size=8,9"], zipped=["activation,hidden_size"]).runs) == 2


@pytest.mark.parametrize(
    ("zipped", "says"),
    [
        (["act"], "'act': takes two keys or more"),
        (["act,dept"], "no values of 'dept' are given; did you mean 'depth'?"),
        (["act,width"], "act has 2 values, width has 3 values; give each key as many values"),
        (["act,depth", "depth,lr"], "'depth' is already in a --zip"),
        (["act,act"], "'act' is already in a --zip"),
    ],
)
def test_bad_zips_are_one_line(zipped: list[str], says: str):
    with pytest.raises(InputError, match=r"^--zip ") as error:
        expand(["act=tanh,relu", "depth=3,5", "width=8,9,10", "lr=1,2"], zipped=zipped)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_a_tuned_rate_is_tried_in_every_combination():
    with pytest.raises(InputError, match="leave lr out of --zip"):
        expand(["act=tanh,relu", "lr=tune"], zipped=["act,lr"])


def test_the_page_shows_runs_of_zipped_keys(tmp_path):
    """The summary names a following key by its leader; each run is counted in the row of its leader's value."""
    pairs = [("tanh", 1.0), ("relu", 1.414)]
    asked = [row("mean_field", act, 3, seed, **{"init.sigma_w": sigma}) for act, sigma in pairs for seed in (0, 1)]
    runs = [finished(run) for run in asked]
    store = Store(tmp_path)
    store.save_sweep("demo", info={"zipped": [["act", "init.sigma_w"]]}, runs=asked)
    curves = joined([curves_of(run, np.random.default_rng(0), 1.0) for run in runs])
    store.save_stack("ab", runs=runs, info={"stack_seconds": 1.0}, **curves)
    report = report_on(load(tmp_path), drawn=False)
    assert report.summary["init.sigma_w"].tolist() == ["by act", "by act"]
    assert all(str(sigma) in page(report, ()) for _, sigma in pairs)
