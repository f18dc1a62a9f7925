"""What a model's outputs are before it is trained: the objective expects numbers of either sign, without a bound."""

from torch import Tensor

PROBABILITIES, FRACTIONS, RECTIFIED = "probabilities", "fractions", "rectified"
SUM = 1e-4  # how far from 1 the probabilities of an example may add up to, in float32


def output_kind(outputs: Tensor) -> str | None:
    """What outputs (..., C) went through last: a softmax, a function with values from 0 to 1, or one that is 0 where it
    is off; None where nothing of that shows, as after a linear layer."""
    least, most = float(outputs.min()), float(outputs.max())
    if not 0 <= least < most:  # NaN included
        return None
    if most <= 1 and float((outputs.sum(-1) - 1).abs().max()) <= SUM:
        return PROBABILITIES
    if least > 0 and most < 1:
        return FRACTIONS
    return RECTIFIED if least == 0 else None
