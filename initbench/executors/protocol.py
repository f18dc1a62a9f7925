"""The interface of an executor: a place where tasks are done, and its machine. It knows nothing of training."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

T = TypeVar("T")
S = TypeVar("S")
Report = Callable[..., None]


class WorkerDied(Exception):
    """A worker ended without an answer: it was killed, most likely because memory ran out."""


@dataclass(frozen=True)
class Machine:
    """What a worker computes on: this machine, or a node of a cluster.

    Args:
        device: `cpu` or `cuda`.
        cores: processor cores that all workers share.
        memory: bytes that the stacks in training may take together, unless the user sets another limit.
    """

    device: str
    cores: int
    memory: int


class Executor(Protocol):
    """Where tasks are done. A new one is a class in `executors/` and its YAML in `conf/executor/`."""

    @property
    def start_seconds(self) -> float:
        """Seconds from handing out tasks until several workers begin with them."""
        ...

    def machine(self, device: str = "auto") -> Machine:
        """The machine that the workers use, with the device that was asked for: auto, cpu or cuda.

        Raises InputError for a device that the machine does not have.
        """
        ...

    def run(
        self, worker: Callable[[T, Report], S], tasks: Sequence[T], report: Report, *, workers: int = 1
    ) -> Iterator[S]:
        """Do the tasks, at most `workers` at the same time; yield each result as soon as it is there.

        `worker(task, report)` does one task and calls `report(...)` now and then. Closing the iterator (after Ctrl-C,
        say) ends at once what is under way. Raises WorkerDied when a worker is lost; what a worker raises comes
        through.
        """
        ...
