"""From overrides to runs with stable ids: Hydra composes each choice once, plain dicts are merged for each run.

The merge gives what Hydra's `compose` gives for that run: `config.yaml` < group < mitigation < command line. One case
is stricter: where the command line and a mitigation set the same key, both must say the same, so neither is ignored.
"""

import itertools
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from initbench.config.axis import Axis
from initbench.config.compose import Composed, Overlay, composed, overlay, wanted_choices
from initbench.config.elsewhere import KEYS_SHOWN_BY, CountsEpochs, here, instead_of, is_epochs
from initbench.config.keys import NAMES_RUN, TRAINS_WITH, check_root, fitted, tunes, typed, without_effect
from initbench.config.overrides import read_axes
from initbench.config.pretrained import FindWeights, located
from initbench.config.registry import OVERLAY, find, groups, is_dotted_path, root_keys
from initbench.config.run import Run, canonical, run_id
from initbench.config.together import Bundle, bundles, points, read_zips
from initbench.config.tune import SearchSpace, is_tuned, search_space
from initbench.config.values import dotted, is_interpolation, one_line, plain, shown
from initbench.errors import InputError, nearest

FullId = Callable[[str, str], str]  # the beginning of a finished run's id, and the key that gives it -> the whole id
VALIDATION = 0.2  # share of the training part that `lr=tune` validates on, unless the user sets one


@dataclass(frozen=True)
class Grid:
    """The runs of a sweep, each once, and its axes: the keys with several values, in the order asked, seed last.

    notes: which names were read as others, one sentence each. zipped: the keys of each `--zip`, which vary as one.
    given: the override that sets a key, as typed, by key.
    search: what `--tuner random` or `tpe` may try, of which `runs` has the default settings of each cell of `cells`.
    """

    runs: list[Run]
    axes: dict[str, list[Any]]
    notes: list[str] = field(default_factory=list)
    zipped: list[list[str]] = field(default_factory=list)
    search: SearchSpace | None = None
    cells: "list[TunedCell]" = field(default_factory=list)
    given: dict[str, str] = field(default_factory=dict, compare=False)


def expand(
    overrides: Iterable[str],
    *,
    seeds: int | None = None,
    config_dir: str | Path | None = None,
    zipped: Iterable[str] = (),
    full_id: FullId | None = None,
    find_weights: FindWeights | None = None,
) -> Grid:
    """The runs that overrides ask for, in the order of their axes; the seed changes fastest.

    A parameter (`init.std=0.01,1`) is applied only to the choices that have it, and multiplies only their runs.
    Raises InputError where an override, a file or a value cannot be used.

    Args:
        overrides: Hydra's `key=value`, where a value may be a sweep.
        seeds: N is the same as `seed=range(0,N)`.
        config_dir: a folder with the user's own `GROUP/NAME.yaml`.
        zipped: `act,init.sigma_w` takes the values of these keys together, instead of every combination.
        full_id: finds the runs that keys such as `init.run` name, so that ids do not hang on how much of one is typed.
        find_weights: finds the file of `init.run`; without it, that run can't be trained.
    """
    axes = read_axes(overrides, seeds, config_dir)
    if full_id is not None:
        axes = [_with_full_ids(axis, full_id) for axis in axes]
    zips = read_zips(zipped, axes)
    bundled = bundles(axes, zips)
    places = list(_places(axes, bundled, _combinations(axes, bundled, config_dir), find_weights))
    search = search_space(axes)
    cells = _cells(axes, places) if search else []
    found = [run for cell in cells for run in cell.runs(cell.default)] if search else [place.run() for place in places]
    distinct: dict[str, Run] = {}
    for run in found:
        distinct.setdefault(run.id, run)
    runs = list(distinct.values())
    for axis in axes:
        if len(axis.values) > 1 and all(axis.key in without_effect(dotted(run.config)) for run in runs):
            unless = f" without {TRAINS_WITH[axis.key]}" if axis.key in TRAINS_WITH else ""
            raise InputError(
                f"{axis.text}: '{axis.key}' has no effect on training{unless}, so it can't be swept; give one value"
            )
    notes = [note for axis in axes for note in axis.notes]
    several = {axis.key: axis.values for axis in axes if len(axis.values) > 1}
    given = {axis.key: axis.text for axis in axes}
    return Grid(runs, several, notes, zips, search, cells, given)


def _with_full_ids(axis: Axis, full_id: FullId) -> Axis:
    """The axis with whole ids in place of their beginnings, if its key names finished runs."""
    if axis.key not in NAMES_RUN:
        return axis
    names = [fitted(axis.key, value, None, axis.text) for value in axis.listed]
    whole = [name if name is None or is_interpolation(name) else full_id(str(name), axis.key) for name in names]
    return replace(axis, listed=whole)


@dataclass(frozen=True)
class ChoiceCombination:
    """One choice per group, and what the other axes do to its configuration."""

    choices: dict[str, str]  # the name of each group's choice.
    config: dict[str, Any]  # the configuration below the command line.
    implied: dict[str, Any]  # values, by dotted key, that the choices' names already say; not part of an id.
    # for each axis its values as this combination takes them; None where the axis chooses among groups, or the
    # combination has no such key.
    settings: list[list[Any] | None]


def _combinations(
    axes: Sequence[Axis], bundled: Iterable[Bundle], config_dir: str | Path | None
) -> dict[tuple[str, ...], ChoiceCombination]:
    """Every combination of the choices asked for, by the values of the group axes."""
    grouped = [n for n, axis in enumerate(axes) if axis.is_group]
    choosing = [bundle for bundle in bundled if not set(grouped).isdisjoint(bundle.places)]
    asked = {axis.key: axis.values for axis in axes if axis.is_group}
    mitigations = asked.get(OVERLAY, [groups()[OVERLAY]])
    overlays = {name: overlay(find(OVERLAY, name, config_dir), config_dir) for name in mitigations}
    chosen_by_names: dict[tuple[str, ...], dict[str, str]] = {}
    for names in dict.fromkeys(tuple(axes[n].values[point[n]] for n in grouped) for point in points(choosing)):
        given = groups() | dict(zip(asked, names, strict=True))
        replaced = {group: name for group, name in overlays[given[OVERLAY]].replaces.items() if group not in asked}
        chosen_by_names[names] = given | replaced

    for axis, chosen in itertools.product(axes, chosen_by_names.values()):
        if axis.is_group:
            _check_agreement(axis, [chosen[axis.key]], chosen[OVERLAY], overlays[chosen[OVERLAY]].replaces)
    parts = composed(wanted_choices(chosen_by_names.values()), config_dir)
    combinations = {
        names: _combination(chosen, parts, overlays[chosen[OVERLAY]], axes) for names, chosen in chosen_by_names.items()
    }
    read = _read_by_others(axes, combinations.values())
    for n, axis in enumerate(axes):
        unknown = all(combination.settings[n] is None for combination in combinations.values())
        if not axis.is_group and (unknown or not _is_read(axis.key, read)):
            raise _unknown_key(axis, combinations.values(), config_dir)
    for name, mitigation in overlays.items():
        for key, value in dotted(mitigation.content).items():
            if value is not None and not _is_read(key, read):
                close = nearest(key, [*groups(), *root_keys()], KEYS_SHOWN_BY)
                raise InputError(f"{OVERLAY}={name}: nothing reads the key '{key}'{close}")
    return combinations


def _read_by_others(axes: Iterable[Axis], combinations: Iterable[ChoiceCombination]) -> set[str]:
    """The keys that interpolations refer to, as `depth='${size}'` does to `size`."""
    values = [*(axis.values for axis in axes), *(combination.config for combination in combinations)]
    return {key for value in values for key in re.findall(r"\$\{\.*([\w.]+)", json.dumps(value))}


def _is_read(key: str, by_others: Collection[str]) -> bool:
    """Whether a key can have an effect: a section of a group is for its function, which says what it takes."""
    if key.partition(".")[0] in groups() and not key.startswith(OVERLAY):
        return True
    if tunes(key):
        return True  # `config.tune` has checked it
    known = {*root_keys(), *by_others}
    return any(f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.") for other in known)


def _combination(
    chosen: dict[str, str], parts: Composed, mitigation: Overlay, axes: Sequence[Axis]
) -> ChoiceCombination:
    config = parts.root
    for choice in chosen.items():
        config = _merged(config, parts.above_root.get(choice, {}))
    for group, name in chosen.items():
        if is_dotted_path(name):
            config = config | {group: {"_target_": name}}  # the user's function says what it takes
        elif section := parts.sections.get((group, name)):
            config = config | {group: section}
    config = _merged(config, mitigation.content)
    check_root(config, f"{OVERLAY}={chosen[OVERLAY]}")
    if any(value is not None for value in config["tune"].values()):
        raise InputError(f"{OVERLAY}={chosen[OVERLAY]}: a YAML can't set tune.*; give lr=tune on the command line")
    if is_tuned(axes) and not config["data"].get("val_fraction"):
        config = _assigned(config, ["data", "val_fraction"], VALIDATION)
    implied: dict[str, Any] = {}
    for choice in chosen.items():
        implied |= parts.implied.get(choice, {})
    settings = [None if axis.is_group else _settings(axis, chosen, config) for axis in axes]
    for axis, values in zip(axes, settings, strict=True):
        _check_agreement(axis, values or [], chosen[OVERLAY], mitigation.content)
    return ChoiceCombination(chosen, config, implied, settings)


def _check_agreement(axis: Axis, values: Iterable[Any], mitigation: str, content: Mapping[str, Any]) -> None:
    """The command line may repeat what a mitigation sets, but not contradict it: one of the two would be ignored."""
    there: Any = content
    for key in axis.key.split("."):
        if not isinstance(there, dict) or key not in there:
            return
        there = there[key]
    if any(canonical(value) != canonical(there) for value in values):
        sets = there if isinstance(there, str) else shown(there)
        raise InputError(f"{axis.text}: {OVERLAY}={mitigation} sets {axis.key}={sets}; leave one out")


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Two nested dicts as a new one; where both have a value, that of `above` counts."""
    merged = below | above
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            merged[key] = _merged(below[key], above[key])
    return merged


def _settings(axis: Axis, chosen: Mapping[str, str], config: Any) -> list[Any] | None:
    """An axis' values in the types of this configuration; None where it has no such key."""
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
        raise InputError(f"{axis.text}: '{axis.key}' exists already; did you mean it without the +?")
    return [fitted(axis.key, value, config[last], axis.text) for value in axis.values]


def _unknown_key(axis: Axis, combinations: Iterable[ChoiceCombination], config_dir: str | Path | None) -> InputError:
    group, _, name = axis.key.partition(".")
    value = axis.text[1:-1].partition("=")[2]
    if group not in groups() or group == OVERLAY:
        keys = {key for each in combinations for key in dotted(each.config) if not key.endswith("_target_")}
        no_key = f"{axis.text}: " + (f"nothing reads '{axis.key}'" if axis.adds else f"there is no key '{axis.key}'")
        if is_epochs(axis.key):
            return CountsEpochs(f"{no_key}: training is counted in steps", axis.text, axis.values)
        return InputError(no_key + instead_of(axis.key, value, {*keys, *groups()}, config_dir))
    has = {each.choices[group]: dotted(each.config.get(group, {})).keys() - {"_target_"} for each in combinations}
    known = sorted({key for keys in has.values() for key in keys})
    hint, elsewhere = nearest(name, known), here(name, value) or ""
    if "did you mean" not in hint and f"{axis.key}=" not in elsewhere:
        hint = elsewhere or hint
    if "there is" not in hint and known:
        hint += f" (there is {', '.join(known)})"
    return InputError(f"{axis.text}: {group}={','.join(has)} has no '{name}'{hint}")


@dataclass(frozen=True)
class GridPoint:
    """One point of the grid: a combination of choices, and for each axis the number of its value."""

    combination: ChoiceCombination
    axes: Sequence[Axis]
    numbers: tuple[int, ...]
    find_weights: FindWeights | None = None  # finds the file of `init.run`

    def run(self, tuned: Mapping[str, Any] | None = None) -> Run:
        """The run at this point. tuned: what searched keys are set to, in place of their axis' value."""
        tuned, config = tuned or {}, self.combination.config
        for axis, values, k in zip(self.axes, self.combination.settings, self.numbers, strict=True):
            if values is not None:
                config = _assigned(config, axis.key.split("."), tuned.get(axis.key, values[k]))
        if is_interpolation(config):
            config = _resolved(config, self.combination, self.axes)
        config = located(self.combination.choices, _with_depth(config, self.axes), self.find_weights)
        return Run(self.combination.choices, config, run_id(self.combination.choices, self.combination.implied, config))


@dataclass(frozen=True)
class TunedCell:
    """A cell whose tuned keys are searched: all its runs, but for the values of these keys."""

    default: dict[str, Any]  # the tuned keys that its choices have, at the values that they have untuned.
    seeds: list[GridPoint]

    @cached_property
    def id(self) -> str:
        """The id of its first run at the default values."""
        return self.seeds[0].run(self.default).id

    def runs(self, tuned: Mapping[str, Any]) -> list[Run]:
        """Its runs at these values, one per seed."""
        return [point.run(tuned) for point in self.seeds]


def _places(
    axes: Sequence[Axis],
    bundled: Iterable[Bundle],
    combinations: Mapping[tuple[str, ...], ChoiceCombination],
    find_weights: FindWeights | None,
) -> Iterator[GridPoint]:
    """The product of the bundles; of points that differ only in keys that their combination lacks, the first."""
    seen = set()
    grouped = [n for n, axis in enumerate(axes) if axis.is_group]
    for by_place in points(bundled):
        point = tuple(by_place[n] for n in range(len(axes)))
        names = tuple(axes[n].values[point[n]] for n in grouped)
        combination = combinations[names]
        set_here = tuple(k for k, values in zip(point, combination.settings, strict=True) if values is not None)
        if (names, set_here) not in seen:
            seen.add((names, set_here))
            yield GridPoint(combination, axes, point, find_weights)


def _cells(axes: Sequence[Axis], places: Iterable[GridPoint]) -> list[TunedCell]:
    """The points of a grid by cell."""
    by_cell: dict[tuple[int, ...], list[GridPoint]] = {}
    varied = [n for n, axis in enumerate(axes) if axis.key != "seed"]
    for place in places:
        by_cell.setdefault(tuple(place.numbers[n] for n in varied), []).append(place)
    return [TunedCell(_defaults(axes, seeds[0].combination), seeds) for seeds in by_cell.values()]


def _defaults(axes: Iterable[Axis], combination: ChoiceCombination) -> dict[str, Any]:
    """What the tuned keys of a combination are below the command line."""
    flat = dotted(combination.config)
    had = [
        axis.key for axis, values in zip(axes, combination.settings, strict=True) if axis.tuned and values is not None
    ]
    return {key: flat.get(key) for key in had}


def _with_depth(config: dict[str, Any], axes: Iterable[Axis]) -> dict[str, Any]:
    """A list of widths says the depth; InputError where the command line says another."""
    widths = config["width"]
    if not isinstance(widths, list):
        return config
    for axis in axes:
        if axis.key == "depth" and config["depth"] != len(widths):
            raise InputError(
                f"{axis.text}: width={shown(widths)} is for depth={len(widths)}, not {config['depth']}; leave depth out"
            )
    return config | {"depth": len(widths)}


def _assigned(config: dict[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """A copy of a nested dict with one key set; whatever is not on the path is shared with the original."""
    head, *rest = path
    return config | {head: _assigned(config.get(head, {}), rest, value) if rest else value}


def _resolved(config: dict[str, Any], combination: ChoiceCombination, axes: Iterable[Axis]) -> dict[str, Any]:
    """The configuration with its interpolations replaced by what they refer to in the same run.

    The environment has only text: `depth='${oc.env:DEPTH}'` becomes a number, as on the command line.
    """
    asked = [axis.text for axis in axes if is_interpolation(axis.values)]
    where = " ".join(asked or [f"{group}={name}" for group, name in combination.choices.items()])
    try:
        resolved: Any = OmegaConf.to_container(OmegaConf.create(config), resolve=True)
    except Exception as error:  # a resolver may be anyone's function
        raise InputError(f"{where}: an interpolation can't be resolved: {one_line(error)}") from None
    defaults, values = dotted(combination.config), dotted(resolved)
    for key, text in dotted(config).items():
        if isinstance(text, str) and "${oc.env:" in text:
            value = fitted(key, typed(key, values[key], defaults.get(key)), defaults.get(key), where)
            resolved = _assigned(resolved, key.split("."), value)
    check_root(resolved, where)
    return plain(resolved, where)
