"""Statistics of the layers' pre-activations s, by layer and by time step."""

from collections.abc import Sequence

import torch
from torch import Tensor

from initbench.engine.observation import LayerSignal, norm


def statistics(signals: Sequence[LayerSignal]) -> dict[str, Tensor]:
    """Over the batch and the units, (L, R) each: `pre_mean`, `pre_var` and `q`, the mean square of s (Poole 2016)."""
    mean = torch.stack([signal.pre.mean((1, 2, 3), dtype=torch.float64) for signal in signals])
    square = torch.stack([mean_square(signal.pre.flatten(1)) for signal in signals])
    return {"pre_mean": mean, "pre_var": (square - mean.square()).clamp_(min=0), "q": square}


def mean_square(x: Tensor) -> Tensor:
    """(R,) float64 of (R, n), also where squares leave the range of float32."""
    return norm(x.unsqueeze(0))[0].square() / x.shape[1]


def by_time(signals: Sequence[LayerSignal]) -> dict[int, Tensor]:
    """Of each layer that reads a sequence: q at each of its T time steps, (T, R)."""
    return {
        number: norm(signal.pre.permute(2, 0, 1, 3)).square() / signal.pre[0, :, 0].numel()
        for number, signal in enumerate(signals)
        if signal.over_time
    }


def moved(before: Sequence[LayerSignal], after: Sequence[LayerSignal]) -> Tensor:
    """Root mean square of the change of s in each layer, (L, R): the coordinate check (Yang et al. 2021)."""
    changes = [mean_square((b.pre - a.pre).flatten(1)) for a, b in zip(before, after, strict=True)]
    return torch.stack(changes).sqrt()
