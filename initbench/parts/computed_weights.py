"""torch's weight normalization, spectral normalization and orthogonal weights in a user's model."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm as WeightNormHook

ITERATIONS = 15  # of the power method, as torch makes when it normalizes a layer


@torch.no_grad()
def sync_gains(model: nn.Module) -> None:
    """Set g of W = g v / ||v|| to ||v||, so that W is the v that an initializer wrote."""
    for module, part in _normalizations(model):
        if isinstance(part, parametrizations._WeightNorm):
            own = _originals(module)
            own.original0.copy_(torch.norm_except_dim(own.original1, 2, part.dim))
        elif isinstance(part, WeightNormHook):
            module.weight_g.copy_(torch.norm_except_dim(module.weight_v, 2, part.dim))  # type: ignore[operator, arg-type]


@torch.no_grad()
def settle(model: nn.Module) -> None:
    """What follows from the W that an initializer wrote, once: the power method of spectral normalization finds its
    singular vectors, and orthogonal weights are the orthogonal factor of W."""
    for module, part in _normalizations(model):
        if isinstance(part, parametrizations._SpectralNorm):
            weight = _originals(module).original
            if weight.ndim > 1:
                part._power_method(part._reshape_weight_to_matrix(weight), ITERATIONS)
        elif isinstance(part, parametrizations._Orthogonal):
            module.weight = _originals(module).original.clone()
        elif isinstance(part, SpectralNorm):
            for _ in range(ITERATIONS):
                part.compute_weight(module, do_power_iteration=True)


def detach_computed(model: nn.Module) -> None:
    """Take the weights that hooks computed in an earlier pass out of its graph: a model with a graph isn't copied."""
    for module in model.modules():
        for name, value in vars(module).items():
            if isinstance(value, Tensor) and value.grad_fn is not None:
                vars(module)[name] = value.detach()


def _originals(module: nn.Module) -> Any:
    """The parameters from which a parametrization computes a weight."""
    return module.parametrizations["weight"]  # type: ignore[index]


def _normalizations(model: nn.Module) -> Iterator[tuple[nn.Module, object]]:
    """The modules whose weight is computed, each with what computes it."""
    for module in model.modules():
        if parametrize.is_parametrized(module, "weight"):
            yield from ((module, part) for part in _originals(module))
        yield from ((module, hook) for hook in module._forward_pre_hooks.values() if hasattr(hook, "compute_weight"))
