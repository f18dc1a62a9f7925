"""Overrides to runs with stable ids: Hydra composes each choice once, plain dicts are merged for each run.

The merge gives what Hydra's `compose` gives for that run: `config.yaml` < group < mitigation < command line. What the
command line and a mitigation both set must be equal, though: neither is a silent loser.
"""

import hashlib
import itertools
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from initbench.errors import InputError, nearest
from initbench.overrides import TUNE, Axis, read_axes
from initbench.registry import (
    CONF,
    OVERLAY,
    Choice,
    check_choice,
    choices,
    completion,
    describe,
    find,
    groups,
    header,
    is_dotted_path,
    parted,
    read,
    root_keys,
)
from initbench.values import RULES, check_root, dotted, fitted, is_interpolation, one_line, plain, shown

__all__ = ["Choice", "Grid", "Run", "choices", "completion", "describe", "expand", "flatten"]

# What a run shows, keeps or reads from, but not how it trains (but see `without_effect`): no part of its id.
WITHOUT_EFFECT = {
    "log_every",
    "eval_every",
    "save_weights",
    "save_predictions",
    "metrics",
    "data.data_dir",
    "data.download",
}
VALIDATION = 0.2  # of the training part: what `lr=tune` chooses on, unless the user says otherwise
# What a run is where nothing else is asked for, beside null and choices named none: no part of its id either, which
# thus outlives new features.
PLAIN = {"schedule": "constant", "precision": "float32"}


@dataclass(frozen=True)
class Run:
    """One training: a choice for every group, the resolved configuration, and an id.

    `config` holds plain values: the root keys, and for each group a dict of `_target_` and the parameters.
    Runs share those dicts with each other: read them, don't write. `id` is 16 hex digits of the SHA-256 of
    what affects training.
    """

    choices: dict[str, str] = field(hash=False)
    config: dict[str, Any] = field(hash=False)
    id: str


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
    runs = _runs(axes, _cells(axes, config_dir))
    for axis in axes:
        if len(axis.values) > 1 and all(axis.key in without_effect(dotted(run.config)) for run in runs):
            unless = " without regularize.patience" if axis.key == "eval_every" else ""
            raise InputError(
                f"{axis.text}: '{axis.key}' has no effect on training{unless}, so it can't be swept; give one value"
            )
    return Grid(runs, {axis.key: axis.values for axis in axes if len(axis.values) > 1})


def without_effect(config: Mapping[str, Any]) -> set[str]:
    """The keys of a configuration, `dotted`, that don't change how it trains.

    With early stopping the evaluations decide when a run stops, and which weights count.
    """
    return WITHOUT_EFFECT if config.get("regularize.patience") is None else WITHOUT_EFFECT - {"eval_every"}


def flatten(run: Run) -> dict[str, Any]:
    """A run as a row: `run_id`, each group's choice, its config's keys with dots; lists are JSON."""
    keys = {key: value for key, value in dotted(run.config).items() if not key.endswith("_target_")}
    row = {"run_id": run.id, **run.choices, **keys}
    return {key: json.dumps(value) if isinstance(value, list) else value for key, value in row.items()}


# From axes to cells. A cell is a choice for each group.


@dataclass(frozen=True)
class _Cell:
    """The configuration below the command line, and what the command line sets in it.

    `targets["init._target_"]` is what the choice of that name ships with. `settings[n]` holds the values of
    axis n as this cell takes them; None where it has no such key, and for the axes that chose the cell.
    """

    choices: dict[str, str]
    config: dict[str, Any]
    targets: dict[str, str | None]
    settings: list[list[Any] | None]


@dataclass(frozen=True)
class _Overlay:
    """A mitigation's YAML: keys for the whole configuration, and other default choices for some groups."""

    content: dict[str, Any]
    replaces: dict[str, str]


@dataclass(frozen=True)
class _Parts:
    """What Hydra composed: the root keys and each (group, choice); and the `_target_` of what is shipped."""

    root: dict[str, Any]
    groups: dict[tuple[str, str], dict[str, Any]]
    above_root: dict[tuple[str, str], dict[str, Any]]  # root keys that a choice has other defaults for
    targets: dict[tuple[str, str], str | None]


def _cells(axes: Sequence[Axis], config_dir: str | Path | None) -> dict[tuple[str, ...], _Cell]:
    """A cell for each combination of the choices asked for. Every other key must apply to one at least."""
    asked = {axis.key: axis.values for axis in axes if axis.is_group}
    mitigations = asked.get(OVERLAY, [groups()[OVERLAY]])
    overlays = {name: _overlay(find(OVERLAY, name, config_dir), config_dir) for name in mitigations}
    combinations: dict[tuple[str, ...], dict[str, str]] = {}
    for names in itertools.product(*asked.values()):
        given = groups() | dict(zip(asked, names, strict=True))
        replaced = {group: name for group, name in overlays[given[OVERLAY]].replaces.items() if group not in asked}
        combinations[names] = given | replaced

    for axis, chosen in itertools.product(axes, combinations.values()):
        if axis.is_group:
            _check_agreement(axis, [chosen[axis.key]], chosen[OVERLAY], overlays[chosen[OVERLAY]].replaces)
    parts = _composed(_wanted(combinations.values()), config_dir)
    cells = {names: _cell(chosen, parts, overlays, axes) for names, chosen in combinations.items()}
    for n, axis in enumerate(axes):
        if not axis.is_group and all(cell.settings[n] is None for cell in cells.values()):
            raise _unknown_key(axis, cells.values())
    return cells


def _cell(chosen: dict[str, str], parts: _Parts, overlays: Mapping[str, _Overlay], axes: Sequence[Axis]) -> _Cell:
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
    return _Cell(chosen, config, targets, settings)


def _check_agreement(axis: Axis, values: Iterable[Any], mitigation: str, content: Mapping[str, Any]) -> None:
    """What a mitigation sets, the command line may repeat but not contradict: one of both would be lost."""
    there: Any = content
    for key in axis.key.split("."):
        if not isinstance(there, dict) or key not in there:
            return
        there = there[key]
    if any(_canonical(value) != _canonical(there) for value in values):
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


def _unknown_key(axis: Axis, cells: Iterable[_Cell]) -> InputError:
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


# From YAML to parts


def _wanted(combinations: Iterable[Mapping[str, str]]) -> dict[str, list[str]]:
    """The choices that Hydra has to compose, of each group but the overlays, in order of appearance."""
    wanted: dict[str, dict[str, None]] = {group: {} for group in groups() if group != OVERLAY}
    for chosen in combinations:
        for group, names in wanted.items():
            if not is_dotted_path(chosen[group]):
                names[chosen[group]] = None
    return {group: list(names) for group, names in wanted.items()}


def _composed(wanted: Mapping[str, Collection[str]], config_dir: str | Path | None) -> _Parts:
    """Every wanted choice: its YAML as it stands, or composed once where it has a defaults list of its own.

    A call of `compose` takes a thousand times as long as a merge of dicts. One is needed for the root keys, and
    composes the first choice of every group that has to be; the next one the second, and so on.
    """
    targets: dict[tuple[str, str], str | None] = {}
    parts: dict[tuple[str, str], dict[str, Any]] = {}
    above_root: dict[tuple[str, str], dict[str, Any]] = {}
    to_compose: dict[str, list[str]] = {group: [] for group in wanted}
    for group, names in wanted.items():
        for name in names:
            path = find(group, name, config_dir)
            content, above_root[group, name] = _checked_part(path, group, config_dir)
            targets[group, name] = content.get("_target_") if path.is_relative_to(CONF) else None
            if "defaults" in content:
                to_compose[group].append(name)
            parts[group, name] = content

    root: dict[str, Any] = {}
    for names in list(itertools.zip_longest(*to_compose.values())) or [[None] * len(to_compose)]:
        together = {group: name for group, name in zip(to_compose, names, strict=True) if name is not None}
        config = _compose(together, config_dir)
        parts |= {(group, name): config.get(group, {}) for group, name in together.items()}
        root = {key: value for key, value in config.items() if key not in wanted}
    return _Parts(root, parts, above_root, targets)


def _compose(together: Mapping[str, str], config_dir: str | Path | None) -> dict[str, Any]:
    overrides = [f"{group}={_quoted(together[group])}" if group in together else f"~{group}" for group in groups()]
    if config_dir is not None:
        overrides.append(f"hydra.searchpath=[{_quoted(f'file://{Path(config_dir).absolute()}')}]")
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config: Any = OmegaConf.to_container(compose("config", overrides), resolve=False)
    except (HydraException, OmegaConfBaseException, RecursionError, ValueError, OSError) as error:
        asked = " ".join(f"{group}={name}" for group, name in together.items())
        raise InputError(f"{asked}: Hydra can't compose that: {one_line(error)}") from None
    return config


def _quoted(text: str) -> str:
    return QuotedString(text, Quote.single).with_quotes()


def _checked_part(path: Path, group: str, config_dir: str | Path | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """A group's YAML, as `parted` takes it apart. It is composed apart from the other groups' choices, so it must
    keep to its own."""
    content, root = parted(group, path)
    plain(content, one_line(path))
    plain(root, one_line(path))
    check_root(root, one_line(path), RULES.keys() & dotted(root))
    for line in header(path):
        if line.startswith("@package") and line != "@package _global_":
            raise InputError(f"{one_line(path)}: {shown(line)} can't be; did you mean '@package _global_'?")
    known = ["_self_", *choices(group, config_dir)]
    for entry in _defaults(content, path):
        if entry not in known:
            raise InputError(f"{one_line(path)}: no default can be {shown(entry)}{nearest(str(entry), known)}")
    return content, root


def _overlay(path: Path, config_dir: str | Path | None) -> _Overlay:
    """A mitigation's YAML; `override /GROUP: NAME` in its defaults replaces the default choice of a group."""
    where = one_line(path)
    content = _checked(path)
    if "@package _global_" not in header(path):
        raise InputError(f"{where}: a mitigation must open with the line '# @package _global_'")
    replaces: dict[str, str] = {}
    for entry in _defaults(content, path):
        if entry == "_self_":
            continue
        group, name = _override(entry)
        if group not in groups() or group == OVERLAY:
            raise InputError(f"{where}: no default can be {shown(entry)}; did you mean 'override /GROUP: NAME'?")
        check_choice(group, name, where, config_dir)
        replaces[group] = name
    for section in {*groups(), *(key.partition(".")[0] for key in root_keys() if "." in key)} & content.keys():
        if not isinstance(content[section], dict):
            raise InputError(f"{where}: '{section}' must hold keys, not {shown(content[section])}")
    return _Overlay({key: value for key, value in content.items() if key != "defaults"}, replaces)


def _override(entry: Any) -> tuple[str, Any]:
    """`{"override /optim": "adam"}` as `("optim", "adam")`; for anything else the group is empty."""
    key, name = next(iter(entry.items()), ("", None)) if isinstance(entry, dict) else ("", None)
    match = re.fullmatch(r"override /(\w+)", str(key))
    return (match[1] if match else "", name)


def _checked(path: Path) -> dict[str, Any]:
    content = read(path)
    plain(content, one_line(path))
    return content


def _defaults(content: Mapping[str, Any], path: Path) -> list[Any]:
    defaults = content.get("defaults", [])
    if not isinstance(defaults, list):
        raise InputError(f"{one_line(path)}: 'defaults' must be a list, not {shown(defaults)}")
    return defaults


# From cells to runs


def _runs(axes: Sequence[Axis], cells: Mapping[tuple[str, ...], _Cell]) -> list[Run]:
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


def _run(cell: _Cell, axes: Sequence[Axis], point: Sequence[int]) -> Run:
    config = cell.config
    for axis, values, k in zip(axes, cell.settings, point, strict=True):
        if values is not None:
            config = _assigned(config, axis.key.split("."), values[k])
    if is_interpolation(config):
        config = _resolved(config, axes, cell)
    return Run(cell.choices, config, _id(cell, config))


def _assigned(config: dict[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """A copy of a nested dict with one key set; what isn't on the path is shared."""
    head, *rest = path
    return config | {head: _assigned(config.get(head, {}), rest, value) if rest else value}


def _resolved(config: dict[str, Any], axes: Iterable[Axis], cell: _Cell) -> dict[str, Any]:
    """Interpolations refer to the run's own configuration."""
    asked = [axis.text for axis in axes if is_interpolation(axis.values)]
    where = " ".join(asked or [f"{group}={name}" for group, name in cell.choices.items()])
    try:
        resolved: Any = OmegaConf.to_container(OmegaConf.create(config), resolve=True)
    except Exception as error:  # a resolver may be anyone's function
        raise InputError(f"{where}: an interpolation can't be resolved: {one_line(error)}") from None
    check_root(resolved, where)
    return plain(resolved, where)


def _id(cell: _Cell, config: Mapping[str, Any]) -> str:
    """A hash of what affects training, made to outlive new features.

    Left out are keys at null (but those of somebody's own function, whose default may be another), choices named
    `none` and what is `PLAIN`, which is what later features are by default, and the `_target_` that a choice ships
    with: its name says it, and code may move. Of a tuned run counts that it is one, not which other rates are tried:
    to widen the grid is to train the rates that are new.
    """
    own = {group for group, name in cell.choices.items() if is_dotted_path(name)}
    flat = dotted(config)
    left_out = without_effect(flat) | TUNE.keys()
    facts = {
        "choices": {group: name for group, name in cell.choices.items() if name not in ("none", PLAIN.get(group))},
        "config": {
            key: _canonical(value)
            for key, value in flat.items()
            if (value is not None or key.partition(".")[0] in own)
            and key not in left_out
            and value != PLAIN.get(key)
            and value != cell.targets.get(key)
        },
    }
    if config["tune"]["rates"]:
        facts["tuned"] = True
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _canonical(value: Any) -> Any:
    """1.0 and 1 are one number, whatever type a default has."""
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
