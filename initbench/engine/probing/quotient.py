"""The gradient quotient: how much a step of size 1 along the gradient changes the gradient itself."""

import torch
from torch import Tensor

from initbench.engine.probing.single import SingleRuns
from initbench.parts.losses import Loss, Targets, rows

SMALLEST = 1e-5  # added to a gradient's entry, away from 0, as in the paper's code


def gradient_quotients(runs: SingleRuns, loss: Loss, x: Tensor, targets: Targets) -> Tensor:
    """Of R runs on their batches (R, B, ...), (R,): the mean over parameters of |(g - H g) / (g + eps) - 1|.

    g is the gradient, H the Hessian (Dauphin & Schoenholz 2019, eq. 2). 0 where the loss is linear in the parameters
    nearby; what MetaInit minimises.
    """

    def of_run(run: int) -> Tensor:
        parameters = list((by_name := runs.parameters(run)).values())
        value = loss(runs.outputs(run, by_name, x[run]), rows(targets, run))
        gradients = torch.autograd.grad(value, parameters, create_graph=True, materialize_grads=True)
        constant = [gradient.detach() for gradient in gradients]
        curved = torch.autograd.grad(gradients, parameters, constant, materialize_grads=True)  # H g
        total = torch.zeros((), dtype=torch.float64, device=x.device)
        for g, hg in zip(constant, curved, strict=True):
            away = torch.where(g >= 0, SMALLEST, -SMALLEST)
            total += ((g - hg) / (g + away) - 1).abs().sum(dtype=torch.float64)
        return total / sum(parameter.numel() for parameter in parameters)

    return runs.each(of_run)
