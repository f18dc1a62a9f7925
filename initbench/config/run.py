"""One run: its choices, its configuration, its id."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from initbench.config.keys import PLAIN, without_effect
from initbench.config.registry import is_dotted_path
from initbench.config.values import dotted


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


def flatten(run: Run) -> dict[str, Any]:
    """A run as a row: `run_id`, each group's choice, its config's keys with dots; lists are JSON."""
    keys = {key: value for key, value in dotted(run.config).items() if not key.endswith("_target_")}
    row = {"run_id": run.id, **run.choices, **keys}
    return {key: json.dumps(value) if isinstance(value, list) else value for key, value in row.items()}


def run_id(choices: Mapping[str, str], targets: Mapping[str, str | None], config: Mapping[str, Any]) -> str:
    """A hash of what affects training, made to outlive new features.

    Left out are keys at null (but those of somebody's own function, whose default may be another), choices named
    `none` and what is `PLAIN`, which is what later features are by default, and the `_target_` that a choice ships
    with: its name says it, and code may move. Of a tuned run counts that it is one, not which other rates are tried:
    to widen the grid is to train the rates that are new. `targets["init._target_"]` is what the choice ships with.
    """
    own = {group for group, name in choices.items() if is_dotted_path(name)}
    flat = dotted(config)
    left_out = without_effect(flat)
    facts = {
        "choices": {group: name for group, name in choices.items() if name not in ("none", PLAIN.get(group))},
        "config": {
            key: canonical(value)
            for key, value in flat.items()
            if (value is not None or key.partition(".")[0] in own)
            and key not in left_out
            and value != PLAIN.get(key)
            and value != targets.get(key)
        },
    }
    if config["tune"]["rates"]:
        facts["tuned"] = True
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def canonical(value: Any) -> Any:
    """1.0 and 1 are one number, whatever type a default has."""
    if isinstance(value, list):
        return [canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
