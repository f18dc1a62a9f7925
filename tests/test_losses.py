"""Objectives: losses, what is right, the best constant prediction; by hand, for many runs at once, and a new one."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import grad, vmap

from initbench import build, load
from initbench.analysis.axes import loss_unit
from initbench.engine.batches import Batches
from initbench.engine.programs.choose import has_fast_program
from initbench.parts.data import Raw
from initbench.parts.data import prepare as prepare_data
from initbench.parts.losses import CLASSIFICATION, REGRESSION, UNSCORED, Classification, Objective
from initbench.planning.sweep import prepare
from small_models import Logistic

LOG = math.log


def logits(*shares: list[float]) -> Tensor:
    """Outputs whose softmax is these probabilities."""
    return torch.tensor(shares, dtype=torch.float64).log()


# By hand.


def test_labels_cost_minus_the_log_of_their_probability():
    outputs, y = logits([0.5, 0.25, 0.25], [0.1, 0.8, 0.1]), torch.tensor([1, 1])
    assert float(CLASSIFICATION.loss(outputs, y)) == pytest.approx((LOG(4) + LOG(1.25)) / 2)
    assert float(CLASSIFICATION.total(outputs, y)) == pytest.approx(LOG(4) + LOG(1.25))
    assert (int(CLASSIFICATION.count(y)), float(CLASSIFICATION.right(outputs, y))) == (2, 1)


def test_a_label_a_position_and_those_unscored_count_nowhere():
    outputs = logits([0.5, 0.5], [0.2, 0.8], [0.9, 0.1], [0.3, 0.7]).reshape(2, 2, 2)
    y = torch.tensor([[UNSCORED, 1], [1, 1]])
    assert float(CLASSIFICATION.total(outputs, y)) == pytest.approx(-LOG(0.8) - LOG(0.1) - LOG(0.7))
    assert float(CLASSIFICATION.loss(outputs, y)) == pytest.approx((-LOG(0.8) - LOG(0.1) - LOG(0.7)) / 3)
    assert (int(CLASSIFICATION.count(y)), float(CLASSIFICATION.right(outputs, y))) == (3, 2)
    slope = grad(CLASSIFICATION.loss)(outputs, y)
    assert (slope[0, 0] == 0).all() and (slope[0, 1] != 0).all()


def test_numbers_cost_their_squared_error_and_are_right_below_0_04():
    outputs, y = torch.tensor([[1.0], [0.539], [0.541], [-2.0]]), torch.tensor([1.5, 0.5, 0.5, -2.0])
    errors = [0.5**2, 0.039**2, 0.041**2, 0]
    assert float(REGRESSION.loss(outputs, y)) == pytest.approx(sum(errors) / 4, rel=1e-5)
    assert float(REGRESSION.total(outputs, y)) == pytest.approx(sum(errors), rel=1e-5)
    assert (int(REGRESSION.count(y)), float(REGRESSION.right(outputs, y))) == (4, 2)


def test_nothing_scored_has_no_mean():
    assert CLASSIFICATION.loss(torch.zeros(1, 2, 3), torch.full((1, 2), UNSCORED)).isnan()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_an_output_that_is_not_finite_has_no_accuracy(bad):
    outputs = torch.zeros(3, 2)
    outputs[0, 1] = bad
    y = torch.zeros(3, dtype=torch.int64)
    assert CLASSIFICATION.right(outputs, y).isnan() and CLASSIFICATION.total(outputs, y).isnan()
    assert REGRESSION.right(outputs[:, 1:], y.float()).isnan() and REGRESSION.total(outputs[:, 1:], y.float()).isnan()


# The best constant prediction.


def test_entropy_of_the_labels():
    y = torch.tensor([0, 0, 0, 2])
    assert CLASSIFICATION.constant_loss(y) == pytest.approx(-0.75 * LOG(0.75) - 0.25 * LOG(0.25))
    best = logits([0.75, 1e-300, 0.25]).expand(4, -1)
    assert CLASSIFICATION.constant_loss(y) == pytest.approx(float(F.cross_entropy(best, y)))


def test_each_position_has_a_constant_of_its_own():
    y = torch.tensor([[0, 1, 2], [0, 2, UNSCORED], [0, 1, UNSCORED], [0, 2, UNSCORED]])
    # Always 0; 1 or 2 in equal shares; 2 in the one example that has it: 4 ln 2 over 9 labels.
    assert CLASSIFICATION.constant_loss(y) == pytest.approx(4 * LOG(2) / 9)
    never = 1e-300
    best = logits([1, never, never], [never, 0.5, 0.5], [never, never, 1]).expand(4, 3, 3)
    assert CLASSIFICATION.constant_loss(y) == pytest.approx(float(CLASSIFICATION.loss(best, y)))


def test_an_unscored_position_changes_nothing():
    y = torch.tensor([[0], [1], [1], [1]])
    padded = F.pad(y, (2, 1), value=UNSCORED)
    assert CLASSIFICATION.constant_loss(padded) == pytest.approx(CLASSIFICATION.constant_loss(y[:, 0]))


def test_variance_of_the_numbers():
    y = torch.tensor([0.0, 1.0, 2.0, 5.0])
    assert REGRESSION.constant_loss(y) == pytest.approx(3.5)  # mean 2: (4 + 1 + 0 + 9) / 4
    assert REGRESSION.constant_loss(y) == pytest.approx(float(REGRESSION.loss(torch.full((4, 1), 2.0), y)))


def test_accuracy_of_the_most_frequent_label():
    y, on = torch.tensor([0, 2, 2, 1]), torch.tensor([2, 2, 0, 1, 1])
    assert CLASSIFICATION.constant_accuracy(y, y) == 0.5
    assert CLASSIFICATION.constant_accuracy(y, on) == pytest.approx(0.4)
    assert CLASSIFICATION.constant_accuracy(y, y[:0]) is None
    positions = torch.tensor([[0, 1], [0, 2], [1, 2], [UNSCORED, 2]])  # 0, then 2: right in 2 and 3 of 7
    assert CLASSIFICATION.constant_accuracy(positions, positions) == pytest.approx(5 / 7)
    assert REGRESSION.constant_accuracy(y.float(), y.float()) is None


# Many runs at once.

SHAPES = [
    (CLASSIFICATION, (6, 4), lambda g: torch.randint(4, (3, 6), generator=g)),
    (CLASSIFICATION, (6, 5, 4), lambda g: with_holes(torch.randint(4, (3, 6, 5), generator=g))),
    (REGRESSION, (6, 1), lambda g: torch.rand(3, 6, generator=g)),
]


def with_holes(y: Tensor) -> Tensor:
    y[:, ::2, 1:3] = UNSCORED
    return y


@pytest.mark.parametrize(("objective", "shape", "draw"), SHAPES, ids=["labels", "positions", "numbers"])
def test_stacked_runs_equal_each_alone(objective: Objective, shape, draw):
    generator = torch.Generator().manual_seed(0)
    outputs, y = torch.randn(3, *shape, generator=generator, dtype=torch.float64), draw(generator)
    for function in (objective.loss, objective.total, objective.right, grad(objective.loss)):
        alone = torch.stack([function(o, t) for o, t in zip(outputs, y, strict=True)])
        torch.testing.assert_close(vmap(function)(outputs, y), alone, rtol=1e-12, atol=1e-12)
        same_y = torch.stack([function(o, y[0]) for o in outputs])
        torch.testing.assert_close(vmap(function, (0, None))(outputs, y[0]), same_y, rtol=1e-12, atol=1e-12)
    assert vmap(objective.count)(y).tolist() == [int(objective.count(t)) for t in y]
    assert vmap(objective.loss)(outputs, y).dtype == torch.float64
    assert objective.right(outputs[0].float(), y[0]).dtype == torch.float64


@pytest.mark.parametrize(("objective", "shape", "draw"), SHAPES, ids=["labels", "positions", "numbers"])
def test_a_run_that_is_nan_leaves_its_neighbours_as_they_were(objective: Objective, shape, draw):
    generator = torch.Generator().manual_seed(0)
    outputs, y = torch.randn(3, *shape, generator=generator), draw(generator)
    broken = outputs.clone()
    broken[1] = math.nan
    for function in (objective.loss, objective.total, objective.right, grad(objective.loss)):
        before, after = vmap(function)(outputs, y), vmap(function)(broken, y)
        assert torch.equal(before[[0, 2]], after[[0, 2]])
        assert after[1].isnan().any()


# A new one.

HUBER = """
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from initbench.parts.data import Raw
from initbench.parts.losses import Regression


@dataclass(frozen=True)
class Huber(Regression):
    unit: str = "Huber loss"

    def loss(self, outputs, y):
        return F.huber_loss(outputs.squeeze(-1), y)


def data():
    x = torch.linspace(-1, 1, 60).reshape(30, 2)
    return Raw(x, x.sum(1), classes=1, objective=Huber())
"""


@pytest.mark.slow
def test_a_new_objective_takes_a_class_and_a_dataset_that_uses_it(tmp_path, monkeypatch):
    """It is trained by its own loss, not by the hand-written program's, and reports say its unit."""
    (tmp_path / "my_huber.py").write_text(HUBER)
    monkeypatch.syspath_prepend(tmp_path)
    overrides = ["data._target_=my_huber.data", "depth=1", "width=4", "steps=5", "batch_size=24"]
    sweep = prepare(overrides, out=tmp_path / "results", workers=1, timed=False)
    sweep.save()
    list(sweep.train(lambda stack, step: None))
    (run,) = sweep.runs
    data = build.data(run.config)
    model = build.initialized(run.config, data)
    index = Batches([0], len(data.y_train), 24, torch.device("cpu")).at(0)[0]
    expected = F.huber_loss(model(data.x_train[index]).squeeze(-1), data.y_train[index])
    assert not has_fast_program(model, data)
    losses = load(tmp_path / "results").losses["train_loss"]
    assert losses[0] == pytest.approx(expected.item(), rel=1e-5)
    assert loss_unit(load(tmp_path / "results").runs) == "Huber loss"


def test_a_classification_of_ones_own_is_not_taken_by_the_program_for_cross_entropy():
    class Focal(Classification):
        pass

    x, y = torch.zeros(10, 3), torch.arange(10) % 2
    for objective, fast in ((Classification(), True), (Focal(), False)):
        data = prepare_data(Raw(x, y, classes=2, objective=objective), standardize="none")
        assert has_fast_program(Logistic((3,), 2, 0), data) is fast
