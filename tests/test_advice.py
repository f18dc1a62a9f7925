"""What the diagnosis says to try: settings that are suspects, what learned in the sweep, and what is typed."""

# pandas annotates nearly everything as "Series or DataFrame or unknown": these checks see only that.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from initbench.analysis.contests import Contests
from initbench.analysis.diagnosis.diagnose import diagnose
from initbench.analysis.diagnosis.groups import grouped, ranges, skeleton
from initbench.analysis.diagnosis.rules import RULES
from initbench.analysis.diagnosis.settings import away_from_default, higher, lower
from initbench.config.grid import expand
from initbench.config.run import flatten
from initbench.report.page.names import Names
from initbench.report.sections.failures import FaultGroups
from results_on_disk import finished, row
from test_diagnosis import layers, saved

# ---------------------------------------------------------------- settings away from their defaults


def unusual(overrides: str) -> dict[str, tuple[str, str]]:
    """Each setting away from its default, and the override that takes it back, by key."""
    settings = dict(override.split("=", 1) for override in overrides.split())  # the last of a key
    (run, *_) = expand([f"{key}={value}" for key, value in settings.items()]).runs
    return {key: (str(setting), setting.reset) for key, setting in away_from_default(flatten(run)).items()}


@pytest.mark.parametrize(
    "overrides, expected",
    [
        ("", {}),
        ("depth=50 width=7 seed=3 init=xavier act=tanh", {}),  # what is compared
        ("optim=adam model=cnn data=adding model=lstm", {}),  # a choice's own defaults, such as Adam's rate
        ("init.gain=3", {"init.gain": ("init.gain=3", "init.gain=1")}),
        ("optim=adam lr=0.01", {"lr": ("lr=0.01", "lr=0.001")}),
        ("regularize.l1=0.1", {"regularize.l1": ("regularize.l1=0.1", "regularize.l1=null")}),
        ("data.standardize=none", {"data.standardize": ("data.standardize=none", "data.standardize=global")}),
        ("mitigation=weight_decay", {"regularize.weight_decay": ("mitigation=weight_decay", "mitigation=none")}),
        ("log_every=5 save_weights=true outcome.window=5", {}),
    ],
)
def test_settings_away_from_their_defaults(overrides, expected):
    assert unusual(overrides) == expected


def test_a_number_among_words_is_still_a_number():
    """A column that has "auto" in another row is text."""
    (run, *_) = expand(["init=lecun"]).runs
    assert not away_from_default(flatten(run) | {"init.gain": "1"})
    (setting,) = away_from_default(flatten(run) | {"init.gain": "auto"}).values()
    assert not any(suspect.fits(setting) for suspect in higher("init.gain") + lower("init.gain"))


def test_a_sentence_names_the_setting_and_its_default():
    (run, *_) = expand(["regularize.dropout=0.95", "lr=1"]).runs
    sentences = [setting.sentence for setting in away_from_default(flatten(run)).values()]
    assert sentences == ["lr is 1; its default is 0.01.", "regularize.dropout is 0.95; it is not set by default."]


# ---------------------------------------------------------------- made-up sweeps


def run_of(init: str, growth: float = 1.0, outcome: str = "stuck", seed: int = 0, **settings: Any) -> tuple:
    """A run of 20 layers whose gradients grow by a factor a layer towards the input."""
    run = finished(row(init, seed=seed, steps=40, log_every=20, **{"init.gain": 1.0} | settings), outcome)
    start = [{"pre_grad_norm": 0.1 * growth ** (19 - i)} for i in range(20)] + [{}]
    return run, [2.3] * 40, layers({0: start, 20: start})


def diagnosed(root: Path, *runs: tuple) -> pd.DataFrame:
    return diagnose(Contests.of(saved(root, *runs)))


def test_a_setting_that_fits_is_named_first_and_taken_back(tmp_path):
    (cell,) = diagnosed(tmp_path, run_of("he", 3.0, **{"init.gain": 3.0})).to_dict("records")
    assert (cell["fault"], cell["cause"], cell["try_first"]) == ("exploding", "init.gain=3", "init.gain=1")
    assert cell["evidence"].startswith("init.gain is 3; its default is 1. The gradient grows 3-fold per layer")


def test_a_setting_that_does_not_fit_is_not_named(tmp_path):
    """A gain below 1 does not make anything explode, a clipped gradient neither."""
    (cell,) = diagnosed(tmp_path, run_of("he", 3.0, **{"init.gain": 0.9, "gradient.clip_norm": 1.0})).to_dict("records")
    assert cell["fault"] == "exploding" and cell["cause"] is None and "is 0.9" not in cell["evidence"]


@pytest.mark.parametrize("init", ["xavier", "he", "lecun", "orthogonal"])
def test_what_explodes_is_not_given_larger_weights(tmp_path, init):
    """With Xavier's weights, He's would be larger. A gain over the growth per layer undoes it: 1/1.5 = 0.67."""
    (cell,) = diagnosed(tmp_path, run_of(init, 1.5)).to_dict("records")
    assert cell["advice"].startswith("Try init.gain=0.67 or mitigation=residual_learned. Use smaller weights, or")


def test_weights_that_do_not_follow_the_width_are_drawn_by_another_initializer(tmp_path):
    (cell,) = diagnosed(tmp_path, run_of("normal", 5.0, **{"init.std": 1.0})).to_dict("records")
    assert cell["try_first"] == "init=he"


def test_what_vanishes_is_not_given_smaller_weights(tmp_path):
    (cell,) = diagnosed(tmp_path, run_of("he", 0.5, act="tanh")).to_dict("records")
    assert cell["advice"].startswith("Try init=xavier or init.gain=2. Use weights that keep the size of signals,")


def test_where_the_weights_suit_the_activation_depth_is_the_fault(tmp_path):
    (cell,) = diagnosed(tmp_path, run_of("he", 0.5)).to_dict("records")
    assert cell["advice"].startswith("Try mitigation=residual_learned. ")


@pytest.mark.parametrize(
    "axis, failed, learned",
    [
        ("data.standardize", "global", "feature"),
        ("data.scale", 16.0, 1.0),
        ("init.gain", 3.0, 1.0),
        ("model.branch_scale", 1.0, 0.1),
        ("mitigation", "none", "layernorm"),
        ("optim.momentum", 0.999, 0.9),
        ("depth", 50, 20),
        ("batch_size", 1, 100),
    ],
)
def test_what_learned_in_the_sweep_comes_first_along_any_axis(tmp_path, axis, failed, learned):
    runs = [run_of("xavier", 3.0, **{axis: failed}), run_of("xavier", outcome="learned", **{axis: learned})]
    (cell,) = diagnosed(tmp_path, *runs).to_dict("records")
    (init,) = ["init=xavier "] if axis == "init.gain" else [""]
    learned = f"{learned:g}" if isinstance(learned, float) else learned
    assert cell["try_first"] == f"{init}{axis}={learned}"
    assert f"{axis}={learned} (learned in 1 of 1 runs)" in cell["advice"]


def test_other_data_is_no_cure(tmp_path):
    runs = [run_of("xavier", 3.0, data="digits"), run_of("xavier", outcome="learned", data="gaussian")]
    assert "gaussian" not in diagnosed(tmp_path, *runs)["advice"].item()


def test_a_network_that_only_memorized_proves_nothing(tmp_path):
    by_heart = {"train_acc": 1.0, "train_majority": 0.1, "test_acc": 0.1, "majority_acc": 0.1, "test_loss": 9.0}
    run, losses, rows = run_of("he", outcome="learned")
    cells = diagnosed(tmp_path, run_of("xavier", 3.0), (run | by_heart, losses, rows)).set_index("label")
    assert cells.loc["he", "fault"] == "memorized"
    assert "init=he" not in cells.loc["xavier", "advice"]


def test_more_steps_are_not_advised_where_the_test_part_is_at_chance(tmp_path):
    falling = [*[2.6] * 10, *[2.5] * 10, *[2.4, 2.41] * 5, *[2.3, 2.31] * 5]
    run, _, rows = run_of("he", outcome="slow")
    for accuracy, more in ((0.1, False), (0.5, True)):
        seen = run | {"train_acc": accuracy, "test_acc": accuracy, "train_majority": 0.1, "majority_acc": 0.1}
        (cell,) = diagnosed(tmp_path / str(accuracy), (seen | {"steps": 1000}, falling, rows)).to_dict("records")
        assert cell["fault"] == "too slow" and ("steps=" in cell["advice"]) == more, cell["advice"]


@pytest.mark.parametrize("settings", [{"init": "orthogonal"}, {"init": "xavier", "init.recurrent": "orthogonal"}])
def test_what_is_set_is_not_advised(tmp_path, settings):
    run, losses, rows = run_of(**settings, model="rnn", act="tanh")
    same = {"run_id": run["run_id"], "step": 0, "layer": 1, "name": "layers.0"}
    times = [same | {"time": time, "pre_grad_norm": 0.5 ** (9 - time)} for time in range(10)]
    (cell,) = diagnose(Contests.of(saved(tmp_path, (run, losses, rows), times=times))).to_dict("records")
    assert cell["fault"] == "vanishing over time" and cell["try_first"] == "model=lstm"
    assert "orthogonal" not in cell["advice"]


def test_no_rule_says_in_words_what_may_be_set_already():
    """Words in general are about no setting: what to type is checked against the run."""
    assert not [rule for rule in RULES if "=" in rule.advice]


def test_somebodys_own_model_is_not_given_what_it_may_not_have(tmp_path):
    """Whether it has an activation to choose or a place for a normalization is not known."""
    run, losses, rows = run_of("xavier", 1.5)
    run |= {"config": json.dumps({"model": {"_target_": "mine.Net"}})}
    (cell,) = diagnosed(tmp_path, (run, losses, rows)).to_dict("records")
    assert cell["advice"].startswith("Try init.gain=0.67. ")


def test_a_first_loss_off_scale_is_named_though_the_network_learned(tmp_path):
    run, losses, rows = run_of("he", outcome="learned", **{"init.gain": 5.0})
    (cell,) = diagnosed(tmp_path, (run, [46.0, *losses], rows)).to_dict("records")
    assert (cell["fault"], cell["failing"], cell["cause"]) == ("first loss too large", 1, "init.gain=5")
    assert diagnosed(tmp_path / "b", run_of("he", outcome="learned")).empty


# ---------------------------------------------------------------- groups


def test_sentences_that_differ_in_numbers_become_one():
    one = "Each layer passes back only 25 % of the gradient: norm 0.1 at layer 20, 4e-13 at layer 1."
    other = "Each layer passes back only 31 % of the gradient: norm 0.1 at layer 10, below 1e-38 at layer 1."
    assert skeleton(one) == skeleton(other)
    merged = ranges([one, other])
    assert merged == ranges([other, one])
    assert merged.startswith(
        "Each layer passes back only 25 to 31 % of the gradient: norm 0.1 at layer 10 to 20, below 1e-38 "
    )
    assert ranges([one]) == one


def test_names_of_modules_are_left_out_where_they_differ():
    one, other = (f"0.1 at layer {n} (net.{2 * n}, Linear)." for n in (3, 4))
    assert ranges([one, other]) == "0.1 at layer 3 to 4." and ranges([one, one]) == one


def test_cells_of_a_fault_and_an_activation_are_one_group(tmp_path):
    runs = [run_of("xavier", 0.5 + depth / 100, act="sigmoid", depth=depth) for depth in (10, 20, 30)]
    runs += [run_of("xavier", 0.5, act="relu", depth=10), run_of("he", 3.0, act="relu", depth=10)]
    table = diagnosed(tmp_path, *runs)
    groups = grouped(table)
    assert [(group.fault, group.act, len(group.cells)) for group in groups] == [
        ("vanishing", "sigmoid", 3),
        ("vanishing", "relu", 1),
        ("exploding", "relu", 1),
    ]
    assert "passes back only 60 to 80 % of the gradient" in groups[0].evidence
    assert sum(len(group.cells) for group in groups) == len(table)


def test_activations_of_which_the_same_is_said_are_together(tmp_path):
    zeros = {"unit_spread": 0.0, "act_var": 0.0, "update_ratio": math.nan}
    runs = []
    for act in ("relu", "tanh"):
        run, losses, _ = run_of("zeros", act=act)
        runs.append((run, losses, layers({0: [zeros] * 3, 20: [zeros] * 3})))
    (group,) = grouped(diagnosed(tmp_path, *runs))
    assert (group.fault, group.act) == ("symmetric units", "relu, tanh")
    assert group.advice.startswith("Try init=he in 1 cell, init=xavier in 1 cell. ")


def test_a_row_of_the_page_lists_its_cells_and_links_their_runs(tmp_path):
    runs = [run_of("xavier", 0.5 + depth / 100, act="sigmoid", depth=depth) for depth in (10, 20, 30)]
    contests = Contests.of(saved(tmp_path, *runs, run_of("he", 3.0, act="relu", depth=10)))
    listing = FaultGroups(diagnose(contests), Names(contests)).listing()
    (vanishing, exploding) = listing.rows
    assert [cell.value for cell in vanishing[:2]] == ["vanishing", "sigmoid"] and exploding[0].value == "exploding"
    for depth in (10, 20, 30):
        assert f"depth {depth}: " in vanishing[-1].html and f"depth={depth}" in vanishing[-1].html
    assert vanishing[-1].html.count("1 of 1 run") == 3 and "depth 20" not in exploding[-1].html
