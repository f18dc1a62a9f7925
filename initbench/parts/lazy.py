"""Lazily built modules (`nn.LazyLinear`): they get their shapes from a first forward pass."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

from initbench.errors import InputError


def materialize(model: nn.Module, x: Tensor) -> None:
    """Pass examples x (B, ...) through a model that has lazily built modules, so that its parameters have shapes.

    Raises InputError where that fails, or leaves one without.
    """
    if not _unbuilt(model):
        return
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad():
            model.eval()(x)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"model: lazily built layers get their shapes from a first forward pass, and it failed with "
            f"{type(error).__name__}: {reason}"
        ) from error
    for module, training in modes.items():
        module.training = training
    if left := _unbuilt(model):
        raise InputError(f"model: the forward pass does not use {left[0]}, a lazily built layer: it has no shape")


def _unbuilt(model: nn.Module) -> list[str]:
    """The names of lazily built modules that have no shape yet."""
    found: list[tuple[str, Any]] = [(name, m) for name, m in model.named_modules() if isinstance(m, LazyModuleMixin)]
    return [name for name, module in found if module.has_uninitialized_params()]
