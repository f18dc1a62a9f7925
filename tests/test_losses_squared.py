"""Squared error on labels, and vectors as targets: by hand and against torch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import vmap

from initbench import build, load
from initbench.config.grid import expand
from initbench.errors import DoesNotFit, InputError
from initbench.parts.data import Dataset, Raw
from initbench.parts.losses import UNSCORED, VECTORS, SquaredLabels
from initbench.planning.compatibility import check_recipe
from initbench.planning.sweep import prepare

THREE = SquaredLabels(classes=3)


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def data(*overrides: str) -> Dataset:
    return build.data(expand(overrides).runs[0].config)


def test_squared_error_of_labels_is_torchs_on_one_hot_targets():
    outputs, y = random(5, 3), torch.tensor([0, 2, 1, 1, 2])
    theirs = F.mse_loss(outputs, F.one_hot(y, 3).double())
    torch.testing.assert_close(THREE.loss(outputs, y), theirs)
    torch.testing.assert_close(THREE.total(outputs, y) / THREE.count(y), theirs)
    assert int(THREE.right(outputs, y)) == int((outputs.argmax(1) == y).sum())
    smooth = F.mse_loss(outputs, F.one_hot(y, 3).double() * 0.9 + 0.1 / 3)
    torch.testing.assert_close(THREE.smoothed(0.1).loss(outputs, y), smooth)


def test_a_position_that_is_not_scored_counts_nowhere():
    outputs, y = random(2, 2, 3), torch.tensor([[UNSCORED, 1], [2, 0]])
    scored = F.one_hot(torch.tensor([1, 2, 0]), 3).double()
    theirs = F.mse_loss(outputs.flatten(0, 1)[1:], scored)
    torch.testing.assert_close(THREE.loss(outputs, y), theirs)
    runs = torch.stack([outputs, 2 * outputs])
    torch.testing.assert_close(vmap(THREE.loss, (0, None))(runs, y)[0], theirs)


def test_the_best_constant_is_the_share_of_each_class():
    """Shares 1/2, 1/4, 1/4: (1 - 3/8) / 3. The mean of the one-hot targets has that loss, another a larger one."""
    y = torch.tensor([0, 0, 1, 2])
    assert THREE.constant_loss(y) == pytest.approx(5 / 24)
    shares = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    assert float(THREE.loss(shares.expand(4, -1), y)) == pytest.approx(5 / 24)
    assert float(THREE.loss((shares + 0.01).expand(4, -1), y)) > 5 / 24


def test_vectors_cost_the_mean_of_their_squared_errors():
    outputs, y = random(6, 4), random(6, 4).flip(0)
    torch.testing.assert_close(VECTORS.loss(outputs, y), F.mse_loss(outputs, y))
    torch.testing.assert_close(VECTORS.total(outputs, y) / VECTORS.count(y), F.mse_loss(outputs, y))
    assert int(VECTORS.count(y)) == 24
    assert float(VECTORS.right(y + 0.039, y)) == 24 and float(VECTORS.right(y + 0.041, y)) == 0
    assert VECTORS.constant_loss(y) == pytest.approx(float(F.mse_loss(y.mean(0).expand(6, 4), y)))


def test_an_autoencoders_targets_are_its_inputs_as_the_network_sees_them():
    found = data("data.targets=inputs", "data.val_fraction=0.1", "data.scale=2")
    for part in ("train", "val", "test"):
        assert getattr(found, f"y_{part}").equal(getattr(found, f"x_{part}").flatten(1))
    assert (found.classes, found.positions, found.majority_acc) == (64, None, None)
    pixels = found.x_train.flatten(1).numpy().astype("float64")
    assert found.constant_loss == pytest.approx(np.var(pixels, axis=0).mean())


@pytest.mark.slow
def test_a_deep_linear_autoencoder_learns_and_its_error_is_pcas_at_best(tmp_path):
    """With 5 linear units it can't be better than the first 5 principal components (Baldi & Hornik 1989)."""
    asked = ["data.targets=inputs", "act=linear", "depth=1", "width=5", "lr=0.3", "init=xavier"]
    sweep = prepare([*asked, "steps=600"], seeds=2, out=tmp_path, device="cpu", workers=1)
    sweep.save()
    list(sweep.train(lambda stack, steps: None))
    runs, found = load(tmp_path).runs, data(*asked)
    pixels = found.x_train.flatten(1).double()
    left = torch.linalg.svdvals(pixels - pixels.mean(0))[5:].square().sum() / pixels.numel()
    assert runs["outcome"].tolist() == ["learned"] * 2 and (runs["loss_unit"] == "squared error").all()
    assert (runs["full_train_loss"] >= float(left) * (1 - 1e-6)).all()
    assert (runs["full_train_loss"] <= 1.05 * float(left)).all()


@pytest.mark.slow
def test_a_net_that_learns_labels_by_squared_error_is_ranked_by_accuracy(tmp_path):
    sweep = prepare(
        ["data.loss=squared_error", "lr=0.05", "depth=2", "steps=300"], out=tmp_path, device="cpu", workers=1
    )
    sweep.save()
    list(sweep.train(lambda stack, steps: None))
    (run,) = load(tmp_path).runs.to_dict("records")
    assert (run["outcome"], run["task"], run["loss_unit"]) == ("learned", "labels", "squared error")
    assert run["constant_loss"] == pytest.approx(0.09, abs=1e-3)  # ten classes of about equal size: (1 - 1/10) / 10
    assert run["test_acc"] > 0.9 and run["full_train_loss"] < 0.03


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=adding", "data.loss=cross_entropy"], "this data's loss is its own, in squared error"),
        (["data=copy", "data.targets=inputs", "data.standardize=none"], "tokens are no numbers"),
    ],
)
def test_targets_without_such_a_loss_say_so(overrides: list[str], message: str):
    with pytest.raises(DoesNotFit, match=message):
        data(*overrides)


def test_words_that_are_none_are_refused():
    with pytest.raises(InputError, match=r"data.loss must be one of cross_entropy, squared_error, got 'mse'"):
        data("data.loss=mse")
    with pytest.raises(InputError, match="data of vectors must have y"):
        Raw(torch.zeros(4, 2), torch.zeros(4, 2), classes=3, objective=VECTORS)


def test_outputs_of_a_squared_error_are_no_probabilities():
    run = expand(["data.loss=squared_error", "save_predictions=true"]).runs[0]
    with pytest.raises(DoesNotFit, match="outputs are none"):
        check_recipe(build.recipe(run.config), build.data(run.config))
