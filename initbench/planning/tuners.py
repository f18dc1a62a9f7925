"""What a search tries next: values at random, or those of Optuna's tree-structured Parzen estimator (TPE).

TPE: Bergstra et al. 2011, "Algorithms for hyper-parameter optimization"; several keys jointly, and batches with a
"constant liar", as Optuna has them.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from initbench.config.ranges import LOG, Range
from initbench.config.tune import SearchSpace
from initbench.config.values import is_number
from initbench.errors import InputError

STARTUP = 8  # trials of TPE before it learns from them: the default settings, and random ones
BATCH = 4  # trials of TPE per cell that train together

Told = tuple[Mapping[str, Any], float]  # the values of a trial, and its validation loss, NaN where all runs failed


def suggest(space: SearchSpace, keys: Collection[str], told: Sequence[Told]) -> list[dict[str, Any]]:
    """The next trials of a cell, a function of what it is told alone.

    keys: the tuned keys that the cell has. told: its trials so far, the default settings first.
    """
    left = space.trials - len(told)
    if space.tuner == "random":
        shares = np.random.default_rng(space.seed).random((space.trials - 1, len(space.ranges)))[len(told) - 1 :]
        ranges = zip(space.ranges, shares.T, strict=True)
        columns = {each.key: [each.at(float(share)) for share in column] for each, column in ranges if each.key in keys}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    ranges = [each for each in space.ranges if each.key in keys]
    count = STARTUP - len(told) if len(told) < STARTUP else BATCH
    found = tpe(ranges, told, min(left, count), seed=round_seed(space.seed, len(told)))
    return [{each.key: each.rounded(values[each.key]) for each in ranges} for values in found]


def round_seed(seed: int, told: int) -> int:
    """The seed of Optuna's sampler after so many trials."""
    return (seed * 10_007 + told) % 2**32


def tpe(ranges: Sequence[Range], told: Sequence[Told], count: int, seed: int) -> list[dict[str, float]]:
    """The next values by Optuna's TPE. Trials that failed or have values outside of the ranges (null) are not told.

    Raises InputError where Optuna is missing.
    """
    try:
        import optuna
    except ImportError:
        raise InputError(
            "--tuner tpe needs Optuna: pip install 'initbench[tune]'; random and grid do without"
        ) from None
    space = {each.key: _distribution(each) for each in ranges}
    inside = [
        (values, loss)
        for values, loss in told
        if not math.isnan(loss)
        and all(is_number(values[each.key]) and each.low <= values[each.key] <= each.high for each in ranges)
    ]
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        sampler = optuna.samplers.TPESampler(n_startup_trials=STARTUP, multivariate=True, constant_liar=True, seed=seed)
        study = optuna.create_study(sampler=sampler, direction="minimize")
        study.add_trials(
            [optuna.trial.create_trial(params=dict(v), distributions=space, value=loss) for v, loss in inside]
        )
        return [study.ask(space).params for _ in range(count)]
    finally:
        optuna.logging.set_verbosity(verbosity)


def _distribution(values: Range) -> Any:
    from optuna.distributions import FloatDistribution, IntDistribution

    kind = IntDistribution if values.whole else FloatDistribution
    return kind(values.low, values.high, log=values.scale == LOG)  # type: ignore[arg-type]
