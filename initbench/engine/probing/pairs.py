"""Pairs of inputs of known correlation, which are followed on their way through the layers."""

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from initbench.randomness import stream

STARTS = (0.0, 0.25, 0.5, 0.75, 0.95)  # correlations of the pairs where they enter the network
PAIRS = 4  # per start


def correlated_inputs(x: Tensor) -> Tensor:
    """Anchors, then for each of STARTS a partner of each anchor: (PAIRS * (1 + STARTS), *shape).

    The anchors are the first examples of x (n, *shape), one repeated where there are too few. A partner has its
    anchor's length, and their cosine is exactly the start (Poole et al. 2016, eq. 5). Tokens have no cosine: there the
    start is the share of positions at which a partner has its anchor's token, and elsewhere it has another example's.
    """
    anchors = x[torch.arange(PAIRS, device=x.device) % len(x)]
    if not x.is_floating_point():
        return torch.cat([anchors, *(_with_shared_tokens(anchors, start) for start in STARTS)])
    flat = anchors.double().flatten(1)
    length = flat.norm(dim=1, keepdim=True)
    noise = torch.randn(flat.shape, generator=stream(0, "pairs"), dtype=flat.dtype).to(x.device)
    across = noise - flat * ((noise * flat).sum(1, keepdim=True) / length.square().clamp(min=1e-300))
    across = across * (length / across.norm(dim=1, keepdim=True).clamp(min=1e-300))
    partners = [start * flat + (1 - start**2) ** 0.5 * across for start in STARTS]
    return torch.cat([flat, *partners]).to(x.dtype).unflatten(1, x.shape[1:])


def _with_shared_tokens(anchors: Tensor, start: float) -> Tensor:
    shared = torch.arange(anchors.shape[-1], device=anchors.device) < start * anchors.shape[-1]
    return torch.where(shared, anchors, anchors.roll(1, 0))


def correlations(layers: Sequence[Tensor]) -> Tensor:
    """Mean cosine of each start's pairs, (STARTS, L, R), of layers' pre-activations (R, PAIRS * (1 + STARTS), ...).

    Not centred, as in mean-field theory: E[s s'] over the root of E[s^2] E[s'^2]. NaN where a vector is 0, or the rows
    are not the examples.
    """
    found = []
    for _, alike in groupby(layers, lambda pre: pre.shape):  # at once: each operation on few pairs is quick
        pre = torch.stack(list(alike)).flatten(3)  # L, R, examples, U
        if pre.shape[2] != PAIRS * (1 + len(STARTS)):
            found.append(pre.new_full((len(STARTS), *pre.shape[:2]), torch.nan, dtype=torch.float64))
            continue
        pre = pre / pre.abs().amax(3, keepdim=True)  # a square of 1e-25 would be 0 in float32
        unit = (pre / pre.norm(dim=3, keepdim=True)).unflatten(2, (1 + len(STARTS), PAIRS))
        found.append((unit[:, :, :1] * unit[:, :, 1:]).sum(4, dtype=torch.float64).mean(3).movedim(2, 0))
    return torch.cat(found, 1)
