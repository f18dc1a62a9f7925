"""What the page says was trained, and what names mean: from real configurations, by hand."""

import re

import pytest

from initbench.analysis import setting
from initbench.analysis.contests import Contests
from initbench.analysis.summary import run_table
from initbench.config.documentation import letters
from initbench.config.grid import expand
from initbench.config.registry import choices, describe
from initbench.config.run import flatten
from initbench.report.compose import report_on
from initbench.report.outputs import facts, page
from results_on_disk import finished, results_of


def contests(tmp_path, *overrides: str, seeds: int | None = 2, **measured) -> Contests:
    """Runs as a sweep of these overrides gives them, made up but for their configuration."""
    runs = [finished(flatten(run), **measured) for run in expand(overrides, seeds=seeds).runs]
    return Contests.of(results_of(tmp_path, *runs))


def test_what_was_trained_by_hand(tmp_path):
    asked = ["init=he,xavier", "act=relu,tanh", "depth=5,20", "steps=2000", "optim=sgd,adam"]
    said = setting.sentences(contests(tmp_path, *asked, seeds=5, train_examples=1437, test_examples=360))
    assert said == [
        "Trained: mlp with relu or tanh, depth 5 or 20, width 100, on digits (1,437 training and 360 test examples), "
        "by sgd (learning rate 0.01, momentum 0.9) or adam (learning rate 0.001), 2,000 steps of 100 examples; "
        "5 seeds (0 to 4).",
        "Seeds vary the weights and the order of the batches; the split is the same in all runs.",
    ]


def zipped(tmp_path, together: str, *overrides: str) -> Contests:
    """A sweep with one `--zip`."""
    asked = expand(overrides, seeds=2, zipped=[together])
    info = {"zipped": asked.zipped}
    return Contests.of(results_of(tmp_path, *(finished(flatten(run)) for run in asked.runs), info=info))


def test_a_parameter_that_goes_with_the_activation_is_one_alternative_in_all_contests(tmp_path):
    """With tanh sigma_w is 1 and with relu 1.5: two contests, in each of which it competes with he by one name."""
    found = zipped(tmp_path, "act,init.sigma_w", "init=mean_field,he", "act=tanh,relu", "init.sigma_w=1,1.5")
    assert [(contest.title, set(contest.runs["label"])) for contest in found] == [
        (f"{act}, depth 5", {"mean_field sigma_w=by act", "he"}) for act in ("tanh", "relu")
    ]
    assert setting.sentences(found)[1] == "init.sigma_w goes with act: 1 with tanh, 1.5 with relu."
    assert run_table(found)["init.sigma_w"].dropna().tolist() == [1, 1, 1.5, 1.5]  # the numbers are kept


@pytest.mark.parametrize(
    ("together", "overrides", "contests_and_labels"),
    [
        ("depth,lr", ["init=he,xavier", "depth=3,5", "lr=0.1,0.02"],
         {"relu, depth 3": {"he", "xavier"}, "relu, depth 5": {"he", "xavier"}}),
        ("init,lr", ["init=he,xavier", "lr=0.1,0.02"], {"relu, depth 5": {"he", "xavier"}}),
        ("init.sigma_w,init.sigma_b", ["init=mean_field", "init.sigma_w=1,2", "init.sigma_b=0.1,0.2"],
         {"relu, depth 5": {"mean_field sigma_w=1 sigma_b=0.1", "mean_field sigma_w=2 sigma_b=0.2"}}),
    ],
)  # fmt: skip
def test_what_goes_together_is_one_axis(tmp_path, together, overrides, contests_and_labels):
    found = zipped(tmp_path, together, *overrides)
    assert {contest.title: set(contest.runs["label"]) for contest in found} == contests_and_labels


def test_an_axis_that_varies_by_itself_in_other_runs_follows_none(tmp_path):
    """A second sweep has lr=0.02 at depth 3 too: the rate is an axis of its own in a report on both."""
    first = expand(["depth=3,5", "lr=0.1,0.02"], zipped=["depth,lr"])
    runs = [finished(flatten(run)) for run in [*first.runs, *expand(["depth=3", "lr=0.02"]).runs]]
    both = Contests.of(results_of(tmp_path, *runs, info={"zipped": first.zipped}))
    assert both.cell_axes == ["init", "act", "depth", "lr"] and both.followers == {}


def test_many_values_are_counted(tmp_path):
    said = setting.sentences(contests(tmp_path, "act=glob(*)", "depth=1,2,3,4,5", "seed=3,7", seeds=None))[0]
    assert f"mlp with {len(choices('act'))} activations, depth 5 values from 1 to 5" in said
    assert said.endswith("on digits, by sgd (learning rate 0.01, momentum 0.9), 1,000 steps of 100 examples; "
                         "2 seeds (3 and 7).")  # fmt: skip


def test_one_seed_varies_nothing(tmp_path):
    said = setting.sentences(contests(tmp_path, seeds=1))
    assert len(said) == 1 and said[0].endswith("1 seed (0).")


def test_what_is_not_trained_yet_is_to_be_trained(tmp_path):
    runs = [flatten(run) for run in expand([]).runs]
    assert setting.sentences(Contests.of(results_of(tmp_path, *runs)))[0].startswith("To be trained: mlp with relu")


def test_a_net_without_hidden_layers_has_no_activation(tmp_path):
    assert setting.sentences(contests(tmp_path, "model=logistic"))[0].startswith("Trained: logistic, on digits, by")


def test_what_differs_from_the_defaults_is_named(tmp_path):
    asked = ["data.standardize=feature", "regularize.weight_decay=0.1", "optim.nesterov=true", "norm=batch"]
    said = setting.sentences(contests(tmp_path, *asked))
    (line,) = [sentence for sentence in said if sentence.startswith("Different from the defaults")]
    named = set(line.removeprefix("Different from the defaults: ").rstrip(".").split(", "))
    assert named == {*asked[:2], "optim.nesterov=True", "norm=batch"}


@pytest.mark.slow
@pytest.mark.parametrize("group", ["optim", "model", "data", "act", "mitigation"])
def test_defaults_of_choices_are_not_named(tmp_path, group):
    """What a choice or a mitigation brings with it is no setting of the user's."""
    for name in choices(group)[:: 5 if group == "mitigation" else 1]:
        said = setting.sentences(contests(tmp_path / name, f"{group}={name}"))
        named = [sentence for sentence in said if sentence.startswith("Different from the defaults")]
        default = group != "mitigation" or name == "none"
        assert named == ([] if default else [f"Different from the defaults: mitigation={name}."]), name


def test_other_axes_are_named(tmp_path):
    said = setting.sentences(contests(tmp_path, "mitigation=none,batchnorm", "regularize.l1=null,0.1"))
    assert "Varied: mitigation (none or batchnorm); regularize.l1 (0.1 or null)." in said


@pytest.mark.parametrize(
    "asked, sentence",
    [
        (["regularize.dropout=0.1"], "Seeds vary the weights, the order of the batches and the masks; the split"),
        (["gradient.noise=0.1"], "Seeds vary the weights, the order of the batches and the noise; the split"),
        (["data.split_seed=seed"], "Seeds vary the weights, the order of the batches and the split."),
        (["data.split_seed=0,seed"], "and the order of the batches, and the split where data.split_seed=seed."),
        (["data.split_seed=0,1"], "; the split is the same in each contest."),
    ],
)
def test_what_the_seeds_vary(tmp_path, asked, sentence):
    (said,) = setting.seeds_vary(contests(tmp_path, *asked).runs)
    assert sentence in said


@pytest.mark.parametrize(
    "asked, label, meaning",
    [
        (["init=normal"], "normal", "W ~ N(0, 1^2), independent of the layer's size"),
        (["init=normal", "init.std=0.5"], "normal", "W ~ N(0, 0.5^2), independent of the layer's size"),
        (["init=normal_small", "init.std=0.5"], "normal_small", "W ~ N(0, 0.5^2), independent of the layer's size"),
        (["init=uniform", "init.a=0.2"], "uniform",
         "W ~ U(-0.2, 0.2), independent of the layer's size; variance 0.2^2 / 3"),
        (["init=mean_field"], "mean_field", "W ~ N(0, 1.3^2 / n), b ~ N(0, 0.3^2)"),
        (["init=lecun", "init.gain=2", "init.forget_bias=1"], "lecun", "W ~ N(0, 1 / n); gain 2, forget bias 1"),
        (["init=lecun", "init.gain=auto"], "lecun", "W ~ N(0, 1 / n); gain auto"),
        (["init=xavier_normal"], "xavier_normal", "W ~ N(0, 2 / (n + m))"),
        (["init=orthogonal", "init.gain=2"], "orthogonal",
         "W = 2 times Q from the QR decomposition of a Gaussian matrix, "
         "signs corrected: orthonormal rows or columns"),
        (["init=constant", "init.value=-1"], "constant",
         "W = (-1), so all units of a layer stay equal: the symmetry problem"),
        (["init=mine.halved", "init.k=2"], "mine.halved", "the function mine.halved with k = 2"),
    ],
)  # fmt: skip
def test_what_a_name_means(tmp_path, asked, label, meaning):
    assert setting.meanings(contests(tmp_path, *asked)) == {label: meaning}


def test_swept_parameters_are_those_of_each_label(tmp_path):
    found = setting.meanings(contests(tmp_path, "init=normal", "init.std=0.01,1"))
    assert {label: meaning[:14] for label, meaning in found.items()} == {
        "normal std=0.01": "W ~ N(0, 0.01^",
        "normal std=1": "W ~ N(0, 1^2),",
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "choice", [choice for choice in describe("init") if choice.name != "checkpoint"], ids=lambda choice: choice.name
)
def test_no_shipped_parameter_is_left_without_its_number(tmp_path, choice):
    (meaning,) = setting.meanings(contests(tmp_path, f"init={choice.name}")).values()
    named = [name for name in choice.parameters if name != "gain" and re.search(rf"\b{name}\b", choice.sentence)]
    left = [name for name in named if re.search(rf"\b{name}\b(?! [a-z])", meaning)]
    assert not left and ";  " not in meaning and not meaning.endswith(".")


def test_what_competes_is_explained(tmp_path):
    runs = contests(tmp_path, "init=lecun", "mitigation=none,adam", "lr=0.1,1").results
    over_mitigations = Contests.of(runs, "mitigation")
    assert setting.meanings(over_mitigations) == {
        "none": "Changes nothing",
        "adam": "Adam: scales each weight's step by that weight's own gradients",
    }
    assert ", init lecun, on digits" in setting.sentences(over_mitigations)[0]
    assert setting.meanings(Contests.of(runs, "lr")) == {}


def test_letters_are_explained():
    assert letters({"he": "W ~ N(0, 2 / n)"}.values()) == "n: inputs of a layer (fan-in)"
    assert letters({"xavier": "2 / (n + m)"}.values()).endswith("m: its outputs (fan-out)")
    assert letters({"normal": "W ~ N(0, 1^2)"}.values()) == ""


def test_the_page_and_the_json_have_both(tmp_path):
    made = report_on(contests(tmp_path, "init=normal", "init.std=0.5").results, drawn=False)
    html, told = page(made), facts(made)
    assert "Trained: mlp with relu" in html and "W ~ N(0, 0.5^2)" in html
    assert told["setting"][0].startswith("Trained: mlp") and told["meanings"]["normal"].startswith("W ~ N(0, 0.5^2)")
