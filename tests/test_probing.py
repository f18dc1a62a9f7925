"""What is measured of networks at birth, against formulas, hand-computed values and other implementations."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from initbench import build
from initbench.config.grid import expand
from initbench.engine.probing import signals
from initbench.engine.probing.attention import entropy
from initbench.engine.probing.birth import FEW, measure_birth
from initbench.engine.probing.pairs import PAIRS, STARTS, correlated_inputs, correlations
from initbench.engine.probing.quotient import SMALLEST, gradient_quotients
from initbench.engine.probing.sensitivity import EXAMPLES, kernel_condition, of_any, of_mlp, singular_values
from initbench.engine.probing.single import SingleRuns
from initbench.engine.state import stack
from initbench.engine.train import Training


def training(*overrides, looped=False, dtype=torch.float32):
    """A training of the runs that overrides ask for, before its first step, and the runs' models."""
    runs = expand(overrides).runs
    config = runs[0].config
    dataset = build.data(config)
    models = [build.initialized(run.config, dataset, dtype) for run in runs]
    state = stack(models, torch.device("cpu"))
    seeds, lrs = [run.config["seed"] for run in runs], [run.config["lr"] for run in runs]
    made = Training(state, models[0], dataset, build.recipe(config), seeds=seeds, lrs=lrs, looped=looped)
    return made, models


def birth(*overrides, looped=False, full=False):
    made, models = training(*overrides, looped=looped)
    return measure_birth(made, models[0], full=full)


# ---------------------------------------------------------------- Jacobian and kernel


def test_jacobian_of_a_linear_network_is_the_product_of_its_weights():
    made, models = training("act=linear", "depth=3", "width=20", "init=xavier", "seed=0,1", dtype=torch.float64)
    found = of_mlp(made.program, made.evaluation.x_train[:EXAMPLES].double())
    for run, model in enumerate(models):
        product = model.head.weight
        for layer in reversed(model.layers):
            product = product @ layer.linear.weight
        torch.testing.assert_close(found.jacobian[run], product.expand(EXAMPLES, -1, -1), rtol=1e-12, atol=0)
        values = torch.linalg.svdvals(product)
        measured = singular_values(found.jacobian[run : run + 1])
        assert measured["jacobian_mean"].item() == pytest.approx(values.mean().item(), rel=1e-9)
        assert measured["jacobian_spread"].item() == pytest.approx(values.std(correction=0).item(), rel=1e-9)
        assert measured["jacobian_condition"].item() == pytest.approx((values[0] / values[-1]).item(), rel=1e-9)


def test_orthogonal_linear_networks_keep_every_singular_value_at_1():
    """Saxe et al. 2014: at any depth, where no layer is narrower than the input."""
    measured = birth("act=linear", "depth=20", "width=64", "init=orthogonal").whole
    assert measured["jacobian_mean"].item() == pytest.approx(1, abs=1e-4)
    assert measured["jacobian_spread"].item() == pytest.approx(0, abs=1e-4)
    assert measured["jacobian_condition"].item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("act", ["relu", "gelu", "linear"])
def test_both_ways_to_the_kernel_give_torch_s(act):
    made, models = training(f"act={act}", "depth=3", "width=11", "init=torch_default", "seed=0,1", dtype=torch.float64)
    x = made.evaluation.x_train[:EXAMPLES].double()
    by_hand, general = of_mlp(made.program, x), of_any(SingleRuns(models[0], made.state), x)
    torch.testing.assert_close(by_hand.jacobian, general.jacobian, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(by_hand.kernel, general.kernel, rtol=1e-9, atol=1e-12)
    for run, model in enumerate(models):
        parameters = dict(model.named_parameters())

        def outputs(own, model=model):
            return torch.func.functional_call(model, own, (x,))

        jacobians = torch.func.jacrev(outputs)(parameters)
        flat = torch.cat([each.flatten(2) for each in jacobians.values()], 2)  # E, C, P
        expected = torch.einsum("ecp,fcp->ef", flat, flat) / flat.shape[1]
        torch.testing.assert_close(by_hand.kernel[run], expected, rtol=1e-9, atol=1e-12)


def test_condition_numbers():
    kernel = torch.diag(torch.tensor([8.0, 2.0, 0.5], dtype=torch.float64))
    assert kernel_condition(torch.stack([kernel, kernel * 1e-30]), torch.float32).tolist() == pytest.approx([16, 16])
    alike = torch.ones(1, 3, 3, dtype=torch.float64)
    assert kernel_condition(alike, torch.float32).item() == math.inf
    assert math.isnan(kernel_condition(alike * torch.nan, torch.float32).item())
    jacobian = torch.zeros(1, 2, 2, 3)
    assert singular_values(jacobian)["jacobian_condition"].item() == math.inf


# ---------------------------------------------------------------- signals and correlations


def test_pairs_have_exactly_their_correlation_and_their_anchor_s_length():
    x = torch.randn(9, 2, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pairs = correlated_inputs(x)
    torch.testing.assert_close(pairs[:PAIRS], x[:PAIRS])
    lengths = pairs.flatten(1).norm(dim=1).unflatten(0, (1 + len(STARTS), PAIRS))
    torch.testing.assert_close(lengths, lengths[:1].expand_as(lengths))
    assert correlations([pairs.unsqueeze(0)])[:, 0, 0].tolist() == pytest.approx(STARTS, abs=1e-12)


def test_pairs_of_tokens_share_tokens():
    tokens = torch.arange(40).reshape(4, 10)
    pairs = correlated_inputs(tokens).unflatten(0, (1 + len(STARTS), PAIRS))
    shared = (pairs[1:] == pairs[0]).double().mean((1, 2))
    assert shared.tolist() == pytest.approx([0, 0.3, 0.5, 0.8, 1])  # rounded up to whole positions of 10


def test_correlations_of_he_relu_follow_the_arc_cosine_kernel():
    """Cho & Saul 2009, eq. 6: c' = (sin t + (pi - t) cos t) / pi, t = arccos c, layer by layer in wide networks."""
    measured = birth("init=he", "act=relu", "depth=3", "width=1000", "data=gaussian", "seed=range(0,4)")
    c = np.array(STARTS)
    for layer in range(3):  # the first layer's pre-activations have the inputs' correlation
        assert measured.correlations[:, layer].mean(1) == pytest.approx(c, abs=0.025)
        angle = np.arccos(c)
        c = (np.sin(angle) + (np.pi - angle) * c) / np.pi


def test_he_keeps_q_on_relu_at_twice_the_inputs_mean_square():
    """He et al. 2015: q' = 2 E[phi(s)^2] = q; the first layer's is 2 E[x^2]."""
    made, _ = training("init=he", "depth=4", "width=600", "data=gaussian", "seed=range(0,4)")
    x, _ = made.minibatches.at(0)
    q = signals.statistics(made.program.pre_activations(x))["q"].mean(1)
    assert q[:4].tolist() == pytest.approx([2 * x.square().mean().item()] * 4, rel=0.06)


@pytest.mark.parametrize("looped", [False, True])
@pytest.mark.parametrize(
    "overrides",
    [
        ["model=mlp", "width=8"],
        ["model=mlp", "norm=batch", "width=8"],
        ["model=cnn", "width=4"],
        ["model=rnn", "data=digits_rows", "width=8"],
        ["model=transformer", "data=digits_rows", "width=8"],
    ],
    ids=" ".join,
)
def test_pre_activations_are_the_outputs_of_linear_layers(overrides, looped):
    made, models = training("depth=1", "batch_size=6", "seed=0,1", *overrides, looped=looped)
    made.observe()
    x, _ = made.minibatches.at(0)
    buffers = {name: rows.clone() for name, rows in made.state.buffers.items()}
    found = made.program.pre_activations(x)
    for name, rows in buffers.items():
        assert torch.equal(made.state.buffers[name], rows)
    for run, model in enumerate(models):
        outputs = linear_outputs(model, x[run])
        # s of a recurrent layer is W x + b + U h, and a normalized layer's is what the activation gets
        compared = 1 if {"model=rnn", "norm=batch"} & set(overrides) else len(found)
        assert len(outputs) >= compared
        for signal, output in zip(found[-compared:], outputs[-compared:], strict=True):
            assert signal.pre[run].square().mean().item() == pytest.approx(output.square().mean().item(), rel=1e-4)


def linear_outputs(model, x):
    """What the linear layers and convolutions of a model give in one forward pass, by hooks of this test's own."""
    outputs = []
    handles = [
        module.register_forward_hook(lambda module, _, output: outputs.append(output))
        for module in model.modules()
        if isinstance(module, (nn.Linear, nn.Conv2d))
    ]
    with torch.no_grad():
        model.train()(x)
    for handle in handles:
        handle.remove()
    return outputs


def test_statistics_of_a_hand_made_signal():
    from initbench.engine.observation import LayerSignal

    pre = torch.tensor([[[[1.0, 2.0]], [[3.0, 6.0]]]])  # R 1, B 2, T 1, N 2
    found = signals.statistics([LayerSignal("a", pre), LayerSignal("b", pre * 1e30)])
    assert found["pre_mean"].tolist() == [[3.0], [pytest.approx(3e30)]]
    assert found["q"].flatten().tolist() == pytest.approx([12.5, 12.5e60])
    assert found["pre_var"].flatten().tolist() == pytest.approx([3.5, 3.5e60])
    by_time = signals.by_time([LayerSignal("a", pre.transpose(1, 2), over_time=True)])
    assert by_time[0].flatten().tolist() == pytest.approx([2.5, 22.5])


# ---------------------------------------------------------------- the first step


def test_first_step_moves_outputs_as_the_kernel_says():
    """Of a linear model by plain SGD: dy = -lr K dL/dy exactly."""
    made, models = training("model=logistic", "depth=0", "lr=0.3", "optim.momentum=0", "seed=0,1", dtype=torch.float64)
    x, y = made.minibatches.at(0)
    few = made.evaluation.x_train[:16].double().flatten(1)
    expected = []
    for run, model in enumerate(models):
        logits = model(x[run].double()).detach()
        delta = (logits.softmax(1) - nn.functional.one_hot(y[run], 10)) / len(y[run])
        change = -0.3 * (few @ x[run].double().flatten(1).T + 1) @ delta
        expected.append(change.square().mean().sqrt().item())
    measured = measure_birth(made, models[0])
    assert measured.layers["moved"][-1].tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("model", ["model=mlp", "model=mlp norm=batch"])
def test_moves_are_those_of_a_training(model):
    overrides = (*model.split(), "depth=2", "width=9", "lr=0.5", "seed=0,1", "batch_size=20")
    made, models = training(*overrides)
    before = made.state.copy()
    moves = measure_birth(made, models[0], steps=3).moves
    torch.testing.assert_close(made.state.weights, before.weights, rtol=0, atol=0)
    other, _ = training(*overrides)
    few = other.evaluation.x_train[:FEW].expand(2, -1, -1, -1, -1)
    other.observe()
    born = other.program.pre_activations(few)
    for step in range(3):
        other.step()
        now = other.program.pre_activations(few)
        for layer, (a, b) in enumerate(zip(born, now, strict=True)):
            moved = (b.pre - a.pre).double().square().mean((1, 2, 3)).sqrt()
            np.testing.assert_allclose(moves[step, layer], moved, rtol=1e-4)


# ---------------------------------------------------------------- gradient quotient, attention


def test_gradient_quotient_of_a_quadratic():
    """Of a linear fit of numbers, H = 2 / B sum (x, 1) (x, 1)^T."""
    made, models = training("model=logistic", "depth=0", "data=adding", "batch_size=20", dtype=torch.float64)
    x, y = made.minibatches.at(0)
    x = x.double()
    inputs = torch.cat([x[0].flatten(1), torch.ones(20, 1)], 1)
    theta = torch.cat([models[0].head.weight.flatten(), models[0].head.bias]).detach()
    g = 2 / 20 * inputs.T @ (inputs @ theta - y[0])
    hg = 2 / 20 * inputs.T @ (inputs @ g)
    expected = ((g - hg) / (g + SMALLEST * torch.where(g >= 0, 1, -1)) - 1).abs().mean()
    loss = made.evaluation.objective.loss
    found = gradient_quotients(SingleRuns(models[0], made.state), loss, x, y)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_entropy_of_equal_weights_is_that_of_a_uniform_choice():
    scores = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, -math.inf, -math.inf]])
    assert entropy(scores.softmax(-1), scores).item() == pytest.approx(1)
    one = torch.tensor([[100.0, 0.0, 0.0, 0.0]])
    assert entropy(one.softmax(-1), one).item() == pytest.approx(0, abs=1e-6)
    weights = torch.tensor([[0.5, 0.25, 0.25]])
    assert entropy(weights, weights).item() == pytest.approx(1.5 * math.log(2) / math.log(3))


@pytest.mark.parametrize("data", ["digits_rows", "text"])
def test_attention_without_weights_looks_at_everything_alike(data):
    """Also where a mask hides what comes later."""
    overrides = ("model=transformer", "width=8", "depth=1", "batch_size=8", f"data={data}")
    measured = birth("init=zeros", *overrides)
    assert list(measured.attention) == ["blocks.0.attention"]
    assert measured.attention["blocks.0.attention"].tolist() == pytest.approx([1.0], abs=1e-6)
    sharp = birth("init=normal", "init.std=3", *overrides)
    assert sharp.attention["blocks.0.attention"].item() < 0.5


# ---------------------------------------------------------------- the whole


def test_a_birth_is_what_a_training_logs_at_step_0():
    overrides = ("depth=4", "width=30", "act=tanh", "init=xavier", "seed=0,1")
    measured = birth(*overrides)
    made, _ = training(*overrides)
    made.step()
    record = made.recorder.record()
    np.testing.assert_array_equal(measured.record.snapshots[0], record.snapshots[0])
    np.testing.assert_array_equal(measured.record.losses[0], record.losses[0])
    assert measured.record.layers == record.layers


@pytest.mark.parametrize("model", ["gru data=digits_rows", "lstm data=digits_rows", "cnn"])
def test_runs_one_by_one_measure_what_a_stack_does(model):
    overrides = (*f"model={model}".split(), "depth=1", "width=6", "batch_size=10", "seed=0,1")
    stacked, looped = birth(*overrides, full=True), birth(*overrides, looped=True, full=True)
    for name in stacked.layers:
        np.testing.assert_allclose(stacked.layers[name], looped.layers[name], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(stacked.correlations, looped.correlations, rtol=1e-3, atol=1e-5)
    for name in stacked.whole:
        np.testing.assert_allclose(stacked.whole[name], looped.whole[name], rtol=2e-2)


def test_what_cannot_be_measured_is_missing():
    """Tokens have no Jacobian."""
    measured = birth("model=transformer", "data=text", "depth=1", "width=8", "batch_size=4")
    assert "jacobian_mean" not in measured.whole
    assert measured.whole["kernel_condition"].item() > 1
    assert "gradient_quotient" not in measured.whole


@pytest.mark.parametrize("act", ["relu", "elu"])  # one overwrites its input, the other keeps it
def test_what_one_pass_sees_is_what_a_pass_each_sees(act):
    """`full` measures an MLP with separate forward passes."""
    overrides = ("depth=3", "width=9", f"act={act}", "init=he", "seed=0,1", "batch_size=20")
    quick, full = birth(*overrides), birth(*overrides, full=True)
    for name in full.layers:
        np.testing.assert_allclose(quick.layers[name], full.layers[name], rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(quick.correlations, full.correlations, rtol=1e-4, atol=1e-6)
    for name in quick.whole:
        np.testing.assert_allclose(quick.whole[name], full.whole[name], rtol=1e-3)
