"""A worker for tests of executors: it does what its task says. It imports little, as each process loads it anew."""

import os
import signal
import time


def obey(task: str, report):
    """The task in capitals; or a death, an error or a long sleep."""
    report(task, 1)
    if task == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if task == "leave":
        os._exit(3)
    if task == "raise":
        raise ValueError("no such thing")
    if task == "sleep":
        time.sleep(600)
    return task.upper()
