"""Initializers for residual branches, x + alpha F(x)."""

import torch
from torch import nn

from initbench.errors import DoesNotFit
from initbench.parts.inits.drawing import Gain
from initbench.parts.inits.scaling import he
from initbench.parts.models.residual import Residual
from initbench.parts.norms import NORMALIZATIONS, WeightNorm


@torch.no_grad()
def fixup(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """he; then, with B branches of m' weights, the last W of each and the head 0, the others times B^(-1 / (2 m' - 2)).

    Zhang, Dauphin & Ma 2019. Their scalar multipliers and biases are parameters of the model: use it with
    `model.scalar_biases=true`; without, each unit has a bias, and `model.learn_scale` adds the multipliers alone.
    """
    branches = residual_branches("fixup", model)
    for branch in branches:
        if not branch.ends_linear():
            reason = "init=fixup sets a branch's last weights to 0, and ReLU after them would pass no gradient on"
            raise DoesNotFit(f"{reason}: set model.branch_layers=2")
        if any(isinstance(module, WeightNorm) for module in branch.modules()):
            raise DoesNotFit("init=fixup sets weights to 0, which have no direction to learn with norm=weight")
    he(model, batch, generator, act=act, gain=gain, bias=bias)
    factors = {}  # one for each weight, which branches may share
    for branch in branches:
        *others, last = branch.weights()
        factors |= {weight: len(branches) ** (-1 / (2 * len(others))) for weight in others} | {last: 0}
    *_, head = (parameter for parameter in model.parameters() if parameter.ndim >= 2)
    for weight, factor in (factors | {head: 0}).items():
        weight.mul_(factor)


def skipinit(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """he, with each branch's learned alpha 0, whatever `model.branch_scale` is. De & Smith 2020."""
    scales = learned_scales("skipinit", model)
    he(model, batch, generator, act=act, gain=gain, bias=bias)
    for alpha in scales:
        nn.init.zeros_(alpha)


def rezero(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """skipinit in a model without normalization. Bachlechner et al. 2020."""
    learned_scales("rezero", model)
    if any(isinstance(module, NORMALIZATIONS) for module in model.modules()):
        raise DoesNotFit("init=rezero takes the place of normalization: set norm=none")
    skipinit(model, batch, generator, act=act, gain=gain, bias=bias)


def learned_scales(scheme: str, model: nn.Module) -> list[nn.Parameter]:
    """The alphas of a model's residual branches; DoesNotFit where they aren't parameters."""
    scales = [branch.scale.alpha for branch in residual_branches(scheme, model)]
    if None in scales:
        raise DoesNotFit(f"init={scheme} starts the branches' scales at 0, to be learned: set model.learn_scale=true")
    return [alpha for alpha in scales if alpha is not None]


def residual_branches(scheme: str, model: nn.Module) -> list[Residual]:
    """A model's residual branches with a scale; DoesNotFit if there are none."""
    branches = [module for module in model.modules() if isinstance(module, Residual)]
    if not branches:
        fits = "model=resnet, or model=mlp with model.branch_scale=1 and a depth above 1"
        raise DoesNotFit(f"init={scheme} needs residual branches with a scale: {fits}")
    return branches
