"""A sweep at birth: its stacks are measured instead of trained."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from initbench.config.stacks import Stack, but_activation
from initbench.planning.sweep import Sweep

if TYPE_CHECKING:
    from initbench.jobs.task import ProbeTask
    from initbench.results.births import Births

STEPS = 3.0  # about so many steps of training cost as much as measuring a stack
FLOPS = 40e9  # per second and core, with what is measured beside the products
DRAWN = 150e6  # weights per second


def births(sweep: Sweep, report: Callable[[str, int], None], *, full: bool = False) -> Iterator["Births"]:
    """Measure the stacks of a sweep and yield the tables of each task; `report` gets a stack's id and its runs."""
    from initbench.jobs.probe import probe  # and with it pandas

    yield from sweep.executor.run(probe, tasks(sweep, full), report, workers=workers_for(sweep))


def tasks(sweep: Sweep, full: bool) -> list["ProbeTask"]:
    """The stacks as tasks: those whose runs differ in the activation alone are one, which draws weights once."""
    from initbench.jobs.task import ProbeTask

    alike: dict[tuple, list[Stack]] = {}
    for stack in sweep.stacks:
        runs = tuple(map(but_activation, stack.runs))
        alike.setdefault((sweep.looped(stack), runs), []).append(stack)
    return [ProbeTask(tuple(found), sweep.machine.device, looped, full) for (looped, _), found in alike.items()]


def seconds(sweep: Sweep) -> float:
    """About how long one core takes to measure a sweep."""
    costs = [(len(stack.runs), sweep.shapes[stack.shape].cost) for stack in sweep.stacks]
    return sum(runs * (STEPS * cost.flops / FLOPS + cost.parameters / DRAWN) for runs, cost in costs)


def workers_for(sweep: Sweep) -> int:
    """One process where others would still be starting when it is done."""
    return sweep.workers if seconds(sweep) > 2 * sweep.executor.start_seconds else 1
