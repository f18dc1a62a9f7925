"""The recurrent part of a model, which can follow another scheme than the rest."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from initbench.errors import InputError
from initbench.parts.checks import number


def recurrent_parts(model: nn.Module) -> list[nn.Module]:
    """The modules that hold recurrent weights: those named `recurrent`. InputError if there are none."""
    parts = [module for name, module in model.named_modules() if name.rpartition(".")[2] == "recurrent"]
    if not parts:
        raise InputError("init.recurrent needs a model with recurrent weights: model=rnn, lstm or gru")
    return parts


@torch.no_grad()
def set_forget_bias(model: nn.Module, value: float) -> None:
    """Write every forget gate's bias (1: Gers et al. 2000; Jozefowicz et al. 2015). InputError if there is none."""
    number("init.forget_bias", value)
    biases = [bias for gate, bias in gate_biases(model) if gate == "forget"]
    if not biases:
        raise InputError("init.forget_bias needs a model with forget gates: model=lstm")
    for bias in biases:
        bias.fill_(value)


def gate_biases(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The name and the bias (N,) of every gate that has one."""
    for module in model.modules():
        gates, bias = getattr(module, "gates", None), getattr(module, "bias", None)
        if isinstance(gates, tuple) and bias is not None:
            yield from zip(gates, bias.detach().chunk(len(gates)), strict=True)
