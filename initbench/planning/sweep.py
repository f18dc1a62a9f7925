"""The sweep of one `initbench run`: checked, planned without its finished runs, and trained."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from initbench.config.origins import origin
from initbench.config.run import Run, flatten
from initbench.config.stacks import Stack, shape_key, stacks
from initbench.config.values import dotted
from initbench.engine.process import training_threads
from initbench.errors import InputError
from initbench.executors.choose import choose_executor
from initbench.executors.protocol import Executor, Machine
from initbench.jobs.task import CHECKPOINT_EVERY
from initbench.planning.autotune import with_throughput
from initbench.planning.compatibility import Skipped, compatible_runs, is_custom
from initbench.planning.cost import Shape, shapes_of, start_steps
from initbench.planning.epochs import expanded
from initbench.planning.isolation import check_isolation
from initbench.planning.machine import memory_limit, worker_limit
from initbench.planning.pretrained import loaded_by, weights_under
from initbench.planning.resuming import UnderWay
from initbench.planning.search import SearchRound, compatible_cells, next_round
from initbench.planning.search import default_name as default_name_of_search
from initbench.planning.teaching import check_teaching
from initbench.planning.training import SharedTraining
from initbench.results.finding import find_run
from initbench.results.provenance import provenance
from initbench.results.schema import MEASURED_COLUMNS
from initbench.results.store import Store

if TYPE_CHECKING:
    from initbench.jobs.task import Status, Task

SLACK = 1.5  # times the memory of a stack that is planned now


@dataclass(frozen=True)
class Sweep:
    """A sweep that is ready to train: its input has been checked completely.

    Args:
        name: of its folder under `sweeps/`.
        store: the results folder.
        runs: all runs asked for that can be trained.
        skipped: runs asked for whose settings do not fit each other.
        axes: the keys that vary, with their values.
        done: ids of the runs that need no training.
        failed: ids of the runs that failed before and are not tried again.
        stacks: the missing runs, the stack that takes longest first.
        share: bytes that one stack may take.
        under_way: of the stacks, the updates made of those that go on from a checkpoint, by their ids.
        fresh: whether no checkpoint counts.
        shapes: by `shape_key`.
        executor: where it is trained.
        machine: what a worker computes on.
        workers: stacks in training at the same time.
        overrides: as given.
        notes: which names in them were read as others.
        zipped: the keys of each `--zip`, which vary as one.
        search: the round of a search that this is, if it is one.
    """

    name: str
    store: Store
    runs: list[Run]
    skipped: list[Skipped]
    axes: dict[str, list[Any]]
    done: set[str]
    failed: set[str]
    stacks: list[Stack]
    shapes: dict[str, Shape]
    executor: Executor
    machine: Machine
    workers: int
    overrides: list[str]
    notes: list[str]
    zipped: list[list[str]]
    share: int
    search: SearchRound | None = None
    under_way: dict[str, int] = field(default_factory=dict)
    fresh: bool = False

    def seconds(self, stack: Stack) -> float:
        """About how long a stack takes, its initializers' own work included, which is done run by run."""
        shape, steps = self.shapes[stack.shape], stack.runs[0].config["steps"] - self.under_way.get(stack.id, 0)
        before = sum(start_steps(run, shape.cost.layers) for run in stack.runs)
        device = self.machine.device
        return shape.seconds(len(stack.runs), steps, device) + shape.seconds(1, round(before), device)

    def looped(self, stack: Stack) -> bool:
        """Whether its runs are trained one after the other."""
        shape = self.shapes[stack.shape]
        return shape.throughput.looped if shape.throughput else shape.one_by_one

    @property
    def estimate(self) -> float:
        """About how many seconds the training takes."""
        seconds = sum(map(self.seconds, self.stacks)) / self.workers
        return seconds + (self.executor.start_seconds if self.workers > 1 and self.stacks else 0)

    @property
    def whole_estimate(self) -> float:
        """About how many seconds this round of a search and all later ones take."""
        missing = len(self.runs) - len(self.done)
        return self.estimate * (missing + self.search.to_come) / missing if self.search and missing else 0.0

    @property
    def memory(self) -> int:
        """About how many bytes the stacks in training take at most."""
        sizes = [len(stack.runs) * self.shapes[stack.shape].cost.bytes for stack in self.stacks]
        return sum(sorted(sizes)[-self.workers :])

    def facts(self) -> dict[str, Any]:
        """The plan as plain values."""
        parameters = [shape.cost.parameters for shape in self.shapes.values()]
        return {
            "sweep": self.name,
            "notes": self.notes,
            "runs": len(self.runs),
            "left_out": self.reasons,
            "loads": loaded_by(self.runs),
            "done": len(self.done),
            "failed": len(self.failed),
            "stacks": len(self.stacks),
            "stack_sizes": sorted({len(stack.runs) for stack in self.stacks}),
            "shapes": len(self.shapes),
            "parameters": [min(parameters), max(parameters)],
            "device": self.machine.device,
            "workers": self.workers,
            "memory_bytes": self.memory,
            "seconds": round(self.estimate, 1),
            "start_steps": self.start_costs,
            "axes": self.axes,
            "zipped": self.zipped,
            "tune": self.runs[0].config["tune"],
        } | ({"search": self.search.facts | {"seconds": round(self.whole_estimate, 1)}} if self.search else {})

    @property
    def start_costs(self) -> dict[str, int]:
        """By initializer: about how many training steps it works before a missing run trains, at most.

        Those are left out that take less than a hundredth of the training.
        """
        costs: dict[str, int] = {}
        for stack in self.stacks:
            layers = self.shapes[stack.shape].cost.layers
            for run in stack.runs:
                steps, name = round(start_steps(run, layers)), run.choices["init"]
                if steps >= max(1, run.config["steps"] / 100):
                    costs[name] = max(costs.get(name, 0), steps)
        return costs

    @property
    def reasons(self) -> list[dict[str, Any]]:
        """Why runs are skipped, and how many."""
        return [{"runs": len(skipped.runs), "reason": skipped.reason} for skipped in self.skipped]

    @property
    def without_weights(self) -> list[str]:
        """Ids of done runs whose weights are asked for now and were not kept."""
        asked = {run.id for run in self.runs if run.config["save_weights"]} & self.done
        return sorted(asked - self.store.with_weights()) if asked else []

    def save(self, command: Sequence[str] = ()) -> Path:
        """Write down what is asked for, and by which command, before it is trained; returns the sweep's folder."""
        info = {"command": list(command), "overrides": self.overrides, "axes": self.axes, "zipped": self.zipped}
        info["search"] = {"id": self.search.id, "trials": self.search.trials} if self.search else None
        info |= {"left_out": self.reasons, **provenance()}
        return self.store.save_sweep(self.name, info=info, runs=[flatten(run) for run in self.runs])

    def task(self, stack: Stack) -> "Task":
        """A stack of these runs as a worker gets it."""
        from initbench.jobs.task import Task

        return Task(stack, str(self.store.root.resolve()), self.machine.device, self.looped(stack))

    def train(
        self,
        report: Callable[[str, int], None],
        *,
        tell: Callable[[str], None] = lambda sentence: None,
        timeout: float | None = None,
        checkpoint_every: float = CHECKPOINT_EVERY,
    ) -> Iterator["Status"]:
        """Train the missing runs and yield their statuses; see `training.SharedTraining`."""
        yield from SharedTraining(
            stacks=self.stacks,
            task=self.task,
            root=self.store.root,
            executor=self.executor,
            workers=self.workers,
            isolated=any(map(is_custom, self.runs)),
            report=report,
            tell=tell,
            timeout=timeout,
            checkpoint_every=checkpoint_every,
            under_way=self.found_under_way,
        ).run()

    def found_under_way(self, runs: Iterable[Run]) -> UnderWay:
        """Of these runs, the stacks that go on from a checkpoint as it is now."""
        fits = partial(fits_into, self.share, self.shapes)
        return UnderWay.of(self.store.root, [] if self.fresh else runs, self.machine.device, fits)


@training_threads()  # data that are loaded now are trained on later, perhaps in this process
def prepare(
    overrides: Sequence[str],
    *,
    seeds: int | None = None,
    config_dir: Path | None = None,
    out: Path = Path("results"),
    name: str | None = None,
    executor: str | Executor = "local",
    device: str = "auto",
    workers: int | None = None,
    memory: str | None = None,
    fresh: bool = False,
    retry_failed: bool = False,
    timed: bool = True,
    zipped: Sequence[str] = (),
) -> Sweep:
    """Check a request and plan it; nothing is written.

    `timed`: train a few steps of the models that have no fast program, to find their fastest way. Otherwise the plan is
    there at once and assumes that stacking pays.
    Of a search (`--tuner random` or `tpe`) it is the next round, after those that are finished.
    Raises InputError for whatever is wrong with the request.
    """
    full_id = lambda name, key: find_run(out, name, key).id  # noqa: E731
    grid = expanded(overrides, seeds, config_dir, zipped, full_id, weights_under(out))
    for key in dotted(grid.runs[0].config).keys() & MEASURED_COLUMNS:
        raise InputError(f"+{key}: results have a column of that name already; take another name")
    if isinstance(executor, str):
        executor = choose_executor(executor, config_dir)
    machine = executor.machine(device)
    most_workers, budget = worker_limit(workers, machine), memory_limit(memory, machine)
    where = lambda run, key: origin(run, key, overrides, config_dir)  # noqa: E731
    store, search = Store(out), None
    if grid.search is None:
        runs, skipped = compatible_runs(grid.runs, grid.axes, machine.device, grid.given, where)
    elif fresh:
        raise InputError("--fresh: a search goes on from the runs that are finished; give it another folder by --out")
    else:
        cells, skipped = compatible_cells(grid, machine.device, where)
        search = next_round(grid.search, cells, out, name)
        runs, name = search.runs, name or default_name_of_search(search.id)
    done = set() if fresh else store.done(run.id for run in runs)
    failed = set() if fresh or retry_failed else store.with_status({run.id for run in runs} - done, "failed")
    missing = [run for run in runs if run.id not in done | failed]
    check_teaching(runs, missing, out)
    one_by_one = check_isolation(missing)
    shapes = shapes_of(runs, budget, one_by_one)
    most_workers = min(most_workers, budget // max(shape.cost.bytes for shape in shapes.values()))
    if machine.device == "cpu" and timed:
        shapes |= with_throughput(missing, shapes, executor, most_workers, budget)

    share = budget // most_workers
    fits = partial(fits_into, share, shapes)
    under_way = UnderWay.of(out, [] if fresh else missing, machine.device, fits)
    others = under_way.without(missing)

    def planned(parallel: int) -> Sweep:
        sweep = Sweep(
            name=name or default_name(runs),
            store=store,
            runs=runs,
            skipped=skipped,
            axes=grid.axes,
            done=done,
            failed=failed,
            stacks=under_way.stacks
            + stacks(others, lambda run: shapes[shape_key(run)].stack_size(machine.device, share), parallel),
            share=share,
            under_way={found.stack_id: found.steps_done for found in under_way.checkpoints},
            fresh=fresh,
            shapes=shapes,
            executor=executor,
            machine=machine,
            workers=parallel,
            overrides=list(overrides) + ([f"seed=range(0,{seeds})"] if seeds is not None else []),
            notes=grid.notes,
            zipped=grid.zipped,
            search=search,
        )
        sweep.stacks.sort(key=sweep.seconds, reverse=True)
        return sweep

    sweep = planned(max(1, min(most_workers, len(missing))))
    in_one_process = sum(map(sweep.seconds, sweep.stacks))
    return planned(1) if workers is None and in_one_process < sweep.estimate else sweep


def fits_into(share: int, shapes: Mapping[str, Shape], stack: Stack) -> bool:
    """Whether a stack that is under way takes about as many bytes as one may now; a GPU has more free or less."""
    return len(stack.runs) == 1 or len(stack.runs) * shapes[stack.shape].cost.bytes <= SLACK * share


def default_name(runs: Sequence[Run]) -> str:
    """A name that the same runs always get, so that the same request is the same sweep."""
    return "sweep-" + hashlib.sha256(" ".join(sorted(run.id for run in runs)).encode()).hexdigest()[:8]
