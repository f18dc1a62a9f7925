"""This machine's executor: tasks one after another in this process, or in worker processes."""

import math
import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from initbench.errors import InputError
from initbench.executors.cgroup import cpu_quota, memory_limit
from initbench.executors.protocol import Machine, Report, S, T, WorkerDied

CUDA_SHARE = 0.35  # of a GPU's free memory: at a log step a stack takes up to 2.6 times its estimate
MEMORY_SHARE = 0.5  # of what this process may use; the rest is for the workers' code, the data and the files


@dataclass(frozen=True)
class LocalExecutor:
    """Tasks are done here: by this process where one worker is asked for, else by processes of their own.

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
        self, worker: Callable[[T, Report], S], tasks: Sequence[T], report: Report, *, workers: int = 1
    ) -> Iterator[S]:
        """Do the tasks and yield what the worker returns, in the order in which they finish; see `Executor.run`."""
        if workers > 1:
            yield from _in_processes(worker, tasks, report, workers)
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


def _in_processes(worker: Callable[[T, Report], S], tasks: Sequence[T], report: Report, workers: int) -> Iterator[S]:
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads half-way
    reports = context.Queue()
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(reports,))
    try:
        with _children_ignore_ctrl_c():
            pending = {pool.submit(_work, worker, task) for task in tasks}
        while pending:
            finished, pending = wait(pending, timeout=0.1, return_when=FIRST_COMPLETED)
            for arguments in _drained(reports):
                report(*arguments)
            for future in finished:
                yield future.result()
    except BaseException as error:
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        if isinstance(error, BrokenProcessPool):
            raise WorkerDied("a worker process was killed (out of memory?)") from error
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_reports: Any = None  # in a worker process: where its reports go


def _begin(reports: Any) -> None:
    global _reports
    _reports = reports
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow():  # a worker whose parent was killed must not stay behind
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _work(worker: Callable[[T, Report], S], task: T) -> S:
    return worker(task, lambda *arguments: _reports.put(arguments))


def _drained(reports: Any) -> Iterator[tuple]:
    while True:
        try:
            yield reports.get_nowait()
        except queue.Empty:
            return


@contextmanager
def _children_ignore_ctrl_c() -> Iterator[None]:
    """Processes started meanwhile ignore Ctrl-C, from their first instruction on: their parent ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
