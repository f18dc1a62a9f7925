"""Overrides to runs with stable ids: Hydra composes each choice once, plain dicts are merged for each run.

The merge gives what Hydra's `compose` gives for that run: `config.yaml` < group < mitigation < command line. What the
command line and a mitigation both set must be equal, though: neither is a silent loser.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from initbench.config.compose import Overlay, Parts, composed, overlay, wanted_choices
from initbench.config.keys import TRAINS_WITH, TUNE, check_root, fitted, without_effect
from initbench.config.overrides import Axis, read_axes
from initbench.config.registry import (
    OVERLAY,
    Choice,
    choices,
    completion,
    describe,
    find,
    groups,
    is_dotted_path,
)
from initbench.config.run import Run, canonical, flatten, run_id
from initbench.config.values import dotted, is_interpolation, one_line, plain, shown
from initbench.errors import InputError, nearest

__all__ = ["Choice", "Grid", "Run", "choices", "completion", "describe", "expand", "flatten"]
VALIDATION = 0.2  # of the training part: what `lr=tune` chooses on, unless the user says otherwise


@dataclass(frozen=True)
class Grid:
    """A sweep's runs, each once, and its axes: keys with several values, in the order asked, seed last."""

    runs: list[Run]
    axes: dict[str, list[Any]]


def expand(overrides: Iterable[str], *, seeds: int | None = None, config_dir: str | Path | None = None) -> Grid:
    """The runs that overrides ask for, in the order of their axes, seeds fastest.

    A parameter (`init.std=0.01,1`) applies to, and multiplies, only the choices that have it. `seeds=N` is
    `seed=range(0,N)`. `config_dir` is a folder with the user's own `GROUP/NAME.yaml`.

    Raises:
        InputError: an override, a file or a value that can't be used.
    """
    axes = read_axes(overrides, seeds, config_dir)
    runs = _runs(axes, _combinations(axes, config_dir))
    for axis in axes:
        if len(axis.values) > 1 and all(axis.key in without_effect(dotted(run.config)) for run in runs):
            unless = f" without {TRAINS_WITH[axis.key]}" if axis.key in TRAINS_WITH else ""
            raise InputError(
                f"{axis.text}: '{axis.key}' has no effect on training{unless}, so it can't be swept; give one value"
            )
    return Grid(runs, {axis.key: axis.values for axis in axes if len(axis.values) > 1})


# From axes to cells. A cell is a choice for each group.


@dataclass(frozen=True)
class ChoiceCombination:
    """One choice per group: the configuration below the command line, and what the command line sets in it.

    `targets["init._target_"]` is what the choice of that name ships with. `settings[n]` holds the values of
    axis n as this cell takes them; None where it has no such key, and for the axes that chose the cell.
    """

    choices: dict[str, str]
    config: dict[str, Any]
    targets: dict[str, str | None]
    settings: list[list[Any] | None]


def _combinations(axes: Sequence[Axis], config_dir: str | Path | None) -> dict[tuple[str, ...], ChoiceCombination]:
    """A cell for each combination of the choices asked for. Every other key must apply to one at least."""
    asked = {axis.key: axis.values for axis in axes if axis.is_group}
    mitigations = asked.get(OVERLAY, [groups()[OVERLAY]])
    overlays = {name: overlay(find(OVERLAY, name, config_dir), config_dir) for name in mitigations}
    combinations: dict[tuple[str, ...], dict[str, str]] = {}
    for names in itertools.product(*asked.values()):
        given = groups() | dict(zip(asked, names, strict=True))
        replaced = {group: name for group, name in overlays[given[OVERLAY]].replaces.items() if group not in asked}
        combinations[names] = given | replaced

    for axis, chosen in itertools.product(axes, combinations.values()):
        if axis.is_group:
            _check_agreement(axis, [chosen[axis.key]], chosen[OVERLAY], overlays[chosen[OVERLAY]].replaces)
    parts = composed(wanted_choices(combinations.values()), config_dir)
    cells = {names: _combination(chosen, parts, overlays, axes) for names, chosen in combinations.items()}
    for n, axis in enumerate(axes):
        if not axis.is_group and all(cell.settings[n] is None for cell in cells.values()):
            raise _unknown_key(axis, cells.values())
    return cells


def _combination(
    chosen: dict[str, str], parts: Parts, overlays: Mapping[str, Overlay], axes: Sequence[Axis]
) -> ChoiceCombination:
    config = parts.root
    for choice in chosen.items():
        config = _merged(config, parts.above_root.get(choice, {}))
    for group, name in chosen.items():
        if is_dotted_path(name):
            config = config | {group: {"_target_": name}}  # the user's function says what it takes
        elif part := parts.groups.get((group, name)):
            config = config | {group: part}
    config = _merged(config, overlays[chosen[OVERLAY]].content)
    check_root(config, f"{OVERLAY}={chosen[OVERLAY]}")
    if any(value is not None for value in config["tune"].values()):
        raise InputError(f"{OVERLAY}={chosen[OVERLAY]}: no YAML can set tune.*; give lr=tune on the command line")
    if any(axis.key in TUNE for axis in axes) and not config["data"].get("val_fraction"):
        config = _assigned(config, ["data", "val_fraction"], VALIDATION)
    targets = {f"{group}._target_": parts.targets.get((group, name)) for group, name in chosen.items()}
    settings = [None if axis.is_group else _settings(axis, chosen, config) for axis in axes]
    for axis, values in zip(axes, settings, strict=True):
        _check_agreement(axis, values or [], chosen[OVERLAY], overlays[chosen[OVERLAY]].content)
    return ChoiceCombination(chosen, config, targets, settings)


def _check_agreement(axis: Axis, values: Iterable[Any], mitigation: str, content: Mapping[str, Any]) -> None:
    """What a mitigation sets, the command line may repeat but not contradict: one of both would be lost."""
    there: Any = content
    for key in axis.key.split("."):
        if not isinstance(there, dict) or key not in there:
            return
        there = there[key]
    if any(canonical(value) != canonical(there) for value in values):
        sets = there if isinstance(there, str) else shown(there)
        raise InputError(f"{axis.text}: {OVERLAY}={mitigation} sets {axis.key}={sets}; leave one out")


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Two nested dicts as one, `above` winning; neither is changed."""
    merged = below | above
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            merged[key] = _merged(below[key], above[key])
    return merged


def _settings(axis: Axis, chosen: Mapping[str, str], config: Any) -> list[Any] | None:
    *parents, last = axis.key.split(".")
    for parent in parents:
        config = config.get(parent, {})
        if not isinstance(config, dict):
            if axis.adds:
                raise InputError(f"{axis.text}: '{parent}' is a value and can't hold '{last}'")
            return None
    if parents and is_dotted_path(chosen.get(parents[0])):
        return axis.values
    if last not in config:
        return axis.values if axis.adds else None
    if axis.adds == "+" and config[last] is not None:
        raise InputError(f"{axis.text}: '{axis.key}' is there already; did you mean it without the +?")
    return [fitted(axis.key, value, config[last], axis.text) for value in axis.values]


def _unknown_key(axis: Axis, cells: Iterable[ChoiceCombination]) -> InputError:
    group, _, name = axis.key.partition(".")
    if group not in groups() or group == OVERLAY:
        keys = {key for cell in cells for key in dotted(cell.config) if not key.endswith("_target_")}
        return InputError(f"{axis.text}: there is no key '{axis.key}'{nearest(axis.key, {*keys, *groups()})}")
    has = {cell.choices[group]: dotted(cell.config.get(group, {})).keys() - {"_target_"} for cell in cells}
    known = sorted({key for keys in has.values() for key in keys})
    hint = nearest(name, known)
    if "did you mean" in hint:
        hint += f" (there is {', '.join(known)})"
    return InputError(f"{axis.text}: {group}={','.join(has)} has no '{name}'{hint}")


# From cells to runs


def _runs(axes: Sequence[Axis], cells: Mapping[tuple[str, ...], ChoiceCombination]) -> list[Run]:
    """The product of the axes, less the points that differ only in keys that their cell hasn't."""
    runs: dict[str, Run] = {}
    seen = set()
    grouped = [n for n, axis in enumerate(axes) if axis.is_group]
    for point in itertools.product(*(range(len(axis.values)) for axis in axes)):
        names = tuple(axes[n].values[point[n]] for n in grouped)
        cell = cells[names]
        set_here = tuple(k for k, values in zip(point, cell.settings, strict=True) if values is not None)
        if (names, set_here) not in seen:
            seen.add((names, set_here))
            run = _run(cell, axes, point)
            runs.setdefault(run.id, run)
    return list(runs.values())


def _run(cell: ChoiceCombination, axes: Sequence[Axis], point: Sequence[int]) -> Run:
    config = cell.config
    for axis, values, k in zip(axes, cell.settings, point, strict=True):
        if values is not None:
            config = _assigned(config, axis.key.split("."), values[k])
    if is_interpolation(config):
        config = _resolved(config, axes, cell)
    return Run(cell.choices, config, run_id(cell.choices, cell.targets, config))


def _assigned(config: dict[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """A copy of a nested dict with one key set; what isn't on the path is shared."""
    head, *rest = path
    return config | {head: _assigned(config.get(head, {}), rest, value) if rest else value}


def _resolved(config: dict[str, Any], axes: Iterable[Axis], cell: ChoiceCombination) -> dict[str, Any]:
    """Interpolations refer to the run's own configuration."""
    asked = [axis.text for axis in axes if is_interpolation(axis.values)]
    where = " ".join(asked or [f"{group}={name}" for group, name in cell.choices.items()])
    try:
        resolved: Any = OmegaConf.to_container(OmegaConf.create(config), resolve=True)
    except Exception as error:  # a resolver may be anyone's function
        raise InputError(f"{where}: an interpolation can't be resolved: {one_line(error)}") from None
    check_root(resolved, where)
    return plain(resolved, where)
