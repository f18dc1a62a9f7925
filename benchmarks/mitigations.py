"""Run-steps per second of every mitigation: stacked as `initbench run` trains it, a run alone, a plain PyTorch loop.

    python benchmarks/mitigations.py             # 3 rounds; --write: into README.md

A run-step is one update of one run. Stacks and runs alone train in two processes of one thread, as `initbench run`
does on two cores; the loop in one process of two threads, as benchmarks/engine.py has it. The loop is the same
`nn.Module` with its own autograd, and torch's own tools for the mitigation where it has them: its optimizers and
schedulers, `clip_grad_norm_`, `F.cross_entropy(label_smoothing=...)`, `AveragedModel`. What torch hasn't got (LAMB,
Lookahead, Ranger, noise, L1, gradient centralization) is written as one would write it for one model. Digits, batches
of 100, depth 20.
"""

import argparse
import multiprocessing
import statistics
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from readme import write
from steps import rate, steps_of
from torch import nn

from initbench import build
from initbench.config.grid import expand
from initbench.config.registry import choices
from initbench.config.run import Run
from initbench.engine.batches import Batches
from initbench.engine.process import configure_process
from initbench.engine.programs.mlp import MLPProgram
from initbench.parts.dropout import stochastic_modules

WIDTHS, SECONDS = (100, 32), 0.6
SIZES = {100: 16, 32: 32}  # runs of a stack
CUDA = {"float16", "tf32"}
# Those whose steps are those of none: they are about data, about the start or, early stopping, cost evaluations.
WITHOUT_COST = {"raw_inputs", "badly_scaled", "feature_scaled", "bias", "early_stopping"}
# Those that change one number at a time, wherever it is.
ELEMENTWISE = {
    *("none", "clip_value", "gradient_noise", "weight_noise", "nesterov", "adam", "adamw", "rmsprop", "adagrad"),
    *("radam", "lookahead", "ranger", "warmup", "step_decay", "exponential", "cosine", "warm_restarts", "cyclic"),
    *("one_cycle", "weight_decay", "decoupled_decay", "l1", "dropout", "label_smoothing", "swa", "ema", "residual"),
    *("residual_learned", "dropconnect", "clip_norm"),
}


def runs_of(mitigation: str, width: int) -> list[Run]:
    return expand([f"mitigation={mitigation}", "depth=20", f"width={width}", "steps=1000"], seeds=SIZES[width]).runs


def ours(mitigation: str, width: int, size: int) -> tuple[float, bool]:
    """The rate of a stack of `size` runs, and whether the hand-stacked program trains it."""
    configure_process(1)
    step, program = steps_of(runs_of(mitigation, width)[:size])
    return rate(step, size, SECONDS), isinstance(program, MLPProgram)


def loop(mitigation: str, width: int) -> float:
    """The rate of one plain model with torch's own tools."""
    configure_process(2)
    config = runs_of(mitigation, width)[0].config
    data = build.data(config)
    model = build.initialized(config, data)
    for module in stochastic_modules(model):
        module.source = lambda shape: torch.randint(256, tuple(shape), dtype=torch.uint8)
    regularize, gradient, lr = config["regularize"], config["gradient"], config["lr"]
    optimizer = torchs_optimizer(mitigation, model, config, lr)
    scheduler = torchs_scheduler(config, optimizer)
    average = torch.optim.swa_utils.AveragedModel(model) if config.get("average") else None
    batches = iter(Batches([0], len(data.y_train), config["batch_size"], torch.device("cpu")))
    parameters = list(model.parameters())

    def step() -> None:
        (index,) = next(batches)
        clean: list[torch.Tensor] = []
        if regularize["weight_noise"]:
            clean = [parameter.detach().clone() for parameter in parameters]
            with torch.no_grad():
                for parameter in parameters:
                    parameter.add_(torch.randn_like(parameter), alpha=regularize["weight_noise"])
        with torch.autocast("cpu", torch.bfloat16, enabled=config["precision"] == "bfloat16"):
            outputs = model(data.x_train[index])
            loss = F.cross_entropy(outputs, data.y_train[index], label_smoothing=regularize["label_smoothing"] or 0.0)
        if regularize["l1"]:
            loss = loss + regularize["l1"] * sum(parameter.abs().sum() for parameter in parameters)
        optimizer.zero_grad()
        loss.backward()
        if regularize["weight_noise"]:
            with torch.no_grad():
                for parameter, before in zip(parameters, clean, strict=True):
                    parameter.copy_(before)
        if gradient["centralize"]:
            for parameter in parameters:
                if parameter.ndim > 1 and parameter.grad is not None:
                    parameter.grad -= parameter.grad.mean(1, keepdim=True)
        if gradient["clip_value"]:
            nn.utils.clip_grad_value_(parameters, gradient["clip_value"])
        if gradient["clip_norm"]:
            nn.utils.clip_grad_norm_(parameters, gradient["clip_norm"])
        if gradient["noise"]:
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad += torch.randn_like(parameter) * gradient["noise"] ** 0.5
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        if average is not None:
            average.update_parameters(model)

    return rate(step, 1, SECONDS)


class Lookahead:
    """Slow weights that follow an optimizer's every k steps."""

    def __init__(self, fast: torch.optim.Optimizer, k: int):
        self.fast, self.k, self.taken = fast, k, 0
        self.parameters = [parameter for group in fast.param_groups for parameter in group["params"]]
        self.slow = [parameter.detach().clone() for parameter in self.parameters]
        self.zero_grad, self.param_groups = fast.zero_grad, fast.param_groups

    @torch.no_grad()
    def step(self) -> None:
        self.fast.step()
        self.taken += 1
        if self.taken % self.k == 0:
            for parameter, slow in zip(self.parameters, self.slow, strict=True):
                slow.lerp_(parameter, 0.5)
                parameter.copy_(slow)


class LAMB(torch.optim.Optimizer):
    """You et al. 2020, algorithm 2, one tensor after the other."""

    def __init__(self, parameters, lr: float):
        super().__init__(parameters, {"lr": lr})
        self.taken = 0

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        self.taken += 1
        for group in self.param_groups:
            for parameter in group["params"]:
                state, gradient = self.state[parameter], parameter.grad
                if not state:
                    state["m"], state["v"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
                state["m"].lerp_(gradient, 0.1)
                state["v"].mul_(0.999).addcmul_(gradient, gradient, value=0.001)
                m, v = state["m"] / (1 - 0.9**self.taken), state["v"] / (1 - 0.999**self.taken)
                update = m / (v.sqrt() + 1e-6) + 0.01 * parameter
                size, length = parameter.norm(), update.norm()
                trust = torch.where((size > 0) & (length > 0), size / length, 1.0)
                parameter.sub_(group["lr"] * trust * update)


def torchs_optimizer(mitigation: str, model: nn.Module, config: Any, lr: float) -> Any:
    parameters, optim = list(model.parameters()), torch.optim
    match mitigation:
        case "adam":
            return optim.Adam(parameters, lr)
        case "adamw":
            return optim.AdamW(parameters, lr)
        case "rmsprop":
            return optim.RMSprop(parameters, lr)
        case "adagrad":
            return optim.Adagrad(parameters, lr)
        case "radam":
            return optim.RAdam(parameters, lr)
        case "lamb":
            return LAMB(parameters, lr)
        case "lookahead":
            return Lookahead(optim.SGD(parameters, lr, momentum=0.9), 5)
        case "ranger":
            return Lookahead(optim.RAdam(parameters, lr), 6)
        case "muon":
            matrices, vectors = [p for p in parameters if p.ndim == 2], [p for p in parameters if p.ndim != 2]
            return Both(optim.Muon(matrices, lr), optim.AdamW(vectors, lr))
    decay = config["regularize"]["weight_decay"] or 0.0
    nesterov = bool(config["optim"].get("nesterov"))
    if config["regularize"]["decoupled"]:
        shrink = 1 - lr * config["regularize"]["decoupled"]
        return Shrinking(optim.SGD(parameters, lr, momentum=0.9), parameters, shrink)
    return optim.SGD(parameters, lr, momentum=0.9, nesterov=nesterov, weight_decay=decay)


class Both:
    """Two optimizers as one."""

    def __init__(self, *optimizers: torch.optim.Optimizer):
        self.optimizers = optimizers

    def zero_grad(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def step(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()


class Shrinking:
    """An optimizer with decoupled weight decay before each step."""

    def __init__(self, optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], factor: float):
        self.optimizer, self.parameters, self.factor = optimizer, parameters, factor
        self.zero_grad = optimizer.zero_grad

    @torch.no_grad()
    def step(self) -> None:
        for parameter in self.parameters:
            parameter.mul_(self.factor)
        self.optimizer.step()


def torchs_scheduler(config: Any, optimizer: Any) -> Any:
    schedules = torch.optim.lr_scheduler
    match str(config["schedule"].get("_target_")).rpartition(".")[2]:
        case "Warmup":
            return schedules.LinearLR(optimizer, 0.01, total_iters=100)
        case "Step":
            return schedules.StepLR(optimizer, 333)
        case "Exponential":
            return schedules.ExponentialLR(optimizer, 0.995)
        case "Cosine":
            return schedules.CosineAnnealingLR(optimizer, 100_000)
        case "WarmRestarts":
            return schedules.CosineAnnealingWarmRestarts(optimizer, 143, 2)
        case "Cyclic":
            return schedules.CyclicLR(optimizer, 0.001, 0.01, 100, cycle_momentum=False)
        case "OneCycle":
            return schedules.OneCycleLR(optimizer, 0.01, 100_000, cycle_momentum=False)
    return None


def measure(rounds: int, mitigations: list[str]) -> dict[tuple[str, int], dict[str, list[float]]]:
    """Rates by mitigation and width, one a round of each peer; `hand`: 1 where the hand-stacked program trains it."""
    found: dict[tuple[str, int], dict[str, list[float]]] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, context) as pair, ProcessPoolExecutor(1, context) as one:

        def both(mitigation: str, width: int, size: int) -> tuple[float, bool]:
            found = [future.result() for future in [pair.submit(ours, mitigation, width, size) for _ in range(2)]]
            return sum(rate for rate, _ in found), found[0][1]

        for number, width, mitigation in product(range(rounds), WIDTHS, mitigations):
            rates = found.setdefault((mitigation, width), {"stacked": [], "alone": [], "loop": [], "hand": []})
            stacked, by_hand = both(mitigation, width, SIZES[width])
            rates["stacked"].append(stacked)
            rates["alone"].append(both(mitigation, width, 1)[0])
            rates["loop"].append(one.submit(loop, mitigation, width).result())
            rates["hand"].append(float(by_hand))
            said = ", ".join(f"{peer} {values[-1]:.0f}" for peer, values in rates.items() if peer != "hand")
            print(
                f"round {number + 1}, width {width}, {mitigation}: {said}, {stacked / rates['loop'][-1]:.2f}x",
                flush=True,
            )
    return found


def table(found: dict[tuple[str, int], dict[str, list[float]]], mitigations: list[str]) -> str:
    lines = [
        "| mitigation | 20x100 of none | alone | stacked / loop | 20x32 of none | alone | stacked / loop | program |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for mitigation in mitigations:
        cells = []
        for width in WIDTHS:
            rates, none = found[mitigation, width], found["none", width]

            def ratio(a: list[float], b: list[float]) -> str:
                return f"{statistics.median(x / y for x, y in zip(a, b, strict=True)):.2f}"

            cells += [ratio(rates["stacked"], none["stacked"]), ratio(rates["alone"], none["alone"])]
            cells += [ratio(rates["stacked"], rates["loop"])]
        by_hand = "by hand" if found[mitigation, WIDTHS[0]]["hand"][0] else "general"
        star = "" if mitigation in ELEMENTWISE else " *"
        lines.append(f"| {mitigation}{star} | {' | '.join(cells)} | {by_hand} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("mitigations", nargs="*", help="some of them; all without")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/README.md")
    arguments = parser.parse_args()
    every = [name for name in choices("mitigation") if name not in CUDA | WITHOUT_COST | {"none"}]
    chosen = ["none", *(arguments.mitigations or every)]
    rows = table(measure(arguments.rounds, chosen), chosen)
    print(rows)
    if arguments.write:
        write("mitigations", rows)
