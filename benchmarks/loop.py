"""Peers (a) and (b): a plain PyTorch loop, one run at a time, alone or in one process a core with joblib."""

import argparse
import json

import joblib
import numpy as np
import torch
import torch.nn.functional as F
from problem import (
    BATCH,
    DEAD,
    LOOK_EVERY,
    LR,
    MOMENTUM,
    SATURATED,
    Shape,
    batch_order,
    digits,
    he_weights,
)
from timing import CORES, slope
from torch import Tensor, nn

OPTIMIZERS = {"for-loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}
ALONE = 8  # runs timed one after the other; alone, one run's rate is any run's
POOLED = 16  # runs timed in the pool


def mlp(shape: Shape, weights: list[np.ndarray]) -> nn.Sequential:
    """Linear and ReLU in turn, then the head, with the weights given and zero biases."""
    layers: list[nn.Module] = []
    for weight in weights:
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.weight.data = torch.from_numpy(weight)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Look:
    """The layers' statistics at one step; its hooks hang on the model for that step only."""

    def __init__(self, model: nn.Sequential) -> None:
        self.linears = [module for module in model if isinstance(module, nn.Linear)]
        self.pre: list[Tensor] = []
        self.hooks = [linear.register_forward_hook(self._keep) for linear in self.linears]
        self.weights = [linear.weight for linear in self.linears]
        self.before = [weight.detach().clone() for weight in self.weights]

    def _keep(self, module: nn.Module, inputs: tuple, output: Tensor) -> None:
        output.retain_grad()
        self.pre.append(output)

    @torch.no_grad()
    def after_step(self) -> dict[str, Tensor]:
        """Statistics by name, (layers,) each: all layers for the norms, the hidden ones for the activations."""
        for hook in self.hooks:
            hook.remove()
        hidden = torch.stack(self.pre[:-1])  # (depth, B, N): one call for all layers costs less than one a layer
        act, slopes = hidden.relu(), (hidden > 0).float()
        flat = slopes < SATURATED
        variance, mean = torch.var_mean(act, (1, 2), correction=0)
        moved = torch._foreach_norm(torch._foreach_sub(self.weights, self.before))
        return {
            "weight_grad_norm": _norms([weight.grad for weight in self.weights]),
            "pre_grad_norm": _norms([pre.grad for pre in self.pre]),
            "act_mean": mean,
            "act_var": variance,
            "unit_spread": act.var(2, correction=0).mean(1).sqrt(),
            "example_spread": act.var(1, correction=0).mean(1).sqrt(),
            "dead": (slopes < DEAD).all(1).float().mean(1),
            "saturated": flat.float().mean((1, 2)),
            "update_ratio": torch.stack(moved) / _norms(self.before),
        }


def _norms(tensors: list) -> Tensor:
    return torch.stack(torch._foreach_norm(tensors))


class Loop:
    """Trains runs of one shape, one after the other, with `torch.optim.SGD`."""

    def __init__(self, shape: Shape, optimizer: str) -> None:
        self.shape = shape
        self.optimizer = optimizer
        self.x, self.y = (torch.from_numpy(array) for array in digits())

    def train(self, seed: int, steps: int) -> tuple[Tensor, list[dict[str, Tensor]]]:
        """Loss of every step, (steps,), and the statistics of every tenth, from the seed's weights and batches."""
        model = mlp(self.shape, he_weights(self.shape, self.x.shape[1], seed))
        optimizer = torch.optim.SGD(
            model.parameters(), lr=LR, momentum=MOMENTUM, **OPTIMIZERS[self.optimizer]
        )
        order = torch.from_numpy(batch_order(len(self.x), steps, seed))
        losses, looks = torch.empty(steps), []
        for step, rows in enumerate(order):
            look = Look(model) if step % LOOK_EVERY == 0 else None
            optimizer.zero_grad(set_to_none=True)
            loss = F.cross_entropy(model(self.x[rows]), self.y[rows])
            loss.backward()
            optimizer.step()
            losses[step] = loss.detach()
            if look:
                looks.append(look.after_step())
        return losses, looks


def alone(shape: Shape, steps: tuple[int, int]) -> dict[str, float]:
    """Run-steps per second by optimizer and thread count, in this process."""
    rates = {}
    for optimizer in OPTIMIZERS:
        loop = Loop(shape, optimizer)
        for threads in range(1, CORES + 1):
            torch.set_num_threads(threads)
            loop.train(0, LOOK_EVERY)
            rates[f"{optimizer}, {threads} threads"] = slope(
                lambda n, loop=loop: [loop.train(seed, n) for seed in range(ALONE)], steps, ALONE
            )
    return rates
