"""The contract of every initializer, tested on small models, line by line.

An initializer that breaks one of these would make a comparison unfair (a seed that does not count, a global generator
that runs on), a training wrong (a parameter that nobody wrote), or a name wrong (a variance that isn't what is
claimed).
"""

import random as python_random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from initbench.errors import DoesNotFit
from initbench.parts.activations import MakeActivation
from initbench.parts.inits.claims import Claims
from initbench.parts.inits.matrix import matrices
from initbench.parts.inits.realized import (
    REFERENCE,
    Check,
    cost_line,
    distribution_lines,
    orthogonality_lines,
    unit_lines,
    variance_lines,
)
from initbench.parts.inits.subjects import RELU, SHAPES, SUBJECTS, Initializer, Subject, Trial
from initbench.randomness import global_random_state_kept


def check_contract(
    init: Initializer,
    *,
    act: MakeActivation = RELU,
    random: bool | None = None,
    claims: Claims | None = None,
    **parameters: Any,
) -> list[Check]:
    """The lines of the contract, each kept or broken by `init` with these parameters.

    `random` says whether the weights depend on the seed; None: they do, unless they have few distinct values. What it
    doesn't claim is measured and passes. A model that the initializer refuses with DoesNotFit is left out. Raises what
    the initializer raises otherwise.
    """

    def trials_on(subjects: Mapping[str, Subject]) -> dict[str, Trial]:
        found = {}
        for name, subject in subjects.items():
            try:
                found[name] = Trial(init, subject, act, random, parameters)
            except DoesNotFit as reason:
                reasons.append(str(reason))
        return found

    reasons: list[str] = []
    trials = trials_on(SUBJECTS)
    if not trials:
        return [Check("fits a model", False, reasons[0])]
    claims, shapes, timed = claims or Claims(), trials_on(SHAPES), trials_on({"": REFERENCE})
    return [
        Check("fits a model", True, ", ".join(trials)),
        *(_over_all(name, check, trials) for name, check in CHECKS.items()),
        *unit_lines(trials, claims),
        *variance_lines(shapes, claims),
        *distribution_lines(shapes, claims),
        *orthogonality_lines(shapes, claims),
        *map(cost_line, timed.values()),
    ]


def _over_all(name: str, check: Callable[[Trial], str], trials: Mapping[str, Trial]) -> Check:
    broken = [f"{model}: {said}" for model, trial in trials.items() if (said := check(trial))]
    return Check(name, not broken, broken[0] if broken else "")


def equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Do two states have the same names and the same values, NaN included?"""
    return one.keys() == other.keys() and all(one[k].allclose(other[k], 0, 0, equal_nan=True) for k in one)


# Each check says what is wrong, or "".


def _every_parameter_is_written(trial: Trial) -> str:
    names = [name for name, own in trial.born(0).named_parameters() if not own.isfinite().all()]
    return f"{names[0]} holds values that nobody wrote, or that are not finite" if names else ""


def _nothing_is_added_or_removed(trial: Trial) -> str:
    model = trial.model()
    modules, before = list(model.modules()), dict(model.named_parameters())
    after = dict(trial.run(model=model).named_parameters())
    names = {name for name in before.keys() | after.keys() if before.get(name) is not after.get(name)}
    if names:
        return f"{min(names)} is another parameter than before: write into it"
    return "" if list(model.modules()) == modules else "the model has other modules than before"


def _shapes_dtypes_and_devices_are_kept(trial: Trial) -> str:
    for dtype in (torch.float32, torch.float64):
        model = trial.model(dtype)
        before = {name: (own.shape, own.dtype, own.device) for name, own in model.state_dict().items()}
        after = {name: (own.shape, own.dtype, own.device) for name, own in trial.run(model=model).state_dict().items()}
        for name in before.keys() & after.keys():
            if before[name] != after[name]:
                return f"{name} was {before[name]} and is {after[name]}"
    return ""


def _parameters_stay_trainable(trial: Trial) -> str:
    for name, own in trial.born(0).named_parameters():
        if not (own.requires_grad and own.is_leaf and own.grad is None):
            return f"{name} doesn't require a gradient, has one already, or is the result of a computation"
    return ""


def _statistics_mode_and_hooks_are_left_alone(trial: Trial) -> str:
    model = trial.model()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    trial.run(model=model)
    if not equal(before, dict(model.named_buffers())):
        return "buffers (running statistics, say) have changed"
    if not all(module.training for module in model.modules()):
        return "the model is left in evaluation mode"
    hooked = any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    return "hooks are left on the model" if hooked else ""


def _the_batch_is_left_alone(trial: Trial) -> str:
    trial.run()
    same = trial.given is not None and torch.equal(trial.given, trial.subject.batch())
    return "" if same else "the batch has changed"


def _the_seed_counts(trial: Trial) -> str:
    if not trial.is_random or not equal(trial.born(0).state_dict(), trial.born(1).state_dict()):
        return ""
    return "two seeds give the same weights: draw from `generator`"


def _one_seed_gives_one_start(trial: Trial) -> str:
    states = []
    for seed in (1, 2):
        with global_random_state_kept():
            for seeded in (torch.manual_seed, np.random.seed, python_random.seed):
                seeded(seed)
            states.append(trial.run().state_dict())
    return "" if equal(*states) else "one seed gives different weights: draw from `generator` alone"


def _the_global_random_state_is_left_alone(trial: Trial) -> str:
    def states() -> tuple[bytes, str, object]:
        return torch.get_rng_state().numpy().tobytes(), repr(np.random.get_state()), python_random.getstate()

    with global_random_state_kept():
        before = states()
        trial.run()
        same = states() == before
    return "" if same else "a global generator was used: draw from `generator`"


def _layers_differ(trial: Trial) -> str:
    weights = [matrix.weight for matrix in matrices(trial.born(0)) if matrix.weight.count_nonzero()]
    for i, weight in enumerate(weights if trial.is_random else []):
        if any(torch.equal(weight, other) for other in weights[:i]):
            return "two layers have the same weights: don't start a generator anew for each"
    return ""


def _it_returns_nothing(trial: Trial) -> str:
    trial.run()
    return "" if trial.returned is None else "it returns something: write into the model"


CHECKS: dict[str, Callable[[Trial], str]] = {
    "every parameter is written": _every_parameter_is_written,
    "nothing is added or removed": _nothing_is_added_or_removed,
    "shapes, dtypes and devices are kept": _shapes_dtypes_and_devices_are_kept,
    "parameters stay trainable": _parameters_stay_trainable,
    "statistics, mode and hooks are left alone": _statistics_mode_and_hooks_are_left_alone,
    "the batch is left alone": _the_batch_is_left_alone,
    "the seed counts": _the_seed_counts,
    "one seed gives one start": _one_seed_gives_one_start,
    "the global random state is left alone": _the_global_random_state_is_left_alone,
    "layers differ": _layers_differ,
    "it returns nothing": _it_returns_nothing,
}
