"""Models: what they compute, written out by hand or against PyTorch's own, and under vmap."""

import math
import re
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from initbench import results
from initbench.engine import lstm
from initbench.engine.general import General, Looped
from initbench.engine.stack import stack
from initbench.errors import InputError
from initbench.parts.activations import Activation, gelu, relu, tanh
from initbench.parts.models import (
    CNN,
    GRU,
    LSTM,
    MLP,
    RNN,
    Conv1D,
    Dense,
    Logistic,
    ResNet,
    Seq2Seq,
    Transformer,
)
from initbench.parts.models.attention import Block, no_future, sinusoids
from initbench.parts.models.recurrent import LSTMCell
from initbench.parts.models.residual import Scale
from initbench.sweep import prepare

act = partial(Activation, tanh)


def test_an_mlp_is_the_formula():
    model: Any = MLP((2, 3), 4, depth=2, width=5, act=act)
    x = torch.randn(7, 2, 3)
    h = x.reshape(7, 6)
    for layer in model.layers:
        h = torch.tanh(h @ layer.linear.weight.T + layer.linear.bias)
    torch.testing.assert_close(model(x), h @ model.head.weight.T + model.head.bias)


def test_its_layers_and_parameters_have_names_and_shapes():
    model: Any = MLP((1, 8, 8), 10, depth=2, width=100, act=act)
    assert {name: tuple(p.shape) for name, p in model.named_parameters()} == {
        "layers.0.linear.weight": (100, 64),
        "layers.0.linear.bias": (100,),
        "layers.1.linear.weight": (100, 100),
        "layers.1.linear.bias": (100,),
        "head.weight": (10, 100),
        "head.bias": (10,),
    }
    assert all(isinstance(layer, Dense) and isinstance(layer.act, Activation) for layer in model.layers)
    assert model.layers[0].act is not model.layers[1].act


def test_depth_0_is_logistic_regression():
    model: Any = MLP((3,), 2, depth=0, width=5, act=act)
    x = torch.randn(4, 3)
    torch.testing.assert_close(model(x), x @ model.head.weight.T + model.head.bias)


def test_it_is_built_on_the_meta_device_without_touching_random_numbers():
    before = torch.get_rng_state()
    with torch.device("meta"):
        model = MLP((1, 8, 8), 10, depth=50, width=1000, act=act)
    assert all(p.is_meta for p in model.parameters())
    assert torch.equal(before, torch.get_rng_state())


def test_no_examples_give_no_logits():
    assert MLP((1, 8, 8), 10, depth=1, width=4, act=act)(torch.zeros(0, 1, 8, 8)).shape == (0, 10)


def test_a_hook_sees_what_an_activation_gets_and_gives():
    model: Any = MLP((3,), 2, depth=1, width=4, act=act)
    seen = []
    for module in model.modules():
        if isinstance(module, Activation):
            module.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0], output)))
    x = torch.randn(5, 3)
    model(x)
    ((s, h),) = seen
    torch.testing.assert_close(s, nn.functional.linear(x, *model.layers[0].linear.parameters()))
    torch.testing.assert_close(h, torch.tanh(s))


@pytest.mark.parametrize(
    ("depth", "width", "key"), [(-1, 4, "depth"), (1, 0, "width"), (1.5, 4, "depth"), (1, "a", "width")]
)
def test_bad_sizes_say_so(depth, width, key):
    with pytest.raises(InputError, match=f"^{key} must be a whole number"):
        MLP((3,), 2, depth=depth, width=width, act=act)


# Beyond dense layers: each model against PyTorch's own, in float64.


def filled(model: nn.Module, seed: int = 0) -> Any:
    """The model in float64, with weights of every parameter drawn."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model = model.double()
        for parameter in model.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def same(ours: Tensor, theirs: Tensor, pairs: list[tuple[Tensor, Tensor]]) -> None:
    """Are the outputs equal, and the gradients of a function of them with respect to pairs of tensors?"""
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)
    toward = random(*ours.shape, seed=7)
    our_gradients = torch.autograd.grad(ours, [a for a, _ in pairs], toward)
    their_gradients = torch.autograd.grad(theirs, [b for _, b in pairs], toward)
    assert any(gradient.abs().max() > 1e-3 for gradient in our_gradients)
    for a, b in zip(our_gradients, their_gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


def test_logistic_is_one_linear_layer():
    model = filled(Logistic((2, 3), 4, depth=0))
    x = random(5, 2, 3)
    torch.testing.assert_close(model(x), x.reshape(5, 6) @ model.head.weight.T + model.head.bias)
    with pytest.raises(InputError, match=r"^model=logistic has no hidden layer: set depth=0, not depth=5"):
        Logistic((3,), 2, depth=5)


def test_the_residual_mlp_of_mnist1d():
    """Greydanus & Kobak's code: h1 = relu(W1 x), h2 = h1 + relu(W2 h1), W3 h2; 15,210 weights and biases."""
    model = filled(MLP((1, 40), 10, depth=2, width=100, act=partial(Activation, relu), branch_scale=1))
    assert sum(p.numel() for p in model.parameters()) == 40 * 100 + 100 + 100 * 100 + 100 + 100 * 10 + 10
    x = random(3, 1, 40)
    h1 = torch.relu(F.linear(x[:, 0], *model.layers[0].linear.parameters()))
    h2 = h1 + torch.relu(F.linear(h1, *model.layers[1].linear.parameters()))
    torch.testing.assert_close(model(x), F.linear(h2, *model.head.parameters()))


def test_the_convolutional_net_of_mnist1d():
    """Greydanus & Kobak's code: Conv1d of 25 channels, kernels 5, 3, 3, stride 2, padding 1; Linear(125, 10)."""
    model = filled(Conv1D((1, 40), 10, depth=3, width=25, act=partial(Activation, relu)))
    theirs = nn.Sequential(
        *(nn.Conv1d(1, 25, 5, stride=2, padding=1), nn.ReLU(), nn.Conv1d(25, 25, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv1d(25, 25, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(125, 10)),
    ).double()
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in theirs.parameters()) == 5210
    pairs = list(zip(model.parameters(), theirs.parameters(), strict=True))
    copy_values(pairs)
    x = random(6, 1, 40)
    same(model(x), theirs(x), pairs)


def copy_values(pairs: list[tuple[Any, Any]]) -> None:
    with torch.no_grad():
        for ours, theirs in pairs:
            theirs.copy_(ours)


@pytest.mark.parametrize("downsample", ["stride", "max", "mean"])
@pytest.mark.parametrize("readout", ["flatten", "mean"])
def test_a_cnn_is_torchs_layers_one_after_another(downsample, readout):
    """12 x 9 pixels, every second layer halves: by a stride to 6 x 5 and 3 x 3, by pooling to 6 x 4."""
    model = filled(CNN((2, 12, 9), 3, depth=5, width=6, act=act, downsample=downsample, every=2, readout=readout))
    strides = [1, 2, 1, 2, 1] if downsample == "stride" else [1] * 5
    pool = {"stride": nn.Identity(), "max": nn.MaxPool2d(2), "mean": nn.AvgPool2d(2)}[downsample]
    layers: list[nn.Module] = []
    for i, stride in enumerate(strides):
        layers += [nn.Conv2d(2 if i == 0 else 6, 6, 3, stride, padding=1), nn.Tanh()]
        layers += [pool] if i == 1 else []
    side = {"stride": (3, 3), "max": (6, 4), "mean": (6, 4)}[downsample]
    layers += [nn.Flatten()] if readout == "flatten" else [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    layers += [nn.Linear(6 * side[0] * side[1] if readout == "flatten" else 6, 3)]
    theirs = nn.Sequential(*layers).double()
    pairs = list(zip(model.parameters(), theirs.parameters(), strict=True))
    copy_values(pairs)
    x = random(4, 2, 12, 9)
    same(model(x), theirs(x), pairs)


@pytest.mark.parametrize(
    ("size", "every", "maps"),
    [(28, 2, [28, 14, 14, 7, 7, 4, 4, 4]), (8, 2, [8, 4, 4, 4]), (32, 3, [32, 32, 16, 16, 16, 8, 8, 8, 4, 4])],
)
def test_maps_shrink_to_four(size, every, maps):
    model = CNN((1, size, size), 10, depth=len(maps), width=2, act=act, every=every)
    seen = outputs_of(model, torch.zeros(1, 1, size, size), nn.Conv2d)
    assert [output.shape[-1] for output in seen] == maps


def outputs_of(model: nn.Module, x: Tensor, kind: type[nn.Module]) -> list[Tensor]:
    """What modules of a kind give, in the order in which they are called."""
    seen: list[Tensor] = []
    for module in model.modules():
        if isinstance(module, kind):
            module.register_forward_hook(lambda module, inputs, output: seen.append(output))
    model(x)
    return seen


@pytest.mark.parametrize("learn", [False, True])
def test_a_resnet_is_the_formula(learn):
    """A stem, x + alpha conv(act(conv(act(x)))), with stride 2 every other pixel of x; 9 x 9 to 5 x 5 to 3 x 3."""
    model = filled(ResNet((2, 9, 9), 3, depth=3, width=4, act=act, branch_scale=0.3, learn_scale=learn, every=1))
    if learn:
        with torch.no_grad():
            for block in model.blocks:
                block.scale.alpha.fill_(0.3)
    x = random(5, 2, 9, 9)
    h = F.conv2d(x, model.stem.weight, model.stem.bias, padding=1)
    for block, stride in zip(model.blocks, [2, 2, 1], strict=True):
        inner = F.conv2d(torch.tanh(h), block.conv1.weight, block.conv1.bias, stride=stride, padding=1)
        branch = F.conv2d(torch.tanh(inner), block.conv2.weight, block.conv2.bias, padding=1)
        alpha = block.scale.alpha if learn else 0.3
        h = (h if stride == 1 else h[:, :, ::2, ::2]) + alpha * branch
    assert h.shape == (5, 4, 3, 3)
    theirs = torch.tanh(h).mean((2, 3)) @ model.head.weight.T + model.head.bias
    pairs = [(p, p) for p in model.parameters()]
    same(model(x), theirs, pairs)
    assert ("blocks.0.scale.alpha" in dict(model.named_parameters())) == learn


@pytest.mark.parametrize("make", [ResNet, MLP])
def test_a_learned_branch_scale_of_zero_is_skipinit(make):
    """De & Smith 2020: at the start the branches add nothing, and yet their scales have a gradient."""
    model = filled(make((1, 8, 8), 3, depth=3, width=4, act=act, branch_scale=0, learn_scale=True))
    scales = [module for module in model.modules() if isinstance(module, Scale)]
    for scale in scales:
        scale.reset_parameters()
    x = random(5, 1, 8, 8)
    if make is ResNet:
        stem = model.stem(x)[:, :, ::2, ::2]
        torch.testing.assert_close(model(x), model.head(torch.tanh(stem).mean((2, 3))))
    else:
        torch.testing.assert_close(model(x), model.head(model.layers[0](x.flatten(1))))
    gradients = torch.autograd.grad(model(x).sum(), [scale.alpha for scale in scales])
    assert all(gradient.abs() > 0 for gradient in gradients)


TORCHS = {  # of a recurrent model: its reference, and where our gates are among torch's
    "rnn": (RNN, nn.RNN, [0]),
    "lstm": (LSTM, nn.LSTM, [0, 1, 3, 2]),  # torch: input, forget, candidate, output
    "gru": (GRU, nn.GRU, [0, 1, 2]),
}


def torchs(model: Any, name: str, fan_in: int, width: int, bidirectional: bool) -> tuple[Any, list]:
    """torch's module with our weights: it, and ours with theirs, whose gates are in another order."""
    _, make, order = TORCHS[name]
    theirs = make(fan_in, width, len(model.layers), bidirectional=bidirectional).double()
    pairs = []
    for number, layer in enumerate(model.layers):
        for suffix, cell in zip(
            ("", "_reverse"), [layer.ahead, layer.back] if bidirectional else [layer], strict=False
        ):
            for ours, mine in (("input", "ih"), ("recurrent", "hh")):
                gates = getattr(cell, ours)
                for kind in ("weight", "bias"):
                    there = getattr(theirs, f"{kind}_{mine}_l{number}{suffix}")
                    here = getattr(gates, kind)
                    with torch.no_grad():
                        there.zero_()
                        if here is not None:
                            there.view(len(order), -1)[order] = here.view(len(order), -1)
                            pairs.append((here, there))
    return theirs, pairs


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", TORCHS)
def test_a_recurrent_model_is_torchs(name, bidirectional):
    """Two layers, all states flattened into the head, as the GRU of MNIST-1D has them."""
    model = filled(
        TORCHS[name][0]((3, 11), 4, depth=2, width=5, act=act, bidirectional=bidirectional, readout="flatten")
    )
    theirs, pairs = torchs(model, name, 3, 5, bidirectional)
    x = random(6, 3, 11).requires_grad_()
    states, _ = theirs(x.permute(2, 0, 1))
    ours, reference = model(x), model.head(states.transpose(0, 1).flatten(1))
    torch.testing.assert_close(ours, reference, rtol=1e-6, atol=1e-9)
    toward = random(*ours.shape, seed=3)
    for a, b in zip(
        torch.autograd.grad(ours, [x, *(here for here, _ in pairs)], toward),
        torch.autograd.grad(reference, [x, *(there for _, there in pairs)], toward),
        strict=True,
    ):
        if a.shape != x.shape:
            order = TORCHS[name][2]
            b = b.view(len(order), -1)[order].view_as(a)
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", TORCHS)
def test_the_head_reads_the_last_states_or_their_mean_or_each(name):
    make = TORCHS[name][0]
    x = random(6, 3, 11)
    model = filled(make((3, 11), 4, depth=1, width=5, act=act, bidirectional=True))
    states, last = torchs(model, name, 3, 5, True)[0](x.permute(2, 0, 1))
    last = last[0] if isinstance(last, tuple) else last
    torch.testing.assert_close(model(x), model.head(torch.cat([last[0], last[1]], 1)))
    model = filled(make((3, 11), 4, depth=1, width=5, act=act, readout="mean"))
    states, _ = torchs(model, name, 3, 5, False)[0](x.permute(2, 0, 1))
    torch.testing.assert_close(model(x), model.head(states.mean(0)))
    model = filled(make((3, 11), 4, depth=1, width=5, act=act, positions=11))
    states, _ = torchs(model, name, 3, 5, False)[0](x.permute(2, 0, 1))
    torch.testing.assert_close(model(x), model.head(states.transpose(0, 1)))
    tokens = torch.randint(0, 9, (6, 11), generator=torch.Generator().manual_seed(0))
    model = filled(make((11,), 4, depth=1, width=5, act=act, vocabulary=9))
    states, _ = torchs(model, name, 5, 5, False)[0](model.embedding.weight[tokens].transpose(0, 1))
    torch.testing.assert_close(model(tokens), model.head(states[-1]))


def test_the_gru_of_mnist1d():
    """Bidirectional, hidden 6, all 40 steps into the head: torch's has 324 parameters (Greydanus & Kobak 2024)."""
    model = GRU((1, 40), 10, depth=1, width=6, act=act, bidirectional=True, readout="flatten")
    recurrent = nn.GRU(1, 6, bidirectional=True)
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in recurrent.parameters()) + 4810


@pytest.mark.parametrize("name", TORCHS)
def test_truncation_cuts_the_gradient(name):
    """Of 10 steps, cut at 4 and 8: the last output has a gradient from steps 8 and 9, none from before."""
    x = random(2, 3, 10).requires_grad_()
    model = filled(TORCHS[name][0]((3, 10), 4, depth=1, width=5, act=act, truncate=4))
    whole = filled(TORCHS[name][0]((3, 10), 4, depth=1, width=5, act=act))
    torch.testing.assert_close(model(x), whole(x))
    (cut,), (full,) = (torch.autograd.grad(m(x).sum(), x) for m in (model, whole))
    assert cut.abs().amax((0, 1)).gt(0).tolist() == [False] * 8 + [True] * 2
    assert full.abs().amax((0, 1)).gt(0).all()
    torch.testing.assert_close(cut[:, :, 8:], full[:, :, 8:])


def test_gradients_of_the_inputs_products_are_those_of_the_recurrences_pre_activations():
    """What the layer statistics take for dL/ds at each time step: one tensor (T, B, N) a layer."""
    model = filled(RNN((3, 7), 4, depth=1, width=5, act=act))
    seen: dict[str, Any] = {}
    model.layers[0].input.register_forward_hook(lambda m, i, out: seen.update(products=out))
    pres: list[Tensor] = []
    model.layers[0].act.register_forward_hook(lambda m, inputs, out: pres.append(inputs[0]))
    loss = model(random(2, 3, 7)).square().sum()
    products, *each = torch.autograd.grad(loss, [seen["products"], *pres])
    torch.testing.assert_close(products, torch.stack(each))


def lstm_of(seed: int, **options: Any) -> Any:
    return filled(LSTM((3, 11), 4, depth=2, width=5, act=act, readout="flatten", **options), seed)


LSTMS: list[dict[str, Any]] = [{}, {"bidirectional": True}, {"truncate": 4}, {"bidirectional": True, "truncate": 4}]


@pytest.mark.parametrize("options", LSTMS)
def test_an_lstm_computes_the_same_in_each_of_its_ways(options):
    """Step by step, in torch's kernel and stacked with a backward pass by hand: outputs, all gradients, float64."""
    parameters, _ = stack_module_state([lstm_of(seed, **options) for seed in range(3)])
    x, toward = random(3, 6, 3, 11).requires_grad_(), random(3, 6, 4, seed=7)
    model = lstm_of(0, **options)
    lstm.hasten(model, lstm.stacked)
    outputs = vmap(lambda parameters, x: functional_call(model, parameters, (x,)))(parameters, x)
    by_hand = torch.autograd.grad(outputs, [x, *parameters.values()], toward)
    for run in range(3):
        one = x[run].detach().requires_grad_()
        for way in (None, lstm.alone, lstm.stacked):
            model = lstm_of(run, **options)
            if way is not None:
                lstm.hasten(model, way)
            alone = model(one)
            torch.testing.assert_close(outputs[run], alone, rtol=1e-10, atol=1e-12)
            for a, b in zip(by_hand, torch.autograd.grad(alone, [one, *model.parameters()], toward[run]), strict=True):
                torch.testing.assert_close(a[run], b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_stacked_lstms_are_torchs(bidirectional):
    models = [lstm_of(seed, bidirectional=bidirectional) for seed in range(3)]
    parameters, _ = stack_module_state(models)
    lstm.hasten(models[0], lstm.stacked)
    x, toward = random(6, 3, 11), random(3, 6, 4, seed=7)
    outputs = vmap(lambda parameters: functional_call(models[0], parameters, (x,)))(parameters)
    gradients = dict(zip(parameters, torch.autograd.grad(outputs, list(parameters.values()), toward), strict=True))
    for run, model in enumerate(models):
        theirs, pairs = torchs(model, "lstm", 3, 5, bidirectional)
        states, _ = theirs(x.permute(2, 0, 1))
        reference = model.head(states.transpose(0, 1).flatten(1))
        torch.testing.assert_close(outputs[run], reference, rtol=1e-10, atol=1e-12)
        names = {parameter: name for name, parameter in model.named_parameters()}
        expected = torch.autograd.grad(reference, [there for _, there in pairs], toward[run])
        for (here, _), b in zip(pairs, expected, strict=True):
            b = b.view(4, -1)[TORCHS["lstm"][2]].view_as(here)
            torch.testing.assert_close(gradients[names[here]][run], b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("engine", [General, Looped])
def test_an_lstm_that_is_looked_at_has_the_gradients_of_one_that_is_not(engine, monkeypatch):
    """The look needs each time step; without it none is made one by one, at a look, after one and in predictions."""
    made: list[int] = []
    step = LSTMCell.step
    monkeypatch.setattr(LSTMCell, "step", lambda *args: (made.append(1), step(*args))[1])
    state = stack([lstm_of(seed, bidirectional=True) for seed in range(3)], torch.device("cpu"))
    program = engine(lstm_of(0, bidirectional=True), state, F.cross_entropy)
    x, y = random(3, 6, 3, 11), torch.arange(18).view(3, 6) % 4
    found = []
    for look in (False, True, False):
        made.clear()
        program.step(x, y, look)
        assert bool(made) == look
        found.append(state.gradient.clone())
    for gradient in found:
        assert (gradient - found[0]).norm() <= 1e-12 * found[0].norm()
    program.step(x, y, True)
    made.clear()
    program.predict(x[0])
    assert not made


def test_an_lstm_of_another_activation_goes_step_by_step():
    model = LSTM((3, 11), 4, depth=2, width=5, act=partial(Activation, relu))
    lstm.hasten(model, lstm.stacked)
    assert all(layer.at_once is None for layer in cast(Any, model.layers))


def into_torchs(block: Any, theirs: Any) -> list[tuple[Tensor, Tensor]]:
    """Give torch's transformer layer our block's parameters: pairs of them, the projections taken apart."""
    pairs = []
    attentions = {"attention": "self_attn", "cross": "multihead_attn"}
    for ours, name in attentions.items():
        if not hasattr(block, ours):
            continue
        attention, reference = getattr(block, ours), getattr(theirs, name)
        for kind in ("weight", "bias"):
            fused = [getattr(getattr(attention, part), kind) for part in ("query", "key", "value")]
            pairs.append((torch.cat(fused), getattr(reference, f"in_proj_{kind}")))
            pairs.append((getattr(attention.output, kind), getattr(reference.out_proj, kind)))
    norms = ["attention_norm", *(["cross_norm"] if hasattr(block, "cross") else []), "feedforward_norm"]
    for i, name in enumerate(norms, 1):
        pairs += zip(getattr(block, name).parameters(), getattr(theirs, f"norm{i}").parameters(), strict=True)
    pairs += zip(block.feedforward.up.parameters(), theirs.linear1.parameters(), strict=True)
    pairs += zip(block.feedforward.down.parameters(), theirs.linear2.parameters(), strict=True)
    copy_values(pairs)
    return pairs


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("function", [relu, gelu])
def test_a_block_is_torchs_encoder_layer(norm_first, causal, function):
    block = filled(Block(12, 3, 20, partial(Activation, function), norm_first))
    theirs: Any = nn.TransformerEncoderLayer(
        12, 3, 20, dropout=0, activation=function.__name__, norm_first=norm_first, batch_first=True
    ).double()
    pairs = into_torchs(block, theirs)
    x = random(4, 7, 12).requires_grad_()
    mask = no_future(7).double() if causal else None
    same(block(x, mask), theirs(x, src_mask=mask), [(x, x)])
    gradients_of_projections_agree(block(x, mask), theirs(x, src_mask=mask), pairs, block)


def gradients_of_projections_agree(ours: Tensor, theirs: Tensor, pairs: list, block: Any) -> None:
    toward = random(*ours.shape, seed=5)
    names = [part for part in ("attention", "cross") if hasattr(block, part)]
    own = {name: p for name, p in block.named_parameters()}
    gradients = dict(zip(own, torch.autograd.grad(ours, list(own.values()), toward), strict=True))
    references = torch.autograd.grad(theirs, [b for _, b in pairs], toward)
    by_id = {id(a): gradient for (a, _), gradient in zip(pairs, references, strict=True)}
    for name, parameter in own.items():
        if id(parameter) in by_id:
            torch.testing.assert_close(gradients[name], by_id[id(parameter)], rtol=1e-6, atol=1e-9)
    fused = [gradient for (a, _), gradient in zip(pairs, references, strict=True) if not a.is_leaf]
    expected = [
        torch.cat([gradients[f"{name}.{part}.{kind}"] for part in ("query", "key", "value")])
        for name in names
        for kind in ("weight", "bias")
    ]
    for a, b in zip(expected, fused, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_block_with_a_memory_is_torchs_decoder_layer(norm_first):
    block = filled(Block(12, 3, 20, partial(Activation, relu), norm_first, cross=True))
    theirs: Any = nn.TransformerDecoderLayer(12, 3, 20, dropout=0, norm_first=norm_first, batch_first=True).double()
    pairs = into_torchs(block, theirs)
    x, memory = random(4, 7, 12).requires_grad_(), random(4, 5, 12, seed=1).requires_grad_()
    mask = no_future(7).double()
    same(block(x, mask, memory), theirs(x, memory, tgt_mask=mask), [(x, x), (memory, memory)])
    gradients_of_projections_agree(block(x, mask, memory), theirs(x, memory, tgt_mask=mask), pairs, block)


def test_sinusoids_are_the_papers():
    """Vaswani et al. 2017 sec. 3.5: PE(pos, 2 i) = sin(pos / 10000^(2 i / d)), PE(pos, 2 i + 1) = cos(the same)."""
    place = sinusoids(20, 6)
    for pos, i in [(0, 0), (7, 1), (19, 2)]:
        assert float(place[pos, 2 * i]) == pytest.approx(math.sin(pos / 10000 ** (2 * i / 6)), abs=1e-6)
        assert float(place[pos, 2 * i + 1]) == pytest.approx(math.cos(pos / 10000 ** (2 * i / 6)), abs=1e-6)


def test_tied_is_one_matrix_for_embedding_and_head():
    make = partial(Transformer, (7,), 11, depth=1, width=8, act=act, vocabulary=11, positions=7)
    tied, apart = filled(make(tied=True)), filled(make())
    weights = [sum(p.numel() for p in model.parameters()) for model in (tied, apart)]
    assert weights[1] - weights[0] == 11 * 8
    own = tied.state_dict() | {"embedding.weight": tied.head.weight * math.sqrt(8)}
    apart.load_state_dict(own)
    x = torch.randint(0, 11, (3, 7), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(tied(x), apart(x))
    pair = partial(Seq2Seq, (2, 7), 11, depth=1, width=8, act=act, vocabulary=11, positions=7)
    sizes = [sum(p.numel() for p in pair(tied=tied).parameters()) for tied in (True, False)]
    assert sizes[1] - sizes[0] == 2 * 11 * 8


def test_what_a_causal_model_says_does_not_depend_on_what_comes_later():
    x = torch.randint(0, 11, (3, 7), generator=torch.Generator().manual_seed(0))
    changed = x.clone()
    changed[:, 4] = (x[:, 4] + 1) % 11
    for make in (Transformer, RNN, LSTM, GRU):
        model = filled(make((7,), 11, depth=2, width=8, act=act, vocabulary=11, positions=7))
        differs = (model(x) - model(changed)).abs().amax((0, 2)) > 1e-9
        assert differs.tolist() == [False] * 4 + [True] * 3
    everywhere = filled(Transformer((7,), 11, depth=2, width=8, act=act, vocabulary=11, positions=7, causal=False))
    assert ((everywhere(x) - everywhere(changed)).abs().amax((0, 2)) > 1e-9).all()
    model = filled(Seq2Seq((2, 7), 11, depth=2, width=8, act=act, vocabulary=11, positions=7))
    differs = (model(torch.stack([x, x], 1)) - model(torch.stack([x, changed], 1))).abs().amax((0, 2)) > 1e-9
    assert differs.tolist() == [False] * 4 + [True] * 3
    assert ((model(torch.stack([x, x], 1)) - model(torch.stack([changed, x], 1))).abs().amax((0, 2)) > 1e-9).all()


# The documentation.


@pytest.mark.slow
def test_the_documented_mixer_runs(tmp_path, monkeypatch):
    """Its class and its YAML, as docs/models.md has them, and nothing else: trained in a stack, its loss falls."""
    text = (Path(__file__).parent.parent / "docs" / "models.md").read_text(encoding="utf-8")
    (code,), (yaml,) = (re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL) for language in ("python", "yaml"))
    assert len(code.splitlines()) <= 45
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mixer.py").write_text(code)
    (tmp_path / "mine" / "model" / "mixer.yaml").write_text(yaml)
    monkeypatch.syspath_prepend(tmp_path)
    (command,) = re.findall(r"initbench run (model=mixer.*) --config-dir mine", text)
    overrides = [*command.split(), "steps=60", "lr=0.05", "batch_size=20", "outcome.learned_ratio=0.9"]
    overrides += ["data.train_size=200", "log_every=30", "eval_every=60"]
    sweep = prepare(overrides, config_dir=tmp_path / "mine", out=tmp_path / "results", workers=1)
    sweep.save()
    rows = [row for status in sweep.train(lambda stack, step: None) for row in status.rows]
    assert [row["outcome"] for row in rows] == ["learned", "learned"]
    layers = results.load(tmp_path / "results").layers
    assert {"embedding", "steps.0", "channels.1", "steps.1.down", "head"} <= set(layers["name"])


# Every model: sizes, and runs side by side.

NUMBERS, WORDS, PAIRS = (3, 8), {"shape": (8,), "vocabulary": 9}, {"shape": (2, 8), "vocabulary": 9}
EVERY: dict[str, Any] = {
    "logistic": partial(Logistic, (1, 8, 8), 5, depth=0),
    "mlp": partial(MLP, (1, 8, 8), 5, depth=2, width=8, act=act),
    "residual_mlp": partial(MLP, (1, 8, 8), 5, depth=3, width=8, act=act, branch_scale=1, learn_scale=True),
    "cnn": partial(CNN, (2, 8, 8), 5, depth=3, width=8, act=act),
    "cnn, max": partial(CNN, (2, 8, 8), 5, depth=3, width=8, act=act, downsample="max", readout="mean"),
    "cnn, mean": partial(CNN, (2, 8, 8), 5, depth=3, width=8, act=act, downsample="mean"),
    "conv1d": partial(Conv1D, NUMBERS, 5, depth=3, width=8, act=act),
    "resnet": partial(ResNet, (2, 8, 8), 5, depth=2, width=8, act=act, learn_scale=True),
    "rnn": partial(RNN, NUMBERS, 5, depth=2, width=8, act=act, truncate=3),
    "rnn, tokens": partial(RNN, classes=5, depth=1, width=8, act=act, positions=8, **WORDS),
    "lstm": partial(LSTM, NUMBERS, 5, depth=2, width=8, act=act, bidirectional=True),
    "lstm, tokens": partial(LSTM, classes=5, depth=1, width=8, act=act, positions=8, **WORDS),
    "gru": partial(GRU, NUMBERS, 5, depth=2, width=8, act=act, bidirectional=True, readout="flatten"),
    "gru, tokens": partial(GRU, classes=5, depth=1, width=8, act=act, readout="mean", **WORDS),
    "transformer": partial(Transformer, NUMBERS, 5, depth=2, width=8, act=act),
    "transformer, post-norm": partial(Transformer, NUMBERS, 1, depth=2, width=8, act=act, norm_first=False),
    "transformer, tokens": partial(Transformer, classes=5, depth=1, width=8, act=act, readout="last", **WORDS),
    "transformer, tied": partial(Transformer, classes=9, depth=2, width=8, act=act, positions=8, tied=True, **WORDS),
    "seq2seq": partial(Seq2Seq, classes=9, depth=2, width=8, act=act, positions=8, **PAIRS),
    "seq2seq, tied": partial(
        Seq2Seq, classes=9, depth=1, width=8, act=act, positions=8, norm_first=False, tied=True, **PAIRS
    ),
}


def inputs_of(make: Any, *leading: int) -> Tensor:
    shape = make.keywords.get("shape") or make.args[0]
    if "vocabulary" in make.keywords:
        return torch.randint(0, 9, (*leading, *shape), generator=torch.Generator().manual_seed(0))
    return random(*leading, *shape)


@pytest.mark.parametrize("name", EVERY)
def test_runs_side_by_side_are_the_runs_alone(name):
    """Three runs under vmap, each on a batch of its own: losses and gradients as each has them alone."""
    make = EVERY[name]
    models = [filled(make(), seed) for seed in range(3)]
    parameters, buffers = stack_module_state(models)
    x = inputs_of(make, 3, 4)

    def loss(outputs: Tensor) -> Tensor:
        return outputs.logsumexp(-1).mean() + outputs.square().mean()

    def one(parameters, buffers, x):
        return loss(functional_call(models[0], (parameters, buffers), (x,)))

    losses = vmap(one)(parameters, buffers, x)
    gradients = torch.autograd.grad(losses.sum(), list(parameters.values()))
    for run, model in enumerate(models):
        alone = loss(model(x[run]))
        torch.testing.assert_close(losses[run], alone, rtol=1e-9, atol=1e-12)
        for stacked, own in zip(gradients, torch.autograd.grad(alone, list(model.parameters())), strict=True):
            assert (stacked[run] - own).norm() <= 1e-9 * own.norm() + 1e-12


@pytest.mark.parametrize("name", EVERY)
def test_outputs_have_their_shape_for_any_number_of_examples(name):
    make = EVERY[name]
    model = make()
    classes = make.keywords.get("classes") or make.args[1]
    each = (8,) if "positions" in make.keywords else ()
    for examples in (0, 1, 3):
        x = inputs_of(make, examples)
        x = x if "vocabulary" in make.keywords else x.float()
        assert model(x).shape == (examples, *each, classes)


@pytest.mark.parametrize("name", EVERY)
def test_every_model_is_built_on_the_meta_device_and_leaves_its_input_alone(name):
    with torch.device("meta"):
        assert all(p.is_meta for p in EVERY[name]().parameters())
    x = inputs_of(EVERY[name], 2)
    before = x.clone()
    filled(EVERY[name]())(x)
    assert torch.equal(x, before)


WEIGHT_LAYERS = [  # with depth d: how many modules own a weight matrix; with width 8, 3 channels, 5 classes: parameters
    (lambda d: CNN((3, 8, 8), 5, d, 8, act), lambda d: d + 1, {2: 3 * 72 + 8 + 8 * 72 + 8 + 5 * 8 * 16 + 5}),
    (lambda d: Conv1D((3, 8), 5, d, 8, act), lambda d: d + 1, {1: 3 * 40 + 8 + 5 * 8 * 3 + 5}),
    (lambda d: ResNet((3, 8, 8), 5, d, 8, act), lambda d: 2 * d + 2, {1: 3 * 72 + 8 + 2 * (8 * 72 + 8) + 45}),
    (lambda d: RNN((3, 8), 5, d, 8, act), lambda d: 2 * d + 1, {2: 8 * 3 + 8 + 64 + 64 + 8 + 64 + 45}),
    (lambda d: LSTM((3, 8), 5, d, 8, act), lambda d: 2 * d + 1, {1: 32 * 3 + 32 + 32 * 8 + 45}),
    (lambda d: GRU((3, 8), 5, d, 8, act), lambda d: 2 * d + 1, {1: 24 * 3 + 24 + 24 * 8 + 24 + 45}),
    (
        lambda d: Transformer((3, 8), 5, d, 8, act),
        lambda d: 6 * d + 2,
        {1: 3 * 8 + 8 + 4 * 72 + 8 * 32 + 32 + 32 * 8 + 8 + 3 * 16 + 45},
    ),
    (
        lambda d: Seq2Seq((2, 8), 5, d, 8, act, 5, 8),
        lambda d: 16 * d + 3,
        {1: 80 + 3 * 4 * 72 + 2 * (8 * 32 + 32 + 32 * 8 + 8) + 7 * 16 + 45},
    ),
]


@pytest.mark.parametrize(("make", "layers", "parameters"), WEIGHT_LAYERS)
def test_depth_and_width_do_what_they_say(make, layers, parameters):
    for depth in (1, 2, 5):
        weights = [m for m in make(depth).modules() if getattr(m, "weight", None) is not None and m.weight.ndim >= 2]
        assert len(weights) == layers(depth)
    for depth, expected in parameters.items():
        assert sum(p.numel() for p in make(depth).parameters()) == expected


def test_names_can_be_read():
    names = {name for make in EVERY.values() for name, _ in make().named_modules()}
    assert names >= {
        "layers.0.conv",
        "blocks.1.conv2",
        "layers.1.recurrent",
        "layers.1.back.input",
        "blocks.1.attention.query",
        "blocks.0.feedforward.up",
        "decoder.1.cross.value",
        "encoder.0.attention.output",
        "head",
    }


REFUSED = [
    (
        lambda: CNN((1, 40), 10, 2, 8, act),
        r"model=cnn takes images .* not examples of shape \(1, 40\); model=conv1d, rnn",
    ),
    (lambda: ResNet((64,), 10, 2, 8, act), r"model=resnet takes images .* shape \(64\); model=mlp"),
    (lambda: Conv1D((1, 8, 8), 10, 2, 8, act), r"model=conv1d takes sequences .* take data=digits_rows"),
    (lambda: RNN((1, 8, 8), 10, 2, 8, act), r"model=rnn takes sequences .* take data=digits_rows, or model=cnn"),
    (lambda: LSTM((64,), 10, 2, 8, act), r"model=lstm takes sequences .* model=mlp"),
    (lambda: GRU((2, 8), 10, 2, 8, act, 10, 8), r"model=gru takes one sequence of tokens.* model=seq2seq takes pairs"),
    (lambda: RNN((3, 8), 10, 0, 8, act), r"depth must be a whole number in \[1, inf\)"),
    (lambda: RNN((8,), 9, 1, 8, act, 9, 8, bidirectional=True), "each position sees what it should predict"),
    (lambda: RNN((3, 8), 10, 1, 8, act, truncate=0), "model.truncate must be a whole number"),
    (lambda: RNN((3, 8), 10, 1, 8, act, readout="lst"), r"model.readout must be one of .*; did you mean 'last'\?"),
    (lambda: RNN((3, 8), 10, 1, 8, act, bidirectional=1), "model.bidirectional must be true or false"),
    (lambda: CNN((1, 8, 8), 10, 1, 8, act, downsample="avg"), "model.downsample must be one of stride, max, mean"),
    (lambda: CNN((1, 8, 8), 10, 1, 8, act, every=0), "model.every must be a whole number"),
    (lambda: Conv1D((1, 40), 10, 9, 8, act, kernels=[9], padding=0), "nothing is left of the 40 steps at layer 3"),
    (lambda: Conv1D((1, 40), 10, 9, 8, act, kernels=[]), "model.kernels must hold one size at least"),
    (lambda: ResNet((1, 8, 8), 10, 1, 8, act, branch_scale="a"), "model.branch_scale must be a number"),
    (lambda: Transformer((1, 8, 8), 10, 1, 8, act), "model=transformer takes sequences"),
    (lambda: Transformer((3, 8), 10, 1, 9, act), "needs a width that model.heads=4 divides, got width=9"),
    (lambda: Transformer((3, 8), 10, 1, 8, act, tied=True), "model.tied=true of model=transformer needs data"),
    (lambda: Transformer((8,), 5, 1, 8, act, 9, 8, tied=True), "model.tied=true of model=transformer needs data"),
    (lambda: Transformer((3, 8), 10, 1, 8, act, causal="no"), "model.causal must be true or false"),
    (lambda: Seq2Seq((8,), 9, 1, 8, act, 9, 8), "model=seq2seq takes pairs .* model=transformer takes single"),
    (lambda: Seq2Seq((2, 8), 9, 1, 8, act), "model=seq2seq takes pairs of token sequences"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_what_does_not_fit_is_refused_with_the_reason(make, message):
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
