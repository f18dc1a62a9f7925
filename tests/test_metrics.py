"""Each metric against a number worked out by hand, or against a plain loop in numpy."""

import math

import numpy as np
import pytest
import torch

from initbench.engine import metrics
from initbench.engine.layer import Layer


def layer(activation, *, slope=None, weight=None, weight_grad=None, weight_step=None, pre_grad=None) -> Layer:
    """One run's layer from nested lists; what is not given is ones."""
    activation = torch.tensor([activation])
    one = torch.ones(1, 2, 2)
    made = Layer(
        "layers.0",
        "layers.0.linear.weight",
        weight=one if weight is None else torch.tensor([weight]),
        weight_grad=one if weight_grad is None else torch.tensor([weight_grad]),
        pre_grad=one if pre_grad is None else torch.tensor([pre_grad]),
        activation=activation,
        slope=torch.ones_like(activation) if slope is None else torch.tensor([slope]),
    )
    made.weight_step = one if weight_step is None else torch.tensor([weight_step])
    return made


TWO_BY_THREE = [[1.0, 2.0, 3.0], [3.0, 6.0, 3.0]]  # 2 examples, 3 units


def test_gradient_norms_are_those_of_a_3_4_5_triangle():
    seen = layer(TWO_BY_THREE, weight_grad=[[3.0, 0.0], [0.0, 4.0]], pre_grad=[[0.0, 5.0], [12.0, 0.0]])
    assert metrics.weight_grad_norm(seen).item() == pytest.approx(5)
    assert metrics.pre_grad_norm(seen).item() == pytest.approx(13)


def test_a_norm_of_1e_30_is_not_lost_when_it_is_squared():
    seen = layer(TWO_BY_THREE, weight_grad=[[3e-30, 0.0], [0.0, 4e-30]])
    assert metrics.weight_grad_norm(seen).item() == pytest.approx(5e-30, rel=1e-6)


def test_mean_and_variance_are_over_examples_and_units():
    assert metrics.act_mean(layer(TWO_BY_THREE)).item() == pytest.approx(3)
    assert metrics.act_var(layer(TWO_BY_THREE)).item() == pytest.approx((4 + 1 + 0 + 0 + 9 + 0) / 6)


def test_spreads_are_root_mean_variances_across_units_and_across_examples():
    # across units: variances 2/3 and 2; across examples: 1, 4 and 0
    assert metrics.unit_spread(layer(TWO_BY_THREE)).item() == pytest.approx(math.sqrt((2 / 3 + 2) / 2))
    assert metrics.example_spread(layer(TWO_BY_THREE)).item() == pytest.approx(math.sqrt((1 + 4 + 0) / 3))


def test_equal_units_have_no_spread_and_equal_examples_neither():
    symmetric = layer([[0.3, 0.3, 0.3], [0.7, 0.7, 0.7]])
    assert metrics.unit_spread(symmetric).item() < 1e-7
    assert metrics.example_spread(symmetric).item() == pytest.approx(0.2)
    constant = layer([[0.3, 0.7], [0.3, 0.7]])
    assert metrics.example_spread(constant).item() < 1e-7
    assert metrics.unit_spread(constant).item() == pytest.approx(0.2)


def test_a_unit_is_dead_when_it_is_flat_on_every_example():
    flat_twice_flat_once_never = [[0.0, 0.0, 1.0], [0.0, 1.0, -1.0]]
    seen = layer(TWO_BY_THREE, slope=flat_twice_flat_once_never)
    assert metrics.dead(seen).item() == pytest.approx(1 / 3)
    assert metrics.saturated(seen).item() == pytest.approx(3 / 6)


def test_thresholds_are_those_that_the_documentation_states():
    seen = layer([[0.0] * 4], slope=[[0.0009, -0.0011, 0.049, 0.051]])
    assert metrics.dead(seen).item() == pytest.approx(1 / 4)
    assert metrics.saturated(seen).item() == pytest.approx(3 / 4)


def test_update_ratio_is_the_change_over_the_weight_before_it():
    seen = layer(TWO_BY_THREE, weight=[[3.0, 0.0], [0.0, 4.0]], weight_step=[[0.0, 0.05], [0.0, 0.0]])
    assert metrics.update_ratio(seen).item() == pytest.approx(0.01)
    assert math.isnan(metrics.update_ratio(layer(TWO_BY_THREE, weight=[[0.0, 0.0], [0.0, 0.0]])).item())


def test_non_finite_numbers_are_counted_in_gradient_and_activation():
    seen = layer([[1.0, math.nan, math.inf]], weight_grad=[[math.nan, 1.0], [-math.inf, 1.0]])
    assert metrics.nonfinite(seen).item() == 4
    assert metrics.nonfinite(layer(TWO_BY_THREE)).item() == 0


def test_every_metric_of_a_stack_is_that_of_each_run():
    generator = torch.Generator().manual_seed(0)
    fields = {name: (4, 6, 5) for name in ("activation", "slope", "pre_grad")}
    fields |= {name: (4, 5, 3) for name in ("weight", "weight_grad")}
    tensors = {name: torch.randn(shape, generator=generator) for name, shape in fields.items()}
    step = torch.randn(4, 5, 3, generator=generator)

    def seen(rows: slice) -> Layer:
        made = Layer("layers.0", "w", **{name: tensor[rows] for name, tensor in tensors.items()})
        made.weight_step = step[rows]
        return made

    public = [
        f for name, f in vars(metrics).items() if callable(f) and getattr(f, "__module__", "") == metrics.__name__
    ]
    assert len(public) == 10
    for metric in public:
        alone = np.array([metric(seen(slice(i, i + 1))).item() for i in range(4)])
        np.testing.assert_allclose(metric(seen(slice(None))).numpy(), alone, rtol=1e-12)
