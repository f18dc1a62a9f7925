"""What a run of each shape costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from initbench import build
from initbench.config.keys import STACKABLE
from initbench.config.run import Run
from initbench.config.stacks import shape_key
from initbench.engine.footprint import Footprint
from initbench.planning.autotune import Pace

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Shape:
    """What the runs of one shape have in common."""

    cost: Footprint
    by_hand: bool  # does the hand-stacked program train it?
    pace: Pace | None = None  # as it was tried; None where that needs no trial


def measured(runs: Sequence[Run], budget: int) -> dict[str, Shape]:
    """Each shape's cost."""
    shapes: dict[str, Shape] = {}
    costs: dict[str, Shape] = {}
    for run in runs:
        shape = shape_key(run)
        if shape not in shapes:
            config = run.config
            alike = shape  # a shipped activation changes no shipped model's cost
            if build.shipped(config["model"]) and build.shipped(config["act"]):
                alike = repr({key: value for key, value in config.items() if key not in {"act", *STACKABLE}})
            if alike not in costs:
                costs[alike] = Shape(*build.cost(config, build.data(config), budget))
            shapes[shape] = costs[alike]
    return shapes
