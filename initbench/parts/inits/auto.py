"""auto: several schemes are tried, one after the other, and the one whose network is healthiest at birth is kept."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from initbench.errors import DoesNotFit
from initbench.parts.activations import Activation
from initbench.parts.inits.data_dependent import krahenbuhl, lsuv
from initbench.parts.inits.matrix import matrices
from initbench.parts.inits.scaling import he, lecun, xavier
from initbench.parts.inits.signal import critical, unit_variance
from initbench.parts.inits.structured import delta_orthogonal, orthogonal, zero
from initbench.parts.inits.transformer import gpt2, small_init
from initbench.parts.signs import WORDS, distance, signs
from initbench.parts.start import Start

SCHEMES: list[Callable[..., None]] = [
    *(he, xavier, lecun, orthogonal, unit_variance, critical, lsuv),
    *(krahenbuhl, zero),  # for networks of dense layers and convolutions alone
    *(delta_orthogonal, gpt2, small_init),  # for convolutions, for transformers
]
WITH_START = (lsuv, krahenbuhl)  # which look at the batch
SEARCHED = ("orthogonal", "lecun")  # whose gains are searched
TIE = 0.1  # of the threshold: one that is closer to 1 by less is not preferred to one before it
GOOD = 0.2  # of the threshold: with all signs that close to 1 no gain is searched
COARSE = [2 ** (k / 2) for k in range(-2, 9)]  # gains from 1/2 to 16; the critical one of sigmoid is 10
FINE = [2 ** (1 / k) for k in (4, 8, 16, 32, 64, 128)]  # factors by which the best of them is changed


@dataclass(frozen=True)
class Tried:
    """A scheme on the model: its signs at birth, and what it wrote, by the parameter's name."""

    name: str
    signs: dict[str, float]
    values: dict[str, Tensor]
    report: dict[str, float | int | str]
    gain: float = 1.0

    @property
    def worst(self) -> str:
        return max(self.signs, key=lambda name: distance(name, self.signs[name]))

    @property
    def distance(self) -> float:
        """Of the worst sign from 1, in parts of the threshold."""
        return distance(self.worst, self.signs[self.worst])

    @property
    def label(self) -> str:
        return self.name if self.gain == 1 else f"{self.name} with gain {self.gain:.3g}"


def auto(model, batch, generator, *, start: Start, act=None, search: bool = True, bias: float = 0) -> None:
    """Of several schemes the one whose worst sign at birth is closest to 1; of about equals the first in the list.

    The signs (`parts.signs`) are measured on the batch: how gradients and differences between examples change from the
    first to the last hidden layer, gradients from the last to the first time step, and outputs against inputs. With
    `search`, gains of orthogonal and lecun are tried as well if no scheme has all signs close to 1. All draw from equal
    generators: the pick is what that scheme by itself writes under the same seed.
    """
    attempts = Attempts(model, batch, generator, start, act, bias)
    tried = list(attempts.schemes())
    best = preferred(tried)
    if search and best.distance > GOOD:
        best = preferred([best, *(attempts.searched(each) for name in SEARCHED for each in tried if each.name == name)])
    attempts.write(best.values)
    others = sorted((each for each in tried if each.name != best.name), key=lambda each: each.distance)
    start.report |= best.report | {
        "picked": best.name,
        "gain": best.gain,
        "because": because(best, others),
        "worst_sign": best.worst,
        "worst_value": best.signs[best.worst],
        "distance": best.distance,
        "tried": ", ".join(f"{each.name} {each.distance:.2f}" for each in tried),
    }


def preferred(tried: Sequence[Tried]) -> Tried:
    """The first whose distance is within TIE of the least; the first of all where none is finite."""
    least = min(each.distance for each in tried)
    return next(each for each in tried if each.distance <= least + TIE)


def because(best: Tried, others: Sequence[Tried]) -> str:
    """ "its worst sign is 0.85 (gradient, first over last hidden layer); of he, the next best, 0.43" """
    said = f"the sign farthest from 1 is {best.signs[best.worst]:.3g} ({WORDS[best.worst]})"
    if not others:
        return said
    other = others[0]
    return f"{said}; with {other.name}, the next, {other.signs[other.worst]:.3g} ({WORDS[other.worst]})"


@dataclass(frozen=True)
class Attempts:
    """A model, and what schemes get."""

    model: nn.Module
    batch: Tensor
    generator: Generator
    start: Start
    act: Activation | None
    bias: float

    def schemes(self) -> Iterator[Tried]:
        """All schemes that fit the model."""
        before = self.generator.get_state()
        for scheme in self.fitting():
            self.generator.set_state(before)
            start = copy.copy(self.start)
            start.report = {}
            given: dict[str, Any] = {"start": start} if scheme in WITH_START else {"act": self.act}
            try:
                scheme(self.model, self.batch, self.generator, bias=self.bias, **given)
            except DoesNotFit:
                continue
            yield self.judged(scheme.__name__, start.report)

    def fitting(self) -> list[Callable[..., None]]:
        """SCHEMES, without those that are the same as another on this model, or need what is not known."""
        kinds = {matrix.kind for matrix in matrices(self.model)}
        left_out = {
            delta_orthogonal: "convolution" not in kinds,
            zero: not kinds <= {"dense", "convolution"},  # of embeddings and gates it says nothing
            **dict.fromkeys((unit_variance, critical), self.act is None),
        }
        return [scheme for scheme in SCHEMES if not left_out.get(scheme)]

    def searched(self, drawn: Tried) -> Tried:
        """The scheme with the best gain: first of COARSE ones, then changed by smaller and smaller factors."""

        def scaled(gain: float) -> Tried:
            values = {name: gain * value if value.ndim > 1 else value for name, value in drawn.values.items()}
            self.write(values)
            return self.judged(drawn.name, {}, gain)

        best = closest(map(scaled, COARSE))
        for factor in FINE:
            best = closest([best, scaled(best.gain * factor), scaled(best.gain / factor)])
        return best

    def judged(self, name: str, report: dict[str, float | int | str], gain: float = 1.0) -> Tried:
        """The model as it is written now."""
        values = {own: parameter.detach().clone() for own, parameter in self.start.written().items()}
        return Tried(name, signs(self.start), values, report, gain)

    @torch.no_grad()
    def write(self, values: dict[str, Tensor]) -> None:
        for name, parameter in self.start.written().items():
            parameter.copy_(values[name])


def closest(tried: Iterable[Tried]) -> Tried:
    return min(tried, key=lambda each: each.distance)
