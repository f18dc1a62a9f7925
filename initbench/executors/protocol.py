"""The interface of an executor: a place where tasks are done, and its machine. It knows nothing of training."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
S = TypeVar("S")
Report = Callable[..., None]


@dataclass(frozen=True)
class Lost(Generic[T]):
    """A task whose worker ended without an answer. how: a clause such as "was killed by SIGKILL (out of memory?)"."""

    task: T
    how: str
    late: bool = False  # whether it was ended because it took too long


class WorkerDied(Exception):
    """A worker ended without an answer, and its task can't be done without it."""


def answers(results: Iterable["S | Lost[T]"]) -> Iterator[S]:
    """Results of which none may be missing. Raises WorkerDied where a worker was lost."""
    for result in results:
        if isinstance(result, Lost):
            raise WorkerDied(f"a worker process {result.how}")
        yield result


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
        self,
        worker: Callable[[T, Report], S],
        tasks: Iterable[T],
        report: Report,
        *,
        workers: int = 1,
        timeout: float | None = None,
        isolated: bool = False,
    ) -> Iterator[S | Lost[T]]:
        """Do the tasks, at most `workers` at the same time; yield each result as soon as it is there.

        `worker(task, report)` does one task and calls `report(...)` now and then. A task is drawn from `tasks` only
        when a worker is free for it. timeout: seconds for one task. isolated: a task may take its process with it, so
        that none is done in this one. Closing the iterator (after Ctrl-C, say) ends what
        is under way. A worker that is lost costs its task, and is replaced; what a worker raises comes through.
        """
        ...
