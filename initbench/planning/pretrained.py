"""The weights that runs start from: where those of `init.run` lie, and what of a file goes into which model."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from initbench import build
from initbench.config.pretrained import FindWeights, values_of
from initbench.config.run import Run
from initbench.errors import InputError
from initbench.parts.inits.pretrained import Fit, fit_of, told
from initbench.results.finding import find_run, find_trained, siblings

KEY = "init.run"


def weights_under(out: Path) -> FindWeights:
    """Finds runs, in the results folder `out` where no other is named, by their id or its beginning."""
    alike = cache(siblings_of)

    @cache
    def trained(root: Path, asked: str) -> tuple[str, Path]:
        run = find_trained(root, asked, KEY)
        assert run.weights is not None
        return run.id, run.weights

    def find(asked: str, folder: str | None, by: Mapping[str, Any]) -> tuple[str, Path]:
        root = out if folder is None else Path(folder)
        if not by:
            return trained(root, asked)
        found, wanted = alike(root, asked, tuple(by)), json.dumps([*by.values()])
        if wanted not in found:
            like = " ".join(f"{key}={value}" for key, value in by.items())
            raise InputError(f"init.by: no run in {root} is like {KEY}={asked} and has {like}")
        return trained(root, found[wanted])

    return find


def siblings_of(root: Path, asked: str, keys: tuple[str, ...]) -> dict[str, str]:
    """The ids of the runs that differ from the one asked for in nothing but these keys, by their values as JSON."""
    others = siblings(root, find_run(root, asked, KEY), keys)
    return {json.dumps([*values_of(keys, run.choices, run.config).values()]): run.id for run in others}


def loaded_by(runs: Sequence[Run]) -> list[str]:
    """One sentence for each different thing that runs load: "init=checkpoint loads 4 of 6 ..."; none loads nothing."""
    found: dict[str, None] = {}
    seen = set()
    for run in runs:
        key = json.dumps({key: value for key, value in run.config.items() if key not in ("seed", "lr")})
        path = run.config["init"].get("path")
        if key in seen or path is None or not build.loads_weights(run.config):
            continue
        seen.add(key)
        found[told(run.choices["init"], fit_here(run.config, path), run.config["init"]["rest"])] = None
    return list(found)


def fit_here(config: dict[str, Any], path: str) -> Fit:
    """What of a file goes into a run's model. Only its header is read, and no weight is drawn."""
    with torch.device("meta"):
        network = build.model(config, build.data(config))
    with safe_open(path, framework="pt") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    return fit_of(network, shapes, f"init.path={path}", config["init"]["layers"])
