"""A sweep at birth: its stacks are measured instead of trained."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from initbench.planning.sweep import Sweep

if TYPE_CHECKING:
    from initbench.results.births import Births

STEPS = 3.0  # about so many steps of training cost as much as measuring a stack
FLOPS = 40e9  # per second and core, with what is measured beside the products
DRAWN = 150e6  # weights per second


def births(sweep: Sweep, report: Callable[[str, int], None], *, full: bool = False) -> Iterator["Births"]:
    """Measure the stacks of a sweep and yield the tables of each; `report` gets its id and the number of its runs."""
    from initbench.jobs.probe import probe  # and with it pandas
    from initbench.jobs.task import Task

    device = sweep.machine.device
    tasks = [Task(stack, "", device, sweep.looped(stack)) for stack in sweep.stacks]
    yield from sweep.executor.run(partial(probe, full=full), tasks, report, workers=workers_for(sweep))


def seconds(sweep: Sweep) -> float:
    """About how long one core takes to measure a sweep."""
    costs = [(len(stack.runs), sweep.shapes[stack.shape].cost) for stack in sweep.stacks]
    return sum(runs * (STEPS * cost.flops / FLOPS + cost.parameters / DRAWN) for runs, cost in costs)


def workers_for(sweep: Sweep) -> int:
    """One process where others would still be starting when it is done."""
    return sweep.workers if seconds(sweep) > 2 * sweep.executor.start_seconds else 1
