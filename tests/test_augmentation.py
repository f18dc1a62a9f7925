"""Random changes of training examples: against torchvision, by hand, and the same for all runs of a seed."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision.transforms.v2.functional as torchvision
from scipy import stats
from torch import Tensor
from torchvision.transforms import InterpolationMode

from initbench.engine.minibatches import Minibatches
from initbench.engine.recipe import Recipe
from initbench.engine.state import stack
from initbench.engine.train import Training
from initbench.errors import InputError
from initbench.parts.data import Dataset, adding, digits, digits_rows, gaussian, prepare, text
from initbench.parts.data.augmentation import Augment
from initbench.parts.data.transforms import (
    Crop,
    Cutout,
    Flip,
    Levels,
    Noise,
    RandomScale,
    Rotation,
    Shift,
    TimeShift,
    resampled,
)
from initbench.parts.losses import CLASSIFICATION, TrainingObjective
from initbench.parts.mixup import Mixed, Mixup, MixupNumbers, mixup_objective
from initbench.parts.optimizers import SGD
from initbench.parts.regularization import Regularize
from small_models import MLP

CPU, BLACK = torch.device("cpu"), Levels(zero=-0.7, mean=0.2, std=3.0)
IMAGES = torch.rand(6, 3, 9, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
EVERY: dict[str, Any] = {"shift": 1.0, "crop": 1, "flip": 0.5, "rotation": 20.0, "cutout": 3, "noise": 0.2}
EVERY |= {"mixup": 0.4}
DIGITS = prepare(digits())


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(transform, shape=(20_000, 1, 8, 8)) -> Tensor:
    return transform.draw(torch.Size(shape), generator())


def test_shift_and_rotation_are_torchvisions_affine():
    """With a wide margin: torchvision mixes what is outside twice into the pixels at the border."""
    degrees = torch.tensor([0.0, 10, -25, 90, 170, -3.3])
    move = torch.tensor([[0.0, 0], [1.3, -2.2], [0.5, 0.5], [0, 0], [3, -1], [-0.2, 0.1]])
    found = resampled(IMAGES, degrees, move, 0.7)
    for image, angle, by, ours in zip(IMAGES, degrees.tolist(), move.tolist(), found, strict=True):
        theirs = torchvision.affine(
            F.pad(image, (12,) * 4, value=0.7), -angle, by, 1.0, [0.0, 0.0], interpolation=InterpolationMode.BILINEAR
        )
        torch.testing.assert_close(ours, theirs[:, 12:-12, 12:-12], rtol=0, atol=1e-5)  # their grid is in float32
    torch.testing.assert_close(Shift(3.0).apply(IMAGES, move, BLACK), resampled(IMAGES, 0 * degrees, move, BLACK.zero))
    turned = Rotation(180.0).apply(IMAGES, degrees, BLACK)
    torch.testing.assert_close(turned, resampled(IMAGES, degrees, 0 * move, BLACK.zero))


def test_crops_flips_and_squares_are_torchvisions():
    start = torch.tensor([[0, 0], [4, 4], [2, 2], [1, 3], [4, 0], [0, 3]])
    cropped = Crop(2).apply(IMAGES, start, BLACK)
    flipped = Flip(0.5).apply(IMAGES, start[:, 0] > 1, BLACK)
    centres = torch.tensor([[4, 6], [0, 0], [8, 11], [3, 0], [7, 7], [0, 11]])  # also at the border
    covered = {size: Cutout(size).apply(IMAGES, centres, BLACK) for size in (3, 4)}
    for i, (image, (top, left)) in enumerate(zip(IMAGES, start.tolist(), strict=True)):
        padded = torchvision.pad(image, [2], fill=BLACK.zero)
        assert torch.equal(cropped[i], torchvision.crop(padded, top, left, 9, 12))
        assert torch.equal(flipped[i], torchvision.horizontal_flip(image) if top > 1 else image)
        for size, ours in covered.items():
            above, before = (int(centre) - size // 2 for centre in centres[i])
            at = max(above, 0), max(before, 0), above + size - max(above, 0), before + size - max(before, 0)
            assert torch.equal(ours[i], torchvision.erase(image, *at, torch.tensor(BLACK.mean, dtype=image.dtype)))


def test_sequences_are_shifted_and_scaled_by_hand():
    x = torch.tensor([[[1.0, 2, 3, 4], [5, 6, 7, 8]]]).repeat(2, 1, 1)
    shifted = TimeShift(2).apply(x, torch.tensor([1, -2]), Levels(zero=-1.0))
    assert shifted.tolist() == [[[2, 3, 4, -1], [6, 7, 8, -1]], [[-1, -1, 1, 2], [-1, -1, 5, 6]]]
    scaled = RandomScale(0.1).apply(x, torch.tensor([[2.0, 1], [1, 0]]), Levels(zero=-1.0))  # about raw 0
    assert scaled.tolist() == [[[3, 5, 7, 9], [5, 6, 7, 8]], [[1, 2, 3, 4], [-1, -1, -1, -1]]]
    noisy = Noise(0.5).apply(x, torch.full(x.shape, 0.25), Levels(std=4.0))
    assert torch.equal(noisy, x + 1)


def test_what_is_drawn_has_the_distributions_that_the_keys_promise():
    crops = drawn(Crop(1)).double()
    assert crops.unique().tolist() == [0, 1, 2] and crops.mean(0).sub(1).abs().max() < 0.02
    assert drawn(TimeShift(2), (20_000, 1, 9)).unique().tolist() == [-2, -1, 0, 1, 2]
    assert drawn(Cutout(3)).unique().tolist() == list(range(8))  # the centre is anywhere
    assert float(drawn(Flip(0.2)).double().mean()) == pytest.approx(0.2, abs=0.01)
    for transform, most in ((Shift(2.0), 2.0), (Rotation(15.0), 15.0)):
        assert stats.kstest(drawn(transform).flatten()[:5000], stats.uniform(-most, 2 * most).cdf).pvalue > 0.01
    for transform, mean in ((Noise(0.3), 0.0), (RandomScale(0.3), 1.0)):
        assert stats.kstest(drawn(transform).flatten()[:5000], stats.norm(mean, 0.3).cdf).pvalue > 0.01
    one = generator(1)
    shares = [float(Mixup(0.4).draw(2, one).share) for _ in range(2000)]
    assert stats.kstest(shares, stats.beta(0.4, 0.4).cdf).pvalue > 0.01


def test_mixup_is_the_cross_entropy_of_mixed_targets():
    """Zhang et al. 2018, sec. 2: inputs and one-hot targets are mixed by the same share."""
    numbers = MixupNumbers(torch.tensor(0.3), torch.tensor([2, 0, 1]))
    x, y = torch.tensor([[1.0], [10], [100]]), torch.tensor([0, 1, 1])
    mixed, targets = Mixup(0.2).apply(x, y, numbers)
    torch.testing.assert_close(mixed, torch.tensor([[0.3 + 70], [3 + 0.7], [30 + 7.0]]))
    outputs = torch.randn(3, 2, generator=generator())
    soft = torch.tensor([[0.3, 0.7], [0.7, 0.3], [0, 1]])
    objective = mixup_objective(TrainingObjective(CLASSIFICATION.loss, CLASSIFICATION.loss, 0.0))
    torch.testing.assert_close(objective.loss(outputs, targets), F.cross_entropy(outputs, soft))
    assert objective.label_smoothing is None  # programs must not take the closed form


def trained(**keys) -> tuple[Training, list[Any]]:
    """Runs of seeds 0 and 1 before their first step, and their models."""
    models = [MLP((1, 8, 8), 10, 1, 8) for _ in range(2)]
    recipe = Recipe(SGD(), steps=3, **keys)
    return Training(stack(models, CPU), models[0], DIGITS, recipe, seeds=[0, 1], lrs=[0.1, 0.1]), models


@pytest.mark.parametrize("smoothing", [None, 0.1])
def test_a_step_with_mixup_has_the_gradients_of_mixed_targets(smoothing):
    """The losses that are recorded are those without label smoothing, as always."""
    training, models = trained(augment=Augment(mixup=0.4), regularize=Regularize(label_smoothing=smoothing))
    x, targets = training.minibatches.at(0)
    assert isinstance(targets, Mixed)
    losses, _ = training.updater.gradients(x, targets, log=False)
    for i, model in enumerate(models):
        share, hot = targets.share[i], [F.one_hot(y[i], 10).float() for y in (targets.own, targets.partner)]
        soft = share * hot[0] + (1 - share) * hot[1]
        spread = smoothing or 0.0
        F.cross_entropy(model(x[i]), (1 - spread) * soft + spread / 10).backward()
        torch.testing.assert_close(losses[i], F.cross_entropy(model(x[i]), soft).detach())
        torch.testing.assert_close(training.state.gradients["head.weight"][i], model.head.weight.grad)


def minibatches(seeds: list[int], data: Dataset, **keys) -> Minibatches:
    augmentation = Augment(**keys).fitted(data)
    return Minibatches(data.x_train, data.y_train, Recipe(SGD()), seeds, augmentation=augmentation)


def seen(seeds: list[int], step: int, data: Dataset | None = None, **keys) -> tuple[Tensor, Any]:
    return minibatches(seeds, data or DIGITS, **keys).at(step)


@pytest.mark.parametrize("data", [DIGITS, prepare(digits(), standardize="feature", spread=1.0)], ids=["one", "each"])
def test_runs_of_one_seed_see_the_same_whatever_the_stack_and_the_order_of_steps(data):
    x, targets = seen([3, 7, 3], 20, data, **EVERY)
    (alone,), own = seen([3], 20, data, **EVERY)
    assert torch.equal(x[0], alone) and torch.equal(x[2], alone) and not torch.equal(x[1], alone)
    assert torch.equal(targets.partner[0], own.partner[0]) and targets.share[0] == targets.share[2] == own.share[0]
    batches = minibatches([3], data, **EVERY)
    later, earlier = batches.at(20)[0], batches.at(2)[0]
    assert torch.equal(later[0], alone) and torch.equal(earlier, seen([3], 2, data, **EVERY)[0])


def test_what_comes_in_from_outside_is_a_raw_zero():
    assert DIGITS.input_mean and DIGITS.input_std
    x, _ = seen([0], 0, crop=7)  # most crops hold little of the image
    black = x.sub(-DIGITS.input_mean / DIGITS.input_std).abs() < 1e-6
    assert x.min() == DIGITS.x_train.min() and float(black.double().mean()) > 0.7


@pytest.mark.parametrize("spread", [None, 1.0])
def test_entries_that_were_standardized_apart_are_changed_raw_and_standardized_again(spread):
    keys: dict[str, Any] = {"crop": 2, "noise": 0.5}
    raw, data = prepare(digits(), standardize="none"), prepare(digits(), standardize="feature", spread=spread)
    mean, std = raw.x_train.mean(0), raw.x_train.std(0, correction=0)
    scale = torch.where(std > 0, std, 1.0)
    plain = prepare(digits(), standardize="feature")
    varies = plain.x_train.abs().amax(0) > 0
    factor = (data.x_train.abs().amax(0) / plain.x_train.abs().amax(0))[varies] if spread else 1.0
    expected = (seen([0], 1, raw, **keys)[0] - mean) / scale
    found = seen([0], 1, data, **keys)[0]
    torch.testing.assert_close(found[:, :, varies], expected[:, :, varies] * factor, rtol=1e-4, atol=1e-4)


def test_evaluations_see_the_examples_as_they_are():
    (changed, _), (plain, _) = trained(augment=Augment(noise=3.0, mixup=0.5)), trained()
    plain.state.restore(changed.state.copy())
    for training in (changed, plain):
        training.evaluate()
    for (_, _, ours), (_, _, theirs) in zip(changed.recorder.evaluations, plain.recorder.evaluations, strict=True):
        assert ours.loss.tolist() == theirs.loss.tolist()
    assert not torch.equal(changed.minibatches.at(0)[0], plain.minibatches.at(0)[0])


def test_an_autoencoder_with_noise_on_its_inputs_learns_them_without():
    data = prepare(digits(), targets="inputs")
    x, targets = seen([0], 0, data, noise=0.5)
    clean, same = seen([0], 0, data)
    assert torch.equal(targets, same) and torch.equal(targets, clean.flatten(2))
    assert float((x - clean).std()) == pytest.approx(0.5, rel=0.02)


DATA = {
    "digits": lambda: DIGITS,
    "text": lambda: prepare(text(), standardize="none"),
    "digits_rows": lambda: prepare(digits_rows()),
    "gaussian": lambda: prepare(gaussian()),
    "adding": lambda: prepare(adding(length=4)),
}


@pytest.mark.parametrize(
    ("key", "data", "says"),
    [
        ("crop=2", "text", "augment.crop=2 needs numbers, and this data has tokens"),
        ("rotation=5", "digits_rows", "augment.rotation=5 needs images (channels x height x width), and an example of"),
        ("flip=0.5", "gaussian", "augment.flip=0.5 needs images (channels x height x width), and an example of"),
        ("scale=0.1", "digits", "augment.scale=0.1 needs sequences (channels x time), and an example of this data is"),
        ("mixup=0.2", "adding", "augment.mixup=0.2 mixes labels, and this data has numbers to predict"),
        ("cutout=8", "digits", "augment.cutout=8 must be less than 8, as an example of this data is 1 x 8 x 8"),
        ("crop=1.5", "digits", "augment.crop must be a whole number in [1, inf), got 1.5"),
        ("flip=1.5", "digits", "augment.flip must be a number in (0, 1], got 1.5"),
    ],
)
def test_what_does_not_fit_is_one_line(key, data, says):
    name, _, value = key.partition("=")
    with pytest.raises(InputError) as error:
        Augment(**{name: float(value) if "." in value else int(value)}).fitted(DATA[data]())
    assert str(error.value).startswith(says)
