"""Cells whose settings don't fit each other are skipped with the reason; what is wrong by itself is an error."""

import pytest

from initbench.errors import DoesNotFit, InputError
from initbench.planning import compatibility
from initbench.planning.sweep import prepare


def skipped(*overrides: str) -> dict[str, list[str]]:
    """The reasons, and the choices or values of what is skipped."""
    found = prepare([*overrides, "steps=10", "width=8", "depth=3"], device="cpu", timed=False)
    return {left.reason: [run.id for run in left.runs] for left in found.skipped}


def test_batch_normalization_is_skipped_at_batches_of_one():
    assert list(skipped("mitigation=none,batchnorm", "batch_size=1,10")) == [
        "norm=batch needs batches of 2 at least, not batch_size=1"
    ]


def test_fixup_is_skipped_where_there_is_no_residual_branch():
    reasons = skipped("init=he,fixup,rezero", "mitigation=none,residual_learned")
    assert [len(runs) for runs in reasons.values()] == [1, 1, 1]
    no_branch, after_activation, no_scale = reasons
    assert no_branch.startswith("init=fixup needs residual branches")
    assert after_activation.startswith("init=fixup") and "branch_layers=2" in after_activation
    assert no_scale.startswith("init=rezero needs residual branches")


@pytest.mark.slow
def test_a_model_without_a_place_for_normalization_is_skipped():
    reasons = skipped("data=digits_rows", "model=mlp,gru", "norm=none,layer", "act=tanh")
    assert list(reasons) == ["model=gru has no place for a normalization: set norm=none"]


def test_a_mitigation_that_sets_what_a_choice_has_not_is_skipped():
    (reason,) = skipped("mitigation=none,nesterov", "optim=sgd,adam")
    assert "optim.nesterov" in reason and "has no such parameter" in reason


def test_where_nothing_is_left_it_is_an_error_with_the_reason():
    with pytest.raises(DoesNotFit, match=r"^norm=batch needs batches of 2 at least, not batch_size=1$"):
        skipped("norm=batch", "batch_size=1")


def test_what_is_wrong_by_itself_is_an_error_whatever_else_is_asked_for():
    with pytest.raises(
        InputError,
        match=r"^'regularize\.dropout=0\.5,1\.5': regularize\.dropout must be a number in \(0, 1\), got 1\.5",
    ):
        skipped("regularize.dropout=0.5,1.5")


def test_every_pair_of_values_is_built_and_not_every_cell(monkeypatch):
    """5 initializers x 3 activations x 2 depths: 15 pairs of the first two are the most, of 30 cells."""
    built = []
    monkeypatch.setattr(compatibility, "incompatibility", lambda run, device: built.append(run))
    found = prepare(
        ["init=he,xavier,lecun,normal,zeros", "act=relu,tanh,sigmoid", "depth=1,2", "width=8", "steps=10"], seeds=4
    )
    assert len(found.runs) == 120
    assert 15 <= len(built) < 30
    pairs = {(run.choices["init"], run.choices["act"]) for run in built}
    assert len(pairs) == 15
    assert len({(run.choices["init"], run.config["depth"]) for run in built}) == 10


CUDA_ONLY = [f"precision={name} needs CUDA; a CPU has float32 and bfloat16" for name in ("float16", "tf32")]


def test_precisions_that_cuda_alone_has_are_skipped_on_a_cpu():
    assert skipped("precision=float32,float16,tf32", "init=he,xavier").keys() == set(CUDA_ONLY)


@pytest.mark.slow
def test_all_mitigations_at_once_train_on_a_cpu_but_for_those_of_cuda():
    reasons = skipped("mitigation=glob(*)")
    sequences = [reason for reason in reasons if "needs sequences" in reason]
    balanced = [
        reason for reason in reasons if reason.startswith("rebalance=adasyn: imbalanced-learn says: No samples")
    ]
    assert len(sequences) == 2 and len(balanced) == 1 and {*reasons} == {*CUDA_ONLY, *sequences, *balanced}


def test_precisions_that_cuda_alone_has_are_refused_on_a_cpu_where_no_other_is_asked_for():
    with pytest.raises(DoesNotFit, match=r"^precision=float16 needs CUDA; a CPU has float32 and bfloat16"):
        prepare(["precision=float16"], device="cpu")
    with pytest.raises(
        InputError, match=r"^'precision=float32,floot32': precision=floot32 is unknown; did you mean 'float32'\?"
    ):
        prepare(["precision=float32,floot32"], device="cpu")


def test_a_model_is_skipped_where_it_does_not_fit_the_data():
    reasons = skipped("data=digits,digits_rows", "model=mlp,cnn", "init=he")
    assert len(reasons) == 1 and next(iter(reasons)).startswith("model=cnn takes images (channels, height, width), not")


@pytest.mark.parametrize(
    ("mitigation", "reason"),
    [
        ("feature_scaled", "data.standardize=feature: tokens are no numbers; set data.standardize=none"),
        ("badly_scaled", "data.scale and data.spread: tokens are no numbers"),
    ],
)
def test_a_scale_of_inputs_is_skipped_where_these_are_tokens(mitigation, reason):
    reasons = skipped("data=digits,text", f"mitigation=none,{mitigation}")
    assert len(reasons) == 2 and reason in reasons
    assert any(other.startswith("model=mlp reads numbers") for other in reasons)


def test_tied_layers_are_skipped_of_a_transformer_and_tied_embeddings_where_labels_are_no_tokens():
    (reason,) = skipped("mitigation=none,tied", "model=mlp,transformer", "data=digits_rows")
    assert reason.startswith("model.tied: ") and "has no such parameter" in reason
    (reason,) = skipped("model=transformer", "data=text,digits_rows", "model.tied_embeddings=true,false")
    assert reason.startswith("model.tied_embeddings=true of model=transformer needs data whose labels are tokens")


def test_a_transformer_is_skipped_where_its_heads_do_not_divide_its_width():
    reasons = skipped("model=mlp,transformer", "data=digits_rows", "model.heads=3,4")
    assert list(reasons) == ["model=transformer needs a width that model.heads=3 divides, got width=8"]
