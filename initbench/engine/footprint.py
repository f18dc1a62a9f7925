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


def footprint(model: nn.Module, example: Tensor, batch_size: int, steps: int, looks: int) -> Footprint:
    """The cost of training `model` on batches of examples like this one, (1, ...).

    `looks` counts numbers recorded a layer: looks times metrics. A model on the meta device is given numbers that
    are never written: a forward pass there would import half of torch's compiler, which takes two seconds.
    """
    parameters = sum(p.numel() for p in model.parameters())
    model._apply(lambda own: torch.empty(own.shape, dtype=own.dtype, device="cpu") if own.is_meta else own)
    leaves = [module for module in model.modules() if not list(module.children())]
    outputs = products = 0

    def count(module: nn.Module, inputs: tuple, output: Tensor):
        nonlocal outputs, products
        outputs += output.numel()
        weight = getattr(module, "weight", None)
        if weight is not None and weight.ndim >= 2 and not isinstance(module, nn.Embedding):
            products += output.numel() * weight[0].numel()

    saved: dict[int, int] = {}  # storages that autograd keeps for the backward pass, and their numbers

    def keep(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.numel()
        return tensor

    hooks = [module.register_forward_hook(count) for module in leaves]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        kept_alive = model.eval()(example)
    for hook in hooks:
        hook.remove()
    layers = sum(1 for module in leaves if list(module.parameters()))
    numbers = max(ACTIVATION_COPIES * outputs // 2, sum(saved.values()) - parameters + kept_alive.numel())
    activity = batch_size * (numbers + example.numel())
    recorded = RECORD_COPIES * (steps + looks * layers)
    return Footprint(
        parameters=parameters,
        layers=layers,
        bytes=BYTES_PER_WEIGHT * parameters + NUMBER * (activity + recorded),
        flops=3 * 2 * batch_size * products,  # a product and a sum, in the forward pass and twice in the backward pass
    )
