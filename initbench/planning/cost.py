"""What training a run of each shape costs: parameters, bytes, operations and, as an estimate, seconds."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

import torch

from initbench import build
from initbench.config.keys import STACKABLE
from initbench.config.registry import shipped_facts
from initbench.config.run import Run
from initbench.config.stacks import shape_key
from initbench.engine.footprint import Footprint, footprint, weight_bytes
from initbench.engine.programs.choose import has_fast_program
from initbench.errors import InputError
from initbench.parts.data import Dataset
from initbench.planning.machine import gib
from initbench.theory.nominal import evaluate

CACHE = 48 * 1024**2  # bytes: beyond this a stack on the CPU no longer gains from being larger
CPU_STACK, CUDA_STACK = (4, 64), (64, 1024)  # fewest and most runs of a stack, where memory allows
CPU_FLOPS, CUDA_FLOPS = 40e9, 8e12  # per second, of one core and of a GPU: for the estimate of time alone
FAST_LAYER, LAYER, CUDA_LAYER = 12e-6, 150e-6, 100e-6  # seconds per layer and step, whatever its size


@dataclass(frozen=True)
class Throughput:
    """The fastest way to train runs of one shape on one core, as it was measured.

    Args:
        size: runs per stack.
        looped: whether the runs of a stack are trained one after the other.
        seconds: time of one step of one run.
    """

    size: int
    looped: bool
    seconds: float


@dataclass(frozen=True)
class Shape:
    """What all runs of one shape have in common.

    Args:
        cost: what one run costs.
        fast: whether the fast program for multilayer perceptrons trains it.
        throughput: as measured; None where nothing had to be measured.
        one_by_one: whether `vmap` does not take the model, so that runs are trained one after the other.
    """

    cost: Footprint
    fast: bool
    throughput: Throughput | None = None
    one_by_one: bool = False

    def seconds(self, runs: int, steps: int, device: str) -> float:
        """About how long one stack of this shape takes."""
        if self.throughput:
            return runs * steps * self.throughput.seconds
        cuda = device != "cpu"
        arithmetic = runs * self.cost.flops / (CUDA_FLOPS if cuda else CPU_FLOPS)
        layer = CUDA_LAYER if cuda else FAST_LAYER if self.fast else LAYER
        return steps * (arithmetic + self.cost.layers * layer)

    def stack_size(self, device: str, memory: int) -> int:
        """Most runs per stack: as measured, else what fits the cache of a CPU, always within `memory` bytes."""
        fitting = memory // self.cost.bytes
        if self.throughput:
            return min(self.throughput.size, fitting)
        fewest, most = CPU_STACK if device == "cpu" else CUDA_STACK
        wanted = max(fewest, CACHE // self.cost.bytes) if device == "cpu" else most
        return min(wanted, most, fitting)


def shapes_of(runs: Sequence[Run], memory: int, one_by_one: Set[str] = frozenset()) -> dict[str, Shape]:
    """The shape of the runs by its `shape_key`; InputError where a run needs more than `memory` bytes.

    one_by_one: the keys of shapes that `vmap` does not take.
    """
    shapes: dict[str, Shape] = {}
    alike: dict[str, Shape] = {}
    with_rates = {shape_key(run) for run in runs if may_have_own_rates(run)}
    for run in runs:
        if (key := shape_key(run)) not in shapes:
            config, kind = run.config, key
            if build.shipped(config["model"]) and build.shipped(config["act"]):
                # A shipped activation does not change what a shipped model costs.
                kind = repr({name: value for name, value in config.items() if name not in {"act", *STACKABLE}})
            kind += " with rates" * (key in with_rates)
            if kind not in alike:
                alike[kind] = shape_of(config, build.data(config), memory, key in with_rates)
            shapes[key] = replace(alike[kind], one_by_one=key in one_by_one)
    largest = max(shape.cost.bytes for shape in shapes.values())
    if largest > memory:
        raise InputError(f"--memory: a run needs about {gib(largest)}, and there is {gib(memory)}")
    return shapes


def start_steps(run: Run, layers: int) -> float:
    """About how many training steps the initializer of a run works before it: `# Cost: ...` in its YAML's header.

    A formula in its parameters and `layers`, by counted passes: a forward pass is a third of a step, and each
    differentiation takes twice as long as what it differentiates. 0 where the header has none.
    """
    formula = shipped_facts("init").get(run.choices["init"], {}).get("Cost")
    if formula is None:
        return 0.0
    parameters = {key: value for key, value in run.config["init"].items() if isinstance(value, int | float)}
    return evaluate(formula, {**parameters, "layers": layers}, f"init={run.choices['init']}")


def may_have_own_rates(run: Run) -> bool:
    """Whether single parameters of a run have learning rates of their own, or its initializer, somebody's, may ask."""
    facts = shipped_facts("init").get(run.choices["init"], {})
    return bool(run.config["lr_factors"]) or "Rates" in facts or not build.shipped(run.config["init"])


def shape_of(config: build.Config, dataset: Dataset, memory: int, own_rates: bool = False) -> Shape:
    """What one run costs; InputError where its weights alone are more than `memory` bytes."""
    device = "meta" if build.shipped(config["model"]) else "cpu"  # the constructor of a user's model may compute
    with torch.device(device):
        network = build.model(config, dataset)
    recipe = build.recipe(config)
    need = build.attempt("optim", weight_bytes, network, recipe, own_rates)
    if need > memory:
        weights = sum(parameter.numel() for parameter in network.parameters())
        raise InputError(f"--memory: a run of {weights:,} weights needs {gib(need)}, there is {gib(memory)}")
    fast = has_fast_program(network, dataset, recipe.precision)
    return Shape(build.attempt("model", footprint, network, dataset.x_train[:1], recipe, own_rates), fast)
