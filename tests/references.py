"""Optimizers that PyTorch lacks, by their papers' pseudocode in numpy, with the interface of torch.optim."""

from collections.abc import Iterable
from unittest import mock

import numpy as np
import torch
from torch import nn


class LAMB:
    """You et al. 2020, algorithm 2, phi the identity; a ratio of 1 where a norm is 0."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, *, eps=1e-6, weight_decay=0.01):
        self.parameters, self.lr, self.eps, self.weight_decay = list(parameters), lr, eps, weight_decay
        self.m = [np.zeros(p.shape) for p in self.parameters]
        self.v = [np.zeros(p.shape) for p in self.parameters]
        self.t = 0

    def zero_grad(self):
        for parameter in self.parameters:
            parameter.grad = None

    def step(self):
        self.t += 1
        for i, parameter in enumerate(self.parameters):
            assert parameter.grad is not None
            x, g = parameter.detach().numpy(), parameter.grad.numpy()
            self.m[i] = 0.9 * self.m[i] + 0.1 * g
            self.v[i] = 0.999 * self.v[i] + 0.001 * g**2
            r = (self.m[i] / (1 - 0.9**self.t)) / (np.sqrt(self.v[i] / (1 - 0.999**self.t)) + self.eps)
            u = r + self.weight_decay * x
            norm_x, norm_u = np.sqrt((x**2).sum()), np.sqrt((u**2).sum())
            ratio = norm_x / norm_u if norm_x > 0 and norm_u > 0 else 1.0
            x -= self.lr * ratio * u  # the parameter's own memory


class Lookahead:
    """Zhang et al. 2019, algorithm 1, around another optimizer of the same parameters."""

    def __init__(self, parameters: Iterable[nn.Parameter], inner, *, k: int = 5, alpha: float = 0.5):
        self.parameters, self.inner, self.k, self.alpha = list(parameters), inner, k, alpha
        self.phi = [p.detach().numpy().copy() for p in self.parameters]
        self.i = 0

    def zero_grad(self):
        self.inner.zero_grad()

    def step(self):
        self.inner.step()
        self.i += 1
        if self.i < self.k:
            return
        self.i = 0
        for n, parameter in enumerate(self.parameters):
            theta = parameter.detach().numpy()
            self.phi[n] = self.phi[n] + self.alpha * (theta - self.phi[n])
            theta[...] = self.phi[n]


def lookahead(parameters: Iterable[nn.Parameter], lr: float) -> Lookahead:
    """Around SGD with momentum."""
    parameters = list(parameters)
    return Lookahead(parameters, torch.optim.SGD(parameters, lr=lr, momentum=0.9))


def ranger(parameters: Iterable[nn.Parameter], lr: float) -> Lookahead:
    """Wright 2019: RAdam inside Lookahead."""
    parameters = list(parameters)
    return Lookahead(parameters, torch.optim.RAdam(parameters, lr=lr, betas=(0.95, 0.999), eps=1e-5), k=6)


class Muon:
    """torch.optim.Muon for matrices and flattened kernels, torch.optim.Adam for the others; no weight decay.

    PyTorch orthogonalizes in bfloat16; `rounded=False` has it do so in float64.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, *, adjust_lr="match_rms_adamw", rounded=False, **options
    ):
        parameters = list(parameters)
        self.matrices = [(p, nn.Parameter(p.detach().flatten(1))) for p in parameters if p.ndim >= 2]  # shared memory
        self.rounded = rounded
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(
                [flat for _, flat in self.matrices], lr=lr, weight_decay=0, adjust_lr_fn=adjust_lr, **options
            )
        ]
        if others := [p for p in parameters if p.ndim < 2]:
            self.optimizers.append(torch.optim.Adam(others, lr=lr))
        self.parameters = parameters

    def zero_grad(self):
        for parameter in self.parameters:
            parameter.grad = None

    def step(self):
        for parameter, flat in self.matrices:
            assert parameter.grad is not None
            flat.grad = parameter.grad.flatten(1)
        with mock.patch.object(torch, "bfloat16", torch.bfloat16 if self.rounded else torch.float64):
            for optimizer in self.optimizers:
                optimizer.step()
