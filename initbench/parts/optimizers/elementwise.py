"""Optimizers that update each entry from its own gradients alone. The steps of all but SGD are `scale_free`.

All but SGD divide by a square root that starts at 0 and stays there for a dead unit, so eps must be above 0.
"""

import math

import torch
from torch import Tensor

from initbench.errors import InputError
from initbench.parts.checks import number

EPS = "[1e-30, inf)"  # a smaller one is 0 in float32


class SGD:
    """v <- momentum v + g; w <- w - lr v, or with Nesterov's momentum w <- w - lr (g + momentum v).

    The same numbers as torch.optim.SGD. Polyak 1964; Sutskever et al. 2013 eqs 1-4, with lr outside of v.
    """

    elementwise = True
    scale_free = False

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


class Adagrad:
    """s <- s + g^2; w <- w - lr g / (sqrt(s) + eps). The same numbers as torch.optim.Adagrad.

    Duchi et al. 2011, figure 1 with a diagonal matrix, eps their delta.
    """

    elementwise = True
    scale_free = True

    def __init__(self, *, eps: float = 1e-10):
        self.eps = number("optim.eps", eps, EPS)

    def init(self, parameter: Tensor) -> dict[str, Tensor]:
        return {"sum": parameter.new_zeros(parameter.shape)}

    def update(self, parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], *, lr: Tensor, step: int) -> None:
        root = state["sum"].addcmul_(gradient, gradient).sqrt().add_(self.eps)
        parameter.addcmul_(lr, torch.div(gradient, root, out=root), value=-1)


class RMSprop:
    """v <- alpha v + (1 - alpha) g^2; w <- w - lr g / (sqrt(v) + eps). The same numbers as torch.optim.RMSprop.

    `centered` subtracts the square of the gradient's running mean from v, which leaves the variance. Where rounding
    makes it negative it is set to 0; PyTorch gets NaN. With `momentum` the step is u <- momentum u + g / (sqrt(v) +
    eps). Tieleman & Hinton 2012, lecture 6.5; `centered` and `momentum`: Graves 2013 eqs 38-41, with lr outside of u
    and eps outside of the root.
    """

    elementwise = True
    scale_free = True

    def __init__(self, *, alpha: float = 0.99, eps: float = 1e-8, momentum: float = 0.0, centered: bool = False):
        self.alpha = number("optim.alpha", alpha, "[0, 1)")
        self.eps = number("optim.eps", eps, EPS)
        self.momentum = number("optim.momentum", momentum, "[0, 1)")
        self.centered = centered

    def init(self, parameter: Tensor) -> dict[str, Tensor]:
        names = ["square"] + ["mean"] * self.centered + ["velocity"] * bool(self.momentum)
        return {name: parameter.new_zeros(parameter.shape) for name in names}

    def update(self, parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], *, lr: Tensor, step: int) -> None:
        square = state["square"].mul_(self.alpha).addcmul_(gradient, gradient, value=1 - self.alpha)
        if self.centered:
            mean = state["mean"].lerp_(gradient, 1 - self.alpha)
            root = torch.addcmul(square, mean, mean, value=-1).clamp_(min=0).sqrt_()
        else:
            root = square.sqrt()
        root.add_(self.eps)
        if self.momentum:
            velocity = state["velocity"].mul_(self.momentum).addcdiv_(gradient, root)
            parameter.addcmul_(lr, velocity, value=-1)
        else:
            parameter.addcmul_(lr, torch.div(gradient, root, out=root), value=-1)


class Adam:
    """w <- w - lr m / (sqrt(v) + eps), m and v the bias-corrected running means of g and g^2.

    The same numbers as torch.optim.Adam. Kingma & Ba 2015, algorithm 1.
    """

    elementwise = True
    scale_free = True

    def __init__(self, *, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8):
        self.beta1 = number("optim.beta1", beta1, "[0, 1)")
        self.beta2 = number("optim.beta2", beta2, "[0, 1)")
        self.eps = number("optim.eps", eps, EPS)

    def init(self, parameter: Tensor) -> dict[str, Tensor]:
        return {name: parameter.new_zeros(parameter.shape) for name in ("mean", "square")}

    def moments(self, gradient: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The running means of g and g^2 after this gradient, not yet corrected for their start at zero."""
        mean = state["mean"].lerp_(gradient, 1 - self.beta1)
        return mean, state["square"].mul_(self.beta2).addcmul_(gradient, gradient, value=1 - self.beta2)

    def update(self, parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], *, lr: Tensor, step: int) -> None:
        mean, square = self.moments(gradient, state)
        # The bias corrections are numbers: as factors of the step they cost no pass over memory (section 2).
        mean_scale = 1 / (1 - self.beta1**step)
        root_scale = 1 / math.sqrt(1 - self.beta2**step)
        root = square.sqrt().add_(self.eps / root_scale)
        parameter.addcmul_(lr, torch.div(mean, root, out=root), value=-mean_scale / root_scale)


class AdamW(Adam):
    """Adam after w <- w - lr weight_decay w, for every parameter. The same numbers as torch.optim.AdamW.

    Loshchilov & Hutter 2019, algorithm 2, their schedule multiplier and learning rate as one.
    """

    def __init__(self, *, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.01):
        super().__init__(beta1=beta1, beta2=beta2, eps=eps)
        self.weight_decay = number("optim.weight_decay", weight_decay, "[0, inf)")

    def update(self, parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], *, lr: Tensor, step: int) -> None:
        parameter.mul_(1 - self.weight_decay * lr)
        super().update(parameter, gradient, state, lr=lr, step=step)


class RAdam(Adam):
    """Adam with smaller steps while v averages few gradients; momentum alone while its variance is infinite.

    The same numbers as torch.optim.RAdam. Liu et al. 2020, algorithm 2, but eps is added before the bias correction,
    and the threshold is 5 where the paper has 4, as in PyTorch and the authors' code.
    """

    def update(self, parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], *, lr: Tensor, step: int) -> None:
        mean, square = self.moments(gradient, state)
        mean_scale = 1 / (1 - self.beta1**step)
        rectified = self.rectification(step)
        if not rectified:
            parameter.addcmul_(lr, mean, value=-mean_scale)
            return
        root = square.sqrt().add_(self.eps)
        scale = rectified * mean_scale * math.sqrt(1 - self.beta2**step)
        parameter.addcmul_(lr, torch.div(mean, root, out=root), value=-scale)

    def rectification(self, step: int) -> float:
        """r_t, the late standard deviation divided by the present one; 0 while the present one counts as infinite."""
        longest = 2 / (1 - self.beta2) - 1  # rho_infinity: the steps that v averages over
        length = longest - 2 * step * self.beta2**step / (1 - self.beta2**step)
        if length <= 5:
            return 0.0
        return math.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
