"""What is done to a run's gradient before its optimizer sees it: the keys `gradient.*`, null where not wanted.

Written for one run: a gradient g (..., P) holds all numbers of a run in one vector, and a norm is over that vector.
"""

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from initbench.errors import InputError
from initbench.parts.checks import number


@dataclass(frozen=True)
class Gradient:
    """What becomes of a run's own gradient before its optimizer sees it, in the order of the fields."""

    centralize: bool | None = None  # each weight matrix's rows get mean 0. Yong et al. 2020 eq. 1
    clip_value: float | None = None  # each entry is cut to [-clip_value, clip_value]
    clip_norm: float | None = None  # longer than this, it is scaled to this length. Pascanu et al. 2013, algorithm 1
    noise: float | None = None  # N(0, noise / (1 + t)^0.55) is added at step t. Neelakantan et al. 2015 eq. 1

    def __post_init__(self):
        if self.centralize not in (None, True, False):
            raise InputError(f"gradient.centralize must be true or false, got {self.centralize!r}")
        for field in fields(self):
            if field.name != "centralize" and (value := getattr(self, field.name)) is not None:
                number(f"gradient.{field.name}", value, "(0, inf)")

    @property
    def changes(self) -> bool:
        """Whether anything is done."""
        return any(getattr(self, field.name) for field in fields(self))

    def noise_std(self, step: int) -> float:
        """The noise's standard deviation at step 0, 1, ..."""
        return math.sqrt((self.noise or 0) / (1 + step) ** 0.55)


def centralized(g: Tensor) -> Tensor:
    """The gradient (m, n, ...) of a weight, in place: each of the m rows less its mean."""
    return g.sub_(g.mean(tuple(range(1, g.ndim)), keepdim=True))


def clipped(g: Tensor, most: float) -> Tensor:
    """In place: a vector (..., P) longer than `most` at that length, as `torch.nn.utils.clip_grad_norm_` has it.

    A great length is taken again in float64: the square of a float32 overflows at 1.8e19, and then torch's becomes 0.
    """
    norm = torch.linalg.vector_norm(g, dim=-1).double()
    great = ~(norm < 1e15)
    if great.any():
        norm[great] = torch.linalg.vector_norm(g[great], dim=-1, dtype=torch.float64)
    return g.mul_((most / (norm + 1e-6)).clamp_(max=1).to(g.dtype).unsqueeze(-1))
