"""What one `initbench run` asks for: checked, planned against what is done already, and trained."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from initbench import build
from initbench.config.grid import expand
from initbench.config.keys import STACKABLE
from initbench.config.run import Run, flatten
from initbench.config.stacks import Stack, shape_key, stacks
from initbench.config.values import dotted
from initbench.errors import InputError
from initbench.executors import local
from initbench.planning.autotune import START, Question, answers
from initbench.planning.compatibility import LeftOut, fitting
from initbench.planning.cost import Shape, measured
from initbench.planning.machine import chosen_device, cores, gib, memory_budget
from initbench.results.provenance import provenance
from initbench.results.store import MEASURED_COLUMNS, Store

if TYPE_CHECKING:
    from initbench.jobs.task import Status


CACHE = 48 * 1024**2  # bytes: beyond this a stack on the CPU no longer gains from being larger
CPU_STACK, CUDA_STACK = (4, 64), (64, 1024)  # fewest and most runs of a stack, where memory allows
CPU_FLOPS, CUDA_FLOPS = 40e9, 8e12  # a core, a GPU: for the estimate of time alone
MLP_LAYER, LAYER, CUDA_LAYER = (
    12e-6,
    150e-6,
    100e-6,
)  # seconds that a layer costs at each step whatever its size


@dataclass(frozen=True)
class Sweep:
    """A sweep that is ready to train: everything that can be wrong with its input has been found."""

    name: str
    store: Store
    runs: list[Run]
    left_out: list[LeftOut]  # asked for, and of settings that don't fit each other
    axes: dict[str, list[Any]]
    done: set[str]  # run ids
    stacks: list[Stack]  # of the missing runs, the longest first
    shapes: dict[str, Shape]
    device: str
    workers: int
    threads: int
    overrides: list[str]

    def seconds(self, stack: Stack) -> float:
        """About how long a stack takes."""
        config, shape = stack.runs[0].config, self.shapes[stack.shape]
        if shape.pace:
            return len(stack.runs) * config["steps"] * shape.pace.seconds
        cuda = self.device != "cpu"
        flops = len(stack.runs) * shape.cost.flops / (CUDA_FLOPS if cuda else CPU_FLOPS)
        layer = CUDA_LAYER if cuda else MLP_LAYER if shape.by_hand else LAYER
        return config["steps"] * (flops + shape.cost.layers * layer)

    def looped(self, stack: Stack) -> bool:
        """Are its runs best trained one after the other?"""
        pace = self.shapes[stack.shape].pace
        return pace is not None and pace.looped

    @property
    def estimate(self) -> float:
        """About how many seconds the training takes."""
        seconds = sum(map(self.seconds, self.stacks)) / self.workers
        return seconds + (START if self.workers > 1 and self.stacks else 0)

    @property
    def memory(self) -> int:
        """About how many bytes the stacks in work take at most."""
        sizes = [len(stack.runs) * self.shapes[stack.shape].cost.bytes for stack in self.stacks]
        return sum(sorted(sizes)[-self.workers :])

    def facts(self) -> dict[str, Any]:
        """The plan as plain values."""
        parameters = [shape.cost.parameters for shape in self.shapes.values()]
        return {
            "sweep": self.name,
            "runs": len(self.runs),
            "left_out": self.reasons,
            "done": len(self.done),
            "stacks": len(self.stacks),
            "stack_sizes": sorted({len(stack.runs) for stack in self.stacks}),
            "shapes": len(self.shapes),
            "parameters": [min(parameters), max(parameters)],
            "device": self.device,
            "workers": self.workers,
            "memory_bytes": self.memory,
            "seconds": round(self.estimate, 1),
            "axes": self.axes,
            "tune": self.runs[0].config["tune"],
        }

    @property
    def reasons(self) -> list[dict[str, Any]]:
        """Why runs were left out, and how many."""
        return [{"runs": len(left.runs), "reason": left.reason} for left in self.left_out]

    @property
    def without_weights(self) -> list[str]:
        """Done runs whose weights are asked for now, and were not kept."""
        asked = {run.id for run in self.runs if run.config["save_weights"]} & self.done
        return sorted(asked - self.store.with_weights()) if asked else []

    def save(self, command: Sequence[str] = ()) -> Path:
        """Write down what is asked for, and by which command, before it is trained; the sweep's folder."""
        info = {"command": list(command), "overrides": self.overrides, "axes": self.axes, "left_out": self.reasons}
        info |= provenance()
        return self.store.save_sweep(self.name, info=info, runs=[flatten(run) for run in self.runs])

    def train(self, report: Callable[[str, int], None]) -> Iterator["Status"]:
        """Train what is missing and yield a status a stack; `report` hears of a stack's id and its steps so far."""
        from initbench.jobs.task import Task
        from initbench.jobs.train import work  # and with it pandas: planning does without

        root = str(self.store.root.resolve())
        tasks = [Task(stack, root, self.device, self.threads, self.looped(stack)) for stack in self.stacks]
        yield from local.run(work, tasks, processes=self.workers, report=report)


def prepare(
    overrides: Sequence[str],
    *,
    seeds: int | None = None,
    config_dir: Path | None = None,
    out: Path = Path("results"),
    name: str | None = None,
    device: str = "auto",
    workers: int | None = None,
    memory: str | None = None,
    fresh: bool = False,
    trials: bool = True,
) -> Sweep:
    """Check a request and plan it; nothing is written.

    `trials`: train a few steps of models that have no hand-stacked program, to find their fastest way; without, the
    plan is quick and takes such models as if stacks of them paid.
    Raises InputError for whatever is wrong with it.
    """
    grid = expand(overrides, seeds=seeds, config_dir=config_dir)
    for key in dotted(grid.runs[0].config).keys() & MEASURED_COLUMNS:
        raise InputError(f"+{key}: results have a column of that name already; take another name")
    device = chosen_device(device)
    if workers is not None and workers < 1:
        raise InputError(f"--workers {workers}: at least 1 is needed")
    workers_at_most = workers or (1 if device != "cpu" else cores())
    budget = memory_budget(memory, device)
    runs, left_out = fitting(grid.runs, grid.axes, device)
    store = Store(out)
    done = set() if fresh else store.done(run.id for run in runs)
    missing = [run for run in runs if run.id not in done]
    shapes = measured(runs, budget)
    largest = max(shape.cost.bytes for shape in shapes.values())
    if largest > budget:
        raise InputError(f"--memory: a run needs about {gib(largest)}, and there is {gib(budget)}")
    workers_at_most = min(workers_at_most, budget // largest)
    if device == "cpu" and trials:
        shapes |= tried(missing, shapes, workers_at_most, budget)

    def size_of(run: Run) -> int:
        """Runs of a stack: on the CPU what fits the cache, on a GPU what fits the memory."""
        shape = shapes[shape_key(run)]
        cost = shape.cost
        if shape.pace:
            return min(shape.pace.size, budget // workers_at_most // cost.bytes)
        fewest, most = CPU_STACK if device == "cpu" else CUDA_STACK
        wanted = max(fewest, CACHE // cost.bytes) if device == "cpu" else most
        return min(wanted, most, budget // workers_at_most // cost.bytes)

    def planned(parallel: int) -> Sweep:
        sweep = Sweep(
            name=name or default_name(runs),
            store=store,
            runs=runs,
            left_out=left_out,
            axes=grid.axes,
            done=done,
            stacks=stacks(missing, size_of, parallel),
            shapes=shapes,
            device=device,
            workers=parallel,
            threads=cores() // parallel if device == "cpu" else 1,
            overrides=list(overrides) + ([f"seed=range(0,{seeds})"] if seeds is not None else []),
        )
        sweep.stacks.sort(key=sweep.seconds, reverse=True)
        return sweep

    sweep = planned(max(1, min(workers_at_most, len(missing))))
    alone = sum(map(sweep.seconds, sweep.stacks))
    return planned(1) if workers is None and alone < sweep.estimate else sweep


def tried(runs: Sequence[Run], shapes: Mapping[str, Shape], workers: int, budget: int) -> dict[str, Shape]:
    """The shapes that no hand-stacked program trains, with the fastest way to train them here."""
    alike: dict[str, list[Run]] = {}
    for run in runs:
        if not shapes[key := shape_key(run)].by_hand:
            alike.setdefault(key, []).append(run)
    kinds, questions = {}, {}
    for key, here in alike.items():
        config = here[0].config
        most = min(-(-len(here) // workers), budget // workers // shapes[key].cost.bytes)
        # Another activation changes little; a trial for each would take longer than it saves.
        kinds[key] = repr(({k: v for k, v in config.items() if k not in {"act", *STACKABLE}}, len(here), most))
        questions.setdefault(kinds[key], Question(config, len(here), most))
    found = dict(zip(questions, build.attempt("model", answers, list(questions.values()), workers), strict=True))
    return {key: replace(shapes[key], pace=found[kind]) for key, kind in kinds.items()}


def default_name(runs: Sequence[Run]) -> str:
    """A name that the same runs always get, so that asking again is asking for the same sweep."""
    return "sweep-" + hashlib.sha256(" ".join(sorted(run.id for run in runs)).encode()).hexdigest()[:8]
