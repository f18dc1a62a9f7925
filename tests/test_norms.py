"""Normalizations: each by its formula or as torch has it, in every model that takes one, and under vmap."""

import copy
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.utils import parametrizations

from initbench import build
from initbench.config.grid import expand
from initbench.config.registry import choices
from initbench.errors import DoesNotFit, InputError
from initbench.parts import inits, norms
from initbench.parts.activations import Activation, relu, tanh
from initbench.parts.norms import Norm, WeightNorm, sync_weight_norm, weighted
from initbench.parts.observe import LayerHooks
from small_models import CNN, MLP, Conv1D, ResNet

act = partial(Activation, tanh)
NAMES = ["batch", "layer", "group", "rms"]  # of units
EPS = {"rms": torch.finfo(torch.float64).eps}
MODELS = {
    "mlp": partial(MLP, (2, 3), 4, 3, 8, act),
    "mlp, residual": partial(MLP, (2, 3), 4, 4, 8, act, branch_scale=0.7, learn_scale=True, branch_layers=2),
    "mlp, tied": partial(MLP, (2, 3), 4, 4, 8, act, tied=True),
    "cnn": partial(CNN, (2, 6, 6), 4, 2, 8, act, downsample="mean"),
    "conv1d": partial(Conv1D, (2, 12), 4, 2, 8, act),
    "resnet": partial(ResNet, (2, 6, 6), 4, 2, 8, act),
}


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drawn(model: nn.Module, seed: int = 0) -> Any:
    """The model in float64, with every parameter drawn."""
    with torch.no_grad():
        for number, parameter in enumerate(model.double().parameters()):
            parameter.copy_(0.5 * random(*parameter.shape, seed=100 * seed + number))
    return model


def standardized(x: Tensor, over: tuple[int, ...], name: str = "") -> Tensor:
    """By the formula; root mean squares keep the mean."""
    mean = torch.zeros(()) if name == "rms" else x.mean(over, keepdim=True)
    return (x - mean) / ((x - mean).square().mean(over, keepdim=True) + EPS.get(name, 1e-5)).sqrt()


def formula(name: str, x: Tensor) -> Tensor:
    """Of (B, 8, ...), with 4 groups."""
    places = tuple(range(2, x.ndim))
    match name:
        case "batch":
            return standardized(x, (0, *places))
        case "layer":
            return standardized(x, (1, *places))
        case "group":
            return torch.cat([standardized(part, (1, *places)) for part in x.chunk(4, 1)], 1)
    return standardized(x, (1,), "rms")


@pytest.mark.parametrize("shape", [(5, 8), (5, 8, 3), (5, 8, 3, 2)])
@pytest.mark.parametrize("name", NAMES)
def test_each_is_its_formula_with_a_gain_and_a_bias_for_each_unit(name, shape):
    module = getattr(norms, name)().make(8, len(shape) - 2).double()
    x = 3 * random(*shape) + 2
    torch.testing.assert_close(module(x), formula(name, x))
    drawn(module, 1)
    affine = [parameter.view(8, *(1 for _ in shape[2:])) for parameter in module.parameters()]
    assert len(affine) == (1 if name == "rms" else 2)
    expected = affine[0] * formula(name, x) + (affine[1] if len(affine) > 1 else 0)
    torch.testing.assert_close(module(x), expected)


@pytest.mark.parametrize("dimensions", [0, 1, 2])
def test_evaluation_of_batch_takes_running_means(dimensions):
    """Mean and unbiased variance, a tenth of each batch's (Ioffe & Szegedy 2015, algorithm 2)."""
    module: Any = norms.batch().make(8, dimensions)
    module.double()
    mean, variance, x = torch.zeros(8), torch.ones(8), torch.zeros(0)
    for seed in range(3):
        x = 2 * random(5, 8, *(3 for _ in range(dimensions)), seed=seed) + 1
        rows = x.movedim(1, -1).reshape(-1, 8)
        mean, variance = 0.9 * mean + 0.1 * rows.mean(0), 0.9 * variance + 0.1 * rows.var(0)
        module(x)
    one = x[:1]
    shape = (8, *(1 for _ in range(dimensions)))
    expected = (one - mean.view(shape)) / (variance.view(shape) + 1e-5).sqrt()
    torch.testing.assert_close(module.eval()(one), expected)


@pytest.mark.parametrize("position", ["before", "after"])
@pytest.mark.parametrize("name", NAMES)
def test_an_mlp_normalizes_each_hidden_layer_before_or_after_its_activation(name, position):
    model = drawn(MLP((2, 3), 4, 2, 8, act, getattr(norms, name)(position=position)))
    x = random(7, 2, 3)
    h = x.flatten(1)
    for layer in model.layers:
        s = F.linear(h, *layer.linear.parameters())
        h = (
            torch.tanh(affine(layer, formula(name, s)))
            if position == "before"
            else affine(layer, formula(name, s.tanh()))
        )
    torch.testing.assert_close(model(x), F.linear(h, *model.head.parameters()))


def affine(layer: Any, x: Tensor) -> Tensor:
    gain, *bias = layer.norm.parameters()
    return gain * x + (bias[0] if bias else 0)


@pytest.mark.parametrize("position", ["before", "after"])
def test_a_resnet_has_torchs_batch_norm_around_each_activation(position):
    """Before: He et al. 2016b, fig. 4e, and once more before the head."""
    model = drawn(ResNet((2, 6, 6), 4, 2, 8, act, norms.batch(position=position)))
    order = ["norm", "act"] if position == "before" else ["act", "norm"]
    names = [f"{order[0]}1", f"{order[1]}1", "conv1", f"{order[0]}2", f"{order[1]}2", "conv2", "scale"]
    assert [name for name, _ in model.blocks[0].named_children()] == names
    x = random(3, 2, 6, 6)

    def around(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
        x = torch.tanh(x) if position == "after" else x
        x = F.batch_norm(x, None, None, norm.weight, norm.bias, training=True)
        return torch.tanh(x) if position == "before" else x

    h = F.conv2d(x, *model.stem.parameters(), padding=1)
    for block, stride in zip(model.blocks, [2, 1], strict=True):
        inner = F.conv2d(around(h, block.norm1), *block.conv1.parameters(), stride=stride, padding=1)
        h = h[..., ::stride, ::stride] + F.conv2d(around(inner, block.norm2), *block.conv2.parameters(), padding=1)
    torch.testing.assert_close(model(x), model.head(around(h, model.last.norm).mean((2, 3))))


LAYERS = [
    (nn.Linear, (5, 3), {}, (4, 5)),
    (nn.Conv1d, (2, 3, 3), {"stride": 2, "padding": 1}, (4, 2, 7)),
    (nn.Conv2d, (2, 3, 3), {"stride": 2, "padding": 1}, (4, 2, 7, 6)),
]


@pytest.mark.parametrize(("kind", "sizes", "options", "shape"), LAYERS)
def test_weight_normalization_is_torchs(kind, sizes, options, shape):
    """Outputs and gradients of v, g and b, with one g for each unit."""
    ours: Any = drawn(weighted(kind, norms.weight())(*sizes, **options))
    assert isinstance(ours, kind) and [name for name, _ in ours.named_parameters()] == ["weight", "bias", "gain"]
    theirs: Any = parametrizations.weight_norm(kind(*sizes, **options).double())
    with torch.no_grad():
        g, v = theirs.parametrizations.weight.original0, theirs.parametrizations.weight.original1
        for there, here in ((g, ours.gain.view_as(g)), (v, ours.weight), (theirs.bias, ours.bias)):
            there.copy_(here)
    x, our_output = random(*shape), ours(random(*shape))
    torch.testing.assert_close(our_output, theirs(x))
    toward = random(*our_output.shape, seed=3)
    gradients = torch.autograd.grad(our_output, [ours.weight, ours.gain, ours.bias], toward)
    for a, b in zip(gradients, torch.autograd.grad(theirs(x), [v, g, theirs.bias], toward), strict=True):
        torch.testing.assert_close(a, b.view_as(a))


@pytest.mark.parametrize("make", [MODELS["mlp"], MODELS["cnn"], MODELS["conv1d"], MODELS["resnet"]])
def test_a_weight_normalized_model_starts_as_the_one_that_is_not(make):
    plain, normed = make(), make(norm=norms.weight())
    for model in (plain, normed):
        inits.he(model, None, torch.Generator().manual_seed(3), act=Activation(relu))
        sync_weight_norm(model)
    x = random(5, *make.args[0]).float()
    torch.testing.assert_close(normed(x), plain(x))
    hidden = [module for module in normed.modules() if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d)][:-1]
    assert all(isinstance(module, WeightNorm) for module in hidden) and not isinstance(normed.head, WeightNorm)


def test_the_build_settles_weights_after_every_initializer():
    for init in ("ratio_he", "mean_field", "zeros"):
        run = expand(["norm=weight", f"init={init}", "width=8", "depth=2"]).runs[0]
        model = build.initialized(run.config, build.data(run.config))
        for module in model.modules():
            if isinstance(module, WeightNorm):
                torch.testing.assert_close(module.normalized(), module.weight)


def test_weights_of_zero_have_no_direction_and_no_gradient():
    layer: Any = weighted(nn.Linear, norms.weight())(3, 2)
    inits.zeros(layer, None, torch.Generator())
    sync_weight_norm(layer)
    layer(torch.ones(4, 3)).sum().backward()
    assert all((parameter.grad == 0).all() for parameter in (layer.weight, layer.gain))


@pytest.mark.parametrize("name", NAMES)
def test_before_the_activation_the_scale_of_the_weights_no_longer_matters(name):
    model = drawn(MLP((2, 3), 4, 3, 8, act, getattr(norms, name)()))
    larger = copy.deepcopy(model)
    with torch.no_grad():
        for layer in larger.layers:
            for parameter in layer.linear.parameters():
                parameter.mul_(100)
    x = random(7, 2, 3)
    torch.testing.assert_close(larger(x), model(x), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("position", ["before", "after", None])
@pytest.mark.parametrize("name", [*NAMES, "weight"])
@pytest.mark.parametrize("kind", MODELS)
def test_runs_side_by_side_are_the_runs_alone(kind, name, position):
    """Three runs under vmap, each on a batch of its own: losses, gradients and running statistics, then evaluation."""
    if (position is None) != (name == "weight"):
        return
    norm = norms.weight() if position is None else getattr(norms, name)(position=position)
    models = [drawn(MODELS[kind](norm=norm), seed) for seed in range(3)]
    parameters, buffers = stack_module_state(models)
    x = random(3, 5, *MODELS[kind].args[0])

    def one(parameters, buffers, x):
        outputs = functional_call(models[0], (parameters, buffers), (x,))
        return outputs.logsumexp(-1).mean() + outputs.square().mean(), buffers

    losses, buffers = vmap(one)(parameters, buffers, x)
    gradients = torch.autograd.grad(losses.sum(), list(parameters.values()))
    models[0].eval()
    with torch.no_grad():
        outputs = vmap(lambda p, b: functional_call(models[0], (p, b), (x[0],)))(parameters, buffers)
    models[0].train()
    for run, model in enumerate(models):
        own = model(x[run])
        loss = own.logsumexp(-1).mean() + own.square().mean()
        torch.testing.assert_close(losses[run], loss, rtol=1e-9, atol=1e-12)
        for stacked, alone in zip(gradients, torch.autograd.grad(loss, list(model.parameters())), strict=True):
            assert (stacked[run] - alone).norm() <= 1e-9 * alone.norm() + 1e-12
        assert bool(buffers) == (name == "batch")
        for key, rows in buffers.items():
            torch.testing.assert_close(rows[run], model.get_buffer(key))
        torch.testing.assert_close(outputs[run], model.eval()(x[0]))


@pytest.mark.parametrize("name", [*NAMES, "weight"])
@pytest.mark.parametrize("kind", MODELS)
def test_layers_are_seen_as_without_normalization(kind, name):
    def seen(model: nn.Module) -> list[str]:
        hooks = LayerHooks(model)
        hooks.recording = True
        model(torch.ones(3, *MODELS[kind].args[0]))
        return [hooks.layer_name(use.module, use.activation) for use in hooks.uses()]

    without = seen(MODELS[kind]())
    assert without and seen(MODELS[kind](norm=getattr(norms, name)())) == without


def test_an_initializer_sets_gains_to_1_and_biases_and_running_statistics_to_theirs():
    model = drawn(MLP((2, 3), 4, 2, 8, act, norms.batch()))
    model(random(5, 2, 3))
    inits.normal(model, None, torch.Generator().manual_seed(0))
    for layer in model.layers:
        expected = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1, "num_batches_tracked": 0}
        assert all((value == expected[key]).all() for key, value in layer.norm.state_dict().items())


def test_groups_divide_the_width_and_batches_have_two_examples():
    with pytest.raises(DoesNotFit, match=r"norm=group: norm\.groups=4 doesn't divide width=9"):
        MLP((3,), 2, 1, 9, act, norms.group())
    assert norms.batch().least_batch == 2
    assert all(getattr(norms, name)().least_batch == 1 for name in ("layer", "group", "rms", "weight"))
    run = expand(["norm=batch", "batch_size=1"]).runs[0]
    with pytest.raises(DoesNotFit, match="norm=batch needs batches of 2 at least, not batch_size=1"):
        build.model(run.config, build.data(run.config))


@pytest.mark.parametrize("model", ["logistic", "lstm", "transformer"])
def test_models_that_have_no_place_for_it_say_so(model):
    run = expand([f"model={model}", "data=digits_rows", "norm=layer", "width=8"]).runs[0]
    with pytest.raises(DoesNotFit, match=f"model={model} has no place for a normalization"):
        build.model(run.config, build.data(run.config))


def test_bad_parameters_say_so():
    for name in NAMES:
        with pytest.raises(
            InputError, match=r"norm\.position must be one of before, after, got 'aftr'; did you mean 'after'"
        ):
            getattr(norms, name)(position="aftr")
    with pytest.raises(InputError, match=r"norm.momentum must be a number in \(0, 1\]"):
        norms.batch(momentum=0)
    with pytest.raises(InputError, match=r"norm.groups must be a whole number in \[1, inf\)"):
        norms.group(groups=0)


def test_all_that_is_shipped_is_tested_here():
    assert set(choices("norm")) == {"none", "weight", *NAMES}
    assert isinstance(norms.weight(), Norm)
