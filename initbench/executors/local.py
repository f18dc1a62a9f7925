"""This machine's executor: tasks one after another in this process, or in worker processes."""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from initbench.errors import InputError
from initbench.executors.cgroup import cpu_quota, memory_limit
from initbench.executors.pool import Pool
from initbench.executors.protocol import Lost, Machine, Report, S, T

CUDA_SHARE = 0.35  # of a GPU's free memory: at a log step a stack takes up to 2.6 times its estimate
MEMORY_SHARE = 0.5  # of what this process may use; the rest is for the workers' code, the data and the files


@dataclass(frozen=True)
class LocalExecutor:
    """Tasks are done here: by this process if one worker is asked for and that is safe, else by processes of their own.

    Args:
        start_seconds: seconds that a worker process needs to start and to import what it uses.
        cpu_memory_gib: memory for the stacks in training on the CPU, in GiB; half of what there is, if that is less.
    """

    start_seconds: float = 5.0
    cpu_memory_gib: float = 4.0

    def machine(self, device: str = "auto") -> Machine:
        """This machine; `auto` takes CUDA where there is a CUDA device."""
        import torch

        if device not in ("auto", "cpu", "cuda"):
            raise InputError(f"--device {device}: there is auto, cpu, cuda")
        available = torch.cuda.is_available()
        if device == "cuda" and not available:
            raise InputError("--device cuda: torch finds no CUDA device here; did you mean cpu?")
        if available and device != "cpu":
            return Machine("cuda", cores(), int(CUDA_SHARE * torch.cuda.mem_get_info()[0]))
        return Machine("cpu", cores(), int(min(self.cpu_memory_gib * 2**30, MEMORY_SHARE * memory())))

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
        """Do the tasks and yield what the worker returns, in the order in which they finish; see `Executor.run`."""
        if workers > 1 or isolated or timeout is not None:  # only another process can be ended from outside
            yield from Pool(worker, workers, timeout).run(tasks, report)
        else:
            for task in tasks:
                yield worker(task, report)


def cores() -> int:
    """The processor cores that this process may use: those of its affinity and of its control group's quota."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return here if quota is None else min(here, math.ceil(quota))


def memory() -> float:
    """The bytes that this process may use: the machine's, or its control group's if they are fewer."""
    names = getattr(os, "sysconf_names", {})  # Windows has none
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if "SC_PHYS_PAGES" in names else math.inf
    return min(machine, memory_limit() or math.inf)
