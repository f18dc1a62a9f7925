"""Ctrl-C and SIGTERM in a process that trains: what is being written is written first."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Deferred:
    """The signals that have come in a block of `deferred_signals`."""

    def __init__(self):
        self.before: dict[int, Any] = {}  # handlers, by signal
        self.came: list[int] = []

    def __call__(self, number: int, frame: Any) -> None:
        """As a handler: note the first signal; a second one acts at once."""
        self.came.append(number)
        if len(self.came) > 1:
            signal.signal(number, self.before[number])
            signal.raise_signal(number)


@contextmanager
def deferred_signals() -> Iterator[Deferred]:
    """Ctrl-C and SIGTERM wait for the end of the block, which may look whether one `came`; a second acts at once."""
    deferred = Deferred()
    if threading.current_thread() is threading.main_thread():  # no other may set handlers
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):  # workers ignore Ctrl-C: their parent ends them
                deferred.before[number] = signal.signal(number, deferred)
    try:
        yield deferred
    finally:
        for number, handler in deferred.before.items():
            signal.signal(number, handler)
        if deferred.came:
            signal.raise_signal(deferred.came[0])
