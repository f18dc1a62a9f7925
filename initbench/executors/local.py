"""This machine's executor: tasks one after another in this process, or in worker processes.

It knows nothing of training: `worker(task, report)` does a task, calls `report(...)` now and then, and returns.
"""

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
S = TypeVar("S")
Report = Callable[..., None]


class WorkerDied(Exception):
    """A worker process ended without an answer: killed, for want of memory most likely."""


def run(worker: Callable[[T, Report], S], tasks: Sequence[T], *, processes: int, report: Report) -> Iterator[S]:
    """Do the tasks and yield what the worker returns, in the order in which they finish.

    `processes` 1 is this process. When the caller stops early (Ctrl-C, say), what is under way is given up at
    once. Raises WorkerDied when a process is lost; a worker's own exceptions come through.
    """
    if processes == 1:
        for task in tasks:
            yield worker(task, report)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads half-way
    reports = context.Queue()
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_begin, initargs=(reports,))
    try:
        with _children_deaf_to_ctrl_c():
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
def _children_deaf_to_ctrl_c() -> Iterator[None]:
    """Processes started meanwhile ignore Ctrl-C, from their first instruction on: their parent ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
