"""How runs are trained: all that the runs of a stack have in common beside their model and data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from initbench.parts.data.augmentation import Augment
from initbench.parts.distillation import Distillation
from initbench.parts.regularization import Gradient, Regularize
from initbench.parts.schedules import Constant

Metric = Callable[[Any], Tensor]  # of Units or of Weights, see metrics.py


@dataclass(frozen=True)
class Recipe:
    """The parts of a training, its length, and how often it logs and evaluates. Steps are updates."""

    optimizer: Any
    schedule: Any = field(default_factory=Constant)
    gradient: Gradient = field(default_factory=Gradient)
    regularize: Regularize = field(default_factory=Regularize)
    average: Any = None
    augment: Augment = field(default_factory=Augment)
    distill: Distillation | None = None  # set where a stack is trained: planning and the probe do without a teacher
    rebalance: Any = None  # see parts/rebalance.py
    curriculum: Any = None  # see parts/curricula.py
    precision: str = "float32"
    steps: int = 1000
    batch_size: int = 100
    log_every: int = 20  # steps
    eval_every: int = 200  # steps
    save_predictions: bool = False  # of the test part
    metrics: Mapping[str, Metric] = field(default_factory=dict)
