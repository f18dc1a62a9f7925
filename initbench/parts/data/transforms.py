"""Random changes of training examples: the transforms that an augmentation is made of.

Written for one run: `draw` takes all the random numbers for a batch, and `apply` is a function of the examples
x (B, ...) and of these numbers alone. To add one, write a class that has both, and give it a key in `augmentation.py`.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Generator, Size, Tensor


class Levels(NamedTuple):
    """Values of the inputs, in the numbers that a transform gets."""

    zero: float = 0.0  # what a raw 0 is: black, silence; what comes in from outside of an example
    mean: float = 0.0  # what the mean of all raw training inputs is
    std: float = 1.0  # their standard deviation


class Transform(Protocol):
    """Changes each example of a batch by random numbers of its own."""

    def draw(self, shape: Size, generator: Generator) -> Tensor:
        """The random numbers (B, ...) for examples of shape (B, ...), on the CPU."""
        ...

    def apply(self, x: Tensor, drawn: Tensor, levels: Levels) -> Tensor:
        """The examples as they are changed, in a tensor of the same shape and type."""
        ...


@dataclass(frozen=True)
class Shift:
    """Moves images up to `most` pixels along both axes, by fractions of a pixel. Simard, Steinkraus & Platt 2003."""

    most: float

    def draw(self, shape: Size, generator: Generator) -> Tensor:
        """Pixels to the right and down, (B, 2)."""
        return symmetric(self.most, (shape[0], 2), generator)

    def apply(self, x: Tensor, drawn: Tensor, levels: Levels) -> Tensor:
        return resampled(x, drawn.new_zeros(len(x)), drawn, levels.zero)


@dataclass(frozen=True)
class Crop:
    """Puts `margin` pixels around images and cuts out as much as there was. He et al. 2016, sec. 4.2."""

    margin: int

    def draw(self, shape: Size, generator: Generator) -> Tensor:
        """Row and column of the padded image where the crop begins, (B, 2)."""
        return torch.randint(2 * self.margin + 1, (shape[0], 2), generator=generator)

    def apply(self, x: Tensor, drawn: Tensor, levels: Levels) -> Tensor:
        rows = window(x, drawn[:, 0] - self.margin, 2, levels.zero)
        return window(rows, drawn[:, 1] - self.margin, 3, levels.zero)


@dataclass(frozen=True)
class Flip:
    """Mirrors images left to right, each with this probability."""

    probability: float

    def draw(self, shape: Size, generator: Generator) -> Tensor:
        """Which are mirrored, (B,)."""
        return torch.rand(shape[0], generator=generator) < self.probability

    def apply(self, x: Tensor, drawn: Tensor, levels: Levels) -> Tensor:
        return torch.where(drawn[:, None, None, None], x.flip(3), x)


@dataclass(frozen=True)
class Rotation:
    """Turns images about their centre, up to `most` degrees to either side."""

    most: float

    def draw(self, shape: Size, generator: Generator) -> Tensor:
        """Degrees counterclockwise, (B,)."""
        return symmetric(self.most, shape[:1], generator)

    def apply(self, x: Tensor, drawn: Tensor, levels: Levels) -> Tensor:
        return resampled(x, drawn, drawn.new_zeros(len(x), 2), levels.zero)


@dataclass(frozen=True)
class Cutout:
    """Puts the mean of the inputs into a square of `size` pixels; its centre is anywhere. DeVries & Taylor 2017."""

    size: int

    def draw(self, shape: Size, generator: Generator) -> Tensor:
        """Row and column of the centre, (B, 2); of an even size, the pixel behind it."""
        sides = torch.tensor(shape[-2:])
        return (torch.rand((shape[0], 2), generator=generator) * sides).long()

    def apply(self, x: Tensor, drawn: Tensor, levels: Levels) -> Tensor:
        first = drawn - self.size // 2
        rows, columns = (covered(first[:, i], self.size, x.shape[2 + i]) for i in range(2))
        square = rows[:, None, :, None] & columns[:, None, None, :]
        return torch.where(square, levels.mean, x)


@dataclass(frozen=True)
class TimeShift:
    """Moves sequences (C, T) up to `most` steps in time, earlier or later."""

    most: int

    def draw(self, shape: Size, generator: Generator) -> Tensor:
        """Steps to earlier times, (B,)."""
        return torch.randint(2 * self.most + 1, shape[:1], generator=generator) - self.most

    def apply(self, x: Tensor, drawn: Tensor, levels: Levels) -> Tensor:
        return window(x, drawn, 2, levels.zero)


@dataclass(frozen=True)
class RandomScale:
    """Multiplies each channel of a sequence (C, T) by its own factor from N(1, std^2). Um et al. 2017, sec. 3."""

    std: float

    def draw(self, shape: Size, generator: Generator) -> Tensor:
        """The factors, (B, C)."""
        return 1 + self.std * torch.randn(shape[:2], generator=generator)

    def apply(self, x: Tensor, drawn: Tensor, levels: Levels) -> Tensor:
        return (x - levels.zero) * drawn.to(x.dtype).unsqueeze(2) + levels.zero


@dataclass(frozen=True)
class Noise:
    """Adds numbers from N(0, std^2) to the inputs, where 1 is the deviation of all inputs. Sietsma & Dow 1991."""

    std: float

    def draw(self, shape: Size, generator: Generator) -> Tensor:
        """The numbers, (B, ...)."""
        return self.std * torch.randn(shape, generator=generator)

    def apply(self, x: Tensor, drawn: Tensor, levels: Levels) -> Tensor:
        return x + levels.std * drawn.to(x.dtype)


def symmetric(most: float, shape: Size | tuple[int, ...], generator: Generator) -> Tensor:
    """Numbers from U(-most, most)."""
    return most * (2 * torch.rand(shape, generator=generator) - 1)


def window(x: Tensor, start: Tensor, dim: int, outside: float) -> Tensor:
    """Of each example, as many entries along a dimension as there are, from position `start` (B,) on.

    Positions before the first entry and behind the last hold `outside`.
    """
    length = x.shape[dim]
    shape = [len(x), *[1] * (x.ndim - 1)]
    shape[dim] = length
    at = (start[:, None] + torch.arange(length, device=x.device)).view(shape)
    inside = (at >= 0) & (at < length)
    return torch.where(inside, torch.take_along_dim(x, at.clamp(0, length - 1), dim), outside)


def covered(first: Tensor, size: int, length: int) -> Tensor:
    """Which positions of 0, ..., length - 1 lie among the `size` that begin at `first` (B,): (B, length)."""
    at = torch.arange(length, device=first.device) - first[:, None]
    return (at >= 0) & (at < size)


def resampled(x: Tensor, degrees: Tensor, move: Tensor, outside: float) -> Tensor:
    """Images (B, C, H, W), turned counterclockwise by degrees (B,) about their centre, then moved right and down by
    pixels (B, 2), by bilinear interpolation. Beyond the border all pixels are `outside`."""
    height, width = x.shape[2:]
    across, down = (torch.arange(size, dtype=x.dtype, device=x.device) - (size - 1) / 2 for size in (width, height))
    move = move.to(x.dtype)[:, :, None, None]
    across, down = across - move[:, 0], down.unsqueeze(1) - move[:, 1]
    angle = degrees.to(x.dtype)[:, None, None] * (math.pi / 180)
    cos, sin = angle.cos(), angle.sin()
    where = [(across * cos - down * sin) * (2 / width), (across * sin + down * cos) * (2 / height)]
    return F.grid_sample(x - outside, torch.stack(where, 3), align_corners=False) + outside
