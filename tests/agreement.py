"""Models filled with numbers in float64, and whether what two of them compute agrees."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from initbench.parts.activations import Activation, tanh

act = partial(Activation, tanh)
SEQUENCES = ("augment_scale", "augment_time_shift")  # mitigations that need sequences, where a test has digits


def with_data(mitigation: str) -> list[str]:
    """Overrides: a mitigation, and data that suit it."""
    suiting = ["data=mnist1d"] if mitigation in SEQUENCES else ["data.imbalance=0.2"] if mitigation == "adasyn" else []
    return [f"mitigation={mitigation}", *suiting]


def filled(model: nn.Module, seed: int = 0) -> Any:
    """The model in float64, with weights of every parameter drawn."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model = model.double()
        for parameter in model.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def copy_values(pairs: Sequence[tuple[Any, Any]]) -> None:
    with torch.no_grad():
        for ours, theirs in pairs:
            theirs.copy_(ours)


def same(ours: Tensor, theirs: Tensor, pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
    """Are the outputs equal, and the gradients of a function of them with respect to pairs of tensors?"""
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)
    toward = random(*ours.shape, seed=7)
    our_gradients = torch.autograd.grad(ours, [a for a, _ in pairs], toward)
    their_gradients = torch.autograd.grad(theirs, [b for _, b in pairs], toward)
    assert any(gradient.abs().max() > 1e-3 for gradient in our_gradients)
    for a, b in zip(our_gradients, their_gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)
