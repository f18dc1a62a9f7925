"""What a run of a model costs, told from its shape alone: the model is on the meta device and nothing is computed."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

WEIGHT_COPIES = 6  # weights, gradient, two moments of an optimizer; before and change at a look
ACTIVATION_COPIES = 4  # pre-activation, activation, their gradient, slope
NUMBER = 4  # bytes


@dataclass(frozen=True)
class Footprint:
    """One run of a model: parameters, layers, bytes while it trains and floating-point operations a step."""

    parameters: int
    layers: int
    bytes: int
    flops: int


def footprint(model: nn.Module, shape: tuple[int, ...], batch_size: int) -> Footprint:
    """The cost of training `model` (on the meta device) on batches of examples of this shape."""
    leaves = [module for module in model.modules() if not list(module.children())]
    outputs = 0

    def count(module: nn.Module, inputs: tuple, output: Tensor):
        nonlocal outputs
        outputs += output.numel()

    hooks = [module.register_forward_hook(count) for module in leaves]
    batch = torch.empty(batch_size, *shape, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(batch)
    for hook in hooks:
        hook.remove()
    parameters = sum(p.numel() for p in model.parameters())
    return Footprint(
        parameters=parameters,
        layers=sum(1 for module in leaves if list(module.parameters())),
        bytes=NUMBER * (WEIGHT_COPIES * parameters + ACTIVATION_COPIES * outputs // 2 + batch.numel()),
        flops=3
        * counter.get_total_flops(),  # the backward pass has two products for each of the forward pass
    )
