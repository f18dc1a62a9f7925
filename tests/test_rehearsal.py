"""Cells whose settings don't fit each other are left out with the reason; what is wrong by itself is an error."""

import pytest

from initbench import rehearsal, sweep
from initbench.errors import DoesNotFit, InputError


def left_out(*overrides: str) -> dict[str, list[str]]:
    """The reasons, and the choices or values of what is left out."""
    found = sweep.prepare([*overrides, "steps=10", "width=8", "depth=3"])
    return {left.reason: [run.id for run in left.runs] for left in found.left_out}


def test_batch_normalization_is_left_out_at_batches_of_one():
    assert list(left_out("mitigation=none,batchnorm", "batch_size=1,10")) == [
        "norm=batch needs batches of 2 at least, not batch_size=1"
    ]


def test_fixup_is_left_out_where_there_is_no_residual_branch():
    reasons = left_out("init=he,fixup,rezero", "mitigation=none,residual_learned")
    assert [len(runs) for runs in reasons.values()] == [1, 1, 1]
    no_branch, after_activation, no_scale = reasons
    assert no_branch.startswith("init=fixup needs residual branches")
    assert after_activation.startswith("init=fixup") and "branch_layers=2" in after_activation
    assert no_scale.startswith("init=rezero needs residual branches")


@pytest.mark.slow
def test_a_model_without_a_place_for_normalization_is_left_out():
    reasons = left_out("data=digits_rows", "model=mlp,gru", "norm=none,layer", "act=tanh")
    assert list(reasons) == ["model=gru has no place for a normalization: take norm=none"]


def test_a_mitigation_that_sets_what_a_choice_has_not_is_left_out():
    (reason,) = left_out("mitigation=none,nesterov", "optim=sgd,adam")
    assert "optim.nesterov" in reason and "has no such parameter" in reason


def test_where_nothing_is_left_it_is_an_error_with_the_reason():
    with pytest.raises(DoesNotFit, match=r"^norm=batch needs batches of 2 at least, not batch_size=1$"):
        left_out("norm=batch", "batch_size=1")


def test_what_is_wrong_by_itself_is_an_error_whatever_else_is_asked_for():
    with pytest.raises(InputError, match=r"^regularize\.dropout must be a number in \(0, 1\), got 1\.5"):
        left_out("regularize.dropout=0.5,1.5")


def test_every_pair_of_values_is_built_and_not_every_cell(monkeypatch):
    """5 initializers x 3 activations x 2 depths: 15 pairs of the first two are the most, of 30 cells."""
    built = []
    monkeypatch.setattr(rehearsal, "reason_against", lambda run: built.append(run))
    found = sweep.prepare(
        ["init=he,xavier,lecun,normal,zeros", "act=relu,tanh,sigmoid", "depth=1,2", "width=8", "steps=10"], seeds=4
    )
    assert len(found.runs) == 120
    assert 15 <= len(built) < 30
    pairs = {(run.choices["init"], run.choices["act"]) for run in built}
    assert len(pairs) == 15
    assert len({(run.choices["init"], run.config["depth"]) for run in built}) == 10


def test_half_precision_of_cuda_is_refused_on_a_cpu():
    with pytest.raises(InputError, match=r"^precision=float16 needs CUDA; on a CPU there is float32 and bfloat16"):
        sweep.prepare(["precision=float16"], device="cpu")
    with pytest.raises(InputError, match=r"^precision=floot32 is unknown; did you mean 'float32'\?"):
        sweep.prepare(["precision=floot32"], device="cpu")


def test_a_model_is_left_out_where_it_does_not_fit_the_data():
    reasons = left_out("data=digits,digits_rows", "model=mlp,cnn", "init=he")
    assert len(reasons) == 1 and next(iter(reasons)).startswith("model=cnn takes images (channels, height, width), not")
