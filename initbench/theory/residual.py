"""How residual branches add variance: x + alpha F(x).

Each branch adds to what comes in, so q grows with depth unless alpha shrinks with it: by a constant factor per block
for ReLU, by a constant amount for tanh (Yang & Schoenholz 2017). There is no q*, no chi_1 and no critical point to
aim at; the growth over the whole depth is the number to look at.

Two kinds of blocks, as `model=mlp` has them, with alpha = `model.branch_scale`:

    one layer    h + alpha phi(W h + b), after a plain layer h = phi(W x + b)
    two layers   s + alpha (W2 phi(W1 phi(s) + b1) + b2), s pre-activations; the first are W x + b
"""

import math
from dataclasses import dataclass

from initbench.theory.mean_field import LARGEST_Q, WideLayer, mean_square_of
from initbench.theory.quadrature import mean


@dataclass(frozen=True)
class Growth:
    """What happens along the stream that blocks add to; lists have one entry per block, before which q is `start`."""

    start: float  # mean square of the stream where the blocks begin
    q: list[float]  # mean square of the stream after each block
    gradient: list[float]  # factor by which each block multiplies the gradient's mean square on its way back

    @property
    def factor(self) -> float:
        """Mean square after the last block over that before the first."""
        return self.q[-1] / self.start if self.q and self.start else math.nan

    @property
    def gradient_factor(self) -> float:
        """Mean square of the gradient before the first block over that after the last."""
        return math.prod(self.gradient)


def one_layer_branches(layer: WideLayer, alpha: float, blocks: int, q0: float = 1.0) -> Growth:
    """Blocks h + alpha phi(W h + b) after a plain layer that reads inputs of mean square q0.

    With p = E[h^2] and m = E[h] over the units, p' = p + 2 alpha m E[phi] + alpha^2 E[phi^2] and m' = m + alpha E[phi],
    at pre-activations of variance sigma_w^2 p + sigma_b^2. Yang & Schoenholz 2017 (theorem 2, "reduced residual
    network"), where m = 0 because tanh is odd; with ReLU m is what makes deep ones explode.
    """
    first = layer.first(q0)
    p, m = mean_square_of(layer.phi, first), mean_of(layer, first)
    start, squares, gradient = p, [], []
    for _ in range(blocks):
        q = layer.first(p)
        if not q < LARGEST_Q:
            squares.append(math.inf)
            gradient.append(1 + alpha**2 * layer.chi(math.inf))
            continue
        step = mean_of(layer, q)
        p += 2 * alpha * m * step + alpha**2 * mean_square_of(layer.phi, q)
        m += alpha * step
        squares.append(p)
        gradient.append(1 + alpha**2 * layer.chi(q))
    return Growth(start, squares, gradient)


def two_layer_branches(layer: WideLayer, alpha: float, blocks: int, q0: float = 1.0) -> Growth:
    """Blocks s + alpha (W2 phi(W1 phi(s) + b1) + b2); s begins as W x + b with inputs of mean square q0.

    q' = q + alpha^2 (sigma_w^2 E[phi(h)^2] + sigma_b^2), h of variance sigma_w^2 E[phi(s)^2] + sigma_b^2. If both
    layers preserve the variance, q' = (1 + alpha^2) q: it doubles per block at alpha = 1.
    """
    q = start = layer.first(q0)
    squares, gradient = [], []
    for _ in range(blocks):
        q = q if q < LARGEST_Q else math.inf
        inner = layer.q(q) if math.isfinite(q) else math.inf
        gradient.append(1 + alpha**2 * layer.chi(q) * layer.chi(inner))
        q += alpha**2 * layer.q(inner) if math.isfinite(inner) else 0.0
        squares.append(q)
    return Growth(start, squares, gradient)


def mean_of(layer: WideLayer, q: float) -> float:
    """E[phi(sqrt(q) z)]."""
    return mean(layer.phi, layer.phi, q) if q > 0 else layer.phi.value0
