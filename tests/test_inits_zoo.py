"""Plain initializers beyond variances: sparse, ZerO, RAI, random walks, the edge of chaos; their papers' effects."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import linalg
from torch import nn

from initbench.errors import DoesNotFit, InputError
from initbench.parts import activations, inits
from initbench.parts.activations import Activation
from initialized_layers import RELU, TANH, M, N, biases, generator, has_moments, initialized, weights

LINEAR, SILU = Activation(activations.linear), Activation(activations.silu)


# sparse


def test_sparse_zeroes_a_share_of_each_column_as_torch_does():
    found = weights(inits.sparse, sparsity=0.3, std=0.5)
    torchs = nn.init.sparse_(torch.empty(M, N), 0.3)
    zeros = math.ceil(0.3 * M)
    assert ((found == 0).sum(1) == zeros).all() and ((torchs == 0).sum(0) == zeros).all()
    assert has_moments(found[found != 0], 0.25)
    places = (found == 0).double().mean((0, 2))  # each row is as likely to be 0
    assert float((places - zeros / M).abs().max()) < 5 * math.sqrt(0.25 / (16 * N))


def test_sparse_leaves_one_entry_or_as_many_connections_as_asked():
    """Martens 2010: 15 connections into each unit."""
    assert ((weights(inits.sparse, sparsity=1.0) != 0).sum(1) == 1).all()
    assert ((weights(inits.sparse, connections=15, std=1) != 0).sum(2) == 15).all()
    assert (initialized(inits.sparse, nn.Conv2d(3, 8, 3), connections=5).weight.flatten(1) != 0).sum(1).tolist() == [
        5
    ] * 8


# ZerO


@pytest.mark.parametrize(("m", "n"), [(8, 3), (20, 7), (37, 36), (5, 5), (3, 8)])
def test_zero_is_an_identity_or_a_part_of_hadamards_matrix(m, n):
    """Sylvester's H[i, j] = (-1)^(number of common ones of i and j in binary)."""
    weight = initialized(inits.zero, nn.Linear(n, m).double()).weight.detach().numpy()
    if m <= n:
        assert np.array_equal(weight, np.eye(m, n))
        return
    order = 2 ** math.ceil(math.log2(m))
    signs = [[(-1) ** (i & j).bit_count() for j in range(n)] for i in range(m)]
    np.testing.assert_allclose(weight, np.array(signs) / math.sqrt(order))
    assert set(map(abs, np.unique(linalg.hadamard(order)))) == {1}


def test_zero_sits_at_the_centre_of_a_kernel():
    weight = initialized(inits.zero, nn.Conv2d(3, 8, 3)).weight.detach()
    assert torch.equal(weight[:, :, 1, 1], initialized(inits.zero, nn.Linear(3, 8)).weight)
    assert weight.count_nonzero() == 24


def trained_rank(scheme) -> int:
    """The rank of what a hidden layer of 32 units has learned from inputs of 4 numbers."""
    net = nn.Sequential(*(nn.Linear(n, m) for n, m in itertools.pairwise([4, 32, 32, 32, 3]))).double()
    initialized(scheme, net)
    parameters, hidden = list(net.parameters()), net[1].weight.detach()
    before = hidden.clone()
    x = torch.randn(64, 4, generator=generator(1), dtype=torch.float64)
    for _ in range(30):
        h = x
        for layer in net[:-1]:
            h = layer(h).relu()
        gradients = torch.autograd.grad(F.cross_entropy(net[-1](h), x.abs().argmax(1) % 3), parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter -= 0.5 * gradient
    return int(torch.linalg.matrix_rank(hidden - before, rtol=1e-6))


def test_zero_learns_more_than_the_rank_of_the_input_and_a_partial_identity_does_not():
    """Zhao et al. 2022: with a partial identity, units without an input stay so."""
    assert trained_rank(inits.identity) <= 4 < trained_rank(inits.zero)


# RAI


def test_rai_has_one_positive_entry_per_unit_from_beta_2_1():
    """W and b of 400 units: N(0, 0.6007^2 / n) but for one entry, whose mean is 2/3, so that E[V] = (2/3) / (n + 1)."""
    layers = [initialized(inits.rai, nn.Linear(N, M).double(), seed=seed) for seed in range(40)]
    unit = torch.cat([torch.cat([layer.weight, layer.bias[:, None]], 1).detach() for layer in layers])
    error = math.sqrt((0.5 + N * 0.6007**2 / N) / (N + 1) / unit.numel())
    assert float(unit.mean()) == pytest.approx(2 / 3 / (N + 1), abs=5 * error)
    variance = 0.6007**2 / N
    assert float(unit.square().mean()) == pytest.approx((N * variance + 0.5) / (N + 1), rel=0.02)
    small = unit[unit < 0]
    assert float(small.square().mean()) == pytest.approx(variance, rel=0.03)
    assert (biases(inits.rai) > 0.5).any() and not (biases(inits.rai, bias=0.0)).any()


def dead_at_birth(scheme, width: int, depth: int, nets: int) -> float:
    """The share of ReLU nets of one input whose output is the same for all of 21 points."""
    x = torch.linspace(-1.7, 1.7, 21, dtype=torch.float64)[:, None]
    dead = 0
    for seed in range(nets):
        net = nn.Sequential(*(nn.Linear(n, width) for n in [1] + [width] * (depth - 1))).double()
        h = x
        for layer in initialized(scheme, net, seed=seed):
            h = layer(h).relu()
        dead += bool((h == h[0]).all())
    return dead / nets


@pytest.mark.slow
def test_fewer_nets_are_dead_at_birth_with_rai_than_with_he():
    """Lu et al. 2019. Symmetric weights, one input, width 3, 10 layers: 63 % of the nets, by Monte Carlo."""
    nets = 400
    he, rai = (dead_at_birth(scheme, 3, 10, nets) for scheme in (inits.he, inits.rai))
    assert he == pytest.approx(0.632, abs=5 * math.sqrt(0.632 * 0.368 / nets))
    assert rai < he - 0.15


# Random walks and the edge of chaos


def drift(scheme, act: Activation, width: int, depth: int = 100, nets: int = 15) -> tuple[float, float]:
    """Mean change per layer of a gradient's log norm on its way back through random layers, and its standard error."""
    changes = []
    for seed in range(nets):
        net = initialized(scheme, nn.Sequential(*(nn.Linear(width, width) for _ in range(depth))), seed=seed, act=act)
        x, arriving = torch.randn(2, 1, width, generator=generator(seed))
        h = x.requires_grad_()
        for layer in net:
            h = act(layer(h))
        (gradient,) = torch.autograd.grad(h, x, arriving)
        changes.append(float((gradient.norm() / arriving.norm()).log()) / depth)
    return float(np.mean(changes)), float(np.std(changes) / math.sqrt(len(changes)))


@pytest.mark.slow
@pytest.mark.parametrize(("act", "width"), [(RELU, 40), (LINEAR, 10)])
def test_a_random_walk_has_no_drift_where_unit_variances_have_one(act, width):
    """Variance 1 / n on linear units: -1 / (2 n) per layer; he on ReLU: about -5 / (4 n) (Hanin & Rolnick 2018)."""
    walk, error = drift(inits.random_walk, act, width)
    assert abs(walk) < 4 * error
    plain, error = drift(inits.unit_variance, act, width)
    expected = -1 / (2 * width) if act is LINEAR else -5 / (4 * width)
    assert plain == pytest.approx(expected, abs=4 * error) and plain < -4 * error


def test_critical_weights_keep_gradients_of_wide_tanh_layers():
    """chi_1 = 1: the mean square of a gradient stays; with 1.7 it grows, with 0.9 it shrinks."""
    at_edge, _ = drift(inits.critical, TANH, 200, depth=30, nets=4)
    below, _ = drift(lambda *args, act, **keys: inits.mean_field(*args, sigma_w=0.9, sigma_b=0), TANH, 200, 30, 4)
    above, _ = drift(lambda *args, act, **keys: inits.mean_field(*args, sigma_w=1.7, sigma_b=0), TANH, 200, 30, 4)
    assert below < -0.08 < at_edge < 0.03 < above


def test_what_has_no_edge_of_chaos_is_refused_in_one_line():
    with pytest.raises(DoesNotFit, match=r"^init=critical: act=silu has no critical sigma_w for init.sigma_b=0.1$"):
        initialized(inits.critical, nn.Linear(3, 2), act=SILU, sigma_b=0.1)
    with pytest.raises(InputError, match=r"init.sigma_b must be a number in \[0, inf\), got -1"):
        initialized(inits.critical, nn.Linear(3, 2), sigma_b=-1)
    with pytest.raises(InputError, match=r"init\.connections must be a whole number"):
        initialized(inits.sparse, nn.Linear(3, 2), connections=0)
