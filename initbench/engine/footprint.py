"""What a run of a model costs, told from its shape alone."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

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
    """The cost of training `model`, which may be on the meta device, on batches of examples of this shape."""
    # One example on the CPU, in weights that are never written: a forward pass on the meta device would import
    # half of torch's compiler, which takes two seconds.
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(torch.empty(parameter.shape)))
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype))
    model.eval()
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
        model(example)
    for hook in hooks:
        hook.remove()
    parameters = sum(p.numel() for p in model.parameters())
    return Footprint(
        parameters=parameters,
        layers=sum(1 for module in leaves if list(module.parameters())),
        bytes=NUMBER * (WEIGHT_COPIES * parameters + batch_size * (ACTIVATION_COPIES * outputs // 2 + example.numel())),
        flops=3 * 2 * batch_size * products,  # a product and a sum, in the forward pass and twice in the backward pass
    )
