"""Matrices with structure: orthogonal ones and the identity."""

import torch
from torch import Generator, Tensor

from initbench.parts.inits.drawing import Gain, initialize, normal_like
from initbench.parts.inits.matrix import Matrix


def orthogonal(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """W with orthonormal rows (n >= m) or columns (n <= m): Q of a Gaussian's QR. Saxe et al. 2014.

    R's diagonal is made positive, so that Q is uniformly distributed (Mezzadri 2007). A convolution's kernels are the
    rows, of length n; the convolution is no isometry.
    """

    def draw(matrix: Matrix) -> Tensor:
        return _orthonormal(matrix.weight.flatten(1), generator).reshape(matrix.weight.shape)

    initialize(model, draw, act=act, gain=gain, bias=bias)


def delta_orthogonal(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """Convolutions: orthonormal at the kernel's centre, 0 elsewhere, an isometry. Else orthogonal.

    Xiao et al. 2018, algorithm 2.
    """

    def draw(matrix: Matrix) -> Tensor:
        values = torch.zeros_like(matrix.weight, device="cpu")
        values[centre(matrix.weight)] = _orthonormal(matrix.weight[centre(matrix.weight)], generator)
        return values

    initialize(model, draw, act=act, gain=gain, bias=bias)


def identity(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """W = I, or as much of it as fits; a convolution has it at its kernel's centre, else 0. Le et al. 2015.

    With m > n the units above n start equal; on convolutions it is PyTorch's dirac_.
    """

    def draw(matrix: Matrix) -> Tensor:
        values = torch.zeros_like(matrix.weight, device="cpu")
        values[centre(matrix.weight)].fill_diagonal_(1)
        return values

    initialize(model, draw, act=act, gain=gain, bias=bias)


def _orthonormal(like: Tensor, generator: Generator) -> Tensor:
    """Orthonormal rows or columns of a matrix's shape, uniformly distributed."""
    gaussian = normal_like(like, generator).double()  # float64: equal at any number of threads
    wide = gaussian.shape[0] < gaussian.shape[1]
    q, r = torch.linalg.qr(gaussian.T if wide else gaussian)
    q = q * r.diagonal().sign()
    return q.T if wide else q


def centre(weight: Tensor) -> tuple:
    """The index of a kernel's centre, a matrix (m, n); a matrix is its own centre."""
    return (..., *(size // 2 for size in weight.shape[2:]))
