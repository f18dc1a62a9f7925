"""Remedies for unbalanced classes: against hand-computed values, and against imbalanced-learn's own rows."""

import math
import sys

import pytest
import torch
import torch.nn.functional as F
from imblearn.over_sampling import ADASYN, SMOTE

from initbench import build
from initbench.config.grid import expand
from initbench.engine.objective import training_objective
from initbench.engine.recipe import Recipe
from initbench.engine.samplers import choose_sampler
from initbench.errors import DoesNotFit
from initbench.parts.data import Dataset, Raw, prepare
from initbench.parts.losses import REGRESSION
from initbench.parts.optimizers import SGD
from initbench.parts.rebalance import Adasyn, ClassWeights, Focal, Oversample, Smote, Undersample, class_weights
from initbench.planning.compatibility import check_recipe

CPU = torch.device("cpu")
SIZES = [12, 6, 3]  # of three classes


def tail(sizes=SIZES, **keys) -> Dataset:
    """Examples (n, 2) of classes of these sizes, in clouds around three points."""
    y = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    x = torch.randn(len(y), 2, generator=torch.Generator().manual_seed(0)) + 2 * y.unsqueeze(1)
    return prepare(Raw(x, y, x[:3], y[:3], classes=len(sizes)), **keys)


def recipe(**parts) -> Recipe:
    return Recipe(optimizer=SGD(), **({"batch_size": 8, "steps": 100} | parts))


def epochs(part, data: Dataset, seed: int = 0) -> list[list[int]]:
    """The first two epochs of a sampler, from batches of 8."""
    sampler = choose_sampler(data, recipe(rebalance=part), [seed], CPU)
    length = sampler.length
    drawn = torch.cat([sampler.at(step)[0] for step in range(2 * length // 8 + 1)]).tolist()
    return [drawn[:length], drawn[length : 2 * length]]


def test_an_epoch_of_oversampling_has_every_example_and_each_class_as_often_as_the_commonest():
    data = tail()
    for epoch in epochs(Oversample(), data):
        assert torch.bincount(data.y_train[epoch]).tolist() == [12, 12, 12] and set(epoch) == set(range(21))
        commonest = [position for position in epoch if data.y_train[position] == 0]
        assert len(set(commonest)) == 12


def test_an_epoch_of_undersampling_has_each_class_as_often_as_the_rarest_drawn_anew():
    data = tail()
    first, second = epochs(Undersample(), data)
    for epoch in (first, second):
        assert torch.bincount(data.y_train[epoch]).tolist() == [3, 3, 3] and len(set(epoch)) == 9
    assert set(first) != set(second)


@pytest.mark.parametrize("part", [Oversample(), Undersample()])
def test_a_batch_is_a_function_of_seed_and_step_and_of_no_neighbour(part):
    data, steps = tail(), [7, 0, 3, 30, 2]
    alone = choose_sampler(data, recipe(rebalance=part), [5], CPU)
    beside = choose_sampler(data, recipe(rebalance=part), [4, 5, 5, 6], CPU)
    again = {step: alone.at(step) for step in sorted(steps)}
    for step in steps:
        here = beside.at(step)
        assert torch.equal(here[1], again[step][0]) and torch.equal(here[1], here[2])
        assert not torch.equal(here[0], here[1])


def test_class_weights_by_hand():
    """n / (C n_k): 21 / (3 * 12), 21 / (3 * 6), 21 / (3 * 3); as many examples of each weight add up to n."""
    data = tail()
    assert class_weights(data.y_train).tolist() == pytest.approx([7 / 12, 7 / 6, 7 / 3])
    assert float(class_weights(data.y_train)[data.y_train].sum()) == pytest.approx(21)
    outputs = torch.tensor([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    objective = training_objective(data, recipe(rebalance=ClassWeights()))
    loss = objective.loss(outputs, torch.tensor([2, 0]))
    certain = math.log(1 + 2 * math.exp(-9))
    assert loss.item() == pytest.approx((7 / 3 * math.log(3) + 7 / 12 * certain) / 2)
    (gradient,) = torch.autograd.grad(loss, outputs)
    assert gradient[0].tolist() == pytest.approx([7 / 18, 7 / 18, -7 / 9])  # w (p - 1) / B, p = 1/3
    assert objective.recorded(outputs, torch.tensor([2, 0])).item() == pytest.approx((math.log(3) + certain) / 2)


def test_focal_loss_by_hand_and_gamma_0_is_cross_entropy():
    """p = 0.9: -(0.1)^2 log 0.9 = 0.00105361; p = 0.5: 0.25 log 2 = 0.1732868. Lin et al. 2017, fig. 1."""
    outputs = torch.log(torch.tensor([[0.9, 0.1], [0.5, 0.5]], dtype=torch.float64))
    y = torch.tensor([0, 1])
    loss = Focal().loss(tail().objective, y)
    assert float(loss(outputs, y)) == pytest.approx((0.00105360516 + 0.17328680) / 2)
    assert float(Focal(gamma=0).loss(tail().objective, y)(outputs, y)) == pytest.approx(
        float(F.cross_entropy(outputs, y))
    )
    sure = torch.tensor([[800.0, 0.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(Focal(gamma=0.5).loss(tail().objective, y)(sure, y[:1]), sure)
    assert gradient.isfinite().all()


def test_weights_reach_squared_labels_and_smoothing_too():
    data = tail(loss="squared_error")
    outputs, y = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([2])
    loss = training_objective(data, recipe(rebalance=ClassWeights())).loss
    assert float(loss(outputs, y)) == pytest.approx(7 / 3 * 2 / 3)
    with pytest.raises(DoesNotFit, match="focal is a change of cross-entropy"):
        training_objective(data, recipe(rebalance=Focal()))


@pytest.mark.parametrize(("part", "reference"), [(Smote, SMOTE(k_neighbors=2)), (Adasyn, ADASYN(n_neighbors=2))])
def test_made_rows_are_imbalanced_learns(part, reference):
    data = tail()
    x, y = part(neighbours=2).made(data.x_train.reshape(-1, 1, 2), data.y_train, 7)
    expected, labels = reference.set_params(random_state=7).fit_resample(data.x_train.numpy(), data.y_train.numpy())
    assert len(y) > 8 and x.dtype == torch.float32
    assert torch.equal(x.flatten(1), torch.from_numpy(expected[21:]))
    assert torch.equal(y, torch.from_numpy(labels[21:]))


def test_made_rows_are_trained_on_behind_the_training_part_and_evaluated_nowhere():
    (run,) = expand(["rebalance=smote", "data.imbalance=0.1", "data.split_seed=3"]).runs
    data = build.data(run.config)
    assert data.made is not None and data is build.data(run.config)
    assert (
        torch.bincount(torch.cat([data.y_train, data.made[1]])).tolist()
        == [int(torch.bincount(data.y_train).max())] * 10
    )
    (x, _), again = data.made, Smote().made(data.x_train, data.y_train, 3)
    assert torch.equal(x, again[0]) and data.examples == len(data.y_train) + len(x)
    sampler = choose_sampler(data, recipe(batch_size=data.examples), [0], CPU)
    assert sorted(sampler.at(0)[0].tolist()) == list(range(data.examples))


@pytest.mark.parametrize(
    ("data", "part", "message"),
    [
        (tail(), Smote(), "class 2 has 3 training examples, .* 5 neighbours of its own class; .*=2"),
        (tail([4, 4, 4]), Smote(neighbours=2), "each class has 4 training examples, so none is to be made"),
        (tail([50, 50, 49]), Adasyn(), "rebalance=adasyn: "),
    ],
)
def test_where_nothing_can_be_made_one_line_says_why(data, part, message):
    with pytest.raises(DoesNotFit, match=message):
        part.made(data.x_train, data.y_train, 0)


def test_without_its_package_one_line_says_what_to_install(monkeypatch):
    data = tail()
    for name in [name for name in sys.modules if name.partition(".")[0] == "imblearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [NoImblearn(), *sys.meta_path])
    with pytest.raises(DoesNotFit, match=r"pip install 'initbench\[rebalance\]'"):
        Smote(neighbours=2).made(data.x_train, data.y_train, 0)


class NoImblearn:
    """Finds no imbalanced-learn."""

    def find_spec(self, name, path=None, target=None):
        if name == "imblearn":
            raise ModuleNotFoundError("No module named 'imblearn'", name="imblearn")


@pytest.mark.parametrize("part", [Oversample(), Undersample(), ClassWeights(), Focal(), Smote(), Adasyn()])
def test_only_labelled_examples_have_classes_to_balance(part):
    x = torch.randn(20, 3)
    numbers = prepare(Raw(x, x[:, 0].clone(), classes=1, objective=REGRESSION))
    positions = prepare(Raw(x, torch.ones(20, 3, dtype=torch.int64), classes=2))
    for data in (numbers, positions):
        with pytest.raises(DoesNotFit, match="balances classes, and this data has no class for each example"):
            check_recipe(recipe(rebalance=part), data)
