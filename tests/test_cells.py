"""Runs and cells as tables: axes, labels, scores by hand, and CSV read back with the types it had."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from initbench.analysis.axes import cell_axes
from initbench.analysis.cells import score
from initbench.analysis.contests import Contests
from initbench.analysis.summary import READ_CSV, run_table, summarize
from initbench.config.keys import BROUGHT_BY
from initbench.results.load import Results
from results_on_disk import accuracies, finished, results_of, row


def test_runs_are_labelled_by_their_initializer_and_its_swept_parameters(tmp_path):
    runs = [finished(row("normal", lr=lr, **{"init.std": std})) for lr in (0.01, 0.1) for std in (0.5, 2.0)]
    contests = Contests.of(results_of(tmp_path, *runs, finished(row("he", lr=0.1))))
    assert sorted(set(contests.runs["label"])) == ["he", "normal std=0.5", "normal std=2"]
    assert contests.axes == ["act", "depth", "lr"]


def test_the_rate_that_an_optimizer_brings_is_no_axis(tmp_path):
    rates = {"sgd": 0.01, "adam": 0.001}
    own = [finished(row(init, optim=optim, lr=lr)) for init in ("he", "xavier") for optim, lr in rates.items()]
    assert cell_axes(results_of(tmp_path / "own", *own).runs) == ["init", "act", "depth", "optim"]
    asked = [finished(row(optim=optim, lr=lr)) for optim in rates for lr in (0.01, 0.1)]
    assert cell_axes(results_of(tmp_path / "asked", *asked).runs) == ["init", "act", "depth", "optim", "lr"]
    more = finished(row(optim="sgd", lr=0.1))
    assert cell_axes(results_of(tmp_path / "more", *own, more).runs) == ["init", "act", "depth", "optim", "lr"]
    by_hand = [finished(row("he", lr=0.1)), finished(row("xavier", lr=0.01))]
    assert cell_axes(results_of(tmp_path / "hand", *by_hand).runs) == ["init", "act", "depth", "lr"]


def test_what_models_and_data_bring_is_no_axis(tmp_path):
    widths = [finished(row(model=model, width=width)) for model, width in (("mlp", 100), ("cnn", 32))]
    assert cell_axes(results_of(tmp_path / "model", *widths).runs) == ["init", "act", "depth", "model"]
    ratios = {"digits": 0.5, "text": 0.75}
    learned = [finished(row(data=data, **{"outcome.learned_ratio": ratio})) for data, ratio in ratios.items()]
    assert cell_axes(results_of(tmp_path / "data", *learned).runs) == ["init", "act", "depth", "data"]


def test_whatever_a_choice_brings_is_known():
    """Every root key that a YAML of a group sets, but the mitigations', whose keys are all theirs."""
    brought = set()
    for file in (Path(__file__).parents[1] / "conf").glob("*/*.yaml"):
        group, text = file.parent.name, file.read_text()
        if group != "mitigation" and text.startswith("# @package _global_"):
            keys = pd.json_normalize(OmegaConf.to_container(OmegaConf.create(text)))
            brought |= {(key, group) for key in keys if not key.startswith(f"{group}.")}
    assert {("lr", "optim"), ("width", "model")} < brought
    assert brought == set(BROUGHT_BY.items())


def test_scores_rank_a_diverged_run_below_all_and_a_missing_one_nowhere(tmp_path):
    runs = [*accuracies("he", 0.9, None), row(seed=2) | {"status": "failed", "error": "x"}, row(seed=3)]
    scores = score(results_of(tmp_path, *runs).runs)
    np.testing.assert_array_equal(scores, [0.9, -math.inf, math.nan, math.nan])


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Results:
    """Results with every kind of column: missing integers, truths and text, ids of digits, names that mean missing."""
    settings = {"init.std": 0.1, "data.train_size": 100, "model.bias": True}
    runs = [
        *accuracies("he", 1 / 3, None, 0.1 + 0.2, act="null"),
        *accuracies("normal", 0.7, 0.8, **settings),
        *accuracies("normal", 0.7, **settings | {"init.std": 1e-300, "data.train_size": 200, "model.bias": False}),
        row("NA", seed=5),
    ]
    runs[0] |= {"run_id": "0012345678901234", "first_last_grad_ratio": math.inf}
    runs[1] |= {"run_id": "12345678901234e5"}
    return results_of(tmp_path_factory.mktemp("mixed"), *runs, sweep="2024", stack="0042")


def kind(column: pd.Series) -> str:
    for name in ("bool", "integer", "float", "string"):
        if getattr(pd.api.types, f"is_{name}_dtype")(column):
            return name
    assert pd.api.types.infer_dtype(column, skipna=True) == "string", f"{column.name}: {column.dtype}"
    return "string"  # as pandas 2 has it: objects


@pytest.mark.parametrize("table", ["runs", "summary"])
def test_csv_round_trips_with_the_types_it_had(mixed, tmp_path, table):
    written = run_table(Contests.of(mixed)) if table == "runs" else summarize(Contests.of(mixed))
    written.to_csv(tmp_path / "table.csv", index=False)
    read = pd.read_csv(tmp_path / "table.csv", **READ_CSV)
    assert list(read) == list(written)
    for name in written:
        there = written[name].notna()
        assert (read[name].notna() == there).all(), name
        was, found = written[name][there].tolist(), read[name][there].tolist()
        if kind(read[name]) == "float":  # pandas 2 may miss the last digit
            assert found == pytest.approx(was, rel=1e-14, abs=0), name
        else:
            assert found == was, name
        assert not there.any() or kind(read[name]) == kind(written[name]), name


def test_the_kinds_that_the_round_trip_meets(mixed):
    kinds = {name: kind(column) for name, column in run_table(Contests.of(mixed)).items() if column.notna().any()}
    assert kinds["diverged_step"] == kinds["data.train_size"] == "integer" and kinds["model.bias"] == "bool"
    assert kinds["init.std"] == "float" and kinds["run_id"] == "string"
    assert {"0012345678901234", "12345678901234e5"} < set(mixed.runs["run_id"])
