"""Theory against thousands of random networks, drawn in plain numpy batches."""

import math

import numpy as np
import pytest

from initbench.theory.activations import activation
from initbench.theory.finite_width import dead_probability, log_length_moments
from initbench.theory.jacobian import squared_singular_values
from initbench.theory.mean_field import MeanField, WideLayer, propagate
from initbench.theory.residual import one_layer_branches, two_layer_branches

RELU, TANH, LINEAR = map(activation, ["relu", "tanh", "linear"])


def orthogonal(rng, width):
    q, r = np.linalg.qr(rng.standard_normal((width, width)))
    return q * np.sign(np.diag(r))


def lengths(width, depth, networks, phi=RELU, variance=2.0):
    """ln M of networks that read one input of mean square 1, (networks,)."""
    rng = np.random.default_rng(0)
    h = np.ones((networks, width))
    for _ in range(depth):
        weights = rng.standard_normal((networks, width, width), dtype=np.float32) * math.sqrt(variance / width)
        h = phi(np.einsum("kij,kj->ki", weights, h))
    return np.log((h**2).mean(axis=1))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "variance", "k"), [("relu", 2.0, 5), ("linear", 1.0, 2), ("leaky_relu", 1.6, 3.08)])
def test_log_length_falls_and_spreads_as_hanin_and_rolnick_say(name, variance, k):
    """Mean -k / 2 sum 1 / n, variance k sum 1 / n, k = 5 for ReLU. E[M] itself stays 1, held by few networks."""
    phi = activation(name, **({"slope": 0.5} if name == "leaky_relu" else {}))
    width, depth, networks = 50, 8, 2000
    found = lengths(width, depth, networks, phi, variance)
    average, spread = log_length_moments(phi, math.sqrt(variance), [width] * depth)
    assert spread == pytest.approx(k * depth / width, rel=1e-3)
    assert average == pytest.approx(-spread / 2, rel=1e-6)
    assert found.mean() == pytest.approx(average, abs=4 * math.sqrt(spread / networks) + 0.05 * spread)
    assert found.var() == pytest.approx(spread, rel=4 * math.sqrt(2 / networks) + 0.05)
    assert np.exp(found).mean() == pytest.approx(1, abs=5 * math.sqrt((math.exp(spread) - 1) / networks))


def test_weights_of_variance_1_over_n_lose_half_per_relu_layer():
    """He et al. 2015, section 2.2: the standard deviation falls by 2^(-L / 2)."""
    average, _ = log_length_moments(RELU, 1.0, [10**9] * 30)
    assert average == pytest.approx(-30 * math.log(2), rel=1e-6)


@pytest.mark.parametrize(("width", "share"), [(2, 0.909), (3, 0.632), (5, 0.152), (10, 0.0017)])
def test_narrow_relu_networks_are_born_dead(width, share):
    """Lu et al. 2019: ten hidden layers, no biases, inputs of one number. Constant: dead for x = 1 and for x = -1."""
    rng, networks = np.random.default_rng(1), 60_000
    weights = rng.standard_normal((networks, width, 1))
    h = np.maximum(np.concatenate((weights, -weights), axis=2), 0)
    for _ in range(9):
        h = np.maximum(np.matmul(rng.standard_normal((networks, width, width)), h), 0)
    dead = (h == 0).all(axis=1)  # (networks, 2)
    assert dead.all(axis=1).mean() == pytest.approx(share, abs=0.01)
    assert dead.mean() == pytest.approx(dead_probability([width] * 10), abs=0.01)


@pytest.mark.parametrize("depth", [1, 4])
def test_singular_values_of_deep_linear_networks_as_saxe_has_them(depth):
    """Orthogonal factors keep every singular value at 1; k Gaussian ones have E[s^2] = 1 and Var[s^2] = k."""
    rng, width = np.random.default_rng(0), 200
    theory = MeanField(LINEAR, 1.0)
    assert squared_singular_values(theory, depth, orthogonal=True) == (1, 0)
    assert squared_singular_values(theory, depth, orthogonal=False) == (1, depth)
    gaussian = (
        np.linalg.multi_dot([rng.standard_normal((width, width)) / math.sqrt(width) for _ in range(depth)] * 1)
        if (depth > 1)
        else rng.standard_normal((width, width)) / math.sqrt(width)
    )
    squares = np.linalg.svd(gaussian, compute_uv=False) ** 2
    assert squares.mean() == pytest.approx(1, abs=0.05)
    assert squares.var() == pytest.approx(depth, rel=0.15)
    product = orthogonal(rng, 100)
    for _ in range(depth - 1):
        product = orthogonal(rng, 100) @ product
    np.testing.assert_allclose(np.linalg.svd(product, compute_uv=False), 1, rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["orthogonal", "gaussian"])
def test_singular_values_of_tanh_networks_as_pennington_has_them(weights):
    """Mean and variance of s^2 over the Jacobian of three layers, near the critical line."""
    rng, width, depth = np.random.default_rng(2), 400, 3
    theory = MeanField(TANH, 1.2, 0.2)
    h = math.sqrt(theory.q_star) * rng.standard_normal(width)
    jacobian = np.eye(width)
    for _ in range(depth):
        drawn = orthogonal(rng, width) if weights == "orthogonal" else rng.standard_normal((width, width)) / width**0.5
        drawn *= theory.sigma_w
        jacobian = drawn @ (TANH.slope(h)[:, None] * jacobian)
        h = drawn @ TANH(h) + theory.sigma_b * rng.standard_normal(width)
    squares = np.linalg.svd(jacobian, compute_uv=False) ** 2
    average, spread = squared_singular_values(theory, depth, orthogonal=weights == "orthogonal")
    assert squares.mean() == pytest.approx(average, rel=0.08)
    assert squares.var() == pytest.approx(spread, rel=0.2)


def wide_stream(phi, alpha, blocks, *, two_layers, sigma_w, sigma_b, seed, width=400):
    """Mean squares of the stream of one wide residual network, before the blocks and after each."""
    rng = np.random.default_rng(seed)

    def linear(h):
        biases = sigma_b * rng.standard_normal(width)
        return rng.standard_normal((width, len(h))) @ h * sigma_w / math.sqrt(len(h)) + biases

    h = linear(rng.choice([-1.0, 1.0], width))
    h = h if two_layers else phi(h)
    squares = [np.mean(h**2)]
    for _ in range(blocks):
        branch = linear(phi(linear(phi(h)))) if two_layers else phi(linear(h))
        h = h + alpha * branch
        squares.append(np.mean(h**2))
    return squares


@pytest.mark.slow
@pytest.mark.parametrize(("name", "sigma_w"), [("relu", math.sqrt(2)), ("tanh", 1.0), ("sigmoid", 3.6)])
@pytest.mark.parametrize("two_layers", [False, True])
def test_residual_streams_grow_as_stated(name, sigma_w, two_layers):
    phi, alpha = activation(name), 0.7
    streams = [
        wide_stream(phi, alpha, 4, two_layers=two_layers, sigma_w=sigma_w, sigma_b=0.3, seed=seed) for seed in range(20)
    ]
    branches = two_layer_branches if two_layers else one_layer_branches
    growth = branches(WideLayer(phi, sigma_w, 0.3), alpha, 4)
    np.testing.assert_allclose(np.mean(streams, axis=0), [growth.start, *growth.q], rtol=0.08)


def test_variance_preserving_branches_double_the_variance_and_a_scale_of_0_holds_it():
    layer = WideLayer(RELU, math.sqrt(2))
    assert two_layer_branches(layer, 1.0, 5).factor == pytest.approx(2**5)
    assert two_layer_branches(layer, 1.0, 5).gradient_factor == pytest.approx(2**5)
    for branches in (one_layer_branches, two_layer_branches):
        assert branches(layer, 0.0, 50).factor == 1
        assert branches(layer, 1.0, 5000).factor == math.inf


def test_tanh_branches_add_and_do_not_multiply():
    """Yang & Schoenholz 2017: variance grows linearly at most, since |tanh| < 1."""
    growth = one_layer_branches(WideLayer(TANH, 1.0), 1.0, 200)
    assert growth.q[-1] - growth.start < 200
    assert growth.q[199] / growth.q[99] == pytest.approx(2, abs=0.2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sigma_w", "sigma_b"), [("tanh", 1.3, 0.3), ("gelu", 1.4, 0.0), ("sigmoid", 8.0, 0.5)]
)
def test_profiles_are_those_of_a_wide_network(name, sigma_w, sigma_b):
    """q and c of eight layers of 2000 units."""
    rng, width, phi = np.random.default_rng(4), 2000, activation(name)
    x = rng.standard_normal((width, 2)) @ np.array([[1, 0.6], [0, 0.8]])
    x /= np.sqrt((x**2).mean(axis=0))
    expected = propagate([WideLayer(phi, sigma_w, sigma_b)] * 8, 1.0, float((x[:, 0] * x[:, 1]).mean()))
    h = x
    for layer in range(8):
        weights = rng.standard_normal((width, width)) * sigma_w / math.sqrt(width)
        h = weights @ h + sigma_b * rng.standard_normal((width, 1))
        q = (h**2).mean()
        assert q == pytest.approx(expected.q[layer], rel=0.12)
        assert (h[:, 0] * h[:, 1]).mean() / q == pytest.approx(expected.c[layer], abs=0.05)
        h = phi(h)


def test_dropout_is_that_of_a_wide_network():
    rng, width, keep, sigma_w, sigma_b = np.random.default_rng(5), 2000, 0.8, 1.3, 0.3
    expected = propagate([WideLayer(TANH, sigma_w, sigma_b, keep)] * 6, 1.0, 1.0)
    h = np.ones((width, 2)) * rng.choice([-1.0, 1.0], (width, 1))
    for layer in range(6):
        weights = rng.standard_normal((width, width)) * sigma_w / math.sqrt(width)
        h = weights @ h + sigma_b * rng.standard_normal((width, 1))
        q = (h**2).mean()
        assert q == pytest.approx(expected.q[layer], rel=0.12)
        assert (h[:, 0] * h[:, 1]).mean() / q == pytest.approx(expected.c[layer], abs=0.04)
        h = TANH(h) * (rng.random((width, 2)) < keep) / keep
