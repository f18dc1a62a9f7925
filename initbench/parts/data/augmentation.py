"""Augmentation: which random changes the training examples get, the keys `augment`. A key that is null does nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from torch import Generator, Size, Tensor

from initbench.errors import DoesNotFit
from initbench.parts.checks import integer, number
from initbench.parts.data.dataset import Dataset, Standardization
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
    Transform,
)
from initbench.parts.losses import CLASSIFICATION, Targets
from initbench.parts.mixup import Mixup

IMAGES = ("shift", "crop", "flip", "rotation", "cutout")  # keys that need images (C, H, W)
SEQUENCES = ("time_shift", "scale")  # keys that need sequences (C, T)
MOVING = ("shift", "crop", "flip", "rotation", "time_shift")  # what is at one position is afterwards at another
WHOLE = ("crop", "cutout", "time_shift")  # keys that count whole pixels or time steps
PIXELS = ("shift", *WHOLE)  # must leave something of an example


@dataclass(frozen=True)
class Augment:
    """Random changes of each training example at each step, made in the order of the fields."""

    shift: float | None = None  # most pixels along each axis, by fractions of a pixel
    crop: int | None = None  # pixels put around an image, from which its own size is cut out at random
    flip: float | None = None  # probability of being mirrored left to right
    rotation: float | None = None  # most degrees to either side
    cutout: int | None = None  # side of the square that is covered
    time_shift: int | None = None  # most steps
    scale: float | None = None  # deviation of the factor of each channel, whose mean is 1
    noise: float | None = None  # deviation of what is added, where 1 is the inputs' own
    mixup: float | None = None  # alpha of the share's distribution Beta(alpha, alpha). Zhang et al. 2018

    def __post_init__(self):
        for name, value in self.asked.items():
            key = f"augment.{name}"
            if name in WHOLE:
                integer(key, value, "[1, inf)")
            else:
                number(key, value, {"flip": "(0, 1]", "rotation": "(0, 180]"}.get(name, "(0, inf)"))

    @cached_property
    def asked(self) -> dict[str, float]:
        """The keys that are not null, with their values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def fitted(self, data: Dataset) -> "Augmentation | None":
        """The changes of these data's examples, None for none; DoesNotFit where the data can't be changed so."""
        for name, value in self.asked.items():
            if reason := misfit(name, value, data):
                raise DoesNotFit(f"augment.{name}={value:g} {reason}")
        if not self.asked:
            return None
        made = [TRANSFORMS[name](value) for name, value in self.asked.items() if name in TRANSFORMS]
        mixup = None if self.mixup is None else Mixup(self.mixup)
        assert data.input_mean is not None and data.input_std is not None
        return Augmentation(made, mixup, data.standardization, Levels(0.0, data.input_mean, data.input_std))


TRANSFORMS = {
    "shift": Shift,
    "crop": Crop,
    "flip": Flip,
    "rotation": Rotation,
    "cutout": Cutout,
    "time_shift": TimeShift,
    "scale": RandomScale,
    "noise": Noise,
}


def misfit(name: str, value: float, data: Dataset) -> str | None:
    """Why a key does not fit the data, as the end of a line that names the key; None where it does."""
    shape = " x ".join(map(str, data.shape))
    if data.vocabulary is not None:
        return "needs numbers, and this data has tokens"
    if name in IMAGES and len(data.shape) != 3:
        return f"needs images (channels x height x width), and an example of this data is {shape}"
    if name in SEQUENCES and len(data.shape) != 2:
        return f"needs sequences (channels x time), and an example of this data is {shape}"
    if name in MOVING and data.positions is not None:
        return "moves the inputs, and not the labels that this data has at each position"
    if name == "mixup" and data.objective.name != CLASSIFICATION.name:
        return "mixes labels, and this data has numbers to predict"
    if name in PIXELS and value >= (least := min(data.shape[1:])):
        return f"must be less than {least}, as an example of this data is {shape}"
    return None


class Augmentation:
    """What changes the training examples of one run, batch by batch.

    Transforms act on raw values, as in a pipeline that augments first and standardizes then. Where all entries were
    standardized alike, that is the same as acting on what the network sees, where raw values have other `Levels`.
    """

    def __init__(
        self,
        transforms: Sequence[Transform],
        mixup: Mixup | None,
        standardization: Standardization,
        raw: Levels,  # of the training inputs before they were standardized
    ):
        self.transforms, self.mixup = transforms, mixup
        self.factor, self.offset = standardization
        self.by_entry = self.factor.ndim > 0
        self.levels = raw if self.by_entry else self.standardized(raw)

    def standardized(self, raw: Levels) -> Levels:
        """Raw levels as a network sees them, where all entries were standardized alike."""
        factor, offset = float(self.factor), float(self.offset)
        return Levels(offset, factor * raw.mean + offset, factor * raw.std)

    def draw(self, shape: Size, generator: Generator) -> list[Any]:
        """The random numbers for examples of shape (B, ...): of each transform, and of mixup."""
        drawn: list[Any] = [transform.draw(shape, generator) for transform in self.transforms]
        return drawn if self.mixup is None else [*drawn, self.mixup.draw(shape[0], generator)]

    def apply(self, x: Tensor, targets: Targets, drawn: Sequence[Any]) -> tuple[Tensor, Targets]:
        """Examples (B, ...) as a network sees them and their targets, changed by numbers that `draw` has made."""
        if self.by_entry:
            factor, offset = self.factor.to(x), self.offset.to(x)
            x = self.transformed((x - offset) / factor, drawn) * factor + offset
        else:
            x = self.transformed(x, drawn)
        return (x, targets) if self.mixup is None else self.mixup.apply(x, targets, drawn[-1])

    def transformed(self, x: Tensor, drawn: Sequence[Any]) -> Tensor:
        for transform, numbers in zip(self.transforms, drawn, strict=False):
            x = transform.apply(x, numbers, self.levels)
        return x
