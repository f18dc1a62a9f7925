"""Layers and models after an initializer, and whether a sample has the moments it should."""

import inspect
import math
from typing import Any

import torch
from torch import nn

from initbench.parts import activations, inits
from initbench.parts.activations import Activation

N, M = 37, 53  # fan_in and fan_out: odd, and different
RELU = Activation(activations.relu)
TANH = Activation(activations.tanh)

LOADS = {"checkpoint", "pretrained"}  # need a file: tests/test_pretrained.py
RESIDUAL = {"fixup", "skipinit", "rezero"}  # for residual branches alone: tests/test_residual.py
LATER = {"lsuv", "krahenbuhl", "autoinit", "metainit", "gradinit", "auto"}  # tests/test_inits_data.py
TRANSFORMER = {
    "gpt2",
    "small_init",
    "deepnorm",
    "t_fixup",
    "mimetic",
}  # for a transformer's blocks alone: tests/test_inits_transformer.py
RECURRENT = {"chrono"}  # for gates alone: tests/test_inits_recurrent.py
ALL = {
    name: function
    for name, function in inspect.getmembers(inits, inspect.isfunction)
    if list(inspect.signature(function).parameters)[:3] == ["model", "batch", "generator"]
    and name not in LOADS | RESIDUAL | LATER | TRANSFORMER | RECURRENT | {"mup"}  # tests/test_mup.py
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def initialized(scheme, model: nn.Module, *, seed: int = 0, act: Activation = RELU, **parameters) -> Any:
    """`model` after `scheme`, its parameters NaN before."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(math.nan)
    if "act" in inspect.signature(scheme).parameters:
        parameters["act"] = act
    scheme(model, torch.zeros(2, N), generator(seed), **parameters)
    return model


def weights(scheme, **parameters) -> torch.Tensor:
    """The weights that a scheme gives to a stack of 16 layers: (16, M, N), float64."""
    model = nn.Sequential(*(nn.Linear(N, M) for _ in range(16))).double()
    return torch.stack([layer.weight.detach() for layer in initialized(scheme, model, **parameters)])


def biases(scheme, **parameters) -> torch.Tensor:
    """The biases that a scheme gives to a stack of 64 layers: (64, M), float64."""
    model = nn.Sequential(*(nn.Linear(N, M) for _ in range(64))).double()
    return torch.stack([layer.bias.detach() for layer in initialized(scheme, model, **parameters)])


def sample(scheme, model: nn.Module, name: str, **parameters) -> torch.Tensor:
    """The values that a scheme gives to one parameter of a model, float64."""
    return initialized(scheme, model.double(), **parameters).get_parameter(name).detach()


def has_moments(sample: torch.Tensor, variance: float, kurtosis: float = 3.0) -> bool:
    """Are mean and variance within 5 standard errors of 0 and `variance`? kurtosis: 3 normal, 1.8 uniform."""
    n = sample.numel()
    mean_ok = abs(float(sample.mean())) < 5 * math.sqrt(variance / n)
    return mean_ok and abs(float(sample.var()) / variance - 1) < 5 * math.sqrt((kurtosis - 1) / n)
