"""Tests, before training, that a run with a user's own code gives the same result beside other runs.

The engine keeps the runs of a stack apart by `vmap`, or by a loop. Code that keeps something between its calls, draws
numbers of its own, or makes models that differ in more than parameters and buffers mixes them all the same.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from initbench import build
from initbench.config.run import Run
from initbench.config.stacks import shape_key
from initbench.engine.state import stack
from initbench.engine.train import Training
from initbench.errors import InputError
from initbench.parts.data import Dataset
from initbench.parts.structure import structure
from initbench.planning.compatibility import custom_parts, smaller

STEPS, BATCH, EXAMPLES = 2, 8, 64  # of a rehearsal
APART = 1e-3  # of a number's size, or of the change of the weights, is a difference; rounding is 1e-6

VARIES = "it makes the same run come out different a second time: draw no random numbers of your own, keep nothing"
MIXES = "it makes a run come out different beside other runs: keep nothing"
KEEP = "between calls, and what differs between seeds in parameters or buffers"


class Rehearsal(NamedTuple):
    """A few steps of one run of a stack."""

    start: Tensor  # (P,): its weights before the first
    weights: Tensor  # (steps, P): after each
    losses: Tensor  # (steps,): of the minibatches
    scores: Tensor  # losses and accuracies of all parts of the data, before and after
    buffers: Tensor  # afterwards, one after the other

    def differs(self, other: "Rehearsal") -> bool:
        """Whether the same run has come out differently."""
        moved = float((self.weights - self.start).nan_to_num(0, 0, 0).norm())
        sizes = [moved, moved, *(float(part.nan_to_num(0, 0, 0).norm()) for part in self[2:])]
        return any(apart(ours, theirs, size) for ours, theirs, size in zip(self, other, sizes, strict=True))


def apart(ours: Tensor, theirs: Tensor, size: float) -> bool:
    """Whether two tensors differ by more than rounding; `size` is what a difference is measured by."""
    finite = ours.isfinite()
    return not torch.equal(finite, theirs.isfinite()) or float((ours - theirs)[finite].norm()) > APART * size


def check_isolation(runs: Sequence[Run]) -> set[str]:
    """Try the runs with somebody's own code, one of each shape and own initializer.

    Returns the `shape_key` of those that `vmap` does not take, which are therefore trained one by one. Raises
    InputError where a run can't be trained, comes out differently a second time, or changes with its neighbours.
    """
    tried: dict[str, bool] = {}
    one_by_one, loaded = set(), set()
    for run in runs:
        if not (parts := custom_parts(run)):
            continue
        dataset = build.data(run.config)
        if not build.shipped(run.config["data"]) and (data := repr(run.config["data"])) not in loaded:
            loaded.add(data)
            check_loading(run.config, dataset)
        if not meets_other_runs(parts, dataset):
            continue
        config = short(smaller(run.config, dataset))
        without = {"seed", "lr"} if any(part.startswith("init") for part in parts) else {"seed", "lr", "init"}
        key = json.dumps({name: value for name, value in config.items() if name not in without}, sort_keys=True)
        if key not in tried:
            tried[key] = needs_loop(", ".join(parts), config, first_of(dataset))
        if tried[key] and run.config["precision"] == "float16":
            raise InputError(f"{', '.join(parts)}: torch.func.vmap can't take it, which precision=float16 needs")
        if tried[key]:
            one_by_one.add(shape_key(run))
    return one_by_one


def meets_other_runs(parts: Sequence[str], dataset: Dataset) -> bool:
    """Whether any of somebody's own code is called while runs train: not that of data whose loss is one of ours."""
    own_loss = not build.shipped({"_target_": type(dataset.objective).__module__})
    return own_loss or any(not part.startswith("data=") for part in parts)


def check_loading(config: build.Config, dataset: Dataset) -> None:
    """Raise InputError where somebody's data are other data when they are loaded again, as each worker does."""
    again = vars(build.load(build.data_section(config)))
    for name, part in vars(dataset).items():
        if isinstance(part, Tensor) and not torch.equal(part, again[name]):
            path = config["data"]["_target_"]
            raise InputError(f"data: {path} gives other data each time: draw them from a generator with a fixed seed")


def short(config: build.Config) -> dict[str, Any]:
    """The configuration of a rehearsal, which is on the CPU."""
    precision = "bfloat16" if config["precision"] == "bfloat16" else "float32"
    lengths = {"steps": STEPS, "log_every": 1, "eval_every": 1, "batch_size": min(BATCH, config["batch_size"])}
    return {**config, **lengths, "precision": precision}


def first_of(dataset: Dataset) -> Dataset:
    """The first examples of each part."""
    parts = {name: part[:EXAMPLES] for name, part in vars(dataset).items() if isinstance(part, Tensor)}
    return replace(dataset, **parts)


def needs_loop(parts: str, config: build.Config, dataset: Dataset) -> bool:
    """Whether a run can only be trained in a loop. Raises InputError, which names the user's `parts`."""
    try:
        alike, looped = first_rehearsal(config, dataset)
        beside = rehearse(config, dataset, looped=looped, beside_others=True)
        if not alike.differs(beside):
            return looped
        again = rehearse(config, dataset, looped=looped, beside_others=False)
    except InputError:
        raise
    except Exception as error:  # whatever the user's code raises
        reason = " ".join(str(error).split())
        raise InputError(f"{parts}: a step of training fails with {type(error).__name__}: {reason}") from error
    raise InputError(f"{parts}: {VARIES if alike.differs(again) else MIXES} {KEEP}")


def first_rehearsal(config: build.Config, dataset: Dataset) -> tuple[Rehearsal, bool]:
    """A run beside copies of itself; and whether it had to be in a loop, whose errors are in plainer words."""
    try:
        return rehearse(config, dataset, looped=False, beside_others=False), False
    except Exception:  # of the user's code, or of vmap for what it can't do: the loop will tell
        return rehearse(config, dataset, looped=True, beside_others=False), True


def rehearse(config: build.Config, dataset: Dataset, *, looped: bool, beside_others: bool) -> Rehearsal:
    """The second of three runs: beside copies of itself, or behind another seed and before a run that is NaN."""
    seed = config["seed"]
    own = build.initialized(config, dataset, look_at_data=not build.shipped(config["init"]))
    first = build.model({**config, "seed": seed ^ 1}, dataset) if beside_others else own
    if structure(first) != structure(own):
        path = config["model"]["_target_"]
        raise InputError(f"model: {path} has other parameters or modules under another seed: runs can't be stacked")
    seeds = [seed ^ 1, seed, seed ^ 2] if beside_others else [seed] * 3
    state = stack([first, own, own], torch.device("cpu"))
    if beside_others:
        state.weights[2] = torch.nan
    start, weights = state.weights[1].clone(), []
    training = Training(state, first, dataset, build.recipe(config), seeds=seeds, lrs=[config["lr"]] * 3, looped=looped)
    training.evaluate()
    for _ in range(STEPS):
        training.step()
        weights.append(state.weights[1].clone())
    training.evaluate()
    scores = [numbers[1] for _, _, of_part in training.recorder.evaluations for numbers in of_part]
    buffers = [rows[1].flatten().float() for rows in state.buffers.values()]
    losses = training.recorder.losses[:, 1]
    return Rehearsal(start, torch.stack(weights), losses, torch.tensor(scores), torch.cat([start[:0], *buffers]))
