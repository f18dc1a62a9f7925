"""Why runs failed: each rule on cases with exactly one fault, made up and really trained."""

# pandas annotates nearly everything as "Series or DataFrame or unknown": these checks see only that.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

import math
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from initbench.analysis.contests import Contests
from initbench.analysis.diagnosis.diagnose import diagnose
from initbench.analysis.diagnosis.measurements import NUMBERS, measured
from initbench.analysis.diagnosis.rules import RULES, first_rule
from initbench.analysis.layer_names import readable, spans, stage
from initbench.results.load import Results, load
from initbench.results.store import Store
from results_on_disk import CONSTANT_LOSS, LAYER_METRICS, finished, made_up_sweep, row

UNEXPLAINED = "unexplained"

# A stuck ReLU network of 20 layers in which nothing is wrong that is measured.
HEALTHY: dict[str, Any] = {
    **{"outcome": "stuck", "act": "relu", "width": 100, "input_mean": 5.0, "input_std": 6.0, "input_size": 1.0},
    **{"constant_loss": CONSTANT_LOSS, "hidden_layers": 20, "inequality": 0.8, "dead": 0.3, "saturated": 0.6},
    **{"saturated_mean": 0.5, "grad_first": 0.1, "grad_last": 0.1, "grad_ratio": 1.0, "grad_growth": 1.0},
    **{"signal_first": 0.6, "signal_last": 0.3, "signal_ratio": 0.5, "signal_growth": 0.96, "output_spread": 0.4},
    **{"output_size": 1.2, "nonfinite": 0, "update_ratio": 1e-3, "largest_update": 5e-3, "distance": 2.0},
    **{"first_loss": 2.6, "peak_loss": 2.6, "third_quarter_loss": 2.3, "last_quarter_loss": 2.3, "fall_errors": 0.1},
    **{"train_loss": 2.3, "diverged_step": math.nan, "dead_at_end": 0.3, "saturated_at_end": 0.6},
    **{"output_spread_at_end": 0.4, "seen_distinct": 2000, "classes": 10, "least_inequality": 0.8},
    **{"neighbour_agreement": 0.9, "neighbour_chance": 0.1, "train_majority": 0.1, "majority_acc": 0.1},
    **{"train_acc": 0.4, "test_acc": 0.4, "full_train_loss": 2.3, "test_loss": 2.3},
    **{"lr": 0.01, "steps": 1000, "batch_size": 100, "optim.momentum": 0.9, "depth": 20},
}  # other numbers were not measured


def fault(**changes: Any) -> str:
    """The fault of a healthy run with these numbers changed."""
    return RULES[first_rule(pd.DataFrame([HEALTHY | changes]))[0]].fault


# ---------------------------------------------------------------- the rules, one fault at a time


def test_where_nothing_is_wrong_nothing_is_named():
    assert fault() == UNEXPLAINED


@pytest.mark.parametrize(
    "expected, changes",
    [
        ("nothing to learn", {"input_std": 0.0}),
        ("nothing to learn", {"seen_distinct": 1}),  # the same picture for all
        ("nothing to learn", {"constant_loss": 0.0}),
        ("inputs off scale", {"input_size": 255.0}),
        ("inputs off scale", {"input_size": 0.01}),
        ("features of unequal scale", {"seen_std_median": 0.003, "seen_std_max": 4.5, "seen_mean_max": 6.5}),
        ("features of unequal scale", {"seen_std_median": 0.003, "seen_std_max": 0.005, "seen_mean_max": 7.9}),
        # of 1000 neighbours 10 % agree by chance, with a standard error of 0.95 %
        ("labels unrelated to inputs", {"neighbour_agreement": 0.12, "test_acc": 0.12}),
        ("noisy labels", {"neighbour_agreement": 0.15}),
        ("activation before the loss", {"output_kind": "probabilities"}),
        ("symmetric units", {"inequality": 0.0}),
        ("symmetric units", {"inequality": 1.2e-7}),  # what float32's rounding leaves
        ("symmetric units", {"least_inequality": 0.0}),  # in one layer
        # 1/q^(L/2) = 20 for the 20 layers of this network at q = 0.74
        ("dropout too strong", {"regularize.dropout": 0.27}),
        ("dropout too strong", {"regularize.dropconnect": 0.27}),
        ("biases too large", {"init.bias": 1.0}),
        ("biases too large", {"init.bias": -10}),
        ("dead units", {"dead": 1.0}),
        ("dead units", {"dead_at_end": 1.0}),
        ("saturated", {"act": "tanh", "saturated_mean": 0.83}),
        ("saturated", {"act": "tanh", "saturated": 1.0}),
        ("saturated", {"act": "tanh", "saturated_at_end": 1.0}),
        ("exploding", {"grad_ratio": 2.4**19}),
        ("exploding", {"signal_ratio": 7.0**19}),
        ("exploding", {"output_spread": 57.0}),
        ("exploding", {"outcome": "diverged", "diverged_step": 0, "nonfinite": 100, "signal_growth": 1e3}),
        ("clipping too tight", {"gradient.clip_norm": 1e-4, "gradient_kept": 0.049, "distance": 0.9}),
        # 0.01 * 1000 / (1 - 0.9) = 100: by itself, 0.01 shrinks weights e-fold in that time
        ("penalty too strong", {"regularize.weight_decay": 0.01, "output_spread_at_end": 0.019}),
        ("penalty too strong", {"optim.momentum": 0.0, "regularize.decoupled": 0.1, "output_spread_at_end": 0.0}),
        # the same 100 times 0.001 moves a weight by 0.1, as large as a typical one of 100 inputs
        ("penalty too strong", {"regularize.l1": 0.001, "output_spread_at_end": 0.019}),
        # Adam's steps are as long as its rate, 0.001 * 1000, whatever the penalty
        (
            "penalty too strong",
            {
                "optim": "adam",
                "lr": 1e-3,
                "optim.momentum": math.nan,
                "regularize.l1": 1e-4,
                "output_spread_at_end": 0.019,
            },
        ),
        (
            "penalty too strong",
            {
                "optim": "adamw",
                "lr": 1e-3,
                "optim.weight_decay": 100,
                "optim.momentum": math.nan,
                "output_spread_at_end": 0.019,
            },
        ),
        ("constant output", {"regularize.weight_decay": 0.0099, "output_spread_at_end": 0.019}),
        ("momentum too high", {"optim.momentum": 0.981}),  # 53 steps, of 1000
        ("momentum too high", {"optim.beta1": 0.981}),
        ("batch too small", {"batch_size": 1}),
        ("rate too high", {"outcome": "diverged", "diverged_step": 3, "train_loss": math.nan}),
        # tokens have no mean and no deviation, and nothing is wrong with that
        ("rate too high", {"outcome": "diverged", "diverged_step": 3, "input_mean": math.nan, "input_std": math.nan}),
        ("rate too high", {"peak_loss": 200.0}),
        ("rate too high", {"largest_update": 0.3}),
        ("vanishing", {"grad_ratio": 0.25**19, "grad_growth": 0.25}),
        ("vanishing", {"signal_ratio": 0.41**19, "signal_growth": 0.41}),
        ("vanishing over time", {"time_steps": 50, "time_ratio": 0.9**49}),
        ("vanishing over time", {"time_steps": 50, "time_ratio": 0.5, "time_ratio_at_end": 1e-5}),
        ("exploding over time", {"time_steps": 50, "time_ratio": 1.1**49}),
        ("constant output", {"output_size": 300.0, "output_spread": 1.0}),
        ("constant output", {"output_spread_at_end": 1e-3}),
        ("class imbalance", {"train_majority": 0.75, "majority_acc": 0.75, "test_acc": 0.754}),
        # of the gain from 10 to 90 % on the training part 24 % on the test part
        ("memorized", {"train_acc": 0.9, "test_acc": 0.29, "test_loss": 2.4}),
        ("noisy labels", {"neighbour_agreement": 0.15, "train_acc": 0.9, "test_acc": 0.49, "test_loss": 2.4}),
        ("too slow", {"steps": 49, "last_quarter_loss": 2.4}),
        ("memorized", {"task": "numbers", "constant_loss": 1, "full_train_loss": 0.4, "test_loss": 1.1}),
        ("first loss too large", {"first_loss": 23.1, "peak_loss": 23.1}),  # 10 ln 10 = 23.03
        ("too slow", {"third_quarter_loss": 1.9, "last_quarter_loss": 1.7, "fall_errors": 12.0}),
        ("too slow", {"distance": 4e-4}),
        # Weights that start small must grow by large steps; as long as the loss falls, that is no fault.
        ("too slow", {"largest_update": 0.3, "third_quarter_loss": 1.9, "last_quarter_loss": 1.7, "fall_errors": 12.0}),
    ],
)
def test_one_fault(expected, changes):
    assert fault(**changes) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"grad_ratio": 0.86**19, "signal_ratio": 0.86**19},  # above e^-3 = 0.0498; 0.85^19 is below
        {"grad_ratio": 1.17**19},  # below e^3 = 20.1; 1.172^19 is above
        {"dead": 0.5, "saturated": 0.5},  # what inputs that became alike do to a ReLU
        {"act": "relu", "saturated_mean": 0.8},  # a sparse ReLU
        {"width": 1, "inequality": 0.0},  # one unit is like itself
        {"input_size": 7.7},  # digits as they are
        {"peak_loss": 3.0},
        {"third_quarter_loss": 2.31, "last_quarter_loss": 2.30, "fall_errors": 5.0},  # by less than 1 %
        {"third_quarter_loss": 2.40, "last_quarter_loss": 2.30, "fall_errors": 2.0},  # by chance
        {"time_steps": 50, "time_ratio": 0.95**49},
        {"time_steps": 100, "time_ratio": 99.0},  # as many losses, one a time step, add up at the first
        {"task": "numbers", "constant_loss": 1e-8, "train_loss": 1e-8, "first_loss": 1e-8, "peak_loss": 1e-8},
        {"output_size": 0.01, "output_spread": 1e-5},  # outputs that start at 0 are good practice
        {"seen_std_median": 0.5, "seen_std_max": 4.9, "seen_mean_max": 4.9},
        {"neighbour_agreement": 0.2},  # a ninth of the way from 10 % to always
        {"regularize.dropout": 0.25},
        {"init.bias": 0.9},
        {"gradient.clip_norm": 1.0, "gradient_kept": 0.051, "distance": 0.9},
        {"gradient.clip_norm": 1.0, "gradient_kept": 0.01, "distance": 1.1},  # as with Adam, which scales it up again
        {"gradient_kept": 1.0, "distance": 0.9},
        {"regularize.weight_decay": 1.0},  # which did not make outputs alike
        {"optim.momentum": 0.979},
        {"optim.momentum": 0.95, "steps": 60},
        {"batch_size": 5},
        {"train_majority": 0.74, "majority_acc": 0.74, "test_acc": 0.74},
        {"train_acc": 0.9, "test_acc": 0.31, "test_loss": 2.4},
        {"train_acc": 0.9, "test_acc": 0.29, "test_loss": 2.2},
        {"steps": 51, "last_quarter_loss": 2.4},
        {"first_loss": 22.9, "peak_loss": 22.9},
    ],
)
def test_what_is_no_fault(changes):
    assert fault(**changes) == UNEXPLAINED


def test_a_unit_that_is_off_is_dead_in_every_rectifier():
    """Also in one that this version has never heard of: each run records whether its activation rectifies."""
    assert fault(act="newcomer", act_rectifies=True, dead=1.0, saturated=1.0) == "dead units"
    assert fault(act="newcomer", act_rectifies=False, dead=1.0, saturated=1.0) == "saturated"
    assert fault(act="relu", act_rectifies=pd.NA, dead=1.0) == "dead units"  # of older results


def test_numbers_are_judged_by_their_own_deviation():
    """Of `adding` it is sqrt(1/6) = 0.41: 0.05 of it are 0.0204."""
    adding = {"task": "numbers", "constant_loss": 1 / 6, "train_loss": 0.17, "first_loss": 0.2, "peak_loss": 0.2}
    assert fault(**adding, output_spread_at_end=0.0203) == "constant output"
    assert fault(**adding, output_spread_at_end=0.0205) == UNEXPLAINED
    assert fault(**adding | {"constant_loss": 0.0}) == "nothing to learn"


def test_the_bounds_are_where_theory_puts_them():
    """Trainable up to 6 correlation lengths: exp(-6) in squared gradients (Schoenholz et al. 2017)."""
    assert fault(grad_ratio=math.sqrt(math.exp(-6)) * 0.999) == "vanishing"
    assert fault(grad_ratio=math.sqrt(math.exp(-6)) * 1.001) == UNEXPLAINED
    assert fault(grad_ratio=math.sqrt(math.exp(6)) * 1.001) == "exploding"
    assert fault(grad_ratio=math.sqrt(math.exp(6)) * 0.999) == UNEXPLAINED


@pytest.mark.parametrize(
    "cause, symptoms",
    [
        (
            "nothing to learn",
            {"input_std": 0.0, "signal_first": 0.0, "output_spread": 0.0, "output_spread_at_end": 0.0},
        ),
        ("symmetric units", {"inequality": 0.0, "dead": 1.0, "saturated_mean": 1.0, "output_spread_at_end": 0.0}),
        ("inputs off scale", {"input_size": 1e3, "act": "tanh", "saturated": 1.0, "grad_ratio": 1e-3}),
        ("dead units", {"dead": 1.0, "grad_ratio": 0.0, "signal_ratio": 0.0, "output_spread_at_end": 0.0}),
        ("saturated", {"act": "tanh", "saturated_mean": 0.83, "grad_ratio": 2.4**19, "largest_update": 1e3}),
        ("exploding", {"signal_ratio": 1e16, "outcome": "diverged", "diverged_step": 1, "peak_loss": 1e17}),
        ("constant output", {"output_size": 2e3, "first_loss": 4e3, "outcome": "diverged", "diverged_step": 2}),
        ("rate too high", {"grad_ratio": 0.04, "outcome": "diverged", "diverged_step": 15}),
        ("rate too high", {"grad_ratio": 0.005, "largest_update": 0.5, "dead_at_end": 1.0}),
        ("rate too high", {"peak_loss": 1e3, "dead_at_end": 1.0, "output_spread_at_end": 0.0}),
        ("vanishing", {"grad_ratio": 1e-12, "signal_ratio": 1e-7, "dead_at_end": 0.95, "output_spread_at_end": 1e-9}),
        ("dead units", {"dead_at_end": 1.0, "output_spread_at_end": 0.0}),
        ("exploding", {"grad_ratio": 1e3, "time_steps": 50, "time_ratio": 1e9}),
        ("exploding over time", {"time_steps": 50, "time_ratio": 1e9, "peak_loss": 1e3}),
        ("vanishing over time", {"time_steps": 50, "time_ratio": 1e-9, "largest_update": 0.2}),
        ("vanishing over time", {"time_steps": 50, "time_ratio_at_end": 1e-9, "output_spread_at_end": 0.0}),
    ],
)
def test_a_cause_comes_before_its_symptoms(cause, symptoms):
    assert fault(**symptoms) == cause


def test_nothing_measured_is_unexplained():
    assert fault(**dict.fromkeys(NUMBERS, math.nan)) == UNEXPLAINED


def test_rules_are_stated():
    assert all(rule.statement.endswith(".") and rule.advice.endswith(".") for rule in RULES)
    assert "20-fold" in next(rule.statement for rule in RULES if rule.fault == "vanishing")


# ---------------------------------------------------------------- layers by name


@pytest.mark.parametrize(
    "name, words, where",
    [
        ("layers.0", "layer 1", "layers.0"),
        ("layers.1.input", "layer 2, input", "layers.1"),
        ("layers.0.ahead.input", "layer 1, ahead input", "layers.0"),
        ("blocks.2.attention.query", "block 3, attention query", "blocks.2"),
        ("decoder.0.cross_norm", "decoder 1, cross norm", "decoder.0"),
        ("stages.0.1.conv", "stage 1, layer 2, conv", "stages.0"),
        ("3", "layer 4", "3"),
        ("fc1", "fc1", "fc1"),
        ("layer 3 (net.4, Linear)", "layer 3 (net.4, Linear)", "layer 3"),
        ("layer 1 (Linear)", "layer 1 (Linear)", "layer 1"),
        ("layer 12 (key, Linear, beside layer 11)", "layer 12 (key, Linear, beside layer 11)", "layer 11"),
        ("embedding", "embedding", "embedding"),
    ],
)
def test_layers_are_called_by_their_names(name, words, where):
    assert (readable(name), stage(name)) == (words, where)


def test_layers_of_ones_own_model_are_told_in_few_words():
    names = [
        "layer 1 (stem, Conv2d)",
        "layer 2 (net.0, Linear)",
        "layer 3 (q, Linear)",
        "layer 4 (k, Linear, beside layer 3)",
    ]
    assert spans(names) == ["layer 1 (stem, Conv2d)", "layers 2 to 4 (net.0 to k, Linear)"]
    assert spans(["layer 1 (Linear)"]) == ["layer 1 (Linear)"]


# ---------------------------------------------------------------- from files to numbers


def layers(looks: dict[int, list[dict[str, float]]]) -> list[dict[str, Any]]:
    """Rows of layers.parquet of one run: at each step, the layers' numbers; the last layer is the head."""
    plain = dict.fromkeys(LAYER_METRICS, 0.0) | {"pre_grad_norm": 0.1, "act_var": 1.0, "unit_spread": 1.0}
    plain |= {"example_spread": 1.0, "update_ratio": 1e-3}
    return [
        {"step": step, "layer": layer, "name": f"layers.{layer}", **plain, **numbers}
        for step, rows in looks.items()
        for layer, numbers in enumerate(rows)
    ]


def saved(root: Path, *runs: tuple, times: list[dict[str, Any]] | None = None) -> Results:
    """Results of these runs: a row, its losses and its layers' rows; and rows of times.parquet."""
    store = Store(root)
    done = [run for run, _, _ in runs]
    store.save_sweep("demo", info={}, runs=[{key: run[key] for key in row() if key in run} for run in done])
    tables = {
        "losses": [
            {"run_id": run["run_id"], "step": i, "train_loss": x} for run, xs, _ in runs for i, x in enumerate(xs)
        ],
        "layers": [{"run_id": run["run_id"], **numbers} for run, _, rows in runs for numbers in rows],
        "evals": [],
        "times": times or [],
    }
    store.save_stack("ab", runs=done, **{name: pd.DataFrame(rows) for name, rows in tables.items() if rows}, info={})
    return load(root)


def numbers_of(root: Path, looks: dict[int, list[dict[str, float]]], losses: list[float], **settings) -> pd.Series:
    run = finished(row(steps=40, log_every=20, **settings), "stuck", train_loss=2.3)
    results = saved(root, (run, losses, layers(looks)))
    return measured(results, results.runs["outcome"] == "stuck").iloc[0]


def test_growth_and_ratios_of_layers(tmp_path):
    start = [{"pre_grad_norm": 0.25**k, "example_spread": 0.5**i} for i, k in enumerate((4, 3, 2, 1, 0))] + [{}]
    found = numbers_of(tmp_path, {0: start, 20: start}, [2.3] * 40)
    assert found["hidden_layers"] == 5
    assert found["grad_first"] == pytest.approx(0.25**4) and found["grad_last"] == 1
    assert found["grad_growth"] == pytest.approx(0.25) and found["grad_ratio"] == pytest.approx(0.25**4)
    assert found["signal_growth"] == pytest.approx(0.5) and found["signal_ratio"] == pytest.approx(0.5**4)


def test_a_gradient_too_small_for_float32_is_zero_and_still_has_a_growth(tmp_path):
    norms = [0.0, 0.0, 1e-30, 1e-15, 1.0]
    found = numbers_of(tmp_path, {0: [{"pre_grad_norm": norm} for norm in norms] + [{}]}, [2.3] * 40)
    assert found["grad_ratio"] == 0 and found["grad_growth"] == pytest.approx(1e-15)


def test_what_overflowed_is_left_out_of_the_growth(tmp_path):
    spreads = [10.0, 1e3, 1e5, math.inf, math.nan]
    start = [{"example_spread": s, "nonfinite": 0 if math.isfinite(s) else 7} for s in spreads] + [{}]
    found = numbers_of(tmp_path, {0: start}, [2.3] * 40)
    assert found["signal_growth"] == pytest.approx(100) and found["nonfinite"] == 14


def test_units_that_are_equal_and_units_that_are_off(tmp_path):
    off = {"act_var": 0.0, "unit_spread": 0.0, "dead": 1.0}
    equal = numbers_of(tmp_path / "a", {0: [{"unit_spread": 1e-8, "act_mean": 2.0, "act_var": 0.0}] * 3}, [2.3])
    zeros = numbers_of(tmp_path / "b", {0: [off | {"update_ratio": math.nan}] * 3}, [2.3])
    dead = numbers_of(tmp_path / "c", {0: [off] * 3}, [2.3])
    saturated = numbers_of(tmp_path / "d", {0: [{"unit_spread": 0.0, "act_mean": 1.0, "dead": 1.0}] * 3}, [2.3])
    assert equal["inequality"] == pytest.approx(5e-9)
    assert math.isnan(saturated["inequality"])
    assert zeros["inequality"] == 0 and math.isnan(zeros["update_ratio"])
    assert math.isnan(dead["inequality"]) and dead["dead"] == 1


def test_equal_units_of_one_layer_are_found_and_named(tmp_path):
    """Not those of a layer behind one that is off, where nothing differs."""
    equal = {"unit_spread": 0.0, "act_mean": 2.0}
    found = numbers_of(tmp_path / "a", {0: [{}, equal, {}, {}]}, [2.3])
    assert (found["least_inequality"], found["equal_layer"]) == (0, "layer 2") and found["inequality"] > 0.5
    behind = numbers_of(tmp_path / "b", {0: [{}, equal | {"example_spread": 0.0}, {}, {}]}, [2.3])
    assert behind["least_inequality"] > 0.5


def test_one_example_says_nothing_about_examples(tmp_path):
    start = [{"example_spread": 0.0, "dead": 1.0, "saturated": 0.5}] * 3
    found = numbers_of(tmp_path, {0: start}, [2.3], batch_size=1)
    assert all(math.isnan(found[name]) for name in ("signal_ratio", "output_spread", "dead"))
    assert found["saturated"] == 0.5 and found["grad_ratio"] == 1


def test_what_clipping_leaves_of_the_gradient(tmp_path):
    run = finished(row(steps=60, log_every=20), "stuck", train_loss=2.3)
    norms = pd.DataFrame({"run_id": run["run_id"], "step": [0, 20, 40], "norm": [1.0, 2.0, 4.0], "treated_norm": 0.5})
    store = Store(tmp_path)
    store.save_sweep("demo", info={}, runs=[{key: run[key] for key in row(log_every=20) if key in run}])
    store.save_stack("ab", runs=[run], gradients=norms, info={})
    results = load(tmp_path)
    assert measured(results, results.runs["outcome"] == "stuck")["gradient_kept"].tolist() == [0.25]


def test_layers_without_an_activation_do_not_hide_that_the_others_are_flat(tmp_path):
    """As in a transformer's attention: projections are never flat."""
    start = [{"saturated": 0.0}, {"saturated": 0.9}, {"saturated": 0.0}, {"saturated": 0.8}, {}]
    found = numbers_of(tmp_path / "a", {0: start}, [2.3] * 40)
    assert found["saturated_mean"] == pytest.approx(0.85) and found["saturated"] == pytest.approx(0.9)
    assert numbers_of(tmp_path / "b", {0: [{"saturated": 0.0}, {}]}, [2.3] * 40)["saturated_mean"] == 0
    assert math.isnan(numbers_of(tmp_path / "c", {0: [{"saturated": math.nan}, {}]}, [2.3] * 40)["saturated_mean"])


def test_the_end_is_the_last_look_and_the_largest_update_is_any(tmp_path):
    looks = {
        0: [{"dead": 0.1, "update_ratio": 0.001}, {"update_ratio": 0.002}],
        10: [{"dead": 1.0, "update_ratio": 0.4}, {}],
        20: [{"dead": 0.7, "update_ratio": 0.0}, {"example_spread": 0.01}],
    }
    found = numbers_of(tmp_path, looks, [2.3] * 40)
    assert (found["dead"], found["dead_at_end"]) == pytest.approx((0.1, 0.7))
    assert found["output_spread_at_end"] == pytest.approx(0.01)
    assert found["update_ratio"] == pytest.approx(0.002) and found["largest_update"] == pytest.approx(0.4)


def test_losses_by_hand(tmp_path):
    losses = [3.0, *[2.0] * 19, *[1.5, 1.7] * 5, *[1.1, 1.3] * 5]
    found = numbers_of(tmp_path, {0: [{}, {}]}, losses, **{"optim.momentum": 0.9})
    assert found["first_loss"] == 3 and found["peak_loss"] == pytest.approx(41 / 20)
    assert (found["third_quarter_loss"], found["last_quarter_loss"]) == pytest.approx((1.6, 1.2))
    # each quarter: deviation 0.1 sqrt(10/9), squared standard error 0.01 * 10/9 / 10
    assert found["fall_errors"] == pytest.approx(0.4 / math.sqrt(2 * 0.01 / 9), rel=1e-4)
    assert found["distance"] == pytest.approx(1e-3 * 40 / 0.1)


def test_inputs_count_as_the_network_sees_them(tmp_path):
    """Results of older versions have only the numbers before standardization."""
    seen = {"input_mean": 3.0, "input_std": 4.0}
    for standardize, size in (("global", 1.0), ("feature", 1.0), ("none", 5.0)):
        run = finished(row(**{"data.standardize": standardize}), "stuck") | seen
        results = saved(tmp_path / standardize, (run, [2.3], layers({0: [{}, {}]})))
        assert measured(results, results.runs["outcome"] == "stuck")["input_size"].tolist() == [size]


def test_the_size_of_inputs_is_that_after_scaling(tmp_path):
    asked = row(**{"data.standardize": "global", "data.scale": 13.0})
    run = finished(asked, "stuck") | {"input_mean": 3.0, "input_std": 4.0, "seen_mean": 5.0, "seen_std": 12.0}
    results = saved(tmp_path, (run, [2.3], layers({0: [{}, {}]})))
    assert measured(results, results.runs["outcome"] == "stuck")["input_size"].tolist() == [13]


def test_depth_is_counted_from_stage_to_stage(tmp_path):
    """Two recurrent layers are two, though each has weights for its input and for itself."""
    names = ["layers.0.input", "layers.0", "layers.1.input", "layers.1", "head"]
    norms, spreads = [7.0, 0.2, 9.0, 0.8, 1.0], [3.0, 0.5, 4.0, 0.1, 1.0]
    rows = layers({0: [{"pre_grad_norm": n, "example_spread": s} for n, s in zip(norms, spreads, strict=True)]})
    rows = [row | {"name": name} for row, name in zip(rows, names, strict=True)]
    results = saved(tmp_path, (finished(row(steps=40, log_every=20), "stuck", train_loss=2.3), [2.3] * 40, rows))
    (found,) = measured(results, results.runs["outcome"] == "stuck").to_dict("records")
    assert (found["hidden_layers"], found["first_layer"], found["last_layer"]) == (2, "layer 1", "layer 2")
    assert (found["grad_first"], found["grad_last"]) == pytest.approx((0.2, 0.8))
    assert (found["grad_ratio"], found["grad_growth"]) == pytest.approx((0.25, 0.25))
    assert (found["signal_ratio"], found["signal_growth"]) == pytest.approx((0.2, 0.2))


def test_layers_beside_each_other_count_once_though_others_are_called_between(tmp_path):
    """A projection on the shortcut of a residual block stands beside the block's first layer; it is called last."""
    beside = "layer 4 (down, Conv2d, beside layer 2)"
    names = [
        "layer 1 (stem, Conv2d)",
        "layer 2 (conv1, Conv2d)",
        "layer 3 (conv2, Conv2d)",
        beside,
        "layer 5 (fc, Linear)",
    ]
    rows = layers({0: [{"pre_grad_norm": norm} for norm in (0.1, 7.0, 0.4, 0.2, 1.0)]})
    rows = [row | {"name": name} for row, name in zip(rows, names, strict=True)]
    results = saved(tmp_path, (finished(row(steps=40, log_every=20), "stuck", train_loss=2.3), [2.3] * 40, rows))
    (found,) = measured(results, results.runs["outcome"] == "stuck").to_dict("records")
    assert (found["hidden_layers"], found["first_layer"], found["last_layer"]) == (3, names[0], names[2])
    assert (found["grad_first"], found["grad_last"]) == pytest.approx((0.1, 0.4))
    assert found["grad_growth"] == pytest.approx(0.5)  # 0.1, 0.2, 0.4


def test_a_model_may_have_activations_of_both_kinds(tmp_path):
    """Dead are units of those that rectify, saturated those of the others; a layer without one counts in neither."""
    plain = {"activation": None, "rectifies": None}
    relu, tanh = {"activation": "relu", "rectifies": True}, {"activation": "tanh", "rectifies": False}
    start = [relu | {"dead": 0.2, "saturated": 0.99}, tanh | {"dead": 1.0, "saturated": 0.3}, tanh, plain, plain]
    found = numbers_of(tmp_path / "a", {0: start}, [2.3] * 40)
    assert (found["dead"], found["saturated"]) == pytest.approx((0.2, 0.3))
    assert (found["activation"], found["rectifying"]) == ("tanh", pytest.approx(1 / 3))
    only = numbers_of(tmp_path / "b", {0: [start[0], relu | {"dead": 0.5}, plain]}, [2.3] * 40)
    assert (only["dead"], only["saturated"], only["activation"], only["rectifying"]) == (
        0.5,
        pytest.approx(0.99),
        "relu",
        1,
    )
    old = numbers_of(tmp_path / "c", {0: [{"dead": 0.2, "saturated": 0.99}, {}]}, [2.3] * 40)
    assert math.isnan(old["rectifying"]) and old["dead"] == pytest.approx(0.2) and pd.isna(old["activation"])


def test_units_of_either_kind_are_found_in_a_model_of_both_kinds():
    both = {"act_rectifies": True, "rectifying": 0.5}
    assert fault(**both, dead=1.0) == "dead units"
    assert fault(**both, saturated=1.0, saturated_mean=1.0) == "saturated"
    assert fault(act_rectifies=True, rectifying=1.0, saturated=1.0, saturated_mean=1.0) == UNEXPLAINED


def over_time(run: dict[str, Any], step: int, norms: list[float], layer: int = 1) -> list[dict[str, Any]]:
    """Rows of times.parquet at one step."""
    same = {"run_id": run["run_id"], "step": step, "layer": layer, "name": f"layers.{layer // 2}"}
    return [same | {"time": time, "pre_grad_norm": norm} for time, norm in enumerate(norms)]


def test_gradients_over_time_are_of_the_first_recurrent_layer(tmp_path):
    run = finished(row("he", act="tanh", depth=2, steps=40, log_every=20), "stuck", train_loss=2.3)
    times = [*over_time(run, 0, [0.0, 0.02, 0.2, 2.0]), *over_time(run, 0, [1.0] * 4, layer=3)]
    results = saved(tmp_path, (run, [2.3] * 40, layers({0: [{}, {}]})), times=times + over_time(run, 20, [1, 2, 3, 4]))
    (cell,) = diagnose(Contests.of(results)).to_dict("records")
    assert (cell["time_steps"], cell["time_first"], cell["time_last"], cell["time_ratio"]) == (4, 0, 2, 0)
    assert cell["time_growth"] == pytest.approx(0.1)  # between those that float32 can hold
    assert cell["time_ratio_at_end"] == pytest.approx(0.25)
    assert cell["fault"] == "vanishing over time" and cell["recurrent_layer"] == "layer 1"
    assert cell["evidence"].startswith(
        "Each time step passes back only 10 % of the gradient: norm 2 at the last of 4 time steps, below 1e-38 at the "
        "first, in layer 1."
    )
    assert cell["advice"].startswith("Try init.recurrent=orthogonal.")


# ---------------------------------------------------------------- cells


def run_of(init: str, seed: int, growth: float, outcome: str = "stuck", **settings: Any) -> tuple:
    """A run of 20 layers whose gradients grow by a factor a layer towards the input."""
    run = finished(row(init, seed=seed, steps=40, log_every=20, **settings), outcome)
    start = [{"pre_grad_norm": 0.1 * growth ** (19 - i)} for i in range(20)] + [{}]
    return run, [2.3] * 40, layers({0: start, 20: start})


def test_a_cell_takes_the_fault_of_most_and_cites_their_numbers(tmp_path):
    runs = [run_of("xavier", seed, 0.25, act="sigmoid") for seed in range(3)]
    runs += [run_of("xavier", 3, 2.4, act="sigmoid"), run_of("xavier", 4, 1.0, "learned", act="sigmoid")]
    (cell,) = diagnose(Contests.of(saved(tmp_path, *runs))).to_dict("records")
    assert (cell["label"], cell["act"], cell["depth"]) == ("xavier", "sigmoid", 20)
    assert (cell["runs"], cell["failing"], cell["agreeing"], cell["fault"]) == (5, 4, 3, "vanishing")
    # 0.1 * 0.25^19 = 3.6e-13
    said = "Each layer passes back only 25 % of the gradient: norm 0.1 at layer 20, 4e-13 at layer 1"
    assert said in cell["evidence"]
    assert cell["grad_first"] == pytest.approx(0.1 * 0.25**19, rel=1e-5)


def test_of_equally_many_the_earlier_rule_counts(tmp_path):
    cells = diagnose(Contests.of(saved(tmp_path, run_of("he", 0, 0.1), run_of("he", 1, 5.0))))
    assert cells[["fault", "agreeing", "failing"]].to_numpy().tolist() == [["exploding", 1, 2]]


def test_only_cells_that_fail_have_a_row(tmp_path):
    runs = [run_of("he", seed, 1.0, "learned") for seed in range(2)] + [run_of("lecun", 0, 0.5)]
    assert diagnose(Contests.of(saved(tmp_path / "a", *runs)))["label"].tolist() == ["lecun"]
    none = diagnose(Contests.of(saved(tmp_path / "b", *runs[:2])))
    assert none.empty and list(none)[:3] == ["init", "act", "depth"] and set(NUMBERS) < set(none)


def test_advice_is_what_learned_here(tmp_path):
    runs = [run_of("he", seed, 1.0, "learned") for seed in range(2)] + [run_of("lecun", 0, 0.5)]
    (advice,) = diagnose(Contests.of(saved(tmp_path, *runs)))["advice"]
    assert advice.startswith("Try init=he (learned in 2 of 2 runs), with nothing else changed.")


def test_advice_does_not_name_what_failed_here(tmp_path):
    """He failed at this rate; what learned is He at another."""
    runs = [run_of("lecun", 0, 0.5, lr=1.0), run_of("he", 0, 1.0, lr=1.0), run_of("he", 0, 1.0, "learned", lr=0.1)]
    cells = diagnose(Contests.of(saved(tmp_path, *runs))).set_index("label")
    assert cells.loc["lecun", "advice"].startswith(
        "Try init=he lr=0.1 (learned in 1 of 1 runs), with nothing else changed."
    )


def test_advice_is_to_leave_a_mitigation_away_where_that_is_enough(tmp_path):
    """Another mitigation learned as well, and its accuracy is higher."""
    runs = [run_of("he", 0, 5.0, mitigation="residual")]
    runs += [run_of("he", 0, 1.0, "learned", mitigation=name, test_acc=acc) for name, acc in (("none", 0.9), ("x", 1))]
    (advice,) = diagnose(Contests.of(saved(tmp_path, *runs)))["advice"]
    assert advice.startswith("Try mitigation=none (learned in 1 of 1 runs), with nothing else changed.")


def test_gradients_that_overflow_on_their_way_are_not_called_activations(tmp_path):
    run, losses, _ = run_of("identity", 0, 100.0, "diverged")
    start = [{"pre_grad_norm": math.inf}] + [{"pre_grad_norm": 0.1 * 100.0 ** (19 - i)} for i in range(1, 20)] + [{}]
    (evidence,) = diagnose(Contests.of(saved(tmp_path, (run, losses, layers({0: start, 20: start})))))["evidence"]
    assert evidence.startswith(
        "The gradient grows 100-fold per layer towards the input: norm 0.1 at layer 20, above 3e38 at layer 1."
    )


def test_advice_without_anything_that_learned(tmp_path):
    lone = diagnose(Contests.of(saved(tmp_path / "a", run_of("lecun", 0, 0.5))))["advice"][0]
    assert lone.startswith("Try init=he or mitigation=residual_learned. ")
    both = diagnose(Contests.of(saved(tmp_path / "b", run_of("lecun", 0, 0.5), run_of("he", 0, 0.5))))["advice"]
    assert both.str.startswith("Try mitigation=residual_learned. ").all()


def test_swept_parameters_and_missing_axes(tmp_path):
    runs = [run_of("normal", 0, 0.2, **{"init.std": 0.01}), run_of("normal", 0, 1.0, "learned", **{"init.std": 0.1})]
    cells = diagnose(Contests.of(saved(tmp_path, *runs, run_of("lecun", 0, 0.5))))
    assert cells["label"].tolist() == ["normal std=0.01", "lecun"]
    assert cells["advice"].str.contains("init=normal init.std=0.1 (learned in 1 of 1 runs)", regex=False).all()


def test_pending_failed_and_unreadable(tmp_path):
    made_up_sweep(tmp_path, inits=["he", "zeros", "normal"], acts=["relu"], depths=[3], seeds=2, pending=1)
    results = load(tmp_path)
    (file,) = tmp_path.glob("stacks/*/layers.parquet")
    file.write_bytes(b"PAR1")
    cells = diagnose(Contests.of(results)).set_index("label")
    assert (
        cells.loc["zeros", "fault"] == UNEXPLAINED
        and "layer statistics of step 0 are missing" in cells.loc["zeros", "evidence"]
    )
    assert cells.loc["normal", "fault"] == "rate too high"  # it diverged, and nothing else is known
    assert cells["runs"].to_dict() == {"zeros": 2, "normal": 1}


# ---------------------------------------------------------------- really trained

FAULTY_DATA = """
import torch
from initbench.parts.data import Raw, gaussian

def scaled(factor=1.0):
    raw = gaussian()
    return Raw(raw.x * factor, raw.y, classes=10)

def one_class():
    raw = gaussian()
    return Raw(raw.x, torch.zeros_like(raw.y), classes=10)

def labels_by_chance():
    raw = gaussian(samples=4000)
    return Raw(raw.x, torch.randint(10, raw.y.shape, generator=torch.Generator().manual_seed(0)), classes=10)
"""
SMALL = "steps=100 batch_size=50 log_every=20 eval_every=100 width=40 depth=4 act=relu init=he lr=0.02".split()


@pytest.fixture
def faulty_data(tmp_path, monkeypatch):
    (tmp_path / "faulty_data.py").write_text(FAULTY_DATA)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("faulty_data", None)


@pytest.mark.slow
@pytest.mark.parametrize(
    "expected, overrides",
    [
        (None, ""),
        (None, "init=xavier act=tanh"),
        ("vanishing", "init=xavier act=sigmoid depth=10"),
        ("vanishing", "init=torch_default depth=12"),
        ("vanishing", "init=normal_small act=tanh depth=6"),
        ("exploding", "init=normal"),
        ("exploding", "init=mean_field init.sigma_w=4 act=tanh depth=12"),
        ("saturated", "init=normal act=tanh depth=10 width=100"),
        ("saturated", "init=xavier act=tanh init.bias=10"),
        ("dead units", "init.bias=-10"),
        ("symmetric units", "init=zeros"),
        ("symmetric units", "init=zeros act=sigmoid"),
        ("symmetric units", "init=constant act=tanh"),
        ("rate too high", "lr=10"),
        ("rate too high", "init=xavier act=tanh lr=10"),
        ("rate too high", "optim=adam lr=1"),
        ("inputs off scale", "data._target_=faulty_data.scaled +data.factor=1000 data.standardize=none"),
        ("inputs off scale", "data._target_=faulty_data.scaled +data.factor=1e-4 data.standardize=none"),
        ("nothing to learn", "data._target_=faulty_data.one_class"),
        ("inputs off scale", "data.scale=16"),
        ("inputs off scale", "data.scale=100"),
        ("inputs off scale", "data.scale=0.001"),
        ("biases too large", "init=lecun act=linear init.bias=1000"),
        ("too slow", "lr=1e-6"),
        ("labels unrelated to inputs", "data._target_=faulty_data.labels_by_chance depth=3"),
    ],
)
def test_trained_with_exactly_one_fault(tmp_path, faulty_data, expected, overrides):
    from initbench.planning.sweep import prepare

    asked = dict(setting.split("=", 1) for setting in [*SMALL, *overrides.split()])
    sweep = prepare([f"{key}={value}" for key, value in asked.items()], seeds=2, out=tmp_path / "results", workers=1)
    sweep.save()
    for _ in sweep.train(lambda stack, step: None):
        pass
    results = load(tmp_path / "results")
    assert (results.runs["status"] == "done").all()
    cells = diagnose(Contests.of(results))
    assert cells["fault"].tolist() == ([expected] if expected else [])
    assert (cells["agreeing"] == cells["failing"]).all()
