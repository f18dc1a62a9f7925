"""The teachers of a distillation: finished runs, whose outputs on the training examples are computed once per stack."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from initbench import build
from initbench.config.keys import BY_SEED, OWN_SEED, without_effect
from initbench.config.values import dotted, shown
from initbench.engine.recipe import Recipe
from initbench.errors import InputError
from initbench.parts.data import Dataset
from initbench.parts.distillation import TEMPERATURE, WEIGHT, Distillation, log_probabilities
from initbench.results.finding import FinishedRun, find_run, find_trained, seeds_of

KEY = "distill.run"
CHUNK = 500  # examples that pass through a teacher at a time
PREPARED = {
    "data.standardize",
    "data.scale",
    "data.spread",
}  # keys of data that change inputs, not which examples there are


def with_teacher(recipe: Recipe, root: Path, config: Mapping[str, Any]) -> Recipe:
    """The recipe with the outputs of the run's teachers, if it has any."""
    asked = config["distill"]
    if asked["run"] is None:
        return recipe
    temperature = TEMPERATURE if asked["temperature"] is None else asked["temperature"]
    weight = WEIGHT if asked["weight"] is None else asked["weight"]
    outputs = [outputs_of(teacher) for teacher in teachers_of(root, config)]
    return replace(recipe, distill=Distillation(log_probabilities(outputs, temperature), temperature, weight))


def check_teachers(root: Path, config: Mapping[str, Any]) -> None:
    """Raise InputError where the run asks for teachers that cannot be had or that know other examples."""
    if config["distill"]["run"] is None:
        return
    for teacher in teachers_of(root, config):
        check_same_examples(teacher, config)
        loaded(teacher, build.data(teacher.config))


def teachers_of(root: Path, config: Mapping[str, Any]) -> list[FinishedRun]:
    """The run that `distill.run` names; by `distill.seeds` the run of the student's own seed, or several."""
    name, seeds = config["distill"]["run"], config["distill"]["seeds"]
    if seeds is None:
        return [find_trained(root, name, KEY)]
    wanted = [config["seed"]] if seeds == OWN_SEED else list(range(seeds))
    by_seed = {run.config["seed"]: run for run in seeds_of(root, find_run(root, name, KEY))}
    for seed in wanted:
        if seed not in by_seed:
            have = ", ".join(map(str, by_seed))
            raise InputError(f"distill.seeds={seeds}: {KEY}={name} has no finished run of seed {seed}; there is {have}")
    return [find_trained(root, by_seed[seed].id, KEY) for seed in wanted]


def check_same_examples(teacher: FinishedRun, config: Mapping[str, Any]) -> None:
    """Raise InputError where a teacher learned of other examples or classes; it may see them otherwise prepared."""
    mine, theirs = examples(config), examples(teacher.config)
    for key in sorted(mine.keys() | theirs.keys()):
        if mine.get(key) != theirs.get(key):
            raise InputError(
                f"{KEY}={teacher.id}: it was trained with {key}={shown(theirs.get(key))}, this run has "
                f"{shown(mine.get(key))}; a teacher must know the same examples"
            )


def examples(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of data that decide which examples there are, and `data`, their function."""
    flat = dotted({"data": config["data"]})
    left_out = without_effect(config) | PREPARED
    kept = {key: value for key, value in flat.items() if value is not None and key not in left_out}
    if kept.get("data.split_seed") == BY_SEED:
        kept["data.split_seed"] = config["seed"]
    return kept | {"data": str(kept.pop("data._target_")).removeprefix("initbench.parts.data.")}


def outputs_of(teacher: FinishedRun) -> Tensor:
    """A teacher's outputs (n, ..., C) on the training examples, as its own configuration prepares them."""
    dataset = build.data(teacher.config)
    network = loaded(teacher, dataset)
    with torch.no_grad():
        outputs = torch.cat([network(some) for some in dataset.x_train.split(CHUNK)])
    if not outputs.isfinite().all():
        raise InputError(f"{KEY}={teacher.id}: its outputs are not finite")
    return outputs


def loaded(teacher: FinishedRun, dataset: Dataset) -> nn.Module:
    """A teacher's model with its trained weights, as evaluations use it."""
    network = build.model(teacher.config, dataset)
    try:
        network.load_state_dict(load_file(str(teacher.weights)))
    except Exception as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{KEY}={teacher.id}: its weights can't be loaded: {reason}") from error
    return network.eval()
