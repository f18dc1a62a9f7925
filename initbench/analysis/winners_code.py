"""The lines of code for the initializers that win, to be pasted into PyTorch, Keras or JAX."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from initbench.analysis.axes import value_text
from initbench.analysis.code_lines import FRAMEWORKS, initializer_lines
from initbench.analysis.contests import Contests, contest_key
from initbench.analysis.verdicts import CLEAR, OPEN, Verdict
from initbench.config.registry import shipped_facts
from initbench.theory.activations import SHIPPED
from initbench.theory.network import ACTIVATIONS, phi_of

MODELS = ("mlp", "residual_mlp", "logistic", "cnn", "conv1d", "resnet")  # all weights dense or convolutional


@dataclass(frozen=True)
class WinnerCode:
    """One winner before one activation: "he, relu"."""

    title: str
    lines: list[tuple[str, str]]  # framework and line; which says so where there is none


def winners_code(contests: Contests, verdicts: Sequence[Verdict]) -> list[WinnerCode]:
    """The lines for the first of each contest, by activation, each once. Empty where something else competes.

    Initializers and activations of one's own are left out, and models that have gates or attention, whose matrices the
    frameworks count otherwise.
    """
    if contests.over != "init":
        return []
    found: dict[str, WinnerCode] = {}
    runs_of = {contest_key(contest.values, contests.axes): contest.runs for contest in contests}
    for verdict in verdicts:
        if verdict.winner is None or verdict.state not in (CLEAR, OPEN):
            continue
        runs = runs_of[contest_key(verdict.contest, contests.axes)]
        row = runs[(runs["label"] == verdict.winner) & runs["config"].notna()].iloc[0].to_dict()
        if (lines := _lines(row)) is not None:
            title = f"{verdict.winner}, {value_text(row['act'])}"
            found.setdefault(title, WinnerCode(title, lines))
    return list(found.values())


def _lines(row: Mapping[str, Any]) -> list[tuple[str, str]] | None:
    """Of a run; None where nothing is known of its initializer or activation."""
    config, facts = json.loads(row["config"]), shipped_facts("init").get(row["init"])
    act = str(config.get("act", {}).get("_target_"))
    if facts is None or row["model"] not in MODELS or act.removeprefix(ACTIVATIONS) not in SHIPPED:
        return None
    parameters = {name: value for name, value in config["init"].items() if name != "_target_"}
    lines = initializer_lines(facts, parameters, phi_of(config["act"]))
    none = f"no line gives these weights; initbench.parts.inits has init={row['init']}"
    return [(name, lines.get(name, none)) for name in FRAMEWORKS]
