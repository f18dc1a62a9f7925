"""The losses of R runs at their outputs, and the gradients there: where a backward pass written by hand starts."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor
from torch.func import grad, vmap

from initbench.parts.losses import Targets, TrainingObjective

OutputLoss = Callable[[Tensor, Targets], tuple[Tensor, Tensor]]  # outputs (R, B, C), targets -> losses (R,), gradients


def cross_entropy(logits: Tensor, y: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """The mean cross-entropies (R,) of logits (R, B, C) at labels (R, B), and a gradient (R, B, C).

    With `smoothing`, the gradient is that of targets of which this share is spread over all classes.
    """
    labels, sharp = y.unsqueeze(2), 1 - smoothing
    log_p = F.log_softmax(logits, 2)
    losses = -log_p.gather(2, labels).mean((1, 2))
    delta = log_p.exp_()
    delta.scatter_add_(2, labels, delta.new_full((1, 1, 1), -sharp).expand(labels.shape))
    if smoothing:
        delta -= smoothing / logits.shape[2]
    return losses, delta.div_(logits.shape[1])


def by_autograd(objective: TrainingObjective) -> OutputLoss:
    """Of any objective: its loss is differentiated by the outputs alone, which is cheap beside the layers."""

    def of_run(outputs: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        return objective.loss(outputs, targets), objective.recorded(outputs, targets)

    of_runs = vmap(grad(of_run, has_aux=True))

    def output_loss(outputs: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        gradients, losses = of_runs(outputs, targets)
        return losses, gradients

    return output_loss
