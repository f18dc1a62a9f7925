"""chi_1 over the whole plane of sigma_w and sigma_b, for phase diagrams: from tables, all points at once."""

import numpy as np
from numpy import ndarray

from initbench.theory.activations import Phi
from initbench.theory.mean_field import mean_square_of, mean_square_slope

TABLE = np.geomspace(1e-10, 1e10, 401)  # of q
ROUNDS = 300  # of the map of q: enough for colours, except within about 1 % of the critical line


def chi_1_over(phi: Phi, sigma_w: ndarray, sigma_b: ndarray) -> tuple[ndarray, ndarray]:
    """chi_1 and q* at every point, (len(sigma_b), len(sigma_w)) each, interpolated; q* starts from inputs of size 1.

    q* is 0 or infinite where it leaves the table. Where it is a fixed point, both agree with `MeanField` to about 1 %.
    """
    log_q = np.log(TABLE)
    squares = np.log([max(mean_square_of(phi, q), 1e-300) for q in TABLE])
    slopes = np.array([mean_square_slope(phi, q) for q in TABLE])
    variance, offset = sigma_w[None, :] ** 2, sigma_b[:, None] ** 2
    q = np.clip(variance + offset, TABLE[0], TABLE[-1])
    for _ in range(ROUNDS):
        q = variance * np.exp(np.interp(np.log(q), log_q, squares)) + offset
        q = np.clip(q, TABLE[0], TABLE[-1])
    chi_1 = variance * np.interp(np.log(q), log_q, slopes)
    return chi_1, np.where(q <= TABLE[0] * 2, 0.0, np.where(q >= TABLE[-1] / 2, np.inf, q))
