"""Certify one initializer: whether it keeps the contract and what it claims."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from initbench import build
from initbench.config.grid import expand
from initbench.config.registry import find, is_dotted_path, sentence_and_facts, shared_keys
from initbench.errors import InputError
from initbench.parts.inits.claims import Claims
from initbench.parts.inits.contract import check_contract
from initbench.parts.inits.realized import Check


@dataclass(frozen=True)
class Certificate:
    """What `check` says of an initializer, line by line."""

    name: str
    checks: list[Check]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    def facts(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {"name": self.name, "passed": self.passed, "checks": [check._asdict() for check in self.checks]}


def certify(
    name: str, overrides: Sequence[str], stated: Mapping[str, Any], config_dir: str | Path | None = None
) -> Certificate:
    """The certificate of the initializer `name`, with the parameters and for the activation that overrides give.

    It claims what its YAML says, and instead of that what is `stated`, by the fields of `Claims`. Raises InputError
    where an override can't be used, or the initializer fails.
    """
    runs = expand([f"init={name}", *overrides], config_dir=config_dir).runs
    if len(runs) > 1:
        raise InputError(f"check takes one initializer with one value of each key, not {len(runs)} combinations")
    config, chosen = runs[0].config, runs[0].choices["init"]
    claims = replace(Claims.of(header_facts(chosen, config_dir)), **stated)
    scheme = {key: value for key, value in config["init"].items() if key not in shared_keys("init")}
    target, parameters = build.bound("init", scheme, positional=3, offered=build.INIT_GETS)
    if build.loads_weights(config):
        raise InputError(f"init={chosen} loads trained weights: there is no formula to check them by")

    @functools.wraps(target, updated=())  # an error's line names the initializer
    def checks() -> list[Check]:
        return check_contract(target, act=build.activation(config), claims=claims, **parameters)

    return Certificate(chosen, build.attempt("init", checks))


def header_facts(name: str, config_dir: str | Path | None) -> dict[str, str]:
    """What the header of an initializer's YAML says; nothing of a function that has none."""
    return {} if is_dotted_path(name) else sentence_and_facts(find("init", name, config_dir))[1]
