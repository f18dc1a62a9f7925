"""One run: its choices, its configuration, its id."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from initbench.config.keys import PLAIN, tunes, without_effect
from initbench.config.pretrained import by_content
from initbench.config.values import dotted


@dataclass(frozen=True)
class Run:
    """One training."""

    choices: dict[str, str] = field(hash=False)  # the name of each group's choice.
    # the resolved configuration in plain values: the root keys, and for each group a dict of `_target_` and the
    # parameters. Runs share these dicts with each other, so do not change them.
    config: dict[str, Any] = field(hash=False)
    id: str  # 16 hex digits of the SHA-256 of everything that affects the training.


def flatten(run: Run) -> dict[str, Any]:
    """A run as a row: `run_id`, the choice of each group, and the configuration by dotted keys; lists are JSON."""
    keys = {key: value for key, value in dotted(run.config).items() if not key.endswith("_target_")}
    row = {"run_id": run.id, **run.choices, **keys}
    return {key: json.dumps(value) if isinstance(value, list) else value for key, value in row.items()}


def run_id(choices: Mapping[str, str], implied: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """A hash of what affects training. It must outlive new features, or finished runs would be trained again.

    It leaves out
    - keys at null, choices named `none`, and `PLAIN` values: these are the defaults of features added later;
    - keys that do not affect training, among them what `lr=tune` tries, and by which tuner: widening the range of rates
      trains only the new ones;
    - values that a choice's name implies, such as its `_target_`, so that shipped code may move.
    Saved weights enter it by what they are, not by where they lie.
    """
    flat = by_content(dotted(config))
    left_out = without_effect(flat)
    facts = {
        "choices": {group: name for group, name in choices.items() if name not in ("none", PLAIN.get(group))},
        "config": {
            key: canonical(value)
            for key, value in flat.items()
            if value is not None and key not in left_out and value != PLAIN.get(key) and value != implied.get(key)
        },
    }
    if any(tunes(key) and value is not None for key, value in flat.items()):
        facts["tuned"] = True
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def canonical(value: Any) -> Any:
    """A value as it is compared: 1.0 and 1 are one number, whatever type the default has."""
    if isinstance(value, list):
        return [canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
