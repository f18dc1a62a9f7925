"""Worker processes of this machine. One that dies takes nothing with it but its task, and is replaced."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any, Generic

from initbench.executors.protocol import Lost, Report, S, T

GRACE = 20.0  # seconds that a worker has to end its write after it was told to stop
PATIENCE = 0.2  # seconds between two looks at the clock, where tasks have a time limit


class Pool(Generic[T, S]):
    """Up to `workers` processes that each do one task after the other.

    `run` draws a task only when a process is free for it. timeout: seconds for one task; None: no limit.
    """

    def __init__(self, worker: Callable[[T, Report], S], workers: int, timeout: float | None = None):
        self.worker, self.workers, self.timeout = worker, workers, timeout
        self.context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads half-way
        self.processes: list[_Process[T]] = []

    def run(self, tasks: Iterable[T], report: Report) -> Iterator[S | Lost[T]]:
        """Do the tasks and yield what comes of them, as soon as it is there; what a worker raises comes through."""
        remaining, drawn = iter(tasks), True
        try:
            while True:
                while drawn and (free := self._free()):
                    drawn = free.begin(remaining)
                if not any(process.busy for process in self.processes):
                    return
                yield from self._answers(report)
                yield from self._late()
        finally:
            self.close()

    def close(self) -> None:
        """Tell all workers to stop; a write in hand is finished first, for at most `GRACE` seconds."""
        for process in self.processes:
            process.stop()
        until = time.monotonic() + GRACE
        try:
            for process in self.processes:
                process.end(max(0.0, until - time.monotonic()))
        except BaseException:  # Ctrl-C once more: nobody waits for them
            for process in self.processes:
                process.end(0.0)
            raise
        self.processes.clear()

    def _free(self) -> "_Process[T] | None":
        """A process without a task, started where there may be one more."""
        for process in self.processes:
            if not process.busy:
                return process
        if len(self.processes) == self.workers:
            return None
        self.processes.append(_Process(self.context, self.worker))
        return self.processes[-1]

    def _answers(self, report: Report) -> Iterator[S | Lost[T]]:
        """What the workers have sent, after waiting for something; a dead one is taken out of the pool."""
        busy = {process.connection: process for process in self.processes if process.busy}
        for connection in wait(list(busy), PATIENCE if self.timeout else None):
            process = busy[connection]  # type: ignore[index]
            try:
                kind, content = process.connection.recv()
            except (EOFError, OSError):
                yield self._lost(process)
                continue
            if kind == "report":
                report(*content)
                continue
            process.task = None
            if kind == "raised":
                raise content
            yield content

    def _late(self) -> Iterator[Lost[T]]:
        """End the tasks that took too long."""
        for process in list(self.processes):
            if self.timeout and process.busy and time.monotonic() - process.since > self.timeout:
                process.process.kill()
                lost = self._lost(process)
                yield Lost(lost.task, f"took longer than {self.timeout:g} s", late=True)

    def _lost(self, process: "_Process[T]") -> Lost[T]:
        process.end(GRACE)
        self.processes.remove(process)
        assert process.task is not None
        return Lost(process.task, _ending(process.process.exitcode or 0))


class _Process(Generic[T]):
    """A worker process, and the task that it has."""

    def __init__(self, context: Any, worker: Callable):
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, worker), daemon=True)
        with _ignoring_ctrl_c():  # from its first instruction on: its parent ends it
            self.process.start()
        theirs.close()  # so that the connection ends with the process
        self.task: T | None = None
        self.since = 0.0

    @property
    def busy(self) -> bool:
        return self.task is not None

    def begin(self, tasks: Iterator[T]) -> bool:
        """Take the next task; False if there is none."""
        for task in tasks:
            self.task, self.since = task, time.monotonic()
            with contextlib.suppress(OSError):  # it died while it had nothing to do: the connection will say so
                self.connection.send(task)
            return True
        return False

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()

    def end(self, seconds: float) -> None:
        """Wait for its end, and force it."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()


def _serve(connection: Connection, worker: Callable) -> None:
    """In a worker process: do what comes in."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow():  # a worker whose parent was killed must not stay behind
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()

    def report(*arguments: Any) -> None:
        with contextlib.suppress(OSError):  # the parent listens no more: it is about to end this process
            connection.send(("report", arguments))

    while True:
        try:
            task = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer = "answer", worker(task, report)
        except Exception as error:
            answer = "raised", error
        connection.send(answer)


def _ending(code: int) -> str:
    """How a process ended, by its exit code: minus the number of the signal that killed it."""
    if code >= 0:
        return f"ended its process with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


@contextmanager
def _ignoring_ctrl_c() -> Iterator[None]:
    """Processes started meanwhile ignore Ctrl-C, from their first instruction on: their parent ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
