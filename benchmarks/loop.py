"""Peers (a) and (b): a plain PyTorch loop, one run at a time, alone or in one process a core with joblib."""

import sys
from functools import partial

import joblib
import numpy as np
import torch
import torch.nn.functional as F
from problem import (
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
from timing import CORES, quickest, report, slope
from torch import (
    Tensor,
    _foreach_norm,  # pyright: ignore[reportPrivateImportUsage]
    _foreach_sub,  # pyright: ignore[reportPrivateImportUsage]
    nn,
)

OPTIMIZERS = {"for-loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}
ALONE, POOLED = 8, 16  # runs timed, of RUNS: one at a time, the rate of a few is the rate of all
TRIAL = 4, 11  # runs and steps that find the faster optimizer and thread count


def mlp(weights: list[np.ndarray]) -> nn.Sequential:
    """Linear and ReLU in turn, then the head, from copies of the weights and zero biases."""
    layers: list[nn.Module] = []
    for weight in weights:
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.weight.data = torch.tensor(weight)
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
        """Statistics by name, (layers,) each: norms of all layers, activations of the hidden ones."""
        for hook in self.hooks:
            hook.remove()
        hidden = torch.stack(self.pre[:-1])  # (depth, B, N): one call for all layers
        act, slopes = hidden.relu(), (hidden > 0).float()  # phi(s) and phi'(s)
        variance, mean = torch.var_mean(act, (1, 2), correction=0)
        moved = _foreach_norm(_foreach_sub(self.weights, self.before))
        return {
            "weight_grad_norm": _norms([weight.grad for weight in self.weights]),
            "pre_grad_norm": _norms([pre.grad for pre in self.pre]),
            "act_mean": mean,
            "act_var": variance,
            "unit_spread": act.var(2, correction=0).mean(1).sqrt(),
            "example_spread": act.var(1, correction=0).mean(1).sqrt(),
            "dead": (slopes < DEAD).all(1).float().mean(1),
            "saturated": (slopes < SATURATED).float().mean((1, 2)),
            "update_ratio": torch.stack(moved) / _norms(self.before),
        }


def _norms(tensors: list) -> Tensor:
    return torch.stack(_foreach_norm(tensors))


def train(
    weights: list[np.ndarray], x: Tensor, y: Tensor, order: np.ndarray, optimizer: str
) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Loss of every step, (steps,), and the statistics of every tenth; order is (steps, B)."""
    model = mlp(weights)
    sgd = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM, **OPTIMIZERS[optimizer])
    losses, looks = torch.empty(len(order)), []
    for step, rows in enumerate(torch.from_numpy(order)):
        look = Look(model) if step % LOOK_EVERY == 0 else None
        sgd.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(x[rows]), y[rows])
        loss.backward()
        sgd.step()
        losses[step] = loss.detach()
        if look:
            looks.append(look.after_step())
    return losses, looks


def one_run(shape: Shape, seed: int, steps: int, optimizer: str) -> None:
    x, y = digits()
    weights = he_weights(shape, x.shape[1], seed)
    train(weights, torch.from_numpy(x), torch.from_numpy(y), batch_order(len(x), seed, steps), optimizer)


def alone(shape: Shape, steps: tuple[int, int]) -> tuple[float, str]:
    """One run at a time in this process, with the optimizer and thread count that a short trial prefers."""

    def train_some(optimizer: str, threads: int, runs: int, n: int) -> None:
        torch.set_num_threads(threads)
        for seed in range(runs):
            one_run(shape, seed, n, optimizer)

    ways = [(optimizer, threads) for optimizer in OPTIMIZERS for threads in range(1, CORES + 1)]
    best = quickest({way: partial(train_some, *way, *TRIAL) for way in ways})
    rate = slope(lambda n: train_some(*best, ALONE, n), steps, ALONE)
    return rate, f"{best[0]}, threads: {best[1]}"


def pooled(shape: Shape, steps: tuple[int, int]) -> tuple[float, str]:
    """One run at a time in each of one single-threaded process a core, with the optimizer a trial prefers."""
    with joblib.Parallel(n_jobs=CORES) as pool:

        def train_some(optimizer: str, runs: int, n: int) -> None:
            pool(joblib.delayed(one_run_one_thread)(shape, seed, n, optimizer) for seed in range(runs))

        best = quickest({optimizer: partial(train_some, optimizer, *TRIAL) for optimizer in OPTIMIZERS})
        return slope(lambda n: train_some(best, POOLED, n), steps, POOLED), best


def one_run_one_thread(*args) -> None:
    torch.set_num_threads(1)
    one_run(*args)


if __name__ == "__main__":
    kind, shape = sys.argv[1], Shape.parse(sys.argv[2])
    steps = int(sys.argv[3]), int(sys.argv[4])
    report({"alone": alone, "pooled": pooled}[kind](shape, steps))
