"""Data: splits, standardization, what is refused, and the datasets that need no files."""

import json
import math
import random

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from initbench import build
from initbench.config.grid import expand
from initbench.errors import InputError
from initbench.parts import data
from initbench.parts.data import Raw, prepare
from initbench.parts.data.inspection import seen_inputs
from initbench.parts.data.neighbours import label_agreement
from initbench.parts.losses import REGRESSION


@pytest.fixture(scope="module")
def digits() -> Raw:
    return data.digits()


def toy(n: int = 100, classes: int = 4, test: bool = False) -> Raw:
    """n examples of shape (1, 2), each with a number of its own, and classes in equal shares."""
    x = torch.arange(2 * n, dtype=torch.float32).reshape(n, 1, 2)
    y = torch.arange(n) % classes
    return Raw(x, y, x[:8] + 1000 if test else None, y[:8] if test else None, classes=classes)


def counts(y: torch.Tensor) -> list[int]:
    return torch.bincount(y).tolist()


# Splits.


def test_digits_split_1437_to_360_by_class(digits):
    dataset = prepare(digits)
    assert (len(dataset.y_train), len(dataset.y_val), len(dataset.y_test)) == (1437, 0, 360)
    share = np.array(counts(digits.y)) / 1797
    assert np.abs(np.array(counts(dataset.y_train)) - 1437 * share).max() < 1
    assert np.abs(np.array(counts(dataset.y_test)) - 360 * share).max() < 1


def test_every_example_is_in_one_part():
    dataset = prepare(toy(), standardize="none", val_fraction=0.25)
    parts = dataset.x_train, dataset.x_val, dataset.x_test
    assert [len(part) for part in parts] == [60, 20, 20]
    assert sorted(torch.cat(parts)[:, 0, 0].tolist()) == [2.0 * i for i in range(100)]
    assert [counts(y) for y in (dataset.y_train, dataset.y_val, dataset.y_test)] == [
        [15] * 4,
        [5] * 4,
        [5] * 4,
    ]
    for x, y in (
        (dataset.x_train, dataset.y_train),
        (dataset.x_val, dataset.y_val),
        (dataset.x_test, dataset.y_test),
    ):
        assert torch.equal(x[:, 0, 0] / 2 % 4, y.float())  # labels stay with their examples


def test_split_seed_decides_the_split():
    first, again, other = (prepare(toy(), split_seed=seed).x_test for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first.sort(0).values, other.sort(0).values)


def test_a_test_part_of_its_own_stays_as_it_is():
    dataset = prepare(toy(test=True), standardize="none", val_fraction=0.2, train_size=40)
    assert dataset.x_test.tolist() == (toy().x[:8] + 1000).tolist()
    assert (len(dataset.y_train), len(dataset.y_val)) == (40, 20)


def test_train_size_takes_less_and_leaves_the_other_parts():
    whole, less = prepare(toy(), standardize="none"), prepare(toy(), standardize="none", train_size=20)
    assert counts(less.y_train) == [5] * 4
    assert set(less.x_train[:, 0, 0].tolist()) < set(whole.x_train[:, 0, 0].tolist())
    assert torch.equal(less.x_test, whole.x_test)
    assert len(prepare(toy(), train_size=80).y_train) == 80


# Standardization.


def test_global_takes_one_mean_and_deviation_from_the_training_part():
    raw, plain = prepare(toy(), standardize="none"), prepare(toy())
    mean, std = raw.x_train.mean(), raw.x_train.std(correction=0)
    torch.testing.assert_close(plain.x_train, (raw.x_train - mean) / std)
    torch.testing.assert_close(plain.x_test, (raw.x_test - mean) / std)
    assert (plain.input_mean, plain.input_std) == pytest.approx((mean.item(), std.item()))


def test_input_statistics_do_not_depend_on_how_it_is_standardized(digits):
    ways = [prepare(digits, standardize=way) for way in ("global", "feature", "none")]
    assert len({(way.input_mean, way.input_std) for way in ways}) == 1
    assert ways[0].input_mean == pytest.approx(4.88, abs=0.02)  # the mean ink of a pixel, 0 to 16


def test_feature_gives_each_pixel_its_own(digits):
    dataset = prepare(digits, standardize="feature")
    varies = prepare(digits, standardize="none").x_train.std(0) > 0
    assert not varies.all()  # the corners of digits are always white
    means, stds = dataset.x_train.mean(0), dataset.x_train.std(0, correction=0)
    torch.testing.assert_close(means, torch.zeros(1, 8, 8), rtol=0, atol=1e-5)
    torch.testing.assert_close(stds, varies.float(), rtol=0, atol=1e-5)
    assert dataset.x_test.isfinite().all()


def test_constant_inputs_become_zero():
    raw = Raw(torch.full((20, 3), 0.1), torch.arange(20) % 2, classes=2)
    assert (prepare(raw).x_train == 0).all()


def test_a_scale_multiplies_inputs_after_standardization_and_a_spread_each_entry_by_its_own():
    generator = torch.Generator().manual_seed(0)
    raw = Raw(torch.randn(400, 50, generator=generator), torch.arange(400) % 4, classes=4)
    plain = prepare(raw)
    tenfold = prepare(raw, scale=10)
    assert torch.equal(tenfold.x_test, 10 * plain.x_test)
    assert tenfold.input_std == plain.input_std  # of the inputs as they were found
    spread = prepare(raw, spread=2)
    factor = spread.x_train / plain.x_train
    torch.testing.assert_close(factor, factor[:1].expand_as(factor))  # the same in every example
    torch.testing.assert_close(spread.x_test, plain.x_test * factor[0])
    exponents = factor[0].log10()
    assert -2 <= exponents.min() < -1 and 1 < exponents.max() <= 2  # 50 draws of U(-2, 2)
    assert torch.equal(spread.x_train, prepare(raw, spread=2).x_train)


def test_shape_and_loss_of_the_best_constant_prediction():
    raw = Raw(
        torch.zeros(8, 3),
        torch.tensor([0, 0, 0, 0, 0, 0, 1, 1]),
        torch.zeros(1, 3),
        torch.zeros(1).long(),
        classes=3,
    )
    dataset = prepare(raw)
    assert dataset.shape == (3,)
    assert dataset.constant_loss == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    logits = torch.tensor([math.log(0.75), math.log(0.25), -100]).expand(8, 3)
    assert dataset.constant_loss == pytest.approx(float(torch.nn.functional.cross_entropy(logits, raw.y)))


# What is refused.


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"standardize": "globl"},
            "data.standardize must be one of global, feature, none, got 'globl'; did you mean 'global'?",
        ),
        ({"val_fraction": 1.0}, r"data.val_fraction must be a number in \[0, 1\), got 1.0"),
        ({"val_fraction": "a"}, "data.val_fraction"),
        ({"split_seed": -1}, "data.split_seed"),
        ({"split_seed": 0.5}, "data.split_seed must be a whole number"),
        ({"train_size": 0}, r"data.train_size must be a whole number in \[1, 80\], got 0"),
        ({"train_size": 81}, "data.train_size"),
        ({"train_size": 3}, "data: a training part of 3 can't have one example of each of"),
    ],
)
def test_bad_keys_say_so(keys, message):
    with pytest.raises(InputError, match=message) as caught:
        prepare(toy(), **keys)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.zeros(4, 2, dtype=torch.float64), torch.zeros(4).long(), "x in float32"),
        (torch.zeros(4, 2), torch.zeros(4), "y in int64"),
        (torch.zeros(4, 2), torch.zeros(3).long(), "one label y"),
        (torch.zeros(4, 2), torch.tensor([0, 1, 2, 3]), "labels from 0 to 2"),
        (torch.zeros(4, 2), torch.tensor([0, -1, 2, 1]), "labels from 0 to 2"),
    ],
)
def test_a_dataset_of_ones_own_that_does_not_fit_says_so(x, y, message):
    with pytest.raises(InputError, match=message):
        Raw(x, y, classes=3)


def test_one_example_can_not_be_split():
    with pytest.raises(InputError, match="1 examples are too few to be split"):
        prepare(Raw(torch.zeros(1, 2), torch.zeros(1), classes=1, objective=REGRESSION))


def test_data_that_are_not_finite_are_refused_before_training():
    x = torch.ones(4, 3)
    x[1, 2], x[2, 0] = math.nan, math.inf
    with pytest.raises(InputError, match="data holds 2 values that are NaN or infinite"):
        Raw(x, torch.zeros(4, dtype=torch.int64), classes=1)


# Datasets that need no files.


def test_digits_are_scikit_learns_in_their_natural_values(digits):
    assert digits.x.shape == (1797, 1, 8, 8) and digits.x.dtype == torch.float32
    assert digits.y.dtype == torch.int64 and digits.classes == 10
    assert digits.x.min() == 0 and digits.x.max() == 16
    images, _ = load_digits(return_X_y=True)
    assert (digits.x.flatten(1).numpy() == images).all()


def test_digits_rows_are_the_digits_a_row_a_step(digits):
    raw = data.digits_rows()
    assert raw.x.shape == (1797, 8, 8) and raw.x.is_contiguous()
    for row in range(8):
        assert torch.equal(raw.x[:, :, row], digits.x[:, 0, row])
    assert torch.equal(raw.y, digits.y)
    assert counts(prepare(raw).y_test) == counts(prepare(digits).y_test)


@pytest.mark.slow
def test_mnist1d_is_the_authors_and_leaves_the_global_generators_alone():
    pytest.importorskip("mnist1d")
    random.seed(5)
    np.random.seed(5)
    before = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    raw = data.mnist1d()
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # type: ignore[index]
    assert raw.x_test is not None and raw.y_test is not None
    assert raw.x.shape == (4000, 1, 40) and raw.x_test.shape == (1000, 1, 40)
    assert counts(torch.cat([raw.y, raw.y_test])) == [500] * 10
    both = torch.cat([raw.x, raw.x_test])
    assert float(both.mean()) == pytest.approx(0, abs=1e-5) and float(both.std()) == pytest.approx(1, abs=1e-4)


def test_mnist1d_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mnist1d.data", None)
    with pytest.raises(InputError, match=r"pip install 'initbench\[data\]'"):
        data.mnist1d()


def test_gaussian_is_standard_normal_and_linearly_separable():
    raw = data.gaussian(features=20, classes=3, samples=600)
    assert raw.x.shape == (600, 20) and raw.x.dtype == torch.float32
    assert float(raw.x.std()) == pytest.approx(1, abs=0.03)
    assert min(counts(raw.y)) > 600 / 3 / 2
    assert (
        LogisticRegression(C=1e5, max_iter=10_000).fit(raw.x.numpy(), raw.y.numpy()).score(raw.x.numpy(), raw.y.numpy())
        == 1
    )
    assert torch.equal(raw.x, data.gaussian(features=20, classes=3, samples=600).x)
    assert len(prepare(data.gaussian()).y_train) == 1600


@pytest.mark.parametrize("keys", [{"features": 0}, {"classes": 1}, {"samples": 0}, {"features": "many"}])
def test_gaussian_with_bad_sizes_says_so(keys):
    with pytest.raises(InputError, match=f"data.{next(iter(keys))} must be a whole number"):
        data.gaussian(**keys)


@pytest.mark.parametrize("name", ["digits", "digits_rows", "gaussian", "adding", "copy", "reverse", "text"])
@pytest.mark.slow
def test_what_the_configuration_says_can_be_loaded(name):
    (run,) = expand([f"data={name}", "data.train_size=200", "data.val_fraction=0.1"]).runs
    dataset = build.data(run.config)
    assert len(dataset.y_train) == len(dataset.x_train) == 200 and len(dataset.y_val) > 0
    (run,) = expand([f"data={name}"]).runs
    dataset = build.loaded(json.dumps(run.config["data"]))
    assert len(dataset.y_train) > 1000 and dataset.constant_loss > 0
    assert (dataset.input_mean is None) == (dataset.vocabulary is not None)


# What the network sees.


def test_what_the_network_sees_by_hand():
    """Columns (0, 0, 4, 4), (1, 1, 1, 1) and (0, 2, 0, 2): deviations 2, 0 and 1, means 2, 1 and 1."""
    x = torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.0, 2.0], [4.0, 1.0, 0.0], [4.0, 1.0, 2.0]])
    seen = seen_inputs(x)
    assert seen.mean == pytest.approx(4 / 3) and seen.std == pytest.approx(float(x.double().std(correction=0)))
    assert (seen.mean_max, seen.std_min, seen.std_median, seen.std_max) == pytest.approx((2, 1, 1.5, 2))
    assert (seen.constant, seen.distinct) == (pytest.approx(1 / 3), 4)
    assert seen_inputs(x[:1].repeat(5, 1)) == (pytest.approx(1 / 3), pytest.approx(2**0.5 / 3), 1, *[None] * 3, 1, 1)


def test_what_the_network_sees_is_after_all_preparation(digits):
    plain, scaled = prepare(digits).seen, prepare(digits, scale=16).seen
    assert (plain.mean, plain.std) == pytest.approx((0, 1), abs=1e-6)
    assert (scaled.mean, scaled.std) == pytest.approx((0, 16), abs=1e-5)
    raw = prepare(digits, standardize="none")
    assert (raw.seen.mean, raw.seen.std) == pytest.approx((raw.input_mean, raw.input_std))
    deviations = prepare(digits, spread=2).x_train.double().std(0, correction=0)
    varying = deviations[deviations > 0]
    found = prepare(digits, spread=2).seen
    expected = (varying.min(), varying.quantile(0.5), varying.max(), (deviations == 0).double().mean())
    assert found[3:7] == pytest.approx([float(number) for number in expected])


def test_one_feature_in_another_unit_and_one_picture_for_all_are_seen():
    x = torch.randn(6000, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(6000) % 2
    another = prepare(Raw(x * torch.tensor([1.0, 1000.0, 1.0, 1.0]), labels, classes=2)).seen
    assert another.std_max == pytest.approx(2, abs=0.01)  # it makes the common deviation: 1000 / 2
    assert another.std_median == pytest.approx(0.002, rel=0.1)
    same = prepare(Raw(x[:1].repeat(6000, 1), labels, classes=2)).seen
    assert (same.distinct, same.constant, same.std_max) == (1, 1, None)


def test_of_tokens_only_the_different_ones_are_counted():
    tokens = torch.tensor([[1, 2], [2, 1], [1, 2], [0, 0], [1, 2]])
    assert seen_inputs(tokens) == (*[None] * 7, 3)


# ---------------------------------------------------------------- do inputs tell labels apart?


def test_nearest_examples_and_their_labels_by_hand():
    """On a line at 0, 1, 10, 11, 30: the nearest of each is the other of its pair, and 11 for 30."""
    x = torch.tensor([[0.0], [1.0], [10.0], [11.0], [30.0]])
    agreement = label_agreement(x, torch.tensor([0, 0, 1, 2, 2]))
    assert agreement.nearest == 3 / 5  # of 0, 1 and 30
    assert agreement.chance == pytest.approx(2 / 10)  # two equal pairs of ten


@pytest.mark.parametrize("n", [3, 50, 999])
def test_labels_of_one_class_always_agree(n):
    x = torch.arange(float(n))[:, None]
    assert label_agreement(x, torch.zeros(n, dtype=torch.int64)) == (1, 1)


def test_examples_that_are_equally_near_count_in_part():
    x = torch.tensor([[-1.0], [0.0], [1.0]])
    assert label_agreement(x, torch.tensor([0, 0, 1])).nearest == pytest.approx((1 + 1 / 2 + 0) / 3)


def test_labels_of_digits_follow_from_the_pictures_and_shuffled_ones_do_not(digits):
    """Leave-one-out nearest neighbours are right for 98 % of the digits; shuffled labels agree by chance, 10 %."""
    assert label_agreement(digits.x, digits.y).nearest > 0.95
    y = digits.y[torch.randperm(len(digits.y), generator=torch.Generator().manual_seed(0))]
    nearest, chance = label_agreement(digits.x, y)
    assert abs(nearest - chance) < 3 * math.sqrt(0.1 * 0.9 / 899)  # standard errors


def test_tokens_numbers_and_labels_of_positions_have_no_neighbours():
    x, y = torch.randn(6, 3), torch.arange(6)
    for inputs, targets in ((y[:, None], y), (x, x[:, 0]), (x, y[:, None].expand(6, 2)), (x[:1], y[:1])):
        assert label_agreement(inputs, targets) == (None, None)
