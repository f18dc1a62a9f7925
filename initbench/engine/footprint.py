"""The memory and arithmetic that a run costs, computed from its model's shape and its recipe."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from initbench.engine.recipe import Recipe
from initbench.parts.dropout import DropConnect, Dropout

ACTIVATION_COPIES = 4  # pre-activation, activation, their gradient, slope
MASKED_COPIES = 2.25  # the random byte, the mask, the masked number
AUGMENTED_COPIES = 5  # of a batch, where it is augmented: as found, indices or a grid, and what comes of it
RECORD_COPIES = 4  # as tensors, arrays, tables of a run and of the stack
NUMBER = 4  # bytes of a float32


@dataclass(frozen=True)
class Footprint:
    """The cost of one run: parameters, layers, bytes while it trains, floating-point operations per step."""

    parameters: int
    layers: int
    bytes: int
    flops: int


def footprint(model: nn.Module, example: Tensor, recipe: Recipe, own_rates: bool = False) -> Footprint:
    """The cost of training `model` by a recipe on examples like this one, (1, ...).

    own_rates: whether single parameters have learning rates of their own.

    A model on the meta device is moved to uninitialized memory: a forward pass on meta would import half of torch's
    compiler, which takes two seconds.
    """
    parameters = sum(p.numel() for p in model.parameters())
    model._apply(lambda own: torch.empty(own.shape, dtype=own.dtype, device="cpu") if own.is_meta else own)
    leaves = [module for module in model.modules() if not list(module.children())]
    outputs = products = masked_outputs = masked_weights = 0

    def count(module: nn.Module, inputs: tuple, output: Any):
        nonlocal outputs, products, masked_outputs, masked_weights
        if not isinstance(output, Tensor):  # nn.LSTM's, say
            outputs += sum(part.numel() for part in tree_leaves(output) if isinstance(part, Tensor))
            return
        if isinstance(module, Dropout):
            masked_outputs += output.numel()
            return
        outputs += output.numel()
        weight = getattr(module, "weight", None)
        if isinstance(module, DropConnect):
            masked_weights += module.weight.numel()
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
    inputs = example.numel() * (AUGMENTED_COPIES if recipe.augment.asked else 1)
    activity = recipe.batch_size * (numbers + MASKED_COPIES * masked_outputs + inputs)
    logged = (recipe.steps // recipe.log_every + 1) * len(recipe.metrics) * layers
    recorded = RECORD_COPIES * (recipe.steps + logged)
    return Footprint(
        parameters=parameters,
        layers=layers,
        bytes=weight_bytes(model, recipe, own_rates)
        + int(NUMBER * (activity + MASKED_COPIES * masked_weights + recorded)),
        # a product and a sum, in the forward pass and twice in the backward pass
        flops=3 * 2 * recipe.batch_size * products,
    )


def weight_bytes(model: nn.Module, recipe: Recipe, own_rates: bool = False) -> int:
    """Bytes that a run needs for its weights and for all that `Updater` and `Training` hold of their size."""
    gradient, regularize, weights = recipe.gradient, recipe.regularize, sum(p.numel() for p in model.parameters())
    held = [
        *("weights", "gradient", "weights before a log step", "model as it was built"),
        *["gradient of the loss alone"] * (gradient.changes or regularize.weight_decay is not None),
        *["average"] * (recipe.average is not None),
        *["weights that validated best"] * (regularize.patience is not None),
        *["weights without noise"] * (regularize.weight_noise is not None),
        *["rates", "rates at this step of the schedule"] * own_rates,
    ]
    passing = 1  # change at a log step, root at an update, last weights while an average is evaluated
    if gradient.changes or regularize.weight_noise is not None:
        passing = 2  # a norm in float64, noise as it is drawn
    state = moments(model, recipe.optimizer)
    overflowed = weights + state if recipe.precision == "float16" else 0  # to which a run that overflows goes back
    return NUMBER * ((len(held) + passing) * weights + state + overflowed)


def moments(model: nn.Module, optimizer: Any) -> int:
    """How many numbers an optimizer keeps for a model: counted for one weight of a tensor, times its weights."""
    sizes: dict[int, int] = {}  # dimensions -> weights
    for parameter in model.parameters():
        sizes[parameter.ndim] = sizes.get(parameter.ndim, 0) + parameter.numel()
    return sum(
        count * sum(numbers.numel() for numbers in optimizer.init(torch.zeros((1,) * dimensions)).values())
        for dimensions, count in sizes.items()
    )
