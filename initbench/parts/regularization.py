"""Changes to a run's gradient, loss and weights besides the optimizer's step: the keys `gradient` and `regularize`.

A key that is null does nothing. Written for one run: its gradient g (..., P) and weights w (..., P) are vectors of all
its numbers, and a norm is the norm of such a vector.
"""

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from initbench.parts.checks import boolean, integer, number


@dataclass(frozen=True)
class Regularize:
    """Penalties on the weights, noise while training, and when to stop."""

    weight_decay: float | None = None  # L2: weight_decay * w is added to the gradient that the optimizer sees
    decoupled: float | None = None  # w <- (1 - lr * decoupled) w before each update. Loshchilov & Hutter 2019, alg. 2
    l1: float | None = None  # l1 * |w|_1 is added to the loss. Tibshirani 1996
    dropout: float | None = None  # share of the hidden units' outputs. Srivastava et al. 2014
    dropconnect: float | None = None  # share of the hidden layers' weights. Wan et al. 2013
    alpha_dropout: float | None = None  # share of the hidden units' outputs. Klambauer et al. 2017
    label_smoothing: float | None = None  # share of the target spread over all classes. Szegedy et al. 2016 sec. 7
    weight_noise: float | None = None  # gradients at w + N(0, weight_noise^2). Graves et al. 2013
    patience: int | None = None  # evaluations without a lower validation loss. Prechelt 1998

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            if field.name == "patience":
                integer("regularize.patience", value, "[1, inf)")
            elif field.name in ("dropout", "dropconnect", "alpha_dropout", "label_smoothing"):
                number(f"regularize.{field.name}", value, "(0, 1)")
            else:
                number(f"regularize.{field.name}", value, "(0, inf)")


@dataclass(frozen=True)
class Gradient:
    """What changes a run's gradient before its optimizer sees it, in the order of the fields."""

    centralize: bool | None = None  # each weight matrix's rows get mean 0. Yong et al. 2020 eq. 1
    clip_value: float | None = None  # each entry is cut to [-clip_value, clip_value]
    clip_norm: float | None = None  # longer than this, it is scaled to this length. Pascanu et al. 2013, algorithm 1
    noise: float | None = None  # N(0, noise / (1 + t)^0.55) is added at step t. Neelakantan et al. 2015 eq. 1

    def __post_init__(self):
        if self.centralize is not None:
            boolean("gradient.centralize", self.centralize)
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
    """Subtract the mean of each of the m rows of a weight's gradient (m, n, ...), in place."""
    return g.sub_(g.mean(tuple(range(1, g.ndim)), keepdim=True))


def clipped(g: Tensor, most: float) -> Tensor:
    """Scale vectors (..., P) longer than `most` to that length, in place, as `torch.nn.utils.clip_grad_norm_` does.

    Great norms are computed again in float64: the square of a float32 overflows at 1.8e19, where torch's result is 0.
    """
    norm = torch.linalg.vector_norm(g, dim=-1).double()
    great = ~(norm < 1e15)
    if great.any():
        norm[great] = torch.linalg.vector_norm(g[great], dim=-1, dtype=torch.float64)
    return g.mul_((most / (norm + 1e-6)).clamp_(max=1).to(g.dtype).unsqueeze(-1))
