"""Mean-field theory against published numbers, closed forms and, in another program, Monte Carlo."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from initbench.theory.activations import Phi, activation
from initbench.theory.mean_field import MeanField, WideLayer, critical_sigma_w, propagate
from initbench.theory.quadrature import half_mean_square_difference, mean

TANH, RELU, SELU, SIGMOID, ELU = map(activation, ["tanh", "relu", "selu", "sigmoid", "elu"])


def erf_and_slope(x):
    from scipy.special import erf

    return erf(x), 2 / math.sqrt(math.pi) * np.exp(-(x**2))


ERF = Phi("erf", erf_and_slope)


@pytest.mark.parametrize(
    ("sigma_w", "q_star", "chi_1", "c_star", "phase"),
    [(1.3, 0.607, 0.940, 1.0, "ordered"), (4.0, 12.604, 2.367, 0.031, "chaotic")],
)
def test_fixed_points_of_tanh_as_poole_et_al_have_them(sigma_w, q_star, chi_1, c_star, phase):
    theory = MeanField(TANH, sigma_w, 0.3)
    assert theory.q_star == pytest.approx(q_star, rel=0.03)
    assert theory.chi_1 == pytest.approx(chi_1, rel=0.05)
    assert theory.c_star == pytest.approx(c_star, abs=0.03)
    assert theory.phase == phase


@pytest.mark.parametrize(("variance", "xi_c"), [(1, 3.63), (1.5, 15.79), (4, 6.98)])
def test_depth_scale_of_correlations_on_both_sides_of_the_critical_line(variance, xi_c):
    theory = MeanField(TANH, math.sqrt(variance), math.sqrt(0.05))
    assert theory.xi_c == pytest.approx(xi_c, rel=0.01)  # FACTS ask for 10 %
    assert theory.trainable_depth == 6 * theory.xi_c


@pytest.mark.parametrize(
    ("phi", "sigma_b", "sigma_w"),
    [
        (TANH, math.sqrt(0.05), math.sqrt(1.761)),
        (RELU, 0, math.sqrt(2)),
        (ELU, 0.2, 1.228),
        (TANH, 0.2, 1.303),
        (TANH, 0, 1),  # q* is 0
        (SIGMOID, 0, 10.149),
    ],
    ids=str,
)
def test_edge_of_chaos(phi, sigma_b, sigma_w):
    assert critical_sigma_w(phi, sigma_b) == pytest.approx(sigma_w, abs=0.003)


@pytest.mark.parametrize("name", ["tanh", "relu", "leaky_relu", "elu", "selu", "softsign", "sigmoid", "linear"])
def test_chi_1_is_1_at_the_critical_sigma_w_and_monotone_around_it(name):
    phi = activation(name)
    critical = critical_sigma_w(phi, 0.3)
    assert MeanField(phi, critical, 0.3).chi_1 == pytest.approx(1, abs=1e-6)
    assert MeanField(phi, 0.95 * critical, 0.3).phase == "ordered"
    assert MeanField(phi, critical, 0.3).phase == "critical"
    assert MeanField(phi, 1.05 * critical, 0.3).phase == "chaotic"


def test_softplus_has_no_critical_point():
    """Its q* explodes before chi_1 reaches 1."""
    assert math.isnan(critical_sigma_w(activation("softplus"), 0.2))


@pytest.mark.parametrize(("sigma_w", "chi_1"), [(1, 0.0557), (3.6, 0.356), (10.149, 1)])
def test_gradients_of_sigmoid_vanish_with_kumars_weights_too(sigma_w, chi_1):
    assert MeanField(SIGMOID, sigma_w).chi_1 == pytest.approx(chi_1, abs=5e-4)


def test_selu_holds_mean_0_and_variance_1_and_its_gradients_grow():
    """Klambauer et al. 2017: weights of variance 1 / n attract activations to mean 0 and variance 1."""
    theory = MeanField(SELU, 1.0)
    assert mean(SELU, SELU, 1.0) == pytest.approx(0, abs=1e-12)
    assert theory.q_star == pytest.approx(1, abs=1e-9)
    assert theory.layer.q_slope(1.0) < 1
    assert_allclose(theory.variances(4.0, 60)[-1], 1, rtol=1e-5)
    assert theory.chi_1 == pytest.approx(1.0718, abs=5e-4)


@pytest.mark.parametrize(("depth", "times_square"), [(100, 34.5), (1000, 42.96)])
def test_correlations_of_critical_relu_approach_1_as_the_inverse_square(depth, times_square):
    """1 - c ~ 9 pi^2 / (2 l^2), from inputs of correlation 0.6."""
    e = propagate([WideLayer(RELU, math.sqrt(2))] * depth, 1.0, 0.6).e[-1]
    assert e * depth**2 == pytest.approx(times_square, rel=2e-3)
    far = propagate([WideLayer(RELU, math.sqrt(2))] * 20_000, 1.0, 0.6).e[-1]
    assert far * 20_000**2 == pytest.approx(9 * math.pi**2 / 2, rel=0.01)


def test_correlations_of_critical_tanh_approach_1_as_the_inverse():
    sigma_w = critical_sigma_w(TANH, 0.3)
    e = propagate([WideLayer(TANH, sigma_w, 0.3)] * 200, 1.0, 0.5).e
    assert e[199] * 200 == pytest.approx(e[99] * 100, rel=0.08)


# Closed forms, by others.


@pytest.mark.parametrize("c", [-1, -0.7, 0, 0.5, 0.9999])
@pytest.mark.parametrize("q", [1e-4, 0.6, 40])
def test_relus_kernel_is_the_arc_cosine_one(c, q):
    """Cho & Saul 2009, order 1; by quadrature, and by the closed form that layers use."""
    angle = math.acos(c)
    product = q / (2 * math.pi) * (math.sin(angle) + (math.pi - angle) * math.cos(angle))
    by_quadrature = half_mean_square_difference(RELU, RELU, q, 1 - c)
    assert by_quadrature == pytest.approx(q / 2 - product, rel=1e-6)
    assert WideLayer(RELU, 1.0).e(1 - c, q) == pytest.approx(1 - product / (q / 2), rel=1e-8)


@pytest.mark.parametrize("c", [-0.9, 0, 0.3, 0.999])
@pytest.mark.parametrize("q", [0.01, 1, 30])
def test_erfs_kernel_is_the_arcsine(c, q):
    """Williams 1997: E[erf(u) erf(v)] = (2 / pi) asin(2 q c / (1 + 2 q))."""

    def product(c):
        return 2 / math.pi * math.asin(2 * q * c / (1 + 2 * q))

    assert mean(ERF, lambda x: ERF(x) ** 2, q) == pytest.approx(product(1), rel=1e-9)
    found = half_mean_square_difference(ERF, ERF, q, 1 - c)
    assert found == pytest.approx(product(1) - product(c), rel=2e-6)


def test_erfs_profile_over_50_layers_is_that_of_the_closed_form():
    sigma_w, sigma_b, q, c = 1.4, 0.2, 1.4**2 * 0.8 + 0.04, None
    c = (1.4**2 * 0.8 * 0.3 + 0.04) / q
    found = propagate([WideLayer(ERF, sigma_w, sigma_b)] * 50, 0.8, 0.3)
    for layer in range(50):
        assert_allclose([found.q[layer], found.c[layer]], [q, c], rtol=1e-7)
        products = [2 / math.pi * math.asin(2 * q * c / (1 + 2 * q)) for c in (1, c)]
        new_q, new_cov = (sigma_w**2 * product + sigma_b**2 for product in products)
        q, c = new_q, new_cov / new_q


@pytest.mark.parametrize("name", ["elu", "gelu", "mish", "selu", "sigmoid", "silu", "softplus", "softsign", "tanh"])
def test_kernels_agree_with_a_sum_over_hermite_polynomials(name):
    """Mehler 1866: E[phi(u) phi(v)] = sum_n a_n^2 c^n, with a_n from Gauss-Hermite quadrature."""
    phi, q, c, terms = activation(name), 0.8, 0.6, 40
    x, weights = np.polynomial.hermite_e.hermegauss(200)
    weights = weights / weights.sum()
    values, before, here = phi(math.sqrt(q) * x), np.zeros_like(x), np.ones_like(x)
    product = 0.0
    for n in range(terms):  # orthonormal polynomials: sqrt(n + 1) h_{n+1} = x h_n - sqrt(n) h_{n-1}
        product += (weights @ (values * here)) ** 2 * c**n
        before, here = here, (x * here - math.sqrt(n) * before) / math.sqrt(n + 1)
    square = mean(phi, lambda x: phi(x) ** 2, q)
    # Gauss-Hermite is exact for polynomials; a jump in a derivative (selu, elu, softsign) costs it digits
    assert square - half_mean_square_difference(phi, phi, q, 1 - c) == pytest.approx(product, rel=5e-4)


# Activations without a finite q*.


def test_relu_off_the_critical_line():
    assert MeanField(RELU, 1.0).q_star == 0
    assert MeanField(RELU, 1.0, 0.5).q_star == pytest.approx(0.25 / (1 - 0.5))
    assert MeanField(RELU, 1.5).q_star == math.inf
    assert MeanField(RELU, math.sqrt(2), 0.1).q_star == math.inf  # grows by sigma_b^2 per layer
    assert MeanField(RELU, math.sqrt(2), q0=0.4).q_star == pytest.approx(0.8)  # any is kept
    assert_allclose(MeanField(RELU, 1.0).variances(1.0, 4), [1, 1 / 2, 1 / 4, 1 / 8])  # He et al. 2015, section 2.2
    assert MeanField(RELU, 1.0).xi_c == MeanField(RELU, 1.0).xi_q == pytest.approx(1 / math.log(2))
    assert MeanField(RELU, math.sqrt(2)).trainable_depth == math.inf


def test_unit_gain_of_gelu_is_a_fixed_point_that_repels():
    gain = mean(activation("gelu"), lambda x: activation("gelu")(x) ** 2, 1.0) ** -0.5
    assert gain == pytest.approx(1.5335, abs=5e-5)
    assert WideLayer(activation("gelu"), gain).q(1.0) == pytest.approx(1)
    assert WideLayer(activation("gelu"), gain).q_slope(1.0) > 1
    assert MeanField(activation("gelu"), gain, q0=1.01).q_star == math.inf
    assert MeanField(activation("gelu"), gain, q0=0.4).q_star == 0


def test_growth_without_bound_stays_a_number_in_every_layer():
    q = MeanField(activation("gelu"), 30.0).variances(1.0, 200)
    assert np.isfinite(q[:5]).all() and q[-1] == math.inf
    assert MeanField(Phi("square", lambda x: (x**2, 2 * x)), 2.0).chi_1 == math.inf


def test_dropout_leaves_no_critical_point():
    """Schoenholz et al. 2017, section 5: even on the critical line c* is below 1 and xi_c finite."""
    critical = critical_sigma_w(TANH, 0.3)
    theory = MeanField(TANH, critical, 0.3, keep=0.9)
    assert theory.phase != "critical"
    assert theory.c_star < 0.9
    assert theory.xi_c < 20
    depth_scales = [MeanField(TANH, critical, 0.3, keep=1 - p).xi_c for p in (0.001, 0.01, 0.1)]
    assert sorted(depth_scales, reverse=True) == depth_scales


def test_the_critical_points_in_the_docs_are_those_that_are_computed():
    page = (Path(__file__).parent.parent / "docs/theory.md").read_text(encoding="utf-8")
    table = page[page.index("## Critical") : page.index("## Correlation")]
    rows = re.findall(r"^\| (`.*?`) \| (.*) \|$", table, re.MULTILINE)
    assert len(rows) == 11
    for names, values in rows:
        for name in re.findall(r"`(\w+)`", names):
            found = [critical_sigma_w(activation(name), sigma_b) for sigma_b in (0, 0.2, 0.3, 1)]
            said = [math.nan if value == "none" else float(value) for value in values.split(" | ")]
            assert found == pytest.approx(said, rel=1e-3, nan_ok=True), name
