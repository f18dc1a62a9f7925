"""Each metric against a number worked out by hand, or against a plain loop in numpy."""

import math

import pytest
import torch

from initbench import build
from initbench.config.grid import expand
from initbench.engine import metrics
from initbench.engine.observation import Units, Weights, by_shape, of_weights

ONES = [[1.0, 1.0], [1.0, 1.0]]
EVERY = {name for name, function in vars(metrics).items() if getattr(function, "__module__", "") == metrics.__name__}


def units(activation, *, slope=None, pre_grad=None) -> Units:
    """One layer of one run, from nested lists; what is not given is ones."""
    given = torch.tensor([[activation]])
    slope, pre_grad = (torch.ones_like(given) if x is None else torch.tensor([[x]]) for x in (slope, pre_grad))
    return Units(pre_grad, given, slope)


def weights(weight=ONES, *, grad=ONES, change=ONES) -> Weights:
    return Weights(*(torch.tensor([[x]]) for x in (weight, grad, change)))


TWO_BY_THREE = [[1.0, 2.0, 3.0], [3.0, 6.0, 3.0]]  # 2 examples, 3 units


def test_gradient_norms_are_those_of_a_3_4_5_triangle():
    assert metrics.weight_grad_norm(weights(grad=[[3.0, 0.0], [0.0, 4.0]])).item() == pytest.approx(5)
    seen = units([[1.0, 1.0], [1.0, 1.0]], pre_grad=[[0.0, 5.0], [12.0, 0.0]])
    assert metrics.pre_grad_norm(seen).item() == pytest.approx(13)


def test_a_norm_of_1e_30_is_not_lost_when_it_is_squared():
    tiny, huge = [[3e-30, 0.0], [0.0, 4e-30]], [[3e30, 0.0], [0.0, 4e30]]
    assert metrics.weight_grad_norm(weights(grad=tiny)).item() == pytest.approx(5e-30, rel=1e-6)
    assert metrics.weight_grad_norm(weights(grad=huge)).item() == pytest.approx(5e30, rel=1e-6)
    assert metrics.weight_grad_norm(weights(grad=[[0.0, 0.0], [0.0, 0.0]])).item() == 0


def test_mean_and_variance_are_over_examples_and_units():
    assert metrics.act_mean(units(TWO_BY_THREE)).item() == pytest.approx(3)
    assert metrics.act_var(units(TWO_BY_THREE)).item() == pytest.approx((4 + 1 + 0 + 0 + 9 + 0) / 6)


def test_spreads_are_root_mean_variances_across_units_and_across_examples():
    # across units: variances 2/3 and 2; across examples: 1, 4 and 0
    assert metrics.unit_spread(units(TWO_BY_THREE)).item() == pytest.approx(math.sqrt((2 / 3 + 2) / 2))
    assert metrics.example_spread(units(TWO_BY_THREE)).item() == pytest.approx(math.sqrt((1 + 4 + 0) / 3))


def test_equal_units_have_no_spread_and_equal_examples_neither():
    symmetric = units([[0.3, 0.3, 0.3], [0.7, 0.7, 0.7]])
    assert metrics.unit_spread(symmetric).item() < 1e-7
    assert metrics.example_spread(symmetric).item() == pytest.approx(0.2)
    constant = units([[0.3, 0.7], [0.3, 0.7]])
    assert metrics.example_spread(constant).item() < 1e-7
    assert metrics.unit_spread(constant).item() == pytest.approx(0.2)


def test_a_spread_a_thousand_times_smaller_than_the_mean_keeps_its_digits():
    """Means of 1000 and deviations of 0.5: squares differ in the seventh digit, where float32 has none left."""
    seen = units([[1000.0, 1001.0], [1000.0, 1001.0]])
    assert metrics.unit_spread(seen).item() == pytest.approx(0.5, rel=1e-6)
    assert metrics.example_spread(seen).item() < 1e-4


def test_a_unit_is_dead_when_it_is_flat_on_every_example():
    flat_twice_flat_once_never = [[0.0, 0.0, 1.0], [0.0, 1.0, 1.0]]
    seen = units(TWO_BY_THREE, slope=flat_twice_flat_once_never)
    assert metrics.dead(seen).item() == pytest.approx(1 / 3)
    assert metrics.saturated(seen).item() == pytest.approx(3 / 6)


def test_thresholds_are_those_that_the_documentation_states():
    seen = units([[0.0] * 4], slope=[[0.0009, 0.0011, 0.049, 0.051]])
    assert metrics.dead(seen).item() == pytest.approx(1 / 4)
    assert metrics.saturated(seen).item() == pytest.approx(3 / 4)


def test_update_ratio_is_the_change_over_the_weight_before_it():
    seen = weights([[3.0, 0.0], [0.0, 4.0]], change=[[0.0, 0.05], [0.0, 0.0]])
    assert metrics.update_ratio(seen).item() == pytest.approx(0.01)
    assert math.isnan(metrics.update_ratio(weights([[0.0, 0.0], [0.0, 0.0]])).item())


def test_non_finite_numbers_are_counted_in_activation_and_gradient():
    seen = units([[1.0, math.nan, math.inf]], pre_grad=[[math.nan, 1.0, -math.inf]])
    assert metrics.nonfinite(seen).item() == 4
    assert metrics.nonfinite(units(TWO_BY_THREE)).item() == 0


def test_every_metric_of_a_stack_is_that_of_each_layer_and_run():
    generator = torch.Generator().manual_seed(0)
    activity = [torch.randn(3, 4, 6, 5, generator=generator) for _ in range(3)]  # L 3, R 4, B 6, N 5
    kernels = [torch.randn(3, 4, 5, 2, generator=generator) for _ in range(3)]
    functions = build.metrics({"metrics": expand([]).runs[0].config["metrics"]})
    assert set(functions) == EVERY
    for metric in functions.values():
        make, tensors = (Weights, kernels) if of_weights(metric) else (Units, activity)
        all_at_once = metric(make(*tensors))
        assert all_at_once.shape == (3, 4)
        for layer in range(3):
            for run in range(4):
                alone = metric(make(*(t[layer : layer + 1, run : run + 1] for t in tensors)))
                assert alone.item() == pytest.approx(all_at_once[layer, run].item(), rel=1e-6)


def test_neighbours_of_one_shape_are_put_together():
    layers = [Units(*(torch.full((1, 2, 3, n), float(i)) for _ in range(3))) for i, n in enumerate([4, 4, 5, 4])]
    assert [len(group.activation) for group in by_shape(layers)] == [2, 1, 1]
    assert by_shape(layers)[0].slope[1].unique().item() == 1
