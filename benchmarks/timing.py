"""Seconds into run-steps per second: start-up cancels in the difference of two lengths."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection

CORES = 2


def slope(train: Callable[[int], object], steps: tuple[int, int], runs: int) -> float:
    """Run-steps per second of `train(steps)`, which trains `runs` runs; the caller has warmed it up."""
    short, long = (_seconds(train, n) for n in steps)
    return runs * (steps[1] - steps[0]) / (long - short)


def _seconds(train: Callable[[int], object], steps: int) -> float:
    start = time.perf_counter()
    train(steps)
    return time.perf_counter() - start


class OneEachCore:
    """A process a core, each with its own copy of what `make(*arguments)` returns; calling it calls all of them.

    `make` is a module's function, `arguments` has a tuple a process. A call returns the list of the results once
    the last process is through, so its time is that of the slower one.
    """

    def __init__(self, make: Callable[..., Callable], arguments: Iterable[tuple], pin: bool = False) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipes, self.processes = [], []
        for core, args in enumerate(arguments):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, core if pin else None, make, args), daemon=True)
            process.start()
            theirs.close()
            self.pipes.append(ours)
            self.processes.append(process)

    def __call__(self, *args: object) -> list:
        for pipe in self.pipes:
            pipe.send(args)
        return [pipe.recv() for pipe in self.pipes]

    def close(self) -> None:
        for pipe in self.pipes:
            pipe.close()
        for process in self.processes:
            process.join()


def _serve(pipe: Connection, core: int | None, make: Callable[..., Callable], args: tuple) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})
    function = make(*args)
    while True:
        try:
            call = pipe.recv()
        except EOFError:
            return
        pipe.send(function(*call))
