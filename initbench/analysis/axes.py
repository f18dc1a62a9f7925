"""What tells one cell from another: the keys that were swept, and what their values are called."""

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from initbench.config.keys import BROUGHT_BY, BY_NAME, BY_SEED, TRAINS_WITH, WITHOUT_EFFECT, tunes
from initbench.config.registry import groups
from initbench.results.schema import MEASURED_COLUMNS

CELL_AXES = ("init", "act", "depth")  # a cell always has these; the others where they vary
OF_MODEL = ("act", "depth", "width")  # null where a model of one's own does not use them


def cell_axes(runs: pd.DataFrame) -> list[str]:
    """What tells one cell from another: init, act, depth, and every other key but the seed that was swept.

    A key that differs only because another choice has it (`init.std` of `normal` and of `he`) or brings it (`lr` of
    `adam`) was not swept, nor was a key that `tuned` runs were tuned in, which was chosen (`tuning.selected`).
    """
    keys = [key for key in configuration(runs) if not key.endswith("_target_") and key not in CELL_AXES]
    untuned = runs[~runs["tuned"]] if "tuned" in runs else runs
    if split_by_seed(runs):
        keys.remove("data.split_seed")
    where = {"init.path": _by_path(runs), **{key: _with(runs, other) for key, other in TRAINS_WITH.items()}}
    where |= dict.fromkeys(tuned_keys(runs[runs["tuned"]]), untuned) if "tuned" in runs else {}
    return [*CELL_AXES, *(key for key in keys if _varies(where.get(key, runs), key))]


def tuned_keys(runs: pd.DataFrame) -> list[str]:
    """The keys that these runs were tuned in: `lr`, and each that has a range `tune.KEY`."""
    given = [key for key in runs if tunes(key) and runs[key].notna().any()]
    others = [key.removeprefix("tune.") for key in given if key not in BY_NAME]
    return ["lr"] * bool({"tune.rates", "tune.low"} & {*given}) + others


def split_by_seed(runs: pd.DataFrame) -> bool:
    """Whether the split into parts is drawn with the seed of each run, so that it differs between seeds.

    `data.split_seed=seed` says so, and an interpolation of the seed gives equal numbers.
    """
    if "data.split_seed" not in runs or runs.empty:
        return False
    drawn_by = runs["data.split_seed"].astype("str")
    return bool(
        (drawn_by == BY_SEED).all() or (runs["seed"].nunique() > 1 and (drawn_by == runs["seed"].astype("str")).all())
    )


def configuration(runs: pd.DataFrame) -> list[str]:
    """The keys of the configuration that affect a training, but for the seed."""
    affecting = {key for key, other in TRAINS_WITH.items() if len(_with(runs, other))}
    recording = WITHOUT_EFFECT - affecting
    return [key for key in runs if key not in MEASURED_COLUMNS | recording | {"seed"} and not tunes(key)]


def _with(runs: pd.DataFrame, key: str) -> pd.DataFrame:
    """The runs that have a key, on which others depend: without early stopping `eval_every` has no effect."""
    return runs[runs[key].notna()] if key in runs else runs[:0]


def without_unused(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with null for the depth and the width of models of one's own that do not use them."""
    if "unused" not in runs or runs["unused"].isna().all():
        return runs
    for model, keys in runs.groupby("model")["unused"].first().dropna().items():
        for key in str(keys).split():
            runs = runs.assign(**{key: runs[key].convert_dtypes().mask(runs["model"] == model)})
    return runs


def _by_path(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that were asked for with a file of weights: with `init.run` it follows from that and `init.by`."""
    return runs[runs["init.run"].isna()] if "init.run" in runs else runs


def loss_unit(runs: pd.DataFrame) -> str:
    """The unit of these runs' losses: "nats", "squared error", or "nats or squared error" if they are mixed."""
    return " or ".join(sorted(runs["loss_unit"].dropna().unique())) or "nats"


def _varies(runs: pd.DataFrame, key: str) -> bool:
    """Whether a key differs within one value of the choices that may bring it."""
    choices = {key.split(".")[0], "mitigation", BROUGHT_BY.get(key)} & set(runs.columns) - {"outcome", key}
    if not choices:
        return runs[key].nunique(dropna=False) > 1
    return bool((runs.groupby(sorted(choices), dropna=False)[key].nunique(dropna=False) > 1).any())


def followers(runs: pd.DataFrame, axes: Iterable[str], zipped: Iterable[Iterable[str]], over: str) -> dict[str, str]:
    """Axes that vary only with another, by `--zip`, and that other: {"init.sigma_w": "act"}.

    Of each `zipped` keys one leads: `over`, else one of CELL_AXES, else the first whose value tells those of the
    others in all these runs; where none does, none follows. CELL_AXES and parameters beside each other never follow.
    """
    found: dict[str, str] = {}
    for keys in zipped:
        together = [key for key in keys if key in axes]
        for leader in sorted(together, key=lambda key: (key != over, key not in CELL_AXES)):
            others = [key for key in together if key != leader]
            told = runs.groupby(leader, dropna=False)[others].nunique().to_numpy() <= 1
            if told.all() and not leader.startswith(f"{over}."):
                found |= {key: leader for key in others if key not in (over, *CELL_AXES)}
                break
    return found


def alternative(cell: Any, axes: Iterable[str], over: str = "init") -> str:
    """What competes in a contest, with those of its parameters that were swept: "normal std=0.01", "lr 0.1"."""
    name = value_text(cell[over]) if over in groups() else f"{over} {value_text(cell[over])}"
    parameters = [axis for axis in axes if axis.startswith(f"{over}.") and not pd.isna(cell[axis])]
    return " ".join([name, *(f"{axis.removeprefix(f'{over}.')}={value_text(cell[axis])}" for axis in parameters)])


def with_labels(runs: pd.DataFrame, axes: list[str], over: str = "init") -> pd.DataFrame:
    """The runs with a column `label`: what competes with others, by default their initializer. axes: a cell's."""
    labels = [alternative(run, axes, over) for run in runs[axes].to_dict("records")]
    return runs.assign(label=pd.Series(labels, index=runs.index, dtype="str"))


def value_text(value: Any) -> str:
    """A value of an axis as a user would type it; null where it has none."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "null"
    if not isinstance(value, float):
        return str(value)
    return short if float(short := f"{value:g}") == value else repr(float(value))  # numpy's repr names its type


def contest_axes(axes: Iterable[str], over: str = "init") -> list[str]:
    """The axes within which alternatives compete: act, depth, and what else varies but `over` and its parameters."""
    return [axis for axis in axes if axis != over and not axis.startswith(f"{over}.")]


NOUNS = {"init": "initializer", "act": "activation", "data": "dataset", "optim": "optimizer", "norm": "normalization"}


def noun(over: str) -> str:
    """What the alternatives of a contest over this axis are called: "initializer", "mitigation", "lr"."""
    return NOUNS.get(over, over)
