"""What a run of a model costs, told from its shape alone."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

BYTES_PER_WEIGHT = 6 * 4  # weights, gradient, two moments of an optimizer; before and change at a look
ACTIVATION_COPIES = 4  # pre-activation, activation, their gradient, slope
RECORD_COPIES = 4  # as tensors, arrays, tables of a run and of the stack
NUMBER = 4  # bytes


@dataclass(frozen=True)
class Footprint:
    """One run of a model: parameters, layers, bytes while it trains and floating-point operations a step."""

    parameters: int
    layers: int
    bytes: int
    flops: int


def footprint(model: nn.Module, shape: tuple[int, ...], batch_size: int, steps: int, looks: int) -> Footprint:
    """The cost of training `model` on batches of examples of this shape.

    `looks` counts numbers recorded a layer: looks times metrics. A model on the meta device is given weights that
    are never written: a forward pass there would import half of torch's compiler, which takes two seconds.
    """
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.is_meta:
                setattr(module, name, nn.Parameter(torch.empty(parameter.shape, device="cpu")))
    leaves = [module for module in model.modules() if not list(module.children())]
    outputs = products = 0

    def count(module: nn.Module, inputs: tuple, output: Tensor):
        nonlocal outputs, products
        outputs += output.numel()
        weight = getattr(module, "weight", None)
        if weight is not None and weight.ndim >= 2:
            products += output.numel() * weight[0].numel()

    hooks = [module.register_forward_hook(count) for module in leaves]
    example = torch.zeros(1, *shape)
    with torch.no_grad():
        model.eval()(example)
    for hook in hooks:
        hook.remove()
    parameters = sum(p.numel() for p in model.parameters())
    layers = sum(1 for module in leaves if list(module.parameters()))
    activity = batch_size * (ACTIVATION_COPIES * outputs // 2 + example.numel())
    recorded = RECORD_COPIES * (steps + looks * layers)
    return Footprint(
        parameters=parameters,
        layers=layers,
        bytes=BYTES_PER_WEIGHT * parameters + NUMBER * (activity + recorded),
        flops=3 * 2 * batch_size * products,  # a product and a sum, in the forward pass and twice in the backward pass
    )
