"""Looking changes nothing: a training whose layers are measured at every step has the losses of one that isn't, bit for
bit. Every shipped model with every normalization, and models as others write them."""

import itertools

import numpy as np
import pytest
import torch

from initbench import build
from initbench.config.grid import expand
from initbench.config.registry import choices
from initbench.engine.state import stack
from initbench.engine.train import Training
from initbench.errors import DoesNotFit, InputError

STEPS = 6
FITTING = {  # what a model is tried on, where that is not images
    "logistic": ["depth=0"],
    "conv1d": ["data=mnist1d"],
    "rnn": ["data=adding", "data.length=8", "data.samples=300", "act=tanh"],
    "lstm": ["data=adding", "data.length=8", "data.samples=300", "act=tanh"],  # fused where nobody looks
    "gru": ["data=digits_rows", "model.bidirectional=true"],
    "transformer": ["data=text", "data.length=8", "regularize.dropout=0.1"],
    "seq2seq": ["data=reverse", "data.length=4", "data.samples=300"],
}
OWN = ["Flat", "FlatReLU", "Nested", "Listed", "Named", "NamedTanh", "Shared", "Lazy", "WeightNormed", "WeightNormHook"]
OWN += ["Orthogonal", "Raw", "OwnWeights"]
ONE_BY_ONE = ["Spectral", "SpectralHook"]  # which vmap does not take: their buffers are written in place


def trained(overrides: list[str], log_every: int, looped: bool) -> tuple[np.ndarray, np.ndarray, int]:
    """Losses (STEPS, 2) of two seeds, their outputs at the end, and how often somebody looked."""
    common = ["width=8", "depth=2", f"steps={STEPS}", "batch_size=20", "lr=0.05", "seed=0,1"]
    asked = dict(setting.split("=", 1) for setting in [*common, f"log_every={log_every}", *overrides])
    runs = expand([f"{key}={value}" for key, value in asked.items()]).runs
    data = build.data(runs[0].config)
    models = [build.initialized(run.config, data) for run in runs]
    recipe = build.recipe(runs[0].config)
    state = stack(models, torch.device("cpu"))
    training = Training(state, models[0], data, recipe, seeds=[0, 1], lrs=[0.05] * 2, looped=looped)
    for _ in range(STEPS):
        training.step()
    outputs = training.program.predict(data.x_test[:20])
    return training.recorder.losses.numpy(), outputs.numpy(), len(training.recorder.logs)


def agree(overrides: list[str], looped: bool) -> None:
    (losses, outputs, looks), (losses_once, outputs_once, once) = (
        trained(overrides, log_every, looped) for log_every in (1, 1000)
    )
    assert np.isfinite(losses).all() and (looks, once) == (STEPS, 1)
    np.testing.assert_array_equal(losses, losses_once)
    np.testing.assert_array_equal(outputs, outputs_once)  # running statistics and power iterations too


CASES = [
    pytest.param(model, norm, looped, marks=() if model == "mlp" or norm == "none" else pytest.mark.slow)
    for model, norm, looped in itertools.product(choices("model"), choices("norm"), [False, True])
]


@pytest.mark.slow
@pytest.mark.parametrize("model, norm, looped", CASES)
def test_a_shipped_model_trains_as_if_nobody_looked(model, norm, looped):
    try:
        agree([f"model={model}", f"norm={norm}", *FITTING.get(model, [])], looped)
    except DoesNotFit as reason:
        assert "has no place for a normalization" in str(reason)


@pytest.mark.slow
@pytest.mark.parametrize("looped", [False, True])
@pytest.mark.parametrize("name", OWN)
def test_somebodys_model_trains_as_if_nobody_looked(name, looped):
    agree([f"model=somebodys_models.{name}"], looped)


@pytest.mark.parametrize("looped", [False, True])
def test_a_residual_net_in_place_trains_as_if_nobody_looked(looped):
    agree(["model=somebodys_models.ResidualNet", "width=4"], looped)


@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_power_iterations_do_not_go_on_while_somebody_looks(name):
    agree([f"model=somebodys_models.{name}"], looped=True)


# ---------------------------------------------------------------- weights that are computed start as they were drawn


def built(name: str, *overrides: str):
    config = expand([f"model=somebodys_models.{name}", "width=8", "depth=2", *overrides]).runs[0].config
    return build.initialized(config, build.data(config)).eval()


@pytest.mark.parametrize("name", ["WeightNormed", "WeightNormHook"])
def test_a_weight_normalized_net_starts_as_the_plain_one(name):
    plain, normed, x = built("FlatTanh"), built(name), torch.ones(3, 1, 8, 8)
    torch.testing.assert_close(normed(x), plain(x))
    assert all(not value.any() for key, value in normed.named_parameters() if key.endswith("bias"))  # as asked


@pytest.mark.parametrize("name", ["Spectral", "SpectralHook"])
def test_a_spectrally_normalized_net_starts_with_singular_values_up_to_1(name):
    model = built(name, "init=normal", "init.std=3")
    model(torch.ones(3, 1, 8, 8))
    for layer in (model.net[1], model.net[3]):
        assert float(torch.linalg.matrix_norm(layer.weight.detach(), 2)) == pytest.approx(1, abs=0.1)


def test_orthogonal_weights_are_the_orthogonal_factor_of_what_was_drawn():
    model, plain = built("Orthogonal"), built("FlatTanh")
    weight, drawn = model.net[3].weight, plain.net[3].weight
    torch.testing.assert_close(weight @ weight.mT, torch.eye(8), rtol=0, atol=1e-5)
    factor = weight.mT @ drawn  # of drawn = Q R: triangular
    torch.testing.assert_close(factor.tril(-1), torch.zeros(8, 8), rtol=0, atol=1e-5)


# ---------------------------------------------------------------- lazily built modules


def test_lazily_built_layers_have_their_shapes_before_the_initializer_writes_them():
    model = built("Lazy", "init=constant", "init.value=0.25")
    weights = [module.weight for module in model.modules() if type(module) is torch.nn.Linear]
    assert [tuple(weight.shape) for weight in weights] == [(8, 64), (8, 8), (10, 8)]
    assert all((weight == 0.25).all() for weight in weights)
    assert all(not buffer.any() for name, buffer in model.named_buffers() if name.endswith("running_mean"))


@pytest.mark.parametrize(
    "name, message",
    [
        ("LazyUnused", "model: the forward pass does not use spare, a lazily built layer: it has no shape"),
        ("LazyWrong", "model: lazily built layers get their shapes from a first forward pass, and it failed with"),
    ],
)
def test_lazily_built_layers_without_a_shape_give_one_line(name, message):
    with pytest.raises(InputError, match=message) as caught:
        built(name)
    assert "\n" not in str(caught.value)
