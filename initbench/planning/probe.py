"""A sweep at birth: its stacks are measured instead of trained."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from initbench import build
from initbench.config.stacks import Stack, but_activation
from initbench.executors.protocol import answers
from initbench.planning.compatibility import Skipped
from initbench.planning.sweep import Sweep

if TYPE_CHECKING:
    from initbench.jobs.task import ProbeTask
    from initbench.results.births import Births

STEPS = 3.0  # about so many steps of training cost as much as measuring a stack
FLOPS = 40e9  # per second and core, with what is measured beside the products
DRAWN = 150e6  # weights per second
MOST_WEIGHTS = 20_000_000  # of all networks of an initializer that looks at data


def without_slow_initializers(sweep: Sweep) -> Sweep:
    """The sweep without the runs whose initializers look at data, where these are many large networks.

    Such an initializer passes data through the network again and again, which takes longer than all that is measured.
    """
    weights: dict[str, int] = {}
    for stack in sweep.stacks:
        for run in stack.runs:
            name, size = run.choices["init"], sweep.shapes[stack.shape].cost.parameters
            weights[name] = weights.get(name, 0) + size
    asked = {run.choices["init"]: run.config for run in sweep.runs}
    slow = {name for name, total in weights.items() if total > MOST_WEIGHTS and build.looks_at_data(asked[name])}
    kept = [run for run in sweep.runs if run.choices["init"] not in slow]
    if not slow or not kept:
        return sweep
    skipped = [
        Skipped(
            f"init={name} looks at data, which takes long for so many large networks; --full measures it too",
            [run for run in sweep.runs if run.choices["init"] == name],
        )
        for name in sorted(slow)
    ]
    parts = [(run for run in stack.runs if run.choices["init"] not in slow) for stack in sweep.stacks]
    stacks = [Stack.of(runs) for part in parts if (runs := tuple(part))]
    return replace(sweep, runs=kept, stacks=stacks, skipped=[*sweep.skipped, *skipped])


def births(
    sweep: Sweep, report: Callable[[str, int], None], *, full: bool = False, steps: int = 1
) -> Iterator["Births"]:
    """Measure the stacks of a sweep and yield the tables of each task; `report` gets a stack's id and its runs.

    steps: of training, whose effect on the pre-activations is measured.
    """
    from initbench.jobs.probe import probe  # and with it pandas

    yield from answers(sweep.executor.run(probe, tasks(sweep, full, steps), report, workers=workers_for(sweep)))


def tasks(sweep: Sweep, full: bool = False, steps: int = 1) -> list["ProbeTask"]:
    """The stacks as tasks: those whose runs differ in the activation alone are one, which draws weights once."""
    from initbench.jobs.task import ProbeTask

    alike: dict[tuple, list[Stack]] = {}
    for stack in sweep.stacks:
        runs = tuple(map(but_activation, stack.runs))
        alike.setdefault((sweep.looped(stack), runs), []).append(stack)
    device = sweep.machine.device
    return [ProbeTask(tuple(found), device, looped, full, steps) for (looped, _), found in alike.items()]


def seconds(sweep: Sweep) -> float:
    """About how long one core takes to measure a sweep."""
    costs = [(len(stack.runs), sweep.shapes[stack.shape].cost) for stack in sweep.stacks]
    return sum(runs * (STEPS * cost.flops / FLOPS + cost.parameters / DRAWN) for runs, cost in costs)


def workers_for(sweep: Sweep) -> int:
    """One process where others would still be starting when it is done."""
    return sweep.workers if seconds(sweep) > 2 * sweep.executor.start_seconds else 1
