"""Matrices with structure: orthogonal ones, the identity, Hadamard's, and sparse ones."""

import math

import torch
from scipy.linalg import hadamard
from torch import Generator, Tensor

from initbench.parts.checks import integer, number
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


def zero(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """ZerO: W = I, or as much of it as fits, where m <= n; else I H I with a normalized Hadamard matrix H between.

    H is 2^k x 2^k over 2^(k / 2), k = ceil(log2 m). A convolution has this at its kernel's centre, else 0. Nothing is
    random. Zhao, Schaefer & Anandkumar 2022, algorithm 1.
    """

    def draw(matrix: Matrix) -> Tensor:
        values = torch.zeros_like(matrix.weight, device="cpu")
        rows, columns = values[centre(matrix.weight)].shape
        if rows <= columns:
            values[centre(matrix.weight)].fill_diagonal_(1)
        else:
            order = 2 ** math.ceil(math.log2(rows))
            part = hadamard(order)[:rows, :columns] / math.sqrt(order)
            values[centre(matrix.weight)] = torch.from_numpy(part).to(values)
        return values

    initialize(model, draw, act=act, gain=gain, bias=bias)


def sparse(
    model,
    batch,
    generator,
    *,
    act=None,
    sparsity: float = 0.9,
    std: float = 0.01,
    connections: int | None = None,
    gain: Gain = 1,
    bias: float = 0,
) -> None:
    """W ~ N(0, std^2), and in each column a share `sparsity` of the rows 0, rounded up; one is always left.

    That is PyTorch's sparse_, with the zeros' places drawn from the run's own generator. Martens 2010 limits what comes
    into a unit instead, to 15 `connections` with std 1: if that is given, each row keeps so many entries.
    """
    share, std = number("init.sparsity", sparsity, "[0, 1]"), number("init.std", std, "[0, inf)")
    if connections is not None:
        integer("init.connections", connections, "[1, inf)")

    def draw(matrix: Matrix) -> Tensor:
        values = std * normal_like(matrix.weight, generator)
        units = values.flatten(1)
        order = torch.rand(units.shape, generator=generator, dtype=torch.float64)
        if connections is None:
            zeros = min(math.ceil(share * len(units)), len(units) - 1)
            mask = order.argsort(0).argsort(0) < zeros
        else:
            mask = order.argsort(1).argsort(1) >= connections
        return values.flatten(1).masked_fill(mask, 0).view_as(values)

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
