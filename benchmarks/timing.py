"""Seconds into run-steps per second: start-up cancels in the difference of two lengths."""

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from typing import TypeVar

CORES = 2
Way = TypeVar("Way")


def slope(train: Callable[[int], object], steps: tuple[int, int], runs: int) -> float:
    """Run-steps per second of `train(steps)`, which trains `runs` runs; the caller has warmed it up."""
    short, long = (_seconds(train, n) for n in steps)
    return runs * (steps[1] - steps[0]) / (long - short)


def quickest(trials: dict[Way, Callable[[], object]]) -> Way:
    """The way whose trial took the least time in two turns after a warm-up."""
    for trial in trials.values():
        trial()
    seconds = {way: min(_seconds(trial), _seconds(trial)) for way, trial in trials.items()}
    return min(seconds, key=seconds.__getitem__)


def _seconds(function: Callable[..., object], *args: object) -> float:
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def report(measured: tuple[float, str]) -> None:
    """Print a rate and how it came about, as the driver reads it."""
    print(json.dumps(measured))


class OneEachCore:
    """A process a core, each with what `make` returns for its tuple of arguments; a call calls all of them.

    They are ready when this object is. A call returns once the last process is through, so that its time is
    that of the slower one.
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
        for pipe in self.pipes:
            pipe.recv()  # ready

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
    pipe.send("ready")
    while True:
        try:
            call = pipe.recv()
        except EOFError:
            return
        pipe.send(function(*call))
