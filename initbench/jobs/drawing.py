"""The initial weights of stacks that differ in the activation alone, drawn once where they do not depend on it."""

import time
import traceback
from typing import Any

import torch
from torch import nn

from initbench import build
from initbench.config.run import Run
from initbench.config.stacks import but_activation
from initbench.engine.programs.choose import has_fast_program
from initbench.engine.state import Stacked, room_for
from initbench.parts.activations import Activation, MakeActivation
from initbench.parts.data import Dataset


class WatchedActivation:
    """An activation that remembers what an initializer asked it for, by name."""

    def __init__(self, act: Activation):
        self._act, self.asked = act, {}

    def __getattr__(self, name: str) -> Any:
        self.asked[name] = getattr(self._act, name)
        return self.asked[name]


class DrawnWeights:
    """The state of a stack's runs, from one stack to the next.

    A run's weights are those of the run in its place before it, and are not drawn again, where that differs in the
    activation alone and a shipped initializer asked its activation for nothing, or for what this one answers alike.
    """

    def __init__(self, device: str):
        self.device = torch.device(device)
        self.model: nn.Module | None = None
        self.state: Stacked | None = None
        self.drawn: dict[
            int, tuple[str, dict[str, Any]]
        ] = {}  # row to its run without the activation, and what it asked

    def of(self, runs: tuple[Run, ...], dataset: Dataset, rows: dict[str, dict[str, Any]]) -> tuple[Stacked, list[Run]]:
        """The state of the runs that can be built, and these. Errors and seconds go into their rows."""
        config, built = runs[0].config, []
        if self.model is None or not self.fast or not shipped(config):
            self.model = build.model(config, dataset)
            self.state, self.drawn = room_for(self.model, len(runs), self.device), {}
            self.fast = shipped(config) and has_fast_program(self.model, dataset)
        else:
            with_activation(self.model, build.activation(config))
        assert self.state is not None
        for run in runs:
            began = time.perf_counter()
            try:
                self._put(len(built), run, dataset)
                built.append(run)
            except Exception:  # of this run alone
                rows[run.id]["error"] = traceback.format_exc()
            rows[run.id]["init_seconds"] = time.perf_counter() - began
        return self.state.first(len(built)), built

    def _put(self, place: int, run: Run, dataset: Dataset) -> None:
        assert self.model is not None and self.state is not None
        key, act = but_activation(run), build.activation(run.config)()
        before = self.drawn.get(place)
        if before and before[0] == key and all(getattr(act, name) == value for name, value in before[1].items()):
            return
        self.drawn.pop(place, None)
        model, watched = self.model, WatchedActivation(act)
        if not (build.shipped(run.config["model"]) and build.shipped(run.config["init"])):
            model = self.model = build.model(run.config, dataset)
        build.initialize(model, run.config, dataset, act=watched)  # type: ignore[arg-type]
        self.state.put(place, model)
        if may_share(run):
            self.drawn[place] = key, watched.asked


def shipped(config: build.Config) -> bool:
    """Whether model and activation are initbench's own."""
    return build.shipped(config["model"]) and build.shipped(config["act"])


def may_share(run: Run) -> bool:
    """Whether an initializer that asks its activation for nothing does without: not one that runs the model."""
    return build.shipped(run.config["init"]) and not build.looks_at_data(run.config)


def with_activation(model: nn.Module, make: MakeActivation) -> nn.Module:
    """The model with new activations in all places."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, Activation):
                setattr(module, name, make())
    return model
