"""From a dataset as it is found to one to train on: split, standardized, scaled."""

import math

import numpy as np
import torch
from torch import Tensor

from initbench.errors import DoesNotFit, InputError
from initbench.parts.checks import choice, integer, number
from initbench.parts.data.classes import only_classes
from initbench.parts.data.dataset import Dataset, Raw, Standardization
from initbench.parts.data.imbalance import KEY as IMBALANCE
from initbench.parts.data.imbalance import long_tail
from initbench.parts.losses import CLASSIFICATION, VECTORS, Objective, SquaredLabels

Part = tuple[Tensor, Tensor]  # x (n, ...), y (n,) or (n, T)
TEST_FRACTION = 0.2  # of a dataset that comes without a test part


def prepare(
    raw: Raw,
    *,
    standardize: str = "global",
    val_fraction: float = 0.0,
    split_seed: int = 0,
    train_size: int | None = None,
    imbalance: float | None = None,
    scale: float | None = None,
    spread: float | None = None,
    loss: str | None = None,
    targets: str | None = None,
    classes: str | int | list[int | str] | None = None,
) -> Dataset:
    """Split a dataset and standardize it with the mean and deviation of its training part.

    Without a test part, 20 % of the examples become one. Then `val_fraction` of the training part becomes the
    validation part, and `train_size` examples of the rest are kept. Which ones depends only on `split_seed`. With one
    label per example, every part has every class in its share. `imbalance` first thins the classes of what is not the
    test part to a long tail (`long_tail`), so that validation is as unbalanced as training and the test part is not.
    `standardize`: `global` takes one mean and deviation over all inputs, `feature` one for each entry of x
    (an entry that never varies becomes 0), `none` leaves the values as they are: the only way with tokens.

    Initializers assume inputs of unit variance. `scale` and `spread` break that on purpose: `scale` multiplies all
    inputs, and with `spread` each entry of x is multiplied by its own factor 10^u, u ~ U(-spread, spread), drawn by
    `split_seed`.

    `loss`: `squared_error` trains labels by their squared error instead of cross-entropy. `targets`: `inputs` trains an
    autoencoder, whose target is its own input as the network sees it, flattened.

    `classes`: only the examples of these are there, relabelled from 0 in the order asked for, see `only_classes`.
    """
    choice("data.standardize", standardize, ("global", "feature", "none"))
    if raw.vocabulary is not None and standardize != "none":
        raise DoesNotFit(f"data.standardize={standardize}: tokens are no numbers; set data.standardize=none")
    number("data.val_fraction", val_fraction, "[0, 1)")
    integer("data.split_seed", split_seed, f"[0, {2**32 - 1}]")

    raw = raw if classes is None else only_classes(raw, classes)
    train, val = (raw.x, raw.y), (raw.x[:0], raw.y[:0])
    if raw.x_test is None or raw.y_test is None:
        train, test = _split(train, len(raw.y) - math.ceil(TEST_FRACTION * len(raw.y)), split_seed)
    else:
        test = raw.x_test, raw.y_test
    if imbalance is not None:
        kept = long_tail(train[1], raw.classes, imbalance, split_seed)
        train = train[0][kept], train[1][kept]
    if val_fraction > 0:
        train, val = _split(train, len(train[1]) - math.ceil(val_fraction * len(train[1])), split_seed)
    examples = len(train[1])
    if train_size is not None and integer("data.train_size", train_size, f"[1, {examples}]") < examples:
        train, _ = _split(train, train_size, split_seed)
    if imbalance is not None and len(present := train[1].unique()) < raw.classes:
        missing = min(set(range(raw.classes)) - set(present.tolist()))
        raise DoesNotFit(f"{IMBALANCE}={imbalance:g}: no example of class {missing} is left in the training part")

    if raw.vocabulary is None:
        (train_x, val_x, test_x), mean, std, how = _standardized([train[0], val[0], test[0]], standardize)
    else:
        (train_x, val_x, test_x), mean, std, how = (train[0], val[0], test[0]), None, None, Standardization()
    if scale is not None or spread is not None:
        factor = _spoiled(train_x, scale, spread, split_seed)
        train_x, val_x, test_x, how = train_x * factor, val_x * factor, test_x * factor, how.times(factor)
    y, outputs, objective = (train[1], val[1], test[1]), raw.classes, _objective(raw, loss)
    if targets is not None:
        choice("data.targets", targets, ("inputs",))
        if raw.vocabulary is not None or loss == "cross_entropy":
            raise DoesNotFit("data.targets=inputs: inputs are learned by squared error, and tokens are no numbers")
        y, objective = (train_x.flatten(1), val_x.flatten(1), test_x.flatten(1)), VECTORS
        outputs = y[0].shape[1]
    parts = train_x, y[0], val_x, y[1], test_x, y[2]
    drawn = raw.x_test is None or len(val[1]) > 0 or len(train[1]) < examples or bool(imbalance or spread)
    known = {"vocabulary": raw.vocabulary, "objective": objective, "standardization": how, "drawn": drawn}
    return Dataset(*parts, outputs, mean, std, **known)


def _objective(raw: Raw, loss: str | None) -> Objective:
    """What `data.loss` asks for; DoesNotFit where the targets have no such loss."""
    if loss is None:
        return raw.objective
    choice("data.loss", loss, ("cross_entropy", "squared_error"))
    if loss == "squared_error" and raw.objective == CLASSIFICATION:
        return SquaredLabels(classes=raw.classes)
    if raw.objective != CLASSIFICATION and (loss == "cross_entropy" or raw.objective.unit != "squared error"):
        raise DoesNotFit(f"data.loss={loss}: this data's loss is its own, in {raw.objective.unit}; leave it out")
    return raw.objective


def _standardized(parts: list[Tensor], way: str) -> tuple[list[Tensor], float, float, Standardization]:
    """The inputs of all parts by the numbers of the first; the mean and deviation of that one as it was."""
    input_mean, input_std = _mean_and_std(parts[0], axis=None)
    if way == "none":
        mean, std = torch.tensor(0.0), torch.tensor(1.0)
    elif way == "global":
        mean, std = input_mean, input_std
    else:
        mean, std = _mean_and_std(parts[0], axis=0)
    scale = torch.where(std > 0, std, 1.0)
    how = Standardization(1 / scale, -mean / scale)
    return [(x - mean) / scale for x in parts], float(input_mean), float(input_std), how


def _spoiled(x: Tensor, scale: float | None, spread: float | None, seed: int) -> Tensor:
    """The factor of all inputs (n, ...), or one per entry of an example."""
    if not x.is_floating_point():
        raise DoesNotFit("data.scale and data.spread: tokens are no numbers")
    factor = torch.ones(())
    if spread is not None:
        exponents = np.random.default_rng([seed, 1]).uniform(-1, 1, x.shape[1:])
        factor = torch.from_numpy(10 ** (number("data.spread", spread, "(0, 6]") * exponents)).float()
    return factor * (1 if scale is None else number("data.scale", scale, "(0, inf)"))


def _split(part: Part, first: int, seed: int) -> tuple[Part, Part]:
    """Split into `first` examples and the rest. With one label per example, both have every class in its share."""
    x, y = part
    generator = np.random.default_rng(seed)
    if first < 1:
        raise InputError(f"data: {len(y)} examples are too few to be split")
    chosen = np.zeros(len(y), dtype=bool)
    if y.ndim == 1 and not y.is_floating_point():
        chosen[_of_each_class(y.numpy(), first, generator)] = True
    else:
        chosen[generator.permutation(len(y))[:first]] = True
    indices = generator.permutation(len(y))
    ours, theirs = indices[chosen[indices]], indices[~chosen[indices]]
    return (x[ours], y[ours]), (x[theirs], y[theirs])


def _of_each_class(y: np.ndarray, first: int, generator: np.random.Generator) -> np.ndarray:
    """Indices of `first` examples with every class in its share; within a class chance decides.

    Whole examples are dealt by largest remainder: no class is more than one example from its exact share.
    """
    classes, counts = np.unique(y, return_counts=True)
    if first < len(classes):
        raise InputError(f"data: a training part of {first} can't have one example of each of {len(classes)} classes")
    share = counts * first / len(y)
    quota = np.floor(share).astype(int)
    most_left = np.argsort(quota - share, kind="stable")
    quota[most_left[: first - quota.sum()]] += 1
    pairs = zip(classes, quota, strict=True)
    return np.concatenate([generator.permutation(np.flatnonzero(y == label))[:take] for label, take in pairs])


def _mean_and_std(x: Tensor, axis: int | None) -> Part:
    """Mean and deviation over all entries (axis None) or of each entry over the examples (axis 0).

    By NumPy: torch's sums depend on the number of threads in the last digit, and a run must not.
    """
    values = x.numpy()
    mean = values.mean(axis, dtype=np.float64).astype(np.float32)
    variance = np.square(values - mean).mean(axis, dtype=np.float64)
    return torch.tensor(mean), torch.tensor(np.sqrt(variance), dtype=torch.float32)
