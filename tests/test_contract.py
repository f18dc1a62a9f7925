"""The contract of initializers: all shipped ones keep it, and every planted fault is caught by name."""

import random
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from initbench.errors import DoesNotFit, InputError
from initbench.parts import inits
from initbench.parts.activations import Activation, tanh
from initbench.parts.inits.contract import CHECKS, RELU, SUBJECTS, Trial, check_contract
from initialized_layers import ALL, RESIDUAL

EVERY = ALL | {name: getattr(inits, name) for name in sorted(RESIDUAL)}


DETERMINISTIC = {"zeros", "constant", "identity"}


@pytest.mark.parametrize("name", EVERY)
def test_every_shipped_initializer_keeps_it(name):
    checks = check_contract(EVERY[name], random=name not in DETERMINISTIC)
    assert [check for check in checks if not check.passed] == []
    assert len(checks) == 1 + len(CHECKS)


@pytest.mark.parametrize("name", EVERY)
def test_whether_the_seed_should_count_is_found_out(name):
    trial = Trial(EVERY[name], SUBJECTS["residual mlp"], RELU, None, {})
    assert trial.is_random == (name not in DETERMINISTIC)


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


GLOBAL = {"one seed gives one start", "the global random state is left alone"}
FAULTS = [
    (fits_nothing, {"fits a model"}),
    (leaves_the_biases, {"every parameter is written"}),
    (makes_new_parameters, {"nothing is added or removed"}),
    (writes_float32, {"shapes, dtypes and devices are kept"}),
    (freezes, {"parameters stay trainable"}),
    (trains, {"parameters stay trainable"}),
    (moves_statistics, {"statistics, mode and hooks are left alone"}),
    (leaves_a_hook, {"statistics, mode and hooks are left alone"}),
    (evaluates, {"statistics, mode and hooks are left alone"}),
    (scales_the_batch, {"the batch is left alone"}),
    (has_its_own_seed, {"the seed counts"}),
    (draws_from_torch, GLOBAL),
    (draws_from_numpy, GLOBAL),
    (draws_from_python, GLOBAL),
    (counts_its_calls, {"one seed gives one start"}),
    (starts_anew_for_each_layer, {"the seed counts", "layers differ"}),
    (returns_the_model, {"it returns nothing"}),
]


@pytest.mark.parametrize(("fault", "names"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_a_fault_is_caught_by_name(fault, names):
    broken = {check.name: check.detail for check in check_contract(fault) if not check.passed}
    assert broken.keys() == names
    assert all(broken.values())


def test_every_line_has_its_fault():
    assert {name for _, names in FAULTS for name in names} == {"fits a model", *CHECKS}
