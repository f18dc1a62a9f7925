"""A part of the classes: `data.classes`."""

import pytest
import torch
from sklearn.datasets import load_digits

from initbench import build
from initbench.config.grid import expand
from initbench.errors import DoesNotFit, InputError
from initbench.parts import data
from initbench.parts.data import Raw, prepare
from initbench.parts.data.classes import class_numbers, only_classes


def labelled() -> Raw:
    """Six examples x = 10, ..., 15 of the classes 0 to 3, and two of a test part."""
    x = torch.arange(10.0, 16).reshape(6, 1)
    return Raw(x, torch.tensor([3, 0, 1, 3, 2, 0]), x[:2], torch.tensor([3, 1]), classes=4)


def test_kept_classes_are_labelled_by_their_place_in_the_list():
    part = only_classes(labelled(), [3, 0])
    assert part.x.flatten().tolist() == [10, 11, 13, 15]
    assert part.y.tolist() == [0, 1, 0, 1]
    assert part.x_test is not None and part.x_test.flatten().tolist() == [10]
    assert part.y_test is not None and part.y_test.tolist() == [0]
    assert part.classes == 2


def test_digits_in_two_tasks_are_all_digits():
    """By scikit-learn's own labels."""
    target = load_digits().target
    halves = [prepare(data.digits(), classes=asked) for asked in ("0-4", "5-9")]
    for half, own in zip(halves, (target[target < 5], target[target > 4]), strict=True):
        y = torch.cat([half.y_train, half.y_test])
        assert (half.classes, y.bincount().tolist()) == (5, torch.tensor(own - own.min()).bincount().tolist())


@pytest.mark.parametrize(
    ("asked", "numbers"), [("0-2", [0, 1, 2]), ([0, 3, 7], [0, 3, 7]), (["8-9", 1], [8, 9, 1]), ("5-6", [5, 6])]
)
def test_ranges_and_lists(asked, numbers):
    assert class_numbers(asked, 10) == numbers


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("5-12", "data.classes=5-12: there is no class 10; there is 0 to 9"),
        ("4-0", "data.classes=4-0: did you mean 0-4?"),
        ("0:4", "data.classes=0:4: did you mean 0-4?"),
        ([1, "0-2"], "data.classes=[1,0-2]: class 1 is there twice; name it once"),
        (3, "data.classes=3: two classes at least; there is 0 to 9"),
        ("all", "data.classes=all: it must be a range such as 0-4, or a list such as [0,3,7]"),
        ([-1, 2], "data.classes=[-1,2]: it must be a range such as 0-4, or a list such as [0,3,7]"),
    ],
)
def test_what_is_refused(asked, says):
    with pytest.raises(InputError) as error:
        class_numbers(asked, 10)
    assert str(error.value) == says


@pytest.mark.parametrize("raw", [data.adding(samples=10), data.copy(samples=10)], ids=["numbers", "positions"])
def test_data_without_a_label_per_example_is_refused(raw):
    with pytest.raises(DoesNotFit, match=r"data\.classes: "):
        only_classes(raw, "0-1")


def test_commas_sweep_and_a_dataset_keeps_a_key_of_its_own():
    runs = expand(["data.classes=0-4,[0,3],5-9"]).runs
    assert [run.config["data"]["classes"] for run in runs] == ["0-4", [0, 3], "5-9"]
    (generated,) = expand(["data=gaussian", "data.classes=3"]).runs
    assert build.data(generated.config).classes == 3
