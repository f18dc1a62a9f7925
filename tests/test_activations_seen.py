"""A model of somebody's own that asks for no activation is called by the one that was seen in it, or by none."""

import json

import numpy as np
import pandas as pd
import pytest

from initbench.analysis.axes import without_unused
from initbench.analysis.contests import contest_title
from initbench.results.activations_seen import own_models, replaced


def runs_of(model: str, target: str, *acts: str) -> pd.DataFrame:
    config = json.dumps({"model": {"_target_": target}})
    ids = [f"{model}-{act}" for act in acts]
    return pd.DataFrame({"run_id": ids, "model": model, "act": acts, "config": config})


def layers_of(run_id: str, *activations: str | None) -> pd.DataFrame:
    return pd.DataFrame({"run_id": run_id, "layer": range(len(activations)), "activation": activations})


def test_only_own_models_with_one_activation_are_looked_at():
    """Which activation a model was given cannot be told apart any more once two are called alike."""
    runs = [
        runs_of("mlp", "initbench.parts.models.MLP", "relu"),
        runs_of("mine.Net", "mine.Net", "relu"),
        runs_of("mine.Any", "mine.Any", "relu", "tanh"),
        runs_of("mine.Odd", "mine.Odd", "mine.swirl"),
    ]
    assert own_models(pd.concat(runs, ignore_index=True)) == ["mine.Net"]


@pytest.mark.parametrize(
    ("seen", "act"),
    [
        (("tanh", "tanh", None), "tanh"),
        (("tanh", "sigmoid", None), "tanh + sigmoid"),
        (("gelu", "relu", None), "relu"),  # it has what it was given
        ((None, None), None),
    ],
)
def test_what_was_seen_stands_for_the_default(seen, act):
    runs = pd.concat([runs_of("mine.Net", "mine.Net", "relu"), runs_of("mlp", "initbench.MLP", "relu")])
    found = replaced(runs, layers_of("mine.Net-relu", *seen)).set_index("model")["act"]
    assert found["mine.Net"] == act if act else pd.isna(found["mine.Net"])
    assert found["mlp"] == "relu"


def test_what_was_not_recorded_changes_nothing():
    runs = runs_of("mine.Net", "mine.Net", "relu")
    assert replaced(runs, layers_of("mine.Net-relu")).equals(runs)


def test_a_title_names_no_activation_where_there_is_none():
    assert contest_title(["act", "depth"], ["tanh", 5]) == "tanh, depth 5"
    assert contest_title(["act", "depth"], [np.nan, 5]) == contest_title(["act", "depth"], [None, 5]) == "depth 5"


def test_a_title_names_no_depth_where_the_model_has_none():
    """It is null for all runs of that model, also for those that were not trained yet, and stays for the others."""
    runs = pd.DataFrame({"model": ["mine.Net", "mine.Net", "mlp"], "depth": [5, 7, 5], "width": [30, 30, 100]})
    assert without_unused(runs) is runs
    found = without_unused(runs.assign(unused=["depth", None, None]))
    assert contest_title(["act", "depth"], ["tanh", found["depth"][1]]) == "tanh"
    assert found["depth"].isna().tolist() == [True, True, False] and found["depth"][2] == 5
    assert found["width"].equals(runs["width"])
