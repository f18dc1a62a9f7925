"""A results folder with numbers made up in the shape of real ones, written through the store."""

import hashlib
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from initbench.results.load import Results, load
from initbench.results.schema import OUTCOME_TYPES
from initbench.results.store import Store

LAYER_METRICS = [
    "weight_grad_norm",
    "pre_grad_norm",
    "act_mean",
    "act_var",
    "unit_spread",
    "example_spread",
    "dead",
    "saturated",
    "update_ratio",
    "nonfinite",
]
CONSTANT_LOSS = math.log(10)

# What becomes of an initializer at depth 20: its outcome, its accuracy, its gradients' growth a layer to the input.
FATES = {
    "he": ("learned", 0.96, 1.0),
    "orthogonal": ("learned", 0.95, 1.02),
    "xavier": ("learned", 0.89, 0.75),
    "lecun": ("stuck", 0.44, 0.7),
    "torch_default": ("stuck", 0.10, 0.4),
    "normal": ("diverged", None, 7.0),
    "normal_small": ("stuck", 0.10, 0.07),
    "zeros": ("stuck", 0.10, 0.0),
}


def row(init: str = "he", act: str = "relu", depth: int = 20, seed: int = 0, **settings: Any) -> dict[str, Any]:
    """A run asked for: its id, choices and flattened configuration."""
    asked = {
        "init": init,
        "act": act,
        "data": "digits",
        "model": "mlp",
        "optim": "sgd",
        "mitigation": "none",
        "depth": depth,
        "width": 100,
        "lr": 0.01,
        "batch_size": 100,
        "steps": 200,
        "seed": seed,
        "log_every": 20,
    } | settings
    return {"run_id": hashlib.sha256(repr(sorted(asked.items())).encode()).hexdigest()[:16], **asked}


def finished(asked: dict[str, Any], outcome: str = "learned", **measured: Any) -> dict[str, Any]:
    """The row of a run that was trained: a diverged one has its step, and no loss or accuracy."""
    values: dict[str, Any] = dict.fromkeys(OUTCOME_TYPES.keys() - {"error"})
    values |= {"status": "done", "outcome": outcome, "constant_loss": CONSTANT_LOSS, "majority_acc": 0.1}
    values |= {"config": {"depth": asked["depth"]}, "input_mean": 0.3, "input_std": 0.4, "parameters": 200_000}
    if outcome != "diverged":
        values |= {"train_loss": 0.2, "train_acc": 0.99, "test_loss": 0.3, "test_acc": 0.95}
    return asked | values | measured


def curves_of(run: dict[str, Any], generator: np.random.Generator, growth: float) -> dict[str, dict[str, Any]]:
    """A run's losses, evals and layers, as columns."""
    steps, depth = run["steps"], run["depth"]
    step = np.arange(steps)
    if run["outcome"] == "learned":
        loss = CONSTANT_LOSS * (0.02 + 0.98 * np.exp(-step / steps * generator.uniform(4, 8)))
        loss = loss * np.exp(0.25 * generator.standard_normal(steps))
    elif run["outcome"] == "stuck":
        loss = CONSTANT_LOSS + 0.03 * generator.standard_normal(steps)
    else:
        step = step[: run["diverged_step"]]
        loss = CONSTANT_LOSS * np.exp(0.4 * step)
    looks = np.unique(np.r_[0 : steps : run["log_every"]])
    at, layer = (grid.ravel() for grid in np.meshgrid(looks, np.arange(depth + 1), indexing="ij"))
    norm = growth ** (depth - layer.astype(float)) * np.exp(0.2 * generator.standard_normal(len(layer)))
    metrics = {name: generator.random(len(layer)) for name in LAYER_METRICS} | {"pre_grad_norm": 0.1 * norm}
    names = np.array([*(f"layers.{i}" for i in range(depth)), "head"])
    ids = {"run_id": [run["run_id"]]}
    return {
        "losses": {"run_id": ids["run_id"] * len(step), "step": step, "train_loss": loss},
        "evals": {
            "run_id": ids["run_id"] * 3,
            "step": [steps] * 3,
            "split": ["train", "val", "test"],
            "loss": [run.get("train_loss"), None, run.get("test_loss")],
            "acc": [run.get("train_acc"), None, run.get("test_acc")],
        },
        "layers": {
            "run_id": ids["run_id"] * len(layer),
            "step": at,
            "layer": layer,
            "name": names[layer],
            **metrics,
        },
    }


def joined(curves: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Several runs' curves one below the other."""
    return {
        table: {
            name: list(itertools.chain.from_iterable(run[table][name] for run in curves)) for name in curves[0][table]
        }
        for table in curves[0]
    }


def made_up_sweep(
    root: Path,
    inits: Sequence[str] = tuple(FATES),
    acts: Sequence[str] = ("relu", "tanh"),
    depths: Sequence[int] = (5, 20),
    seeds: int = 3,
    pending: int = 0,
    name: str = "demo",
    **settings: Any,
) -> Store:
    """Write a sweep whose last `pending` runs of each stack haven't been trained; a stack is an act and a depth."""
    store, generator = Store(root), np.random.default_rng(0)
    cells = list(itertools.product(acts, depths))
    asked = {
        (act, depth): [row(init, act, depth, seed, **settings) for init in inits for seed in range(seeds)]
        for act, depth in cells
    }
    store.save_sweep(name, info={"command": ["initbench", "run"]}, runs=list(itertools.chain(*asked.values())))
    for number, ((act, depth), rows) in enumerate(asked.items()):
        done, curves = [], []
        for run in rows[: len(rows) - pending]:
            outcome, acc, growth = FATES.get(run["init"], ("learned", 0.9, 0.9))
            if depth < 20 and outcome == "diverged" and run["seed"] > 0:
                outcome, acc = "stuck", 0.12
            if outcome == "diverged":
                done.append(finished(run, "diverged", diverged_step=8 + run["seed"]))
            else:
                acc = acc + 0.01 * generator.standard_normal()
                loss = 0.05 if outcome == "learned" else CONSTANT_LOSS
                done.append(finished(run, outcome, test_acc=round(acc * 360) / 360, train_loss=loss))
            curves.append(curves_of(done[-1], generator, growth ** (1.3 if act == "tanh" else 1)))
        store.save_stack(
            f"{number:04x}",
            runs=done,
            **joined(curves),
            info={"stack_seconds": 12.5, "device": "cpu", "versions": {"torch": "2"}, "git_commit": None},
        )
    return store


def results_of(
    root: Path, *runs: dict, sweep: str = "demo", stack: str = "ab", info: dict[str, Any] | None = None
) -> Results:
    """Results of these runs; those without a status are only asked for."""
    store = Store(root)
    asked = [{key: value for key, value in run.items() if key not in OUTCOME_TYPES} for run in runs]
    store.save_sweep(sweep, info=info or {}, runs=asked)
    store.save_stack(stack, runs=[run for run in runs if "status" in run], info={})
    return load(root)


def accuracies(init: str, *values: float | None, **settings) -> list[dict]:
    """A cell whose seeds got these accuracies; None is a diverged run."""
    return [
        finished(row(init, seed=seed, **settings), "diverged", diverged_step=10 + seed)
        if value is None
        else finished(row(init, seed=seed, **settings), test_acc=value, train_loss=1 - value)
        for seed, value in enumerate(values)
    ]
