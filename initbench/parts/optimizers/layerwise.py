"""Optimizers that look at a whole tensor: its norm, or its singular values. They run under `vmap`."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from initbench.parts.checks import choice, integer, number
from initbench.parts.optimizers.elementwise import EPS

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # a x + b x^3 + c x^5 takes singular values to about 1 (Jordan 2024)
FLOOR = 1e-7  # the norm that a gradient is divided by is at least this
ADJUSTMENTS = {  # factors of the learning rate for a matrix of so many rows and columns
    "original": lambda rows, columns: math.sqrt(max(1, rows / columns)),
    "match_rms_adamw": lambda rows, columns: 0.2 * math.sqrt(max(rows, columns)),
    "spectral_unclamped": lambda rows, columns: math.sqrt(rows / columns),
}


@dataclass(frozen=True)
class Direction:
    """Adam's m / (sqrt(v) + eps), in operations that vmap has rules for. Kingma & Ba 2015, algorithm 1."""

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def init(self, parameter: Tensor) -> dict[str, Tensor]:
        return {name: parameter.new_zeros(parameter.shape) for name in ("mean", "square")}

    def __call__(self, gradient: Tensor, state: dict[str, Tensor], step: int) -> Tensor:
        mean = state["mean"].mul_(self.beta1).add_(gradient, alpha=1 - self.beta1)
        square = state["square"].mul_(self.beta2).add_(gradient.square(), alpha=1 - self.beta2)
        root = square.div(1 - self.beta2**step).sqrt_().add_(self.eps)
        return mean.div(root).div_(1 - self.beta1**step)


class LAMB:
    """w <- w - lr |w|/|u| u with u = r + weight_decay w, where r is Adam's direction and |.| a tensor's norm.

    Each tensor moves by lr of its own length, whatever the gradient's. A tensor of zeros (all biases at birth) has no
    length: it moves by lr u, as in the usual implementations; the formula would hold it at zero for ever. No
    tensor is excepted and no length clipped: phi is the identity. You et al. 2020, algorithm 2.
    """

    elementwise = False

    def __init__(self, *, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-6, weight_decay: float = 0.01):
        self.direction = Direction(
            number("optim.beta1", beta1, "[0, 1)"),
            number("optim.beta2", beta2, "[0, 1)"),
            number("optim.eps", eps, EPS),
        )
        self.weight_decay = number("optim.weight_decay", weight_decay, "[0, inf)")

    def init(self, parameter: Tensor) -> dict[str, Tensor]:
        return self.direction.init(parameter)

    def update(self, parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], *, lr: Tensor, step: int) -> None:
        direction = self.direction(gradient, state, step).add_(parameter, alpha=self.weight_decay)
        length, stride = torch.linalg.vector_norm(parameter), torch.linalg.vector_norm(direction)
        trust = torch.where((length > 0) & (stride > 0), length / stride, 1.0)
        parameter.sub_(direction.mul_(lr * trust))


class Muon:
    """Momentum whose matrix M = U S V^T is replaced by about U V^T: w <- w - lr adjust_lr(rows, columns) U V^T.

    The numbers of torch.optim.Muon without its weight decay, but in the weights' precision where PyTorch rounds
    to bfloat16. A convolution's kernel counts as (out, in x height x width); what has fewer than two dimensions
    (biases, gains) is left to Adam with PyTorch's defaults and the same learning rate. So that one rate suits both,
    the default adjustment gives a matrix steps of Adam's usual size, 0.2 an entry (Liu et al. 2025, sec. 2.2). The
    usual advice is to leave embeddings and the head to Adam too; an optimizer sees one tensor and can't tell.
    Jordan 2024, with Nesterov's momentum and five Newton-Schulz iterations.
    """

    elementwise = False

    def __init__(
        self,
        *,
        momentum: float = 0.95,
        nesterov: bool = True,
        iterations: int = 5,
        adjust_lr: str = "match_rms_adamw",
    ):
        self.momentum = number("optim.momentum", momentum, "[0, 1)")
        self.nesterov = nesterov
        self.iterations = integer("optim.iterations", iterations, "[1, 100)")
        self.adjust_lr = ADJUSTMENTS[choice("optim.adjust_lr", adjust_lr, ADJUSTMENTS)]
        self.direction = Direction()

    def init(self, parameter: Tensor) -> dict[str, Tensor]:
        if parameter.ndim < 2:
            return self.direction.init(parameter)
        return {"momentum": parameter.new_zeros(parameter.shape)}

    def update(self, parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], *, lr: Tensor, step: int) -> None:
        if parameter.ndim < 2:
            parameter.sub_(self.direction(gradient, state, step).mul_(lr))
            return
        momentum = state["momentum"].mul_(self.momentum).add_(gradient, alpha=1 - self.momentum)
        matrix = (torch.lerp(gradient, momentum, self.momentum) if self.nesterov else momentum).flatten(1)
        change = orthogonalized(matrix, self.iterations).mul(self.adjust_lr(*matrix.shape) * lr)
        parameter.sub_(change.reshape(parameter.shape))


def orthogonalized(matrix: Tensor, iterations: int) -> Tensor:
    """About U V^T of a matrix U S V^T, (rows, columns): singular values of 0.7 to 1.2 in place of S.

    Newton-Schulz: a quintic polynomial of the singular values, again and again. Those below 1/500 of the
    whole norm are still on their way up after five iterations. Jordan 2024.
    """
    a, b, c = COEFFICIENTS
    rows, columns = matrix.shape
    x = matrix.mT if rows > columns else matrix
    x = x / torch.linalg.vector_norm(x).clamp(min=FLOOR)
    for _ in range(iterations):
        gram = x @ x.mT
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if rows > columns else x
