"""What the width of a network changes, for activations that are straight on both sides of 0, as ReLU is."""

import math
from collections.abc import Sequence

from initbench.theory.activations import Phi


def log_length_moments(phi: Phi, sigma_w: float, widths: Sequence[int]) -> tuple[float, float]:
    """Mean and variance of ln M, to first order in 1 / n, without biases.

    M: the last hidden layer's mean square activation over that of the inputs. Each layer multiplies it by an average
    over its n units of sigma_w^2 phi(z)^2, which has mean sigma_w^2 E[phi^2] and relative variance k / n, with
    k = E[phi^4] / E[phi^2]^2 - 1: 5 for ReLU, 2 for linear. He's weights hold E[M], but ln M falls: its mean is
    -k / 2 sum 1 / n_l, its variance k sum 1 / n_l. Hanin & Rolnick 2018, theorem 5.

    widths: those of the hidden layers. Both are NaN for other activations.
    """
    if phi.sides is None or not any(phi.sides):
        return math.nan, math.nan
    left, right = phi.sides
    kurtosis = 6 * (left**4 + right**4) / (left**2 + right**2) ** 2
    inverse_widths = sum(1 / width for width in widths)
    growth = len(widths) * math.log(sigma_w**2 * (left**2 + right**2) / 2)
    return growth - (kurtosis - 1) / 2 * inverse_widths, (kurtosis - 1) * inverse_widths


def dead_probability(widths: Sequence[int]) -> float:
    """Probability that a ReLU network without biases is dead for one input: that in some layer every unit is 0.

    1 - prod (1 - 2^-n): each unit of a layer is 0 with probability 1/2. Lu et al. 2019, proposition 1.
    """
    return 1 - math.prod(1 - 2.0**-width for width in widths)
