"""Maximal update parametrization: its table, its rates in a stack, activations that move alike at every width."""

from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from initbench import build
from initbench.config.grid import expand
from initbench.engine.batches import Batches
from initbench.engine.programs.choose import choose_program
from initbench.engine.state import stack, unstack
from initbench.engine.update import Updater
from initbench.errors import DoesNotFit, InputError
from initbench.parts import inits
from initbench.parts.activations import Activation, relu
from initbench.parts.optimizers import LAMB, SGD, Adam, AdamW, Lookahead, Muon
from initbench.parts.rates import Rates, asked
from initbench.planning.sweep import prepare
from initialized_layers import generator, has_moments, initialized
from small_models import GRU, LSTM, MLP, Logistic, ResNet, Transformer

act = partial(Activation, relu)


def born(width: int, scheme: Any = inits.mup, **parameters: Any) -> Any:
    return initialized(scheme, MLP((50,), 10, 3, width, act), **parameters)


def test_at_the_base_width_it_is_lecun_with_one_rate():
    model, other = born(32), initialized(inits.lecun, MLP((50,), 10, 3, 32, act))
    for own, lecuns in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(own, lecuns)
    assert all(rates == (1, 1) for rates in asked(model).values())


def test_variances_and_rates_are_those_of_table_3():
    """Initial variance 1/fan_in, output 1/fan_in^2; SGD fan_out, 1, 1/fan_in; Adam 1, 1/fan_in, 1/fan_in."""
    model = born(320)
    layers = [layer.linear for layer in model.layers]
    for layer, variance in zip([*layers, model.head], [1 / 50, 1 / 320, 1 / 320, 1 / 3200], strict=True):
        assert has_moments(layer.weight.detach().double(), variance)
    assert asked(model) == {
        "layers.0.linear.weight": (10, 1),
        **{f"layers.{i}.linear.bias": (10, 1) for i in range(3)},
        **{f"layers.{i}.linear.weight": (1, 0.1) for i in (1, 2)},
        "head.weight": (0.1, 0.1),
    }


@pytest.mark.parametrize(
    ("model", "scaled", "kept"),
    [
        (ResNet((1, 8, 8), 3, 1, 64, act, learn_scale=True), "layers.0.bias", "scale.alpha"),
        (LSTM((3, 5), 3, 1, 64, act), "layers.0.input.weight", "layers.0.recurrent.weight"),
        (GRU((5,), 11, 1, 64, act, 11), "embedding.weight", "layers.0.input.weight"),
        (Transformer((5,), 11, 1, 64, act, 11, score_scale=4), "embedding.weight", "attention.key.weight"),
    ],
)
def test_other_models_have_input_and_hidden_layers_too(model, scaled, kept):
    """At twice the base width, with SGD: embeddings are input layers, gates on them hidden, a scale is one number."""
    found = asked(initialized(inits.mup, model))
    rates = {name: found.get(name, Rates()).plain for name, _ in model.named_parameters()}
    assert [rate for name, rate in rates.items() if name.endswith(scaled)] in ([2], [])
    assert {rate for name, rate in rates.items() if name.endswith(kept)} == {1}
    assert rates["head.weight"] == 0.5 and rates["head.bias"] == 1


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Logistic((3,), 2, 0), "init=mup needs a hidden layer"),
        (Transformer((3, 5), 2, 1, 8, act), "init=mup wants attention's scores over d, not sqrt"),
        (
            Transformer((5,), 7, 1, 8, act, 7, 5, tied_embeddings=True, score_scale=2),
            "init=mup has no rates for an embedding that is the head too",
        ),
        (LSTM((3, 5), 2, 1, 8, act, bidirectional=True), "init=mup is not there for model.bidirectional=true"),
    ],
)
def test_models_without_its_layers_are_left_out_with_the_reason(model, reason):
    with pytest.raises(DoesNotFit, match=f"^{reason}"):
        inits.mup(model, torch.zeros(2, 3), generator())


def test_optimizers_whose_rates_are_not_known_are_left_out():
    assert Rates(2, 3).of(SGD()) == Rates(2, 3).of(Lookahead()) == 2
    assert Rates(2, 3).of(Adam()) == Rates(2, 3).of(AdamW()) == 3
    for optimizer in (LAMB(), Muon(), Lookahead(inner="lamb")):
        with pytest.raises(DoesNotFit, match=r"^init=mup has learning rates for SGD and optimizers like Adam, not for"):
            Rates(2, 3).of(optimizer)
    found = prepare(["init=mup,he", "optim=sgd,muon", "depth=2", "width=8", "steps=10"])
    assert len(found.runs) == 3 and len(found.skipped) == 1


def groups(model: nn.Module, lr: float, kind: str) -> list[dict[str, Any]]:
    """Torch's parameter groups with the same rates."""
    found = asked(model)
    rates = {name: getattr(found.get(name, Rates()), kind) for name, _ in model.named_parameters()}
    return [{"params": [own], "lr": lr * rates[name]} for name, own in model.named_parameters()]


@pytest.mark.parametrize(
    ("optimizer", "theirs", "kind"),
    [("sgd", partial(torch.optim.SGD, momentum=0.9), "plain"), ("adam", torch.optim.Adam, "scale_free")],
)
@pytest.mark.parametrize("model", ["mlp", "lstm"])
@pytest.mark.parametrize("axis", ["init=he,mup", "lr_factors=null,[bias:0.1,head:3]"])
def test_in_a_stack_with_others_it_trains_as_torch_does_with_parameter_groups(model, optimizer, theirs, kind, axis):
    """Its own rates, and no neighbour gets any of them: he's run is that of one rate."""
    data = {"mlp": "digits", "lstm": "digits_rows"}[model]
    common = [f"model={model}", f"data={data}", f"optim={optimizer}", "act=tanh", axis]
    runs = expand([*common, "depth=2", "width=48", "lr=0.002", "batch_size=20"]).runs
    config = runs[0].config
    data = build.data(config)
    models = [build.initialized(run.config, data, torch.float64) for run in runs]
    state = stack(models, torch.device("cpu"))
    recipe = build.recipe(config)
    updater = Updater(choose_program(models[0], state, data, recipe, [0, 0]), state, recipe, [0.002] * 2, [0, 0])
    alone = [theirs(groups(each, 0.002, kind)) for each in models]
    batches = Batches([0, 0], len(data.y_train), 20, torch.device("cpu"))
    for t in range(5):
        index = batches.at(t)
        updater(data.x_train[index].double(), data.y_train[index], log=False)
        for i, own in enumerate(models):
            alone[i].zero_grad()
            F.cross_entropy(own(data.x_train[index[i]].double()), data.y_train[index[i]]).backward()
            alone[i].step()
    for i, own in enumerate(models):
        found = unstack(state, i)
        for name, parameter in own.named_parameters():
            torch.testing.assert_close(found[name], parameter.detach(), rtol=1e-9, atol=1e-11)


def test_rates_of_one_initializer_do_not_stay_for_the_next():
    run, other = expand(["init=mup,he", "width=64"]).runs
    data = build.data(run.config)
    model = build.model(run.config, data)
    build.initialize(model, run.config, data)
    assert asked(model)
    build.initialize(model, other.config, data)
    assert not asked(model)


@pytest.mark.parametrize(
    ("theirs", "kind", "lr"), [(torch.optim.SGD, "plain", 0.1), (torch.optim.Adam, "scale_free", 0.003)]
)
def test_activations_move_as_far_at_every_width(theirs, kind, lr):
    """The coordinate check of Yang et al. 2021: with lecun and one rate a wide network's layers move further."""
    numbers = torch.Generator().manual_seed(3)
    x, y = torch.randn(64, 50, generator=numbers), torch.randint(10, (64,), generator=numbers)

    def moved(width: int, scheme: Any) -> float:
        """How far the pre-activations of the last hidden layer move in 3 steps, as root mean square."""
        total = 0.0
        for seed in range(3):
            model, seen = born(width, scheme, seed=seed, gain=2**0.5), []
            model.layers[2].linear.register_forward_hook(lambda module, inputs, out, seen=seen: seen.append(out))
            optimizer = theirs(groups(model, lr, kind), lr=lr)
            for _ in range(4):
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
            total += float((seen[3] - seen[0]).square().mean().sqrt().detach())
        return total / 3

    assert 0.6 < moved(512, inits.mup) / moved(64, inits.mup) < 1.6
    assert moved(512, inits.lecun) / moved(64, inits.lecun) > 2


# Factors by name.


def test_the_last_pattern_that_fits_a_name_counts_and_multiplies_what_an_initializer_asked_for():
    config = (
        expand(["init=mup", "width=64", "depth=2", "lr_factors=[linear.bias:0.5,*weight:0.25,layers.1:0]"])
        .runs[0]
        .config
    )
    found = asked(build.initialized(config, build.data(config)))
    assert found == {
        "layers.0.linear.weight": (0.25 * 2, 0.25),
        "layers.0.linear.bias": (0.5 * 2, 0.5),
        "layers.1.linear.weight": (0, 0),
        "layers.1.linear.bias": (0, 0),
        "head.weight": (0.25 / 2, 0.25 / 2),
    }


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["lr_factors=[biass:0.1]"], "no parameter is named 'biass'; did you mean 'bias'?"),
        (["lr_factors=[layers.5:1]", "depth=5"], "no parameter is named 'layers.5'; did you mean 'layers.0'"),
        (["lr_factors=[bias:0.1]", "optim=lamb"], "by itself, as sgd and adam; not LAMB"),
        (["lr_factors=[bias:-1]"], r"a list of NAME:FACTOR, as in lr_factors=\[bias:0.1,head:0.5\], or null, not"),
        (["lr_factors=bias"], "a list of NAME:FACTOR"),
    ],
)
def test_factors_that_fit_nothing_are_refused_before_anything_is_trained(overrides, message):
    with pytest.raises(InputError, match=message):
        prepare(overrides)


def test_a_frozen_layer_is_found_by_its_name_in_a_deep_model():
    """Names are looked up in the whole model, also where planning builds a smaller one."""
    assert len(prepare(["lr_factors=null,[layers.4:0],[head:0]", "depth=5"]).runs) == 3


def test_memory_counts_the_rates_of_single_parameters():
    """Two float32 matrices (R, P): the rates, and the rates at a step of the schedule."""
    he, mup, factors = (prepare(["depth=2", each]).memory for each in ("init=he", "init=mup", "lr_factors=[bias:0.1]"))
    parameters = 65 * 100 + 101 * 100 + 101 * 10
    assert mup - he == factors - he == 2 * 4 * parameters
