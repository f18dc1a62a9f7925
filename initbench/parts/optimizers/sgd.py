"""Stochastic gradient descent, with and without momentum."""

import torch
from torch import Tensor

from initbench.errors import InputError
from initbench.parts.checks import number


class SGD:
    """v <- momentum v + g; w <- w - lr v, or with Nesterov's momentum w <- w - lr (g + momentum v).

    The same numbers as torch.optim.SGD. Polyak 1964; Sutskever et al. 2013 eqs 1-4, with lr outside of v.
    """

    elementwise = True

    def __init__(self, *, momentum: float = 0.9, nesterov: bool = False):
        self.momentum = number("optim.momentum", momentum, "[0, 1)")
        self.nesterov = nesterov
        if nesterov and not momentum:
            raise InputError("optim.nesterov=true needs optim.momentum above 0")

    def init(self, parameter: Tensor) -> dict[str, Tensor]:
        return {"velocity": parameter.new_zeros(parameter.shape)} if self.momentum else {}

    def update(self, parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], *, lr: Tensor, step: int) -> None:
        if self.momentum:
            velocity = state["velocity"]
            torch.add(gradient, velocity, alpha=self.momentum, out=velocity)
            gradient = torch.add(gradient, velocity, alpha=self.momentum) if self.nesterov else velocity
        parameter.addcmul_(lr, gradient, value=-1)
