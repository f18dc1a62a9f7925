"""Mixup: examples and their losses are mixed with those of other examples. Zhang et al. 2018."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from scipy import special
from torch import Generator, Tensor

from initbench.parts.losses import Loss, Targets, TrainingObjective, rows


class Mixed(NamedTuple):
    """Targets of examples that are sums of two."""

    own: Targets
    partner: Targets  # of the other example
    share: Tensor  # of the example itself, (); one for the whole batch


class MixupNumbers(NamedTuple):
    """The random numbers of a batch."""

    share: Tensor  # ()
    partners: Tensor  # (B,): a permutation of the examples


@dataclass(frozen=True)
class Mixup:
    """Mixes the examples of a batch with those of the same batch in another order.

    As in the paper's experiments, a batch has one share, from Beta(alpha, alpha).
    """

    alpha: float

    def draw(self, batch: int, generator: Generator) -> MixupNumbers:
        """By the quantile function of the Beta distribution, since PyTorch's own takes no generator."""
        uniform = torch.rand((), generator=generator, dtype=torch.float64).numpy()
        share = torch.as_tensor(special.betaincinv(self.alpha, self.alpha, uniform), dtype=torch.float32)
        return MixupNumbers(share, torch.randperm(batch, generator=generator))

    def apply(self, x: Tensor, targets: Targets, drawn: MixupNumbers) -> tuple[Tensor, Mixed]:
        """Examples (B, ...) and their targets, mixed."""
        share, partners = drawn
        mixed = share.to(x.dtype) * x + (1 - share).to(x.dtype) * x[partners]
        return mixed, Mixed(targets, rows(targets, partners), share)


def mixup_objective(objective: TrainingObjective) -> TrainingObjective:
    """The objective for targets that are `Mixed`: a loss is the sum of the two examples', by their shares."""
    return TrainingObjective(mixed_loss(objective.loss), mixed_loss(objective.recorded), None)


def mixed_loss(loss: Loss) -> Loss:
    def mixed(outputs: Tensor, targets: Mixed) -> Tensor:
        share = targets.share.to(outputs.dtype)
        return share * loss(outputs, targets.own) + (1 - share) * loss(outputs, targets.partner)

    return mixed
