"""What the training inputs look like as a network sees them."""

from typing import NamedTuple

import numpy as np
from torch import Tensor

ROWS = 4096  # examples whose deviations are held in memory at once


class SeenInputs(NamedTuple):
    """Of the training inputs after all preparation; a feature is an entry of x, such as a pixel. Tokens have only
    `distinct`."""

    mean: float | None
    std: float | None  # standard deviation of all entries; the root mean square is hypot(mean, std)
    mean_max: float | None  # largest absolute mean of a feature
    std_min: float | None  # smallest standard deviation of a feature that varies; None where none does
    std_median: float | None  # their median
    std_max: float | None  # the largest
    constant: float | None  # share of the features that never vary
    distinct: int  # different examples


def seen_inputs(x: Tensor) -> SeenInputs:
    """Of examples (n, ...).

    By NumPy: torch's sums depend on the number of threads in the last digit, and a run must not.
    """
    rows = x.flatten(1).numpy()
    distinct = len({hash(row.tobytes()) for row in rows})
    if not x.is_floating_point():
        return SeenInputs(*[None] * 7, distinct=distinct)
    means = rows.mean(0, dtype=np.float64)
    variances = np.zeros_like(means)
    for start in range(0, len(rows), ROWS):
        variances += np.square(rows[start : start + ROWS] - means).sum(0) / len(rows)
    varies = (rows != rows[0]).any(0)
    mean, deviations = means.mean(), np.sqrt(variances[varies])
    of_varying = [np.min, np.median, np.max] if varies.any() else []
    smallest, middle, largest = (float(of(deviations)) for of in of_varying) if of_varying else [None] * 3
    return SeenInputs(
        mean=float(mean),
        std=float(np.sqrt(np.square(means - mean).mean() + variances.mean())),
        mean_max=float(np.abs(means).max()),
        std_min=smallest,
        std_median=middle,
        std_max=largest,
        constant=float((~varies).mean()),
        distinct=distinct,
    )
