"""The contract of initializers: all shipped ones keep it, and every planted fault is caught by name."""

import random
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from initbench.config.registry import choices, shipped_facts
from initbench.errors import DoesNotFit, InputError
from initbench.jobs.certify import certify
from initbench.parts import inits
from initbench.parts.activations import Activation, leaky_relu, tanh
from initbench.parts.inits.claims import Claims
from initbench.parts.inits.contract import CHECKS, check_contract
from initbench.parts.inits.matrix import matrices
from initbench.parts.inits.subjects import RELU, SUBJECTS, Trial
from initialized_layers import ALL, LOADS, RESIDUAL

DETERMINISTIC = {"zeros", "constant", "identity", "zero"}
FAST = ("he", "orthogonal", "torch_default", "zeros", "fixup")
EVERY = [
    pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in choices("init") if name not in LOADS
]


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_every_shipped_initializer_keeps_it_and_what_its_yaml_claims(name):
    certificate = certify(name, ["init.steps=3"] if name in ("metainit", "gradinit") else [], {})
    assert [line for line in certificate.checks if not line.passed] == []
    names = {line.name for line in certificate.checks}
    assert {*CHECKS, "fits a model", "units differ"} < names and any(name.startswith("variance") for name in names)


@pytest.mark.parametrize("name", sorted(ALL.keys() | RESIDUAL))
def test_whether_the_seed_should_count_is_found_out(name):
    trial = Trial(getattr(inits, name), SUBJECTS["residual mlp"])
    assert trial.is_random == (name not in DETERMINISTIC)


def test_claims_go_with_parameters_activation_and_kind():
    """xavier_normal with gain 3: 9 * 2 / (n + m); he on leaky ReLU of slope 1/2: 2 / (1.25 n)."""
    leaky, relu = Activation(leaky_relu, slope=0.5), RELU()
    conv, table = matrices(nn.Sequential(nn.Conv2d(4, 6, 3), nn.Embedding(11, 5)))
    for name, parameters, act, expected in (
        ("xavier_normal", {"gain": 3}, relu, 18 / (36 + 54)),
        ("he", {}, leaky, 2 / (1.25 * 36)),
        ("lecun", {"gain": "auto"}, relu, 2 / 36),
        ("normal", {"std": 0.5}, relu, 0.25),
        ("delta_orthogonal", {}, relu, None),
    ):
        claims = Claims.of(shipped_facts("init")[name])
        assert claims.variance_of(conv, act, parameters) == pytest.approx(expected)
    torch_default = Claims.of(shipped_facts("init")["torch_default"])
    assert torch_default.variance_of(table, relu, {}) == 1
    assert torch_default.variance_of(conv, relu, {}) == pytest.approx(1 / (3 * 36))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"variance": "2 / fan"}, "variance: 'fan' is unknown in the formula '2 / fan'"),
        ({"variance": "2 / (n - n)"}, "variance: 2 / \\(n - n\\) is inf"),
        ({"variance": "-1 / n"}, "variance: -1 / n is -1 for n=1, m=1"),
        ({"variance": "1 +"}, "variance: '1 \\+' is no formula"),
        ({"distribution": "gauss"}, "distribution must be one of normal, uniform, truncated, got 'gauss'"),
        ({"orthogonal": "yes"}, "orthogonal must be one of matrix, centre, got 'yes'"),
    ],
)
def test_claims_that_cannot_be_understood_say_so(claims, message):
    with pytest.raises(InputError, match=message) as caught:
        certify("he", [], claims)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_its_parameters_are_passed_on_and_its_errors_come_through():
    assert all(check.passed for check in check_contract(inits.normal, std=0.5))
    assert all(check.passed for check in check_contract(inits.kumar, act=partial(Activation, tanh)))
    with pytest.raises(InputError, match=r"init\.std"):
        check_contract(inits.normal, std=-1)


# One fault per line of the contract.


def fits_nothing(model, batch, generator):
    raise DoesNotFit("it suits no model")


def leaves_the_biases(model, batch, generator):
    for matrix in inits.matrices(model):
        matrix.weight.normal_(generator=generator)


def makes_new_parameters(model, batch, generator):
    inits.he(model, batch, generator)
    model.head.weight = nn.Parameter(model.head.weight.detach().clone())


def writes_float32(model, batch, generator):
    inits.he(model, batch, generator)
    model.head.weight.data = model.head.weight.data.float()


def freezes(model, batch, generator):
    inits.he(model, batch, generator)
    model.head.requires_grad_(False)


def trains(model, batch, generator):
    inits.he(model, batch, generator)
    model.head.weight.sum().backward()


def moves_statistics(model, batch, generator, *, start):
    inits.he(model, batch, generator)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module(torch.randn(2, module.num_features, 3, 3, generator=generator).to(batch.dtype))


def leaves_a_hook(model, batch, generator):
    inits.he(model, batch, generator)
    model.head.register_forward_hook(lambda *_: None)


def evaluates(model, batch, generator):
    inits.he(model.eval(), batch, generator)


def scales_the_batch(model, batch, generator):
    inits.he(model, batch, generator)
    batch.mul_(2)


def has_its_own_seed(model, batch, generator):
    inits.he(model, batch, torch.Generator().manual_seed(0))


def draws_from_torch(model, batch, generator):
    inits.zeros(model, batch, generator)
    nn.init.normal_(model.head.weight)


def draws_from_numpy(model, batch, generator):
    inits.he(model, batch, generator)
    model.head.bias.data.fill_(np.random.random())


def draws_from_python(model, batch, generator):
    inits.he(model, batch, generator)
    model.head.bias.data.fill_(random.random())


def counts_its_calls(model, batch, generator, *, calls=[0]):  # noqa: B006
    inits.he(model, batch, generator)
    calls[0] += 1
    model.head.bias.data.fill_(calls[0])


def starts_anew_for_each_layer(model, batch, generator):
    inits.initialize(model, lambda matrix: matrix.weight.clone().normal_(generator=generator.manual_seed(5)))


def returns_the_model(model, batch, generator):
    inits.he(model, batch, generator)
    return model


def has_equal_units(model, batch, generator):
    inits.he(model, batch, generator)
    for matrix in list(matrices(model))[:1]:
        matrix.weight[:] = matrix.weight[:1].clone()


def never_parts_units(model, batch, generator):
    inits.zeros(model, batch, generator)


def swaps_the_fans(model, batch, generator):
    inits.initialize(model, lambda matrix: drawn(matrix, generator) * (2 / matrix.m) ** 0.5)


def forgets_the_correction(model, batch, generator):
    def draw(matrix):
        return nn.init.trunc_normal_(torch.empty(matrix.weight.shape), 0, 0.1, -0.2, 0.2, generator=generator)

    inits.initialize(model, draw)


def is_not_cut(model, batch, generator):
    inits.normal(model, batch, generator, std=0.1)


def is_not_orthogonal(model, batch, generator):
    """Normalized columns of a Gaussian."""
    inits.initialize(model, lambda matrix: F.normalize(drawn(matrix, generator).flatten(1)).view_as(matrix.weight))


def drawn(matrix, generator):
    return torch.empty(matrix.weight.shape).normal_(generator=generator)


GLOBAL = {"one seed gives one start", "the global random state is left alone"}
SHAPES = {"tall", "wide", "square"}
KINDS = {"convolution", "gate", "projection", "attention output", "embedding"}
UNEQUAL = {"tall", "wide", "gate", "embedding", "convolution"}  # their fans differ
FAULTS: list[tuple[Any, Claims, set[str]]] = [
    (fits_nothing, Claims(), {"fits a model"}),
    (leaves_the_biases, Claims(), {"every parameter is written"}),
    (makes_new_parameters, Claims(), {"nothing is added or removed"}),
    (writes_float32, Claims(), {"shapes, dtypes and devices are kept"}),
    (freezes, Claims(), {"parameters stay trainable"}),
    (trains, Claims(), {"parameters stay trainable"}),
    (moves_statistics, Claims(), {"statistics, mode and hooks are left alone"}),
    (leaves_a_hook, Claims(), {"statistics, mode and hooks are left alone"}),
    (evaluates, Claims(), {"statistics, mode and hooks are left alone"}),
    (scales_the_batch, Claims(), {"the batch is left alone"}),
    (has_its_own_seed, Claims(), {"the seed counts"}),
    (draws_from_torch, Claims(symmetric=True), GLOBAL),
    (draws_from_numpy, Claims(), GLOBAL),
    (draws_from_python, Claims(), GLOBAL),
    (counts_its_calls, Claims(), {"one seed gives one start"}),
    (starts_anew_for_each_layer, Claims(), {"the seed counts", "layers differ"}),
    (returns_the_model, Claims(), {"it returns nothing"}),
    (has_equal_units, Claims(), {"units differ"}),
    (never_parts_units, Claims(), {"units differ"}),
    (inits.he, Claims(symmetric=True), {"units differ"}),
    (swaps_the_fans, Claims("2 / n"), {f"variance, {kind}" for kind in UNEQUAL}),
    (forgets_the_correction, Claims("0.01", "truncated"), {f"variance, {kind}" for kind in KINDS | SHAPES}),
    (is_not_cut, Claims("0.01", "truncated"), {"distribution, kurtosis", "distribution, bounds"}),
    (inits.he, Claims("2 / n", "uniform"), {"distribution, kurtosis", "distribution, bounds"}),
    (is_not_orthogonal, Claims(orthogonal="matrix"), {"orthogonality"}),
    (inits.orthogonal, Claims(orthogonal="centre"), {"orthogonality"}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "claims", "names"), FAULTS, ids=[fault.__name__ for fault, _, _ in FAULTS])
def test_a_fault_is_caught_by_name(fault, claims, names):
    broken = {check.name: check.detail for check in check_contract(fault, claims=claims) if not check.passed}
    assert broken.keys() == names
    assert all(broken.values())


def test_every_line_has_its_fault():
    always = {"fits a model", "units differ", "distribution, kurtosis", "distribution, bounds", "orthogonality"}
    assert {*CHECKS, *always} < {name for _, _, names in FAULTS for name in names}
