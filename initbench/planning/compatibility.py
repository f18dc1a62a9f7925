"""Which runs of a grid make sense: every pair of its choices is built once before anything is trained."""

import functools
import itertools
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from initbench import build
from initbench.config.keys import as_a_sweep
from initbench.config.registry import is_dotted_path
from initbench.config.run import Run
from initbench.config.values import dotted, is_number
from initbench.engine.objective import training_objective
from initbench.engine.precision import check_precision
from initbench.engine.programs.choose import has_fast_program
from initbench.engine.recipe import Recipe
from initbench.engine.samplers import check_samplers
from initbench.errors import DoesNotFit, InputError, WrongValue
from initbench.parts.data import Dataset
from initbench.parts.data.difficulty import check_difficulty
from initbench.parts.losses import Classification
from initbench.parts.rates import check_factors, check_rates
from initbench.parts.rebalance import check_rebalance
from initbench.text import join_words

Origin = Callable[[Run, str], str]  # where a run has the value of a key from

UNRELATED = ("seed", "lr", "lr_factors", "init")  # sections that do not decide what a model reads


@dataclass(frozen=True)
class Skipped:
    """Runs whose settings do not fit each other or the device, and why."""

    reason: str
    runs: list[Run]


def compatible_runs(
    runs: Sequence[Run],
    axes: Iterable[str],
    device: str,
    given: Mapping[str, str] | None = None,
    origin: Origin | None = None,
) -> tuple[list[Run], list[Skipped]]:
    """The runs that can be trained on `cpu` or `cuda`, and those that are skipped.

    One run of each cell is enough. A cell is built only where it holds two values of `axes` that no cell before it
    held together. given: the overrides of the command line by their keys. Raises InputError for a setting that is wrong
    whatever the others are, and for a given key that no run uses; DoesNotFit where no run is left.
    """
    all_axes = list(axes)
    axes = [axis for axis in all_axes if axis not in ("seed", "lr")]
    proven: set[Any] = set()
    reasons: dict[tuple, str | None] = {}
    skipped: dict[str, list[Run]] = {}
    kept = []
    for run in runs:
        cell = point(run, axes)
        if cell not in reasons:
            pairs = (
                {cell}
                if is_custom(run) or needs_its_size(run.config)
                else set(itertools.combinations(cell, 2)) or {cell}
            )
            try:
                reasons[cell] = None if pairs <= proven else incompatibility(run, device)
            except WrongValue as error:
                raise with_origin(error, origin(run, error.key) if origin else "") from error
            if reasons[cell] is None:
                proven |= pairs
        if (reason := reasons[cell]) is None:
            kept.append(run)
        else:
            skipped.setdefault(reason, []).append(run)
    if not kept:
        raise DoesNotFit(next(iter(skipped)))
    usage = Usage()
    check_used(kept, given or {}, usage)
    kept, repeated = distinct_runs(kept, all_axes, usage)
    skipped |= repeated
    return kept, [Skipped(reason, some) for reason, some in skipped.items()]


def with_origin(error: WrongValue, origin: str) -> InputError:
    """The error with where the value comes from, and for a list of values how these are typed."""
    several = as_a_sweep(error.key, error.value, is_number) if f"{error.key} must be a " in str(error) else ""
    hint = f"; {several}" if several else ""
    return InputError(f"{origin + ': ' if origin else ''}{error}{hint}")


class Usage:
    """Which keys the model and the data of runs use; those of a configuration are looked up once."""

    def __init__(self) -> None:
        self._unused: dict[str, set[str]] = {}

    def idle(self, run: Run, keys: Collection[str]) -> list[str]:
        """Those of the keys that a run does not use."""
        if not keys:
            return []
        text = without_unrelated(run.config)
        if text not in self._unused:
            self._unused[text] = build.unused(run.config, build.data(run.config))
        return [key for key in keys if {key, key.partition(".")[0]} & self._unused[text]]


def check_used(runs: Sequence[Run], given: Mapping[str, str], usage: Usage) -> None:
    """Raise InputError for a key of the command line that no run uses. given: the overrides by their keys."""
    idle = _may_be_idle(given)
    for run in runs:
        if not idle:
            return
        idle = usage.idle(run, idle)
    for key in idle:
        group = build.USED_BY.get(key, "model")
        chosen = ",".join(dict.fromkeys(run.choices[group] for run in runs))
        at = " with depth=0" if group == "model" and all(run.config["depth"] == 0 for run in runs) else ""
        raise InputError(f"{given[key]}: {group}={chosen}{at} does not use '{key}'; leave it out")


def distinct_runs(runs: Sequence[Run], axes: Sequence[str], usage: Usage) -> tuple[list[Run], dict[str, list[Run]]]:
    """The runs without those that differ from another only in what theirs does not use; and those, by reason."""
    kept, seen, repeated = [], set(), {}
    maybe = _may_be_idle(axes)
    for run in runs:
        idle = usage.idle(run, maybe)
        alike = point(run, [axis for axis in axes if axis not in idle])
        if idle and alike in seen:
            reason = f"model={run.choices['model']} with depth={run.config['depth']} does not use {join_words(idle)}"
            repeated.setdefault(f"{reason}: other values give the same run", []).append(run)
        else:
            kept.append(run)
        seen.add(alike)
    return kept, repeated


def _may_be_idle(keys: Iterable[str]) -> list[str]:
    """Those keys that some models or data do not use, among them a choice's parameters: `act.slope` of `act`."""
    known = {*build.SPEC_KEYS.values(), *build.USED_BY}
    return [key for key in keys if {key, key.partition(".")[0]} & known]


def point(run: Run, axes: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """A run's values of the axes."""
    keys = dotted(run.config) if any("." in axis for axis in axes) else run.config
    return tuple((axis, repr(run.choices.get(axis, keys.get(axis)))) for axis in axes)


def is_custom(run: Run) -> bool:
    """Whether one of its parts is a user's own; such a part may fit one partner and not another."""
    return bool(custom_parts(run))


def custom_parts(run: Run) -> list[str]:
    """The parts of a run that are a user's own code: `act=mypackage.myact`, ..."""
    config = run.config
    parts = [(group, str(name)) for group, name in run.choices.items() if config.get(group)]
    own = [f"{group}={name}" for group, name in parts if not build.shipped(config[group])]
    recurrent = config["init"].get("recurrent")
    if is_dotted_path(recurrent) and not build.shipped({"_target_": recurrent}):
        own.append(f"init.recurrent={recurrent}")
    return own


def incompatibility(run: Run, device: str) -> str | None:
    """Why a run's settings do not fit each other or the device; None where they do.

    Raises InputError for a setting that is wrong whatever the others are.
    """
    try:
        check_precision(run.config["precision"], device)
        build_once(run.config, build.data(run.config))
    except DoesNotFit as reason:
        return str(reason)
    return None


def build_once(config: build.Config, dataset: Dataset) -> None:
    """Build all parts of a run, so that what cannot be built is known before anything is trained.

    A multilayer perceptron is built at a small size; other models may need the size that is asked for.
    """
    recipe = build.recipe(config)
    check_recipe(recipe, dataset)
    check_taught(config, dataset)
    if factors := build.lr_factors(config):
        check_factors(full_size(config, dataset), factors, recipe.optimizer)
    small = {**smaller(config, dataset), "lr_factors": None}  # its names are not all that the model has
    network = build.initialized(small, dataset, look_at_data=False)
    check_rates(network, recipe.optimizer)
    build.attempt("model", network.eval(), dataset.x_train[:1])


def needs_its_size(config: build.Config) -> bool:
    """Whether a start depends on the sizes and the number of layers: that of loaded weights, or of frozen layers."""
    return build.loads_weights(config) or bool(config["init"].get("freeze"))


def smaller(config: build.Config, dataset: Dataset) -> build.Config:
    """The configuration of a small model of the same kind, where the kind of model does not need its size.

    Raises DoesNotFit or InputError where depth, width or data don't suit the model.
    """
    if build.shipped(config["model"]) and not needs_its_size(config) and has_fast_model(without_unrelated(config)):
        depth, width = min(config["depth"], 2), config["width"]
        few = [min(one, 16) for one in width[:depth]] if isinstance(width, list) else min(width, 16)
        return {**config, "depth": depth, "width": few}
    return config


def check_taught(config: build.Config, dataset: Dataset) -> None:
    """DoesNotFit where a run with a teacher has no probabilities to learn from it, or examples that it never saw."""
    if config["distill"]["run"] is None:
        return
    if type(dataset.objective) is not Classification:
        raise DoesNotFit("distill.run teaches classes learned by cross-entropy; this data is learned by squared error")
    if dataset.made is not None:
        raise DoesNotFit("distill.run knows the outputs of the data's examples, not of those that rebalance makes")


def full_size(config: build.Config, dataset: Dataset) -> torch.nn.Module:
    """The run's model, without memory for its weights if its constructor doesn't compute with them."""
    with torch.device("meta" if build.shipped(config["model"]) else "cpu"):
        return build.model(config, dataset)


def without_unrelated(config: build.Config) -> str:
    """What decides which model a configuration has, as JSON."""
    return json.dumps({name: value for name, value in config.items() if name not in UNRELATED}, sort_keys=True)


@functools.cache  # of the cells that differ in the initializer, the model is built once
def has_fast_model(related: str) -> bool:
    """Whether there is a fast program for the model of this JSON, which is built at its full size without memory."""
    config = json.loads(related) | {"seed": 0}
    dataset = build.data(config)
    return has_fast_program(full_size(config, dataset), dataset)


def check_recipe(recipe: Recipe, dataset: Dataset) -> None:
    """DoesNotFit where a training needs what the data does not have."""
    if recipe.regularize.patience and not len(dataset.y_val):
        raise DoesNotFit("regularize.patience watches the validation loss: set data.val_fraction, to 0.2 say")
    recipe.augment.fitted(dataset)
    if recipe.regularize.label_smoothing:
        dataset.objective.smoothed(recipe.regularize.label_smoothing)
    if recipe.rebalance is not None:
        check_rebalance(recipe.rebalance, dataset.y_train)
        training_objective(dataset, recipe)
    if recipe.curriculum is not None:
        check_samplers(recipe.rebalance, recipe.curriculum)
        if recipe.curriculum.order != "random":
            check_difficulty(recipe.curriculum.difficulty, dataset.x_train, dataset.y_train)
    if recipe.save_predictions and type(dataset.objective) is not Classification:
        what = (
            "outputs are none" if isinstance(dataset.objective, Classification) else "this data has numbers to predict"
        )
        raise DoesNotFit(f"save_predictions=true saves probabilities of classes, and {what}")
