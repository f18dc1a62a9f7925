"""Optimizers that contain another one."""

import torch
from torch import Tensor

from initbench.parts.checks import choice, integer, number
from initbench.parts.optimizers.elementwise import SGD, Adagrad, Adam, AdamW, RAdam, RMSprop
from initbench.parts.optimizers.layerwise import LAMB, Muon

INNER = {cls.__name__.lower(): cls for cls in (LAMB, SGD, Adagrad, Adam, AdamW, Muon, RAdam, RMSprop)}


class Lookahead:
    """Every `k` steps the slow weights move the fraction `alpha` towards the fast weights, which restart from there.

    The fast weights are those of `inner`, the name of an optimizer, which has its defaults and keeps its state. Zhang
    et al. 2019, algorithm 1.
    """

    def __init__(self, *, inner: str = "sgd", k: int = 5, alpha: float = 0.5):
        self.inner = INNER[choice("optim.inner", inner, INNER)]()
        self.k = integer("optim.k", k, "[1, inf)")
        self.alpha = number("optim.alpha", alpha, "(0, 1]")

    @property
    def elementwise(self) -> bool:
        return self.inner.elementwise

    @property
    def scale_free(self) -> bool | None:
        return getattr(self.inner, "scale_free", None)

    def init(self, parameter: Tensor) -> dict[str, Tensor]:
        return {"slow": parameter.clone(), **self.inner.init(parameter)}

    def update(self, parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], *, lr: Tensor, step: int) -> None:
        self.inner.update(parameter, gradient, state, lr=lr, step=step)
        if step % self.k == 0:
            slow = state["slow"]
            parameter.copy_(slow.copy_(torch.lerp(slow, parameter, self.alpha)))


class Ranger(Lookahead):
    """Lookahead around RAdam. Wright 2019, with the defaults of its first version."""

    def __init__(self, *, beta1: float = 0.95, beta2: float = 0.999, eps: float = 1e-5, k: int = 6, alpha: float = 0.5):
        super().__init__(k=k, alpha=alpha)
        self.inner = RAdam(beta1=beta1, beta2=beta2, eps=eps)
