"""Optimizers: the update of one tensor of one run.

To add one, write a class with keyword parameters and name it in `conf/optim/NAME.yaml`. It has

    elementwise: bool                       does each entry's update look at that entry alone?
    init(parameter) -> dict[str, Tensor]    the state of one tensor before the first step, {} for none
    update(parameter, gradient, state, *, lr, step) -> None

`update` writes `parameter` and `state` in place. `lr` is a tensor that broadcasts against the parameter and
never a Python number, since it may differ from run to run; `step` counts from 1. An elementwise optimizer
is called once for all tensors of all runs, so it may only use operations that are elementwise and
broadcast. Any other (one that looks at norms, like LAMB) is called for one tensor of one run under
`torch.func.vmap`, so it may only use what vmap knows.
"""

import math

import torch
from torch import Tensor

from initbench.errors import InputError
from initbench.parts.ranges import number


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


class Adam:
    """w <- w - lr m / (sqrt(v) + eps), m and v the bias-corrected running means of g and g^2.

    The same numbers as torch.optim.Adam. Kingma & Ba 2015, algorithm 1.
    """

    elementwise = True

    def __init__(self, *, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8):
        self.beta1 = number("optim.beta1", beta1, "[0, 1)")
        self.beta2 = number("optim.beta2", beta2, "[0, 1)")
        self.eps = number("optim.eps", eps, "[0, inf)")

    def init(self, parameter: Tensor) -> dict[str, Tensor]:
        return {name: parameter.new_zeros(parameter.shape) for name in ("mean", "square")}

    def update(self, parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], *, lr: Tensor, step: int) -> None:
        mean, square = state["mean"], state["square"]
        mean.lerp_(gradient, 1 - self.beta1)
        square.mul_(self.beta2).addcmul_(gradient, gradient, value=1 - self.beta2)
        # The bias corrections are numbers: as factors of the step they cost no pass over memory (section 2).
        mean_scale = 1 / (1 - self.beta1**step)
        root_scale = 1 / math.sqrt(1 - self.beta2**step)
        root = square.sqrt().add_(self.eps / root_scale)
        parameter.addcmul_(lr, torch.div(mean, root, out=root), value=-mean_scale / root_scale)
