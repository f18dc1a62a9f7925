"""Overrides become the runs that Hydra would compose one by one, with ids that last."""

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from initbench.config.completion import completion
from initbench.config.compose import _compose_shipped
from initbench.config.grid import expand
from initbench.config.registry import CONF, choices, describe, groups
from initbench.config.run import Run, flatten, run_id
from initbench.errors import InputError

OWN_YAMLS = {
    "init/mine.yaml": "defaults: [he, _self_]\ngain: ${lr}\nfan: ${width}\n",
    "act/steep.yaml": """\
# tanh(slope x).
# Source: me
_target_: mine.steep
slope: 2.0
nested: {a: 1, b: null}
""",
    "act/wide.yaml": """\
# @package _global_
width: 64
outcome: {window: 7}
act: {_target_: mine.wide, slope: 1.0}
""",
    "data/small.yaml": """\
# @package _global_
batch_size: 50
width: 16
outcome: {learned_ratio: 0.9}
data: {_target_: mine.small, train_size: null}
""",
    "mitigation/my_adam.yaml": """\
# @package _global_
# Adam with a decay that suits it.
# Source: me
defaults:
  - override /optim: adam
optim: {beta1: 0.8}
""",
    "mitigation/drop.yaml": """\
# @package _global_
batch_size: ${width}
model: {dropout: 0.1, inner: {rate: "${model.dropout}", text: "${act._target_} at ${depth}"}}
init: {bias: 0.5}
extra: null
""",
}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's own configuration folder, with a quote and a space in its name."""
    folder = tmp_path_factory.mktemp("the user's conf")
    for name, text in OWN_YAMLS.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def one(*overrides: str, config_dir: Path | None = None) -> Run:
    (run,) = expand(overrides, config_dir=config_dir).runs
    return run


# The merge is Hydra's


def by_hydra(overrides: list[str], config_dir: Path) -> tuple[dict[str, str], Any]:
    escaped = str(config_dir).replace("'", "\\'")
    searchpath = f"hydra.searchpath=['file://{escaped}']"
    composed = compose("config", [*overrides, searchpath], return_hydra_config=True)
    chosen = {group: composed.hydra.runtime.choices[group] for group in groups()}
    OmegaConf.set_struct(composed, False)
    del composed["hydra"]
    config: Any = OmegaConf.to_container(composed, resolve=True)
    return chosen, {key: value for key, value in config.items() if value != {}}  # `norm: none` has no keys


AXES = {
    "init": ["he", "xavier", "normal", "mine"],
    "act": ["relu", "leaky_relu", "steep", "wide"],
    "optim": ["sgd", "adam"],
    "data": ["digits", "gaussian", "small"],
    "model": ["mlp", "cnn", "logistic"],
    "mitigation": ["none", "my_adam", "drop"],
    "init.gain": ["1", "0.5", "auto", "'${width}'"],
    "init.bias": ["0", "1e-3"],
    "data.train_size": ["100", "null"],
    "depth": ["0", "3", "50"],
    "width": ["32", "'${steps}'"],
    "lr": ["0.1", "1"],
    "seed": ["0", "7"],
    "outcome.window": ["5", "10"],
    "+model.note": ["a", "'b, c'", "[1,{x:2}]"],
    "+data.tag": ["x", "null"],
    "++steps": ["10", "20"],
    "metrics": ["[dead,saturated]"],
}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_runs_are_what_hydra_composes(seed: int, own: Path):
    """10 points of each of 20 random grids, so 200 configurations."""
    draw = random.Random(seed)
    keys = draw.sample(sorted(AXES), k=7)
    if "mitigation" in keys:  # Hydra would let the command line win where the two contradict each other
        keys = [key for key in keys if key not in ("optim", "init.bias")]
    asked = {key: draw.sample(AXES[key], k=min(len(AXES[key]), 2)) for key in keys}
    runs = expand([f"{key}={','.join(values)}" for key, values in asked.items()], config_dir=own).runs
    of_grid = [(run.choices, run.config) for run in runs]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for _ in range(10):
            point = [f"{key}={draw.choice(values)}" for key, values in asked.items()]
            assert by_hydra(point, own) in of_grid, point


def test_mitigation_beats_group_and_the_command_line_refines_both(own: Path):
    run = one("mitigation=my_adam", "optim.beta2=0.9", "lr=0.5", config_dir=own)
    assert run.choices["optim"] == "adam"
    assert (run.config["optim"]["beta1"], run.config["optim"]["beta2"], run.config["lr"]) == (0.8, 0.9, 0.5)


def test_a_later_groups_root_defaults_beat_an_earlier_ones_and_base(own: Path):
    assert list(groups()).index("data") < list(groups()).index("act")
    run = one("data=small", "act=wide", "optim=adam", config_dir=own)
    assert (run.config["width"], run.config["batch_size"], run.config["lr"]) == (64, 50, 0.001)
    assert run.config["outcome"] == {"learned_ratio": 0.9, "window": 7}
    assert one("data=small", "act=wide", "width=8", config_dir=own).config["width"] == 8


def test_every_optimizer_has_its_own_default_rate(own: Path):
    assert one("mitigation=my_adam", config_dir=own).config["lr"] == one("optim=adam").config["lr"] == 0.001
    assert one("optim=sgd").config["lr"] == 0.01


@pytest.mark.parametrize(
    "overrides, says",
    [
        (["mitigation=my_adam", "optim=sgd"], "'optim=sgd': mitigation=my_adam sets optim=adam; leave one out"),
        (["optim=adam,sgd", "mitigation=none,my_adam"], "mitigation=my_adam sets optim=adam"),
        (["optim=my.optimizer", "mitigation=my_adam"], "mitigation=my_adam sets optim=adam"),
        (
            ["mitigation=my_adam", "optim.beta1=0.7"],
            "'optim.beta1=0.7': mitigation=my_adam sets optim.beta1=0.8; leave",
        ),
        (["mitigation=none,my_adam", "optim=adam", "optim.beta1=0.8,0.7"], "mitigation=my_adam sets optim.beta1=0.8"),
        (["mitigation=drop", "init.bias=0"], "mitigation=drop sets init.bias=0.5"),
        (["mitigation=drop", "batch_size=100"], "mitigation=drop sets batch_size=${width}"),
        (["mitigation=drop", "++model.inner.rate=1"], "mitigation=drop sets model.inner.rate=${model.dropout}"),
        (["mitigation=drop", "extra=1"], "mitigation=drop sets extra=null"),
    ],
)
def test_a_contradiction_of_a_mitigation_is_an_error(overrides: list[str], says: str, own: Path):
    with pytest.raises(InputError, match=re.escape(says)):
        expand(overrides, config_dir=own)


def test_saying_what_a_mitigation_says_is_none(own: Path):
    plain = one("mitigation=my_adam", config_dir=own)
    assert one("mitigation=my_adam", "optim=adam", "optim.beta1=0.80", config_dir=own) == plain
    runs = expand(["mitigation=none,my_adam", "optim=adam", "optim.beta1=0.8"], config_dir=own).runs
    assert [run.config["optim"]["beta1"] for run in runs] == [0.8, 0.8]


def test_a_parameter_of_what_a_mitigation_chooses_applies_to_its_cells(own: Path):
    runs = expand(["mitigation=none,my_adam", "optim.beta2=0.9,0.99"], config_dir=own).runs
    assert [run.config["optim"].get("beta2") for run in runs] == [None, 0.9, 0.99]


@pytest.mark.slow
def test_a_grid_of_10_000_runs_needs_one_compose(monkeypatch: pytest.MonkeyPatch):
    """A YAML without a defaults list is its own composition: only the root keys are Hydra's business."""
    calls = []
    _compose_shipped.cache_clear()
    monkeypatch.setattr("initbench.config.compose.compose", lambda *args: calls.append(args) or compose(*args))
    inits, acts = choices("init")[:10], choices("act")[:10]
    overrides = [f"init={','.join(inits)}", f"act={','.join(acts)}", "depth=range(1,6)"]
    assert len(expand(overrides, seeds=20).runs) == 10_000
    assert len(calls) == 1


# The grid


def test_order_is_that_of_the_axes_with_seeds_fastest():
    asked = expand(["seed=1,0", "act=tanh,relu", "depth=2,1"])
    order = [(run.choices["act"], run.config["depth"], run.config["seed"]) for run in asked.runs]
    assert order == [(act, depth, seed) for act in ("tanh", "relu") for depth in (2, 1) for seed in (1, 0)]
    assert list(asked.axes.items()) == [("act", ["tanh", "relu"]), ("depth", [2, 1]), ("seed", [1, 0])]


def test_a_parameter_multiplies_only_the_choices_that_have_it():
    runs = expand(["init=he,normal", "init.std=0.01,1"]).runs
    assert [(run.choices["init"], run.config["init"].get("std")) for run in runs] == [
        ("he", None),
        ("normal", 0.01),
        ("normal", 1.0),
    ]
    reordered = expand(["init.std=0.01,1", "init=he,normal"]).runs
    assert {run.id for run in reordered} == {run.id for run in runs}
    there = "bias, bias_std, forget_bias, freeze, gain, recurrent"
    with pytest.raises(InputError, match=f"init=he has no 'std'; there is {there}"):
        expand(["init=he", "init.std=1"])


def test_seeds_is_a_range_of_seeds():
    assert expand([], seeds=3) == expand(["seed=range(0,3)"])
    assert [run.config["seed"] for run in expand([], seeds=3).runs] == [0, 1, 2]


@pytest.mark.parametrize(
    ("override", "depths"),
    [
        ("depth=1,2", [1, 2]),
        ("depth=choice(1,2)", [1, 2]),
        ("depth=range(1,7,2)", [1, 3, 5]),
        ("depth=range(3,0,-1)", [3, 2, 1]),
        ("depth=range(3)", [0, 1, 2]),
        ("depth=sort(3,1,2)", [1, 2, 3]),
        ("depth=sort(range(1,4),reverse=true)", [3, 2, 1]),
        ("depth=int(1.0,2.0)", [1, 2]),
        ("depth=tag(deep,choice(1,2))", [1, 2]),
        ("depth=1,2,1", [1, 2]),
        ("depth= 4 ", [4]),
    ],
)
def test_hydras_sweep_grammar(override: str, depths: list[int]):
    assert [run.config["depth"] for run in expand([override]).runs] == depths


def test_a_range_of_fractions_and_a_shuffled_one():
    assert [run.config["lr"] for run in expand(["lr=range(0.5,2,0.5)"]).runs] == [0.5, 1.0, 1.5]
    assert sorted(run.config["depth"] for run in expand(["depth=shuffle(range(0,5))"]).runs) == [
        0,
        1,
        2,
        3,
        4,
    ]


def test_glob_chooses_among_the_choices_of_a_group():
    found = [run.choices["init"] for run in expand(["init=glob(xavier*)"]).runs]
    assert found == ["xavier", "xavier_normal", "xavier_truncated"]
    everything = expand(["act=glob(*,exclude=relu)"]).runs
    assert {run.choices["act"] for run in everything} == set(choices("act")) - {"relu"}


def test_quotes_are_hydras():
    assert one("+model.note='a, b'").config["model"]["note"] == "a, b"
    assert one('+model.note="it\'s"').config["model"]["note"] == "it's"
    assert one("+model.note=a\\,b").config["model"]["note"] == "a,b"
    assert one("init='he'").choices["init"] == "he"


@pytest.mark.parametrize("override", ["+foo=1", "+experiment=a,b", "++foo=1", "+outcome.x=1", "+foo=null", "+run_id=x"])
def test_a_key_that_nothing_reads_is_refused(override: str):
    with pytest.raises(InputError, match=f"nothing reads '{override.strip('+').partition('=')[0]}'"):
        expand([override])


def test_the_environment_can_hold_numbers(monkeypatch: pytest.MonkeyPatch):
    for name, text in {"DEPTH": "7", "RATE": "1e-1", "STD": "2", "WEIGHTS": "true", "WORD": "seed"}.items():
        monkeypatch.setenv(name, text)
    ours = ["depth=7", "lr=0.1", "init=normal", "init.std=2", "save_weights=true", "data.split_seed=seed"]
    theirs = ["depth='${oc.env:DEPTH}'", "lr='${oc.env:RATE}'", "init=normal", "init.std='${oc.env:STD}'"]
    theirs += ["save_weights='${oc.env:WEIGHTS}'", "data.split_seed='${oc.env:WORD}'"]
    assert one(*theirs) == one(*ours) and one(*theirs).config["init"]["std"] == 2
    assert one("depth='${oc.env:NOT_SET,7}'").config["depth"] == 7
    with pytest.raises(InputError, match="'depth' must be a whole number of at least 0, not 'seed'"):
        expand(["depth='${oc.env:WORD}'"])
    with pytest.raises(InputError, match="Environment variable 'NOT_SET' not found"):
        expand(["depth='${oc.env:NOT_SET}'"])


def test_a_key_that_another_refers_to_is_read():
    runs = expand(["+size=3,4", "depth='${size}'", "+wide.by=2", "width='${wide.by}'"]).runs
    assert [(run.config["depth"], run.config["width"]) for run in runs] == [(3, 2), (4, 2)]


def test_a_mitigation_sets_nothing_that_nothing_reads(tmp_path: Path):
    (tmp_path / "mitigation").mkdir()
    (tmp_path / "mitigation" / "slip.yaml").write_text("# @package _global_\ndephts: 3\n")
    with pytest.raises(InputError, match="mitigation=slip: nothing reads the key 'dephts'; did you mean 'depth'"):
        expand(["mitigation=slip"], config_dir=tmp_path)


def test_the_same_run_asked_for_twice_is_one_run():
    assert len(expand(["lr=1,1.0", "init=he,he"]).runs) == 1


# Equal tuning

TENTHS = [0.001, 0.00316, 0.01, 0.0316, 0.1]


def test_tune_is_the_same_grid_of_rates_in_every_cell():
    asked = expand(["init=he,normal", "init.std=0.1,1", "lr=tune", "tune.low=0.001", "tune.high=0.1", "tune.rates=5"])
    assert asked.axes["lr"] == TENTHS
    assert len(asked.runs) == 3 * 5
    budget = {"low": 0.001, "high": 0.1, "rates": 5}
    assert all({k: v for k, v in run.config["tune"].items() if v is not None} == budget for run in asked.runs)
    assert [run.config["lr"] for run in asked.runs[:5]] == TENTHS
    assert {run.config["data"]["val_fraction"] for run in asked.runs} == {0.2}


def test_the_rates_that_are_tried_unless_others_are_asked_for():
    rates = expand(["lr=tune"]).axes["lr"]
    assert rates == [0.0001, 0.000316, 0.001, 0.00316, 0.01, 0.0316, 0.1, 0.316, 1.0]  # half a decade each
    assert expand(["tune.rates=2", "lr=tune", "tune.low=null"]).axes["lr"] == [0.0001, 1.0]
    assert expand(["lr=tune", "tune.low=0.123456", "tune.high=10", "tune.rates=2"]).axes["lr"] == [0.123456, 10]


def test_several_keys_are_tuned_on_one_grid_and_a_choice_that_lacks_one_by_the_others():
    asked = expand(["init=he,zeros", "lr=tune", "tune.rates=3", "init.gain=tune"])
    assert asked.axes["lr"] == [0.0001, 0.01, 1.0] and asked.axes["init.gain"] == [0.25, 0.5, 1.0, 2.0, 4.0]
    assert [run.choices["init"] for run in asked.runs] == ["he"] * 15 + ["zeros"] * 3
    assert all(run.config["tune"]["init"] == {"gain": [0.25, 4.0, "log"]} for run in asked.runs)
    linear = expand(["init.gain=tune", "tune.init.gain=[0,2,linear]", "tune.points=3"]).axes
    assert linear == {"init.gain": [0.0, 1.0, 2.0]}
    assert expand(["batch_size=tune", "tune.points=3"]).axes == {"batch_size": [16, 64, 256]}


def test_a_setting_is_one_run_whatever_it_was_tuned_with():
    by_rate = {run.id for run in expand(["lr=tune"]).runs}
    by_both = {run.id for run in expand(["lr=tune", "init.gain=tune"]).runs}
    assert by_rate < by_both  # those of gain 1
    assert one("data.val_fraction=0.2").id not in by_both


def test_a_run_that_is_not_tuned_knows_nothing_of_it():
    assert set(one("lr=0.001").config["tune"].values()) == {None}
    assert one("lr=0.001", "data.val_fraction=0.2").id not in {run.id for run in expand(["lr=tune"]).runs}


def test_to_widen_the_grid_trains_only_the_rates_that_are_new():
    narrow, wide = expand(["lr=tune"], seeds=2).runs, expand(["lr=tune", "tune.high=10", "tune.rates=11"], seeds=2).runs
    new = {run.id for run in wide} - {run.id for run in narrow}
    assert {run.config["lr"] for run in wide if run.id in new} == {3.16, 10.0}
    assert len(new) == 2 * 2


def test_a_validation_part_of_the_users_stays(own: Path):
    def fractions(*overrides: str) -> set[float]:
        return {run.config["data"]["val_fraction"] for run in expand(["lr=tune", *overrides], config_dir=own).runs}

    assert fractions("data.val_fraction=0.1,0.3") == {0.1, 0.3}
    assert fractions("data=my.data") == fractions("data=small") == {0.2}
    assert fractions("mitigation=none,my_adam") == {0.2}


@pytest.mark.parametrize(
    "overrides, says",
    [
        (
            ["lr=tune,0.1"],
            "'lr=tune,0.1': 'tune' already stands for several rates; did you mean lr=tune or rates alone?",
        ),
        (["tune.low=0.1"], "'tune.low=0.1': 'tune.low' is used only with lr=tune"),
        (["lr=0.1", "tune.rates=5"], "'tune.rates=5': 'tune.rates' is used only with lr=tune"),
        (["lr=tune", "tune.low=2"], "'lr=tune' 'tune.low=2': tune.low=2 must be below tune.high=1"),
        (["lr=tune", "tune.rates=1"], "'tune.rates' must be a whole number of at least 2, or null, not 1"),
        (["lr=tune", "tune.high=-1"], "'tune.high' must be a number above 0, or null, not -1"),
        (["lr=tune", "tune.low='${width}'"], "'tune.low' must be a number above 0"),
        (["lr=tune", "tune.rates=9999"], "9999 rates from 0.0001 to 1 are too close; did you mean fewer?"),
        (["lr=tune", "tune.rates=1000001"], "more than 1,000,000 runs"),
        (["lr=tune", "seed=range(200000)"], "more than 1,000,000 runs"),
        (["lr=tune", "tune.high=1,10"], "every combination is tuned with the same rates; give one value"),
        (["lr=tune", "tune={low: 1}"], "given key by key, as in tune.low=..."),
        (["lr=tune", "tune.lo=1"], "there is no key 'tune.lo'; did you mean 'tune.low'?"),
        (
            ["lr=tune", "data.val_fraction=0"],
            "lr=tune chooses by validation loss; did you mean data.val_fraction=0.2",
        ),
        (["lr=tune", "data.val_fraction=0.2,null"], "lr=tune chooses by validation loss"),
        (["init.gain=tune", "tune.init.gain=[4,1]"], "the lowest value, 4, must be below the highest, 1; did you mean"),
        (["init.gain=tune", "tune.init.gain=[0,1]"], "a log scale begins above 0, not at 0; did you mean"),
        (["init.gain=tune", "tune.init.gain=3"], "'tune.init.gain' must be [low,high], [low,high,log] or"),
        (["batch_size=tune", "tune.batch_size=[1.5,9]"], "'batch_size' takes whole numbers; give two of them"),
        (["tune.init.gain=[1,2]", "lr=tune"], "'tune.init.gain' is used only with init.gain=tune"),
        (
            ["optim.beta1=tune"],
            "no range is known for 'optim.beta1'; did you mean to give one, as in tune.optim.beta1=[",
        ),
        (["init.gian=tune"], "there is no key 'init.gian'; did you mean init.gain=tune?"),
        (["init=zeros", "init.gain=tune"], "init=zeros has no 'gain'"),
        (["precision=tune"], "'precision' is not a number, so it can't be tuned; the default is 'float32'"),
        (["act=tune"], "no act 'tune'"),
        (["depth=tune"], "'depth' can't be tuned, as it says what is compared"),
        (["lr=tune", "tune.tuner=bayes"], "'tune.tuner' must be grid, random or tpe, or null, not 'bayes'"),
        (["lr=tune", "tune.trials=4"], "'tune.trials' is not used with --tuner grid; leave it out"),
        (["lr=tune", "tune.tuner=tpe", "tune.rates=4"], "'tune.rates' is not used with --tuner tpe; leave it out"),
        (["lr=tuned"], "'lr' must be a number above 0, or the word tune, not 'tuned'"),
    ],
)
def test_what_cannot_be_tuned(overrides: list[str], says: str):
    with pytest.raises(InputError, match=re.escape(says)):
        expand(overrides)


# The user's own function


def test_a_dotted_path_is_a_choice_with_only_the_keys_given():
    run = one("init._target_=my.package.init", "init.anything=[1,2]")
    assert run.choices["init"] == "my.package.init"
    assert run.config["init"] == {"_target_": "my.package.init", "anything": [1, 2]}
    assert one("init=my.package.init", "init.anything=[1,2]") == run


def test_a_dotted_path_can_be_compared_with_what_is_shipped():
    runs = expand(["init=he,my.init", "init.gain=1,2"]).runs
    assert [(run.choices["init"], run.config["init"]["gain"]) for run in runs] == [
        ("he", 1),
        ("he", 2),
        ("my.init", 1),
        ("my.init", 2),
    ]


def test_every_group_can_be_the_users_own():
    own_of_all = [f"{group}=my.{group}" for group in groups() if group != "mitigation"]
    run = one(*own_of_all)
    assert run.choices == {group: f"my.{group}" for group in groups()} | {"mitigation": "none"}
    assert run.config["depth"] == one().config["depth"]


# Ids


def test_an_id_never_changes():
    """People's finished runs are found by their ids: were this one to change, all would be trained again.

    So the id stays, and what changed it (a default, a renamed key, a new key not null by default) goes.
    """
    assert one("init=he", "act=relu", "depth=20").id == "cce05d5b6ef6a75d"


@pytest.mark.slow
def test_an_id_is_the_same_in_any_process_and_order():
    code = "import sys; from initbench.config.grid import expand; print(expand(sys.argv[1:]).runs[0].id)"
    overrides = ["depth=7", "init=normal", "init.std=0.5", "lr=1"]
    for hash_seed in ("1", "2"):
        overrides.reverse()
        said = subprocess.run(
            [sys.executable, "-c", code, *overrides],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert said.stdout.strip() == one("lr=1.0", "init.std=.5", "init=normal", "depth=7").id


WITHOUT_EFFECT = [
    "log_every=7",
    "eval_every=7",
    "save_weights=true",
    "save_predictions=true",
    "metrics=[dead]",
    "data.data_dir=x",
]


@pytest.mark.parametrize("override", [*WITHOUT_EFFECT, "data.data_dir=x", "data.download=true", "data.train_size=null"])
@pytest.mark.slow
def test_keys_without_effect_on_training_are_no_part_of_an_id(override: str):
    assert one("data=mnist", override).id == one("data=mnist").id


PATIENT = ["regularize.patience=3", "data.val_fraction=0.2"]


def test_the_time_between_evaluations_is_part_of_an_id_where_it_decides_when_a_run_stops(tmp_path: Path):
    (tmp_path / "mitigation").mkdir()
    (tmp_path / "mitigation" / "patient.yaml").write_text("# @package _global_\nregularize: {patience: 3}\n")
    assert one(*PATIENT, "eval_every=200").id == one(*PATIENT).id
    for overrides in (PATIENT, ["mitigation=patient"]):
        found = expand([*overrides, "eval_every=50,200", "log_every=7"], config_dir=tmp_path)
        assert found.axes == {"eval_every": [50, 200]}
        assert len({run.id for run in found.runs}) == 2
        assert found.runs[1].id == one(*overrides, config_dir=tmp_path).id


def test_a_run_that_no_evaluation_stops_is_one_run_however_often_it_is_evaluated():
    found = expand(["regularize.patience=null,3", "data.val_fraction=0.2", "eval_every=50,100"]).runs
    told = [(run.config["regularize"]["patience"], run.config["eval_every"]) for run in found]
    assert told == [(None, 50), (3, 50), (3, 100)]
    with pytest.raises(InputError, match=r"'eval_every' has no effect on training without regularize\.patience, so it"):
        expand(["eval_every=50,100"])
    with pytest.raises(InputError, match=r"'log_every' has no effect on training, so it can't be swept"):
        expand([*PATIENT, "log_every=10,20"])


def different(key: str, value: Any) -> Any:
    return {
        "data.standardize": "none",
        "data.train_size": 100,
        "outcome.learned_ratio": 0.4,
        "optim.nesterov": "true",
        "lr_factors": "[bias:0.1]",
        "init.freeze": 1,
    }.get(key, value + 1 if isinstance(value, int | float) else None)


@pytest.mark.slow
def test_every_other_key_is_part_of_an_id():
    without = {override.split("=")[0] for override in [*WITHOUT_EFFECT, "data.data_dir"]} | {"run_id", *groups()}
    keys = {key: value for key, value in flatten(one()).items() if key not in without}
    keys = {key: value for key, value in keys.items() if not key.startswith(("tune.", "distill."))}
    ids = [one(f"{key}={different(key, value)}").id for key, value in keys.items()]
    assert len({one().id, *ids}) == len(keys) + 1 >= 15


def test_every_choice_is_part_of_an_id():
    for group in ("init", "act", "data", "optim"):
        runs = expand([f"{group}=glob(*)"]).runs
        assert len(runs) == len({run.id for run in runs}) == len(choices(group))


@pytest.mark.slow
def test_one_and_one_point_zero_are_one_run():
    assert one("lr=1") == one("lr=1.0")
    assert one("init.gain=1").id == one("init.gain=1.0").id
    assert one("+act.note=[1,2]").id == one("+act.note=[1.0,2.0]").id
    assert one("init.gain=1").id != one("init.gain=1.5").id


def test_a_new_key_at_null_changes_no_id(own: Path):
    assert one("+data.later=null").id == one().id
    run = one()
    assert run_id(run.choices, {}, run.config | {"later": None}) == run_id(run.choices, {}, run.config)
    assert one("+init.later=null").id == one().id


def test_a_choices_code_may_move_but_a_users_may_not(tmp_path: Path):
    """Two users' YAMLs of one name are told apart by their targets; a shipped target isn't looked at."""
    ids = set()
    for target in ("mine.a", "mine.b", "initbench.parts.inits.he"):
        (tmp_path / "init").mkdir(exist_ok=True)
        (tmp_path / "init" / "own.yaml").write_text(f"_target_: {target}\n")
        ids.add(one("init=own", config_dir=tmp_path).id)
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("name", "yaml", "run_id"),
    [
        ("bare", "_target_: mine.data\n", "c8c82fe4aaf5cc28"),
        ("stated", "_target_: mine.data\nstandardize: global\n", "3692d70e6c94184a"),
        ("child", "defaults: [digits, _self_]\nval_fraction: 0.1\n", "5e77882be5cd2182"),
    ],
)
def test_shared_keys_that_a_users_yaml_leaves_out_change_no_id(name: str, yaml: str, run_id: str, tmp_path: Path):
    """Ids of version 0.1.0, in which a user's YAML had the keys that it stated or inherited, and no others."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / f"{name}.yaml").write_text(yaml)
    run = one(f"data={name}", config_dir=tmp_path)
    assert run.id == run_id
    assert run.config["data"]["standardize"] == "global" and run.config["data"]["split_seed"] == 0
    assert one(f"data={name}", "data.split_seed=1", config_dir=tmp_path).id != run.id


# Rows, descriptions, completion


def test_a_row_has_every_choice_and_key():
    row = flatten(one("init=normal", "init.std=0.5", "metrics=[dead]"))
    assert row["init"] == "normal" and row["init.std"] == 0.5 and row["mitigation"] == "none"
    assert row["outcome.window"] == 20 and row["data.train_size"] is None
    assert json.loads(row["metrics"]) == ["dead"]
    assert not any("_target_" in key for key in row)
    assert list(row)[: 1 + len(groups())] == ["run_id", *groups()]


def test_every_choice_says_what_it_is():
    for group in groups():
        for choice in describe(group):
            assert choice.sentence and choice.source, choice
            assert "_target_" not in choice.parameters


def test_a_users_yaml_is_described_too(own: Path):
    steep = next(choice for choice in describe("act", own) if choice.name == "steep")
    assert (steep.sentence, steep.source) == ("tanh(slope x).", "me")
    assert steep.parameters == {"slope": 2.0, "nested": {"a": 1, "b": None}}
    adam = next(choice for choice in describe("mitigation", own) if choice.name == "my_adam")
    assert (adam.sentence, adam.source) == ("Adam with a decay that suits it.", "me")


def test_completion(own: Path):
    assert completion("dep") == ["depth="]
    assert {"init=", "lr=", "outcome.window="} <= set(completion(""))
    assert completion("init=xav") == ["init=xavier", "init=xavier_normal", "init=xavier_truncated"]
    assert completion("init=he,xavier,xav") == ["init=he,xavier,xavier_normal", "init=he,xavier,xavier_truncated"]
    assert completion("init.st") == ["init.std=", "init.steps="]
    assert completion("lr=") == ["lr=tune"]
    assert completion("act=st", own) == ["act=steep"]
    assert completion("save_weights=") == ["save_weights=true", "save_weights=false"]
    assert completion("nonsense=") == completion("depth=1") == completion("x.y") == []
    assert completion("init=", own / "missing") == []
