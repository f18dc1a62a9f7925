"""Saves the training of a stack now and then, and goes on with a saved one."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from initbench.config.run import Run
from initbench.config.values import one_line
from initbench.engine.record import Record
from initbench.engine.train import Training
from initbench.errors import InputError
from initbench.jobs.signals import deferred_signals
from initbench.jobs.task import Task
from initbench.results import checkpoints
from initbench.results.checkpoints import Checkpoint
from initbench.results.provenance import device_name, now


class StackCheckpoints:
    """The checkpoints of one task's stack, from the moment at which a worker takes it up.

    `notes` are sentences for the user.
    """

    def __init__(self, task: Task):
        self.task, self.root, self.every = task, Path(task.root), task.checkpoint_every
        self.now, self.clock = now(), time.perf_counter()
        self.notes: list[str] = []
        self.found = self.read() if task.resume else None

    @property
    def started(self) -> str:
        """When the stack's training began, in an earlier process perhaps."""
        return self.found.started if self.found else self.now

    @property
    def seconds(self) -> float:
        """The time spent on the stack, by earlier processes too."""
        return (self.found.seconds if self.found else 0.0) + time.perf_counter() - self.clock

    @property
    def looped(self) -> bool:
        """Whether the runs are trained one after the other: as before, for curves that are the same bit for bit."""
        return self.found.looped if self.found else self.task.looped

    def identity(self) -> dict[str, Any]:
        """See `results.checkpoints.identity`."""
        return checkpoints.identity(self.task.stack.runs, device_name(self.task.device), torch.get_num_threads())

    def read(self) -> Checkpoint | None:
        """The stack's checkpoint, if it can be used."""
        try:
            found = checkpoints.read(checkpoints.place(self.root, self.task.stack.id))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            return self.reject(str(error))
        reason = checkpoints.difference(found, self.identity())
        return self.reject(reason) if reason else found

    def reject(self, reason: str) -> None:
        """Start anew, and say why."""
        self.found = None
        runs = len(self.task.stack.runs)
        self.notes.append(checkpoints.not_used(checkpoints.place(self.root, self.task.stack.id), reason, runs))

    def begin(self, training: Callable[[], Training], built: Sequence[Run]) -> Training:
        """The training of the runs that could be built: where it was saved, if it was, else at its start."""
        begun = training()
        if not self.found:
            return begun
        start = begun.state.copy()
        try:
            if self.found.built != [run.id for run in built]:
                raise InputError("other runs of it could be built")
            begun.load_state_dict(checkpoints.state(self.root, self.found))
            return begun
        except Exception as error:  # whatever a damaged file makes torch and NumPy say
            self.reject(one_line(error))
        begun.state.restore(start)
        return training()

    def run(self, training: Training, built: Sequence[Run], progress: Callable[[int], None]) -> Record:
        """Train to the end, with checkpoints; told to stop, write one at the next step."""
        written = time.perf_counter()
        with deferred_signals() as signals:

            def after_step(steps_done: int) -> None:
                nonlocal written
                if signals.came:
                    self.save(training, built)
                    raise KeyboardInterrupt  # at the end of the block the signal acts as ever
                if self.every is not None and time.perf_counter() - written >= self.every:
                    self.save(training, built)
                    written = time.perf_counter()
                progress(steps_done)

            return training.run(after_step)

    def save(self, training: Training, built: Sequence[Run]) -> None:
        """Write a checkpoint; where the disk takes none, the training goes on without."""
        if self.every is None:
            return
        tree, tensors = checkpoints.split(training.state_dict())
        checkpoint = Checkpoint(
            stack_id=self.task.stack.id,
            run_ids=[run.id for run in self.task.stack.runs],
            built=[run.id for run in built],
            steps_done=training.steps_done,
            steps=training.recipe.steps,
            seconds=self.seconds,
            started=self.started,
            looped=self.looped,
            identity=self.identity(),
            tree=tree,
        )
        try:
            checkpoints.write(self.root, checkpoint, tensors)
        except OSError as error:
            note = f"no checkpoint could be written: {error.strerror or error}"
            self.notes += [] if note in self.notes else [note]

    def remove(self) -> None:
        """Delete the checkpoint: the stack is stored, or can't be trained as a whole."""
        if self.every is not None or self.task.resume:
            checkpoints.remove(self.root, self.task.stack.id)
