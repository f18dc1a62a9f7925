"""Initializers that are learned: the scales of the weights are adjusted to minimize a measure of the start."""

import math
from collections.abc import Mapping

import torch
from torch import Generator, Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from initbench.errors import DoesNotFit
from initbench.parts.checks import choice, integer, number
from initbench.parts.inits.scaling import he
from initbench.parts.norms import WeightNorm
from initbench.parts.start import Start

EPSILON = 1e-5  # keeps the gradient quotient finite where a gradient is 0
SHRINK = 0.5  # of a norm or a scale, the least that one step leaves


def metainit(
    model,
    batch,
    generator,
    *,
    start: Start,
    act=None,
    steps: int = 100,
    rate: float = 0.1,
    momentum: float = 0.9,
    bias: float = 0,
) -> None:
    """he, then the norm of each weight changed to minimize the gradient quotient by signed steps with momentum.

    In each step Gaussian inputs and random labels of the batch's shape, so no data is seen (of tokens and labels, those
    of the batch in random order). Dauphin & Schoenholz 2019, algorithm 1, with their rate and momentum; 100 steps in
    place of 500, of which the one with the lowest quotient is kept. DoesNotFit for batch normalization, which PyTorch
    can't differentiate three times.
    """
    integer("init.steps", steps, "[0, inf)")
    number("init.rate", rate, "(0, inf)")
    number("init.momentum", momentum, "[0, 1)")
    refuse_weight_norm("metainit", start)
    if any(isinstance(module, _BatchNorm) for module in start.model.modules()):
        raise DoesNotFit("init=metainit needs third derivatives, which batch normalization lacks: set norm=none")
    he(model, batch, generator, act=act, bias=bias)
    weights = {name: own for name, own in start.written().items() if own.ndim > 1}
    velocity = dict.fromkeys(weights, 0.0)
    first = lowest = math.inf
    best: dict[str, Tensor] = {}
    for step in range(steps):
        quotient, slopes = quotient_slopes(start, *noise(start, generator))
        first = quotient if step == 0 else first
        if quotient < lowest:
            lowest, best = quotient, {name: weight.detach().clone() for name, weight in weights.items()}
        for name, weight in weights.items():
            along = float((weight.detach() * slopes[name]).sum())  # the slope in its norm, times the norm
            velocity[name] = momentum * velocity[name] - rate * math.copysign(1, along) * (along != 0)
            rescale(weight, velocity[name])
    with torch.no_grad():
        for name, values in best.items():
            weights[name].copy_(values)
    start.report |= {"steps": steps, "quotient_before": first, "quotient_after": lowest} if steps else {"steps": 0}


def noise(start: Start, generator: Generator) -> tuple[Tensor, Tensor]:
    """Inputs and labels that say nothing about the data, of the batch's shapes."""
    order = torch.randperm(len(start.y), generator=generator)
    if start.x.is_floating_point():
        return torch.empty(start.x.shape, dtype=start.x.dtype).normal_(generator=generator), start.y[order]
    tokens = torch.randperm(start.x.numel(), generator=generator)
    return start.x.flatten()[tokens].view_as(start.x), start.y[order]


def gradient_quotient(loss: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    """The mean over all entries of |(g - H g) / (g + eps sign(g)) - 1|, g the gradient and H the Hessian. Eq. 1."""
    own = list(parameters.values())
    gradients = torch.autograd.grad(loss, own, create_graph=True, allow_unused=True, materialize_grads=True)
    half = torch.stack([gradient.square().sum() for gradient in gradients]).sum() / 2
    products = torch.autograd.grad(half, own, create_graph=True, allow_unused=True, materialize_grads=True)  # H g
    total = torch.zeros(())
    for g, product in zip(gradients, products, strict=True):
        sign = torch.where(g >= 0, EPSILON, -EPSILON).detach()
        total = total + ((g - product) / (g + sign) - 1).abs().sum()
    return total / sum(parameter.numel() for parameter in own)


def quotient_slopes(start: Start, x: Tensor, y: Tensor) -> tuple[float, dict[str, Tensor]]:
    """The gradient quotient for a batch, and its gradient with respect to each parameter."""
    values = {name: own.detach().requires_grad_() for name, own in start.model.named_parameters()}
    with torch.enable_grad():
        quotient = gradient_quotient(start.loss(start.forward(x, values), y), values)
        slopes = torch.autograd.grad(quotient, list(values.values()), allow_unused=True, materialize_grads=True)
    return float(quotient.detach()), dict(zip(values, slopes, strict=True))


@torch.no_grad()
def rescale(weight: Tensor, change: float) -> None:
    """Change a weight's norm by this much, down to half of it at most."""
    norm = float(weight.norm())
    if norm > 0 and math.isfinite(norm):
        weight.mul_(max(1 + change / norm, SHRINK))


def gradinit(
    model,
    batch,
    generator,
    *,
    start: Start,
    act=None,
    steps: int = 100,
    rate: float = 0.01,
    eta: float = 0.1,
    gamma: float = 1.0,
    optimizer: str = "sgd",
    least: float = 0.01,
    bias: float = 0,
) -> None:
    """he, then the scale of each parameter changed to minimize the loss after one step of size eta along the gradient.

    Where the gradient's norm is above gamma, that is made smaller instead. `optimizer`: step and norm are those of sgd
    (g, Euclidean) or of adam (sign g, sum of |g|). The step is taken on the first two thirds of the batch, and the loss
    after it is of the first and the last third. Scales follow Adam with this `rate` and stay above `least`. Zhu et al.
    2021, algorithm 1; the slope goes through the step, which their code takes as constant.
    """
    integer("init.steps", steps, "[0, inf)")
    for key, value in {"rate": rate, "eta": eta, "gamma": gamma, "least": least}.items():
        number(f"init.{key}", value, "(0, inf)")
    choice("init.optimizer", optimizer, ("sgd", "adam"))
    refuse_weight_norm("gradinit", start)
    he(model, batch, generator, act=act, bias=bias)
    search = ScaleSearch(start, eta, gamma, optimizer)
    norm, loss = search.norm_and_loss()
    start.report |= {"steps": steps, "norm_before": norm, "loss_after_step_before": loss}
    adam = torch.optim.Adam([search.scales], lr=rate)  # takes seconds to import: planning ends at the pass before it
    for _ in range(steps):
        search.scales.grad = search.slope()
        adam.step()
        with torch.no_grad():
            search.scales.clamp_(min=least)
    norm, loss = search.norm_and_loss()
    start.report |= {"norm_after": norm, "loss_after_step_after": loss}
    search.write()


class ScaleSearch:
    """One scale per parameter that is not 0, and how good they are."""

    def __init__(self, start: Start, eta: float, gamma: float, optimizer: str):
        self.start, self.eta, self.gamma, self.by_sign = start, eta, gamma, optimizer == "adam"
        self.fixed = {name: own.detach().clone() for name, own in start.model.named_parameters()}
        self.names = [name for name, own in start.written().items() if own.any()]
        self.scales = torch.ones(len(self.names), requires_grad=True)
        third = max(len(start.x) // 3, 1)
        self.stepped, self.judged = slice(0, 2 * third), [*range(third), *range(2 * third, len(start.x))]

    def values(self) -> dict[str, Tensor]:
        """All parameters, scaled."""
        scaled = {name: self.fixed[name] * scale for name, scale in zip(self.names, self.scales, strict=True)}
        return self.fixed | scaled

    def gradient(self, values: dict[str, Tensor]) -> tuple[list[Tensor], Tensor]:
        """The gradient of the loss on the first part of the batch, and its norm."""
        own = [value if value.requires_grad else value.requires_grad_() for value in values.values()]
        loss = self.loss(values, self.stepped)
        gradients = torch.autograd.grad(loss, own, create_graph=True, allow_unused=True, materialize_grads=True)
        if self.by_sign:
            return list(gradients), torch.stack([gradient.abs().sum() for gradient in gradients]).sum()
        return list(gradients), torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()

    def loss(self, values: dict[str, Tensor], part: slice | list[int]) -> Tensor:
        return self.start.loss(self.start.forward(self.start.x[part], values), self.start.y[part])

    def after_step(self, values: dict[str, Tensor], gradients: list[Tensor]) -> Tensor:
        """The loss on the second part of the batch after a step."""
        steps = (gradient.sign() if self.by_sign else gradient for gradient in gradients)
        moved = {name: values[name] - self.eta * step for name, step in zip(values, steps, strict=True)}
        return self.loss(moved, self.judged)

    @torch.enable_grad()
    def slope(self) -> Tensor:
        """Of what is to be minimized: the gradient's norm where it is above gamma, else the loss after the step."""
        values = self.values()
        gradients, norm = self.gradient(values)
        objective = norm if float(norm.detach()) > self.gamma else self.after_step(values, gradients)
        (slope,) = torch.autograd.grad(objective, self.scales)
        return slope.nan_to_num(0, 0, 0)

    @torch.enable_grad()
    def norm_and_loss(self) -> tuple[float, float]:
        """The gradient's norm, and the loss after the step."""
        values = self.values()
        gradients, norm = self.gradient(values)
        return float(norm.detach()), float(self.after_step(values, gradients).detach())

    @torch.no_grad()
    def write(self) -> None:
        values = self.values()
        for name, own in self.start.model.named_parameters():
            own.copy_(values[name])


def refuse_weight_norm(scheme: str, start: Start) -> None:
    """DoesNotFit where a weight's norm is a parameter of its own: scaling the weight would change nothing."""
    if any(isinstance(module, WeightNorm) for module in start.model.modules()):
        raise DoesNotFit(f"init={scheme} scales weights, whose norms are apart with norm=weight: set norm=none")
