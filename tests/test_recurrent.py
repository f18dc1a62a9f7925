"""Recurrent models: PyTorch's RNN, LSTM and GRU, step by step and in the LSTM's faster ways."""

from functools import partial
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from agreement import act, filled, random
from initbench.engine.programs import lstm
from initbench.engine.programs.loop import LoopProgram
from initbench.engine.programs.vmap import VmapProgram
from initbench.engine.state import stack
from initbench.parts.activations import Activation, relu
from initbench.parts.models.recurrent import LSTMCell
from small_models import GRU, LSTM, RNN

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
    lstm.use_fused_lstm(model, lstm.batched_runs)
    outputs = vmap(lambda parameters, x: functional_call(model, parameters, (x,)))(parameters, x)
    by_hand = torch.autograd.grad(outputs, [x, *parameters.values()], toward)
    for run in range(3):
        one = x[run].detach().requires_grad_()
        for way in (None, lstm.single_run, lstm.batched_runs):
            model = lstm_of(run, **options)
            if way is not None:
                lstm.use_fused_lstm(model, way)
            alone = model(one)
            torch.testing.assert_close(outputs[run], alone, rtol=1e-10, atol=1e-12)
            for a, b in zip(by_hand, torch.autograd.grad(alone, [one, *model.parameters()], toward[run]), strict=True):
                torch.testing.assert_close(a[run], b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_stacked_lstms_are_torchs(bidirectional):
    models = [lstm_of(seed, bidirectional=bidirectional) for seed in range(3)]
    parameters, _ = stack_module_state(models)
    lstm.use_fused_lstm(models[0], lstm.batched_runs)
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


@pytest.mark.parametrize("engine", [VmapProgram, LoopProgram])
def test_an_lstm_that_is_looked_at_has_the_gradients_of_one_that_is_not(engine, monkeypatch):
    """A log step computes each time step by itself; before it, after it and in predictions none is."""
    made: list[int] = []
    step = LSTMCell.step
    monkeypatch.setattr(LSTMCell, "step", lambda *args: (made.append(1), step(*args))[1])
    state = stack([lstm_of(seed, bidirectional=True) for seed in range(3)], torch.device("cpu"))
    program = engine(lstm_of(0, bidirectional=True), state, F.cross_entropy)
    x, y = random(3, 6, 3, 11), torch.arange(18).view(3, 6) % 4
    found = []
    for log in (False, True, False):
        made.clear()
        program.step(x, y, log)
        assert bool(made) == log
        found.append(state.gradient.clone())
    for gradient in found:
        assert (gradient - found[0]).norm() <= 1e-12 * found[0].norm()
    program.step(x, y, True)
    made.clear()
    program.predict(x[0])
    assert not made


def test_an_lstm_of_another_activation_goes_step_by_step():
    model = LSTM((3, 11), 4, depth=2, width=5, act=partial(Activation, relu))
    lstm.use_fused_lstm(model, lstm.batched_runs)
    assert all(layer.fused is None for layer in cast(Any, model.layers))
