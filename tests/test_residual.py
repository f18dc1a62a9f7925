"""Residual branches, the initializers that belong to them, and tied layers: the published statements."""

import copy
import math
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from initbench import build
from initbench.config.grid import expand
from initbench.engine.programs.mlp import MLPProgram
from initbench.errors import DoesNotFit, InputError
from initbench.parts import inits, norms
from initbench.parts.activations import Activation, relu, tanh
from initbench.parts.models.residual import Residual, Scale
from initbench.parts.observe import LayerHooks
from small_models import CNN, MLP, ResNet, Transformer

act, rectifier = partial(Activation, tanh), partial(Activation, relu)
RELU = Activation(relu)
SCHEMES = {"fixup": inits.fixup, "skipinit": inits.skipinit, "rezero": inits.rezero}


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drawn(model: nn.Module) -> Any:
    """The model in float64, with every parameter drawn."""
    with torch.no_grad():
        for number, parameter in enumerate(model.double().parameters()):
            parameter.copy_(0.5 * random(*parameter.shape, seed=number))
    return model


def initialized(scheme: Any, model: nn.Module, seed: int = 0, **parameters) -> Any:
    """The model in float64 after `scheme`, its parameters NaN before."""
    with torch.no_grad():
        for parameter in model.double().parameters():
            parameter.fill_(math.nan)
    scheme(model, torch.zeros(2, 3), torch.Generator().manual_seed(seed), act=RELU, **parameters)
    return model


def branches_of(model: nn.Module) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, Residual)]


def mlp(depth: int = 9, width: int = 8, **keys: Any) -> Any:
    """A stem, and four branches of two layers."""
    residual: dict[str, Any] = {"branch_scale": 1, "branch_layers": 2}
    return MLP((1, 8, 8), 10, depth, width, rectifier, **residual | keys)


def resnet(depth: int = 4, width: int = 8, **keys) -> Any:
    return ResNet((1, 8, 8), 10, depth, width, rectifier, every=100, **keys)


# What they compute.


@pytest.mark.parametrize(("depth", "stem"), [(1, 1), (2, 2), (3, 1), (6, 2)])
def test_branches_of_two_layers_are_the_formula_and_depth_counts_weights(depth, stem):
    model = drawn(MLP((2, 3), 4, depth, 5, act, branch_scale=0.3, branch_layers=2))
    assert len([module for module in model.modules() if isinstance(module, nn.Linear)]) == depth + 1
    x = random(7, 2, 3)
    s = F.linear(x.flatten(1), *model.layers[0].linear.parameters())
    for layer in model.layers[1:stem]:
        s = F.linear(torch.tanh(s), *layer.linear.parameters())
    for branch in model.layers[stem:]:
        inner = F.linear(torch.tanh(s), *branch.linear1.parameters())
        s = s + 0.3 * F.linear(torch.tanh(inner), *branch.linear2.parameters())
    assert stem + 2 * len(model.layers[stem:]) == depth
    torch.testing.assert_close(model(x), F.linear(torch.tanh(s), *model.head.parameters()))


def test_without_room_for_a_branch_it_is_the_mlp():
    x = random(7, 2, 3)
    residual: dict[str, Any] = {"branch_scale": 1, "branch_layers": 2}
    for depth in (0, 1, 2):
        model, plain = (drawn(MLP((2, 3), 4, depth, 5, act, **keys)) for keys in (residual, {}))
        torch.testing.assert_close(model(x), plain(x))


def test_branches_of_one_layer_keep_their_names():
    model = MLP((2, 3), 4, 3, 5, act, branch_scale=1)
    assert [name for name, _ in model.named_parameters()] == [
        *(f"layers.{i}.linear.{kind}" for i in range(3) for kind in ("weight", "bias")),
        "head.weight",
        "head.bias",
    ]


def test_normalization_and_dropout_are_inside_the_branch():
    model: Any = MLP((6,), 4, 3, 8, act, norms.layer(), 0.5, branch_scale=1, branch_layers=2)
    assert [name for name, _ in model.layers[1].named_children()] == [
        "norm1",
        "act1",
        "linear1",
        "norm2",
        "act2",
        "dropout",
        "linear2",
        "scale",
    ]
    model = MLP((6,), 4, 3, 8, act, norms.layer(position="after"), branch_scale=1)
    assert [name for name, _ in model.layers[1].named_children()] == ["linear", "act", "norm", "scale"]


# Signals at birth. FACTS: x + F(x) with variance-preserving F doubles the variance per block.


def squares_after_branches(model: nn.Module, x: Tensor) -> Tensor:
    """The mean square of what each residual block gives, over that of what the first gets."""
    seen: list[Tensor] = []
    for branch in branches_of(model):
        branch.register_forward_hook(lambda module, args, out: seen.extend([args[0], out]))
    model(x)
    return torch.stack([after.square().mean() for after in seen[1::2]]) / seen[0].square().mean()


@pytest.mark.parametrize(
    ("make", "factor"),
    [
        (partial(mlp, depth=13, width=100), 2),
        (partial(resnet, depth=6, width=40), 1.8),  # a map's border of zeros takes up to 16 % from each convolution
    ],
)
def test_a_block_doubles_the_variance_and_not_with_the_residual_schemes(make, factor):
    """He's weights keep E[x^2] through each relu and weight (He et al. 2015); the two terms are uncorrelated."""
    x = random(4, 1, 8, 8)
    growth = [squares_after_branches(initialized(inits.he, make(), seed), x)[-1].item() for seed in range(5)]
    assert math.exp(sum(map(math.log, growth)) / len(growth) / 6) == pytest.approx(factor, rel=0.1)
    for scheme in SCHEMES.values():
        held = squares_after_branches(initialized(scheme, make(learn_scale=True)), x)
        torch.testing.assert_close(held, torch.ones(6).double(), rtol=1e-12, atol=0)


# The schemes.


@pytest.mark.parametrize("make", [mlp, resnet])
def test_fixup_is_he_with_their_factors(make):
    """Four branches of two layers: 0 for the last, 4^(-1/2) for the other; 0 for the head, 1 for the stem."""
    he, model = initialized(inits.he, make()), initialized(inits.fixup, make())
    expected = dict(he.named_parameters())
    for name, parameter in model.named_parameters():
        if name.startswith("head.") or "linear2." in name or "conv2." in name:
            assert (parameter == 0).all()
        elif "linear1.weight" in name or "conv1.weight" in name:
            torch.testing.assert_close(parameter, 0.5 * expected[name])
        else:
            assert torch.equal(parameter, expected[name])
    assert not any(parameter.isnan().any() for parameter in model.parameters())


def test_fixups_exponent_counts_the_layers_of_a_branch():
    """m' = 3 layers, B = 8 branches: 8^(-1/4). Zhang et al. 2019."""
    branches = [
        Residual({"a": nn.Linear(5, 5), "act": act(), "b": nn.Linear(5, 5), "c": nn.Linear(5, 5)}, Scale(1.0, False))
        for _ in range(8)
    ]
    he = copy.deepcopy(initialized(inits.he, nn.Sequential(*branches)).state_dict())
    fixup = initialized(inits.fixup, nn.Sequential(*branches)).state_dict()
    for name in ("0.a.weight", "7.b.weight"):
        torch.testing.assert_close(fixup[name], 8**-0.25 * he[name])
    assert all((fixup[f"{i}.c.weight"] == 0).all() for i in range(8))


@pytest.mark.parametrize("name", ["skipinit", "rezero"])
@pytest.mark.parametrize("make", [mlp, resnet, partial(mlp, branch_layers=1)])
def test_skipinit_and_rezero_are_he_with_scales_of_zero(make, name):
    he = initialized(inits.he, make(learn_scale=True))
    model = initialized(SCHEMES[name], make(learn_scale=True, branch_scale=0.5))
    expected = dict(he.named_parameters())
    for key, parameter in model.named_parameters():
        assert torch.equal(parameter, torch.zeros(1) if "alpha" in key else expected[key])


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("make", [mlp, resnet])
def test_after_a_few_steps_every_weight_has_a_gradient(make, scheme):
    model = initialized(SCHEMES[scheme], make(learn_scale=True)).float()
    x, y = random(40, 1, 8, 8).float(), torch.arange(40) % 10
    names, parameters = zip(*model.named_parameters(), strict=True)
    gradients: tuple[Tensor, ...] = ()
    for _ in range(4):
        gradients = torch.autograd.grad(F.cross_entropy(model(x), y), parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter -= 0.1 * gradient
    assert [name for name, gradient in zip(names, gradients, strict=True) if not gradient.any()] == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_seeds_decide_biases_can_be_set_and_global_random_numbers_are_left_alone(scheme):
    before = torch.get_rng_state()
    first, again, other = (initialized(SCHEMES[scheme], mlp(learn_scale=True), seed) for seed in (0, 0, 1))
    weights = [model.layers[1].linear1.weight for model in (first, again, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    biased = initialized(SCHEMES[scheme], mlp(learn_scale=True), bias=0.01, gain=2)
    assert all((p == 0.01).all() for name, p in biased.named_parameters() if name.endswith("bias"))
    torch.testing.assert_close(biased.layers[1].linear1.weight, 2 * weights[0])
    torch.manual_seed(0)
    state = torch.get_rng_state()
    SCHEMES[scheme](first, None, torch.Generator().manual_seed(0), act=RELU)
    assert torch.equal(state, torch.get_rng_state())
    torch.set_rng_state(before)


WRONG = [
    (inits.fixup, lambda: MLP((3,), 2, 3, 8, act), "init=fixup needs residual branches with a scale: model=resnet"),
    (inits.skipinit, lambda: CNN((1, 8, 8), 2, 3, 8, act), "init=skipinit needs residual branches"),
    (inits.rezero, lambda: Transformer((3, 8), 2, 3, 8, act), "init=rezero needs residual branches with a scale"),
    (inits.skipinit, lambda: Transformer((3, 8), 2, 3, 8, act), "init=skipinit needs residual branches with a scale"),
    (
        inits.fixup,
        lambda: mlp(branch_layers=1),
        r"ReLU after them would pass no gradient on: set model\.branch_layers=2",
    ),
    (inits.fixup, lambda: mlp(norm=norms.weight()), "init=fixup sets weights to 0, which have no direction"),
    (inits.skipinit, mlp, r"to be learned: set model\.learn_scale=true"),
    (inits.rezero, resnet, r"init=rezero starts the branches' scales .* set model\.learn_scale=true"),
    (inits.rezero, lambda: mlp(norm=norms.batch(), learn_scale=True), "init=rezero takes the place of normalization"),
    (inits.he, lambda: MLP((3,), 2, 3, 8, act, learn_scale=True), r"model\.learn_scale is for residual branches"),
    (inits.he, lambda: mlp(scalar_biases=True, branch_layers=1), r"set model\.branch_layers=2"),
    (inits.he, lambda: mlp(scalar_biases=True, norm=norms.batch()), "takes the place of normalization: norm=none"),
    (inits.he, lambda: resnet(scalar_biases=True, norm=norms.batch()), "takes the place of normalization: norm=none"),
    (inits.he, lambda: MLP((3,), 2, 3, 8, act, branch_layers=2), r"model\.branch_layers is for residual branches"),
]


@pytest.mark.parametrize(("scheme", "make", "message"), WRONG)
def test_what_does_not_fit_says_why(scheme, make, message):
    with pytest.raises(DoesNotFit, match=message):
        initialized(scheme, make())


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"branch_scale": "a"}, r"model\.branch_scale must be a number"),
        ({"learn_scale": 1}, r"model\.learn_scale must be true or false"),
        ({"branch_layers": 3}, r"model\.branch_layers must be a whole number in \[1, 2\]"),
        ({"scalar_biases": 1}, r"model\.scalar_biases must be true or false"),
        ({"tied": "yes"}, r"model\.tied must be true or false"),
    ],
)
def test_bad_values_are_named(keys, message):
    with pytest.raises(InputError, match=message) as caught:
        mlp(**keys)
    assert not isinstance(caught.value, DoesNotFit)


# Tied layers.


@pytest.mark.parametrize(
    ("keys", "shared", "weights"),
    [
        ({}, [1, 2, 3], ["linear"]),
        ({"branch_scale": 0.7}, [1, 2, 3], ["linear"]),
        ({"branch_scale": 0.7, "branch_layers": 2, "depth": 7}, [1, 2, 3], ["linear1", "linear2"]),
    ],
)
def test_the_gradient_of_a_tied_weight_is_the_sum_over_its_layers(keys, shared, weights):
    keys = {"depth": 4} | keys
    tied, free = (MLP((2, 3), 5, width=8, act=act, tied=one, **keys) for one in (True, None))
    tied = drawn(tied)
    free = free.double()
    with torch.no_grad():
        for layers in (tied.layers, free.layers):
            assert len(layers) == len(shared) + 1
        free.load_state_dict(tied.state_dict())
    x = random(7, 2, 3)
    torch.testing.assert_close(tied(x), free(x))
    tied(x).square().sum().backward()
    free(x).square().sum().backward()
    for name in weights:
        for kind in ("weight", "bias"):
            total = sum(getattr(getattr(free.layers[i], name), kind).grad for i in shared)
            torch.testing.assert_close(getattr(getattr(tied.layers[1], name), kind).grad, total)
    assert sum(1 for _ in tied.parameters()) == 2 * (2 + len(weights))


def test_an_initializer_writes_a_tied_weight_once_and_each_layer_is_seen():
    tied, model = (initialized(inits.he, MLP((6,), 5, depth, 8, rectifier, tied=True)) for depth in (2, 6))
    for ours, theirs in zip(model.parameters(), tied.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    hooks = LayerHooks(model)
    hooks.recording = True
    model(random(3, 6))
    assert [hooks.layer_name(use.module, use.activation) for use in hooks.uses()] == [
        *(f"layers.{i}" for i in range(6)),
        "head",
    ]
    assert not MLPProgram.takes(model)
    assert MLPProgram.takes(MLP((6,), 5, 6, 8, rectifier, branch_scale=1.0))
    assert not MLPProgram.takes(MLP((6,), 5, 6, 8, rectifier, branch_scale=1.0, tied=True))


@pytest.mark.slow
@pytest.mark.parametrize("looped", [False, True])
@pytest.mark.parametrize(
    "overrides",
    [
        ["model.tied=true", "depth=5"],
        ["model.tied=true", "model.branch_scale=1", "depth=5"],
        ["model.branch_scale=1", "model.branch_layers=2", "model.learn_scale=true", "norm=batch", "depth=5"],
        ["model=resnet", "norm=group", "regularize.dropout=0.1", "depth=2"],
        ["norm=weight", "regularize.dropout=0.1", "depth=3"],
    ],
)
def test_they_train_in_a_stack(overrides, looped):
    """Three seeds side by side learn the digits to some extent: the losses fall."""
    from initbench.engine.state import stack
    from initbench.engine.train import Training

    common = ["width=16", "steps=60", "lr=0.05", "batch_size=50", "seed=0,1,2", *overrides]
    runs = expand(common).runs
    data = build.data(runs[0].config)
    models = [build.initialized(run.config, data) for run in runs]
    state = stack(models, torch.device("cpu"))
    recipe, seeds = build.recipe(runs[0].config), [0, 1, 2]
    record = Training(state, models[0], data, recipe, seeds=seeds, lrs=[0.05] * 3, looped=looped).run()
    losses = torch.as_tensor(record.losses)
    assert (losses[-10:].mean(0) < 0.9 * losses[:5].mean(0)).all()


# Fixup's scalars.

SCALARS = ["before_act1.scalar_bias", "before_{}1.scalar_bias", "before_act2.scalar_bias", "before_{}2.scalar_bias"]


@pytest.mark.parametrize(
    ("make", "kind", "stem", "blocks", "after"),
    [
        (mlp, "linear", ["layers.0.linear.weight"], [f"layers.{i}" for i in range(1, 5)], "last"),
        (resnet, "conv", ["stem.weight"], [f"blocks.{i}" for i in range(4)], "last"),
    ],
)
def test_fixups_scalars_are_the_papers(make, kind, stem, blocks, after):
    """Zhang et al. 2019, sec. 3: a multiplier, from 1, in every branch, and a scalar bias, from 0, before each weight
    and activation; as in their code not before the first weight, and no other bias than the head's."""
    model = initialized(inits.fixup, make(scalar_biases=True))
    own = dict(model.named_parameters())
    scalars = [f"{block}.{name.format(kind)}" for block in blocks for name in SCALARS]
    scalars += [f"{after}.before_act.scalar_bias", f"{after}.before_head.scalar_bias"]
    scales = [f"{block}.scale.alpha" for block in blocks]
    weights = [f"{block}.{kind}{i}.weight" for block in blocks for i in (1, 2)]
    assert {*own} == {*stem, *scalars, *scales, *weights, "head.weight", "head.bias"}
    assert all(own[name].tolist() == [0] for name in scalars)
    assert all(own[name].tolist() == [1] for name in scales)


def test_a_branch_with_fixups_scalars_is_the_formula():
    model = drawn(MLP((2, 3), 4, 4, 5, act, branch_scale=1, branch_layers=2, scalar_biases=True))
    first, second, branch = model.layers
    x = random(7, 2, 3)
    h = torch.tanh(x.flatten(1) @ first.linear.weight.T + first.before_act.scalar_bias)
    s = (h + second.before_linear.scalar_bias) @ second.linear.weight.T
    b1, w1, b2, w2 = (getattr(branch, name) for name in ("before_act1", "linear1", "before_act2", "linear2"))
    inner = (torch.tanh(s + b1.scalar_bias) + branch.before_linear1.scalar_bias) @ w1.weight.T
    outer = (torch.tanh(inner + b2.scalar_bias) + branch.before_linear2.scalar_bias) @ w2.weight.T
    s = s + branch.scale.alpha * outer
    h = torch.tanh(s + model.last.before_act.scalar_bias) + model.last.before_head.scalar_bias
    torch.testing.assert_close(model(x), model.head(h))


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "trains"), [("fixup", True), ("he", False)])
def test_fixup_with_its_scalars_trains_50_branches_without_normalization(scheme, trains):
    """He's weights double the variance 50 times: outputs, and with them the first loss, are too large to train."""
    from initbench.engine.state import stack
    from initbench.engine.train import Training

    keys = ["model.branch_scale=1", "model.branch_layers=2", "model.scalar_biases=true", "depth=101", "width=16"]
    config = expand([*keys, f"init={scheme}", "steps=60", "lr=0.05", "batch_size=50"]).runs[0].config
    data = build.data(config)
    model = build.initialized(config, data)
    state = stack([model], torch.device("cpu"))
    record = Training(state, model, data, build.recipe(config), seeds=[0], lrs=[0.05], looped=True).run()
    losses = torch.as_tensor(record.losses)
    assert bool(losses[0] < 2 * math.log(10)) is trains
    assert bool(losses[-5:].mean() < 0.5 * math.log(10)) is trains
