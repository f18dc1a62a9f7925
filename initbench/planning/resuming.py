"""Which stacks are under way: those that have a checkpoint which can be used."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from initbench.config.run import Run
from initbench.config.stacks import Stack
from initbench.engine.process import THREADS
from initbench.results import checkpoints
from initbench.results.checkpoints import Checkpoint
from initbench.results.provenance import device_name


@dataclass(frozen=True)
class UnderWay:
    """The stacks of some runs that go on from their checkpoint.

    stacks, and their `checkpoints`; `notes` say of other checkpoints of these runs why they are not used.
    """

    stacks: list[Stack]
    checkpoints: list[Checkpoint]
    notes: list[str]

    @classmethod
    def of(cls, root: Path, runs: Iterable[Run], device: str, fits: Callable[[Stack], bool]) -> "UnderWay":
        """Of these runs, all of which are to be trained. A checkpoint of which some runs are not asked for stays.

        fits: whether a stack's memory is there.
        """
        missing, found = {run.id: run for run in runs}, cls([], [], [])
        for file in checkpoints.stored(root):
            try:
                checkpoint = checkpoints.read(file)
            except (OSError, ValueError) as error:
                found.notes.append(checkpoints.not_used(file, str(error)))
                continue
            if not missing.keys() >= set(checkpoint.run_ids):
                continue
            stack = Stack.of([missing[run_id] for run_id in checkpoint.run_ids])
            if reason := _misfit(checkpoint, stack, device, fits):
                found.notes.append(checkpoints.not_used(file, reason, len(stack.runs)))
                continue
            found.stacks.append(stack)
            found.checkpoints.append(checkpoint)
            for run in stack.runs:
                del missing[run.id]
        return found

    def without(self, runs: Iterable[Run]) -> list[Run]:
        """The runs that are in none of the stacks under way."""
        taken = {run.id for stack in self.stacks for run in stack.runs}
        return [run for run in runs if run.id not in taken]

    def first(self, stacks: Sequence[Stack]) -> list[Stack]:
        """These stacks, of which those under way, as they were, come first; other stacks do without their runs."""
        left = [self.without(stack.runs) for stack in stacks]
        rest = [
            stack if len(runs) == len(stack.runs) else Stack.of(runs)
            for stack, runs in zip(stacks, left, strict=True)
            if runs
        ]
        return [*self.stacks, *rest]


def _misfit(checkpoint: Checkpoint, stack: Stack, device: str, fits: Callable[[Stack], bool]) -> str | None:
    if stack.id != checkpoint.stack_id or not stack.runs:
        return "it is named after another stack"
    if reason := checkpoints.difference(checkpoint, checkpoints.identity(stack.runs, device_name(device), THREADS)):
        return reason
    return None if fits(stack) else "its stack takes more memory than a worker has now"
