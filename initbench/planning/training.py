"""Trains a planned sweep: shares it with other processes, and finds the runs that take their worker with them."""

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from initbench.config.run import Run
from initbench.config.stacks import Stack
from initbench.executors.protocol import Executor, Lost
from initbench.jobs.task import CHECKPOINT_EVERY
from initbench.planning.resuming import UnderWay
from initbench.results.checkpoints import Checkpoint, remove
from initbench.results.claims import RunClaims, place
from initbench.results.finished import Finished
from initbench.text import join_words, plural

if TYPE_CHECKING:
    from initbench.jobs.task import Status, Task

POLL = 0.5  # seconds between two looks at what others have finished


@dataclass
class SharedTraining:
    """The training of a sweep's missing runs by this process, and by others that were asked for the same runs.

    Args:
        stacks: as planned.
        task: a stack as a worker gets it.
        root: the results folder.
        executor: where it is trained, with how many `workers`.
        isolated: whether a run may take its process with it.
        report: gets the id of a planned stack and the steps done.
        under_way: of some runs, the stacks that go on from a checkpoint as it is now.
        tell: gets a sentence for the user now and then.
        timeout: seconds for one stack; None: no limit.
        checkpoint_every: seconds between two checkpoints of a stack.
    """

    stacks: Sequence[Stack]
    task: Callable[[Stack], "Task"]
    root: Path
    executor: Executor
    workers: int
    isolated: bool
    report: Callable[[str, int], None]
    under_way: Callable[[Iterable[Run]], UnderWay]
    tell: Callable[[str], None] = lambda sentence: None
    timeout: float | None = None
    checkpoint_every: float = CHECKPOINT_EVERY
    deaths: Counter[str] = field(default_factory=Counter)  # of workers, by the id of the stack that they trained
    planned: dict[str, str] = field(default_factory=dict)  # the planned stack of each run, and of each part of one
    resumed: dict[str, Checkpoint] = field(default_factory=dict)  # by the ids of the stacks that go on
    said: set[str] = field(default_factory=set)

    def run(self) -> Iterator["Status"]:
        """Train all, and yield one status per planned stack or part of one, those of other processes too."""
        stacks = list(self.stacks)
        self.planned = {run.id: stack.id for stack in stacks for run in stack.runs}
        if not stacks:
            return
        with RunClaims(self.root) as claims:
            finished = Finished(self.root)
            while stacks:
                stacks = yield from self._train(self._resumed_first(stacks), claims, finished)

    def _resumed_first(self, stacks: Sequence[Stack]) -> list[Stack]:
        """The same runs in stacks of which those are under way that this process, or one that died, has left so."""
        found = self.under_way(run for stack in stacks for run in stack.runs)
        for note in sorted({*found.notes} - self.said):
            self.tell(note)
        self.said.update(found.notes)
        self.resumed = {checkpoint.stack_id: checkpoint for checkpoint in found.checkpoints}
        order = {stack.id: i for i, stack in enumerate(stacks)}
        return sorted(found.first(stacks), key=lambda stack: order.get(stack.id, -1))

    def _train(
        self, stacks: Sequence[Stack], claims: RunClaims, finished: Finished
    ) -> Generator["Status", None, list[Stack]]:
        """Train what nobody else trains; returns the stacks that are still to be trained."""
        from initbench.jobs.train import give_up, work  # and with it pandas: planning does without

        elsewhere: list[Stack] = []
        again: list[Stack] = []
        ready: list[Status] = []

        def tasks() -> Iterator["Task"]:
            for stack in stacks:
                taken = claims.take(run.id for run in stack.runs)
                rows = finished.rows(run.id for run in stack.runs)  # who held a claim before has written its stack
                ready.extend(self._statuses(rows))
                claims.release(taken & rows.keys())
                left = [run for run in stack.runs if run.id not in rows]
                if theirs := [run for run in left if run.id not in taken]:
                    elsewhere.append(Stack.of(theirs))
                if mine := [run for run in left if run.id in taken]:
                    yield self._task(stack if len(mine) == len(stack.runs) else Stack.of(mine))

        how: Any = {"workers": self.workers, "timeout": self.timeout, "isolated": self.isolated}
        for result in self.executor.run(work, tasks(), self._report, **how):
            if isinstance(result, Lost):
                parts = self._parts(result)
                again += parts
                claims.release(run.id for part in parts for run in part.runs)
                status = None if parts else give_up(result.task, result.how)
            else:
                status = result
            if status is not None:
                claims.release(row["run_id"] for row in status.rows)
                for note in status.notes:
                    self.tell(note)
                yield replace(status, stack_id=self.planned[status.stack_id])
            yield from ready
            ready.clear()
        yield from ready
        return again + elsewhere if again else (yield from self._wait(elsewhere, claims, finished))

    def _task(self, stack: Stack) -> "Task":
        self.planned[stack.id] = self.planned[stack.runs[0].id]
        if there := self.resumed.get(stack.id):
            at = f"step {there.steps_done:,} of {there.steps:,}"
            self.tell(f"going on with {plural(len(stack.runs), 'run')} at {at}")
        every = self.checkpoint_every
        return replace(self.task(stack), checkpoint_every=every, resume=there is not None)

    def _report(self, stack_id: str, step: int) -> None:
        self.report(self.planned[stack_id], step)

    def _statuses(self, rows: Mapping[str, Mapping[str, Any]]) -> Iterator["Status"]:
        """What others have finished, as statuses of the planned stacks."""
        from initbench.jobs.task import Status

        by_stack: dict[str, list[Any]] = {}
        for run_id, row in rows.items():
            by_stack.setdefault(self.planned[run_id], []).append(row)
        for stack_id, found in by_stack.items():
            yield Status(stack_id, found, 0.0)

    def _parts(self, lost: Lost["Task"]) -> list[Stack]:
        """What to try next for a stack whose worker died: itself once more, then its halves; nothing for one run."""
        stack = lost.task.stack
        self.deaths[stack.id] += 1
        self.tell(f"a worker {lost.how} in the training of {plural(len(stack.runs), 'run')}")
        if self.deaths[stack.id] == 1 and not lost.late:
            return [stack]
        if len(stack.runs) == 1:
            return []
        remove(self.root, stack.id)  # or the whole would go on
        middle = len(stack.runs) // 2
        halves = [Stack.of(stack.runs[:middle]), Stack.of(stack.runs[middle:])]
        self.deaths.update(half.id for half in halves if len(half.runs) > 1)  # only a single run has a second try
        return halves

    def _wait(
        self, stacks: Sequence[Stack], claims: RunClaims, finished: Finished
    ) -> Generator["Status", None, list[Stack]]:
        """Wait for the runs that other processes train; returns them again as soon as some are free."""
        waiting, said = {run.id for stack in stacks for run in stack.runs}, None
        while waiting:
            holders = claims.others(waiting)  # first: who holds nothing any more has written its stack
            rows = finished.rows(waiting)
            yield from self._statuses(rows)
            waiting -= rows.keys()
            if waiting - holders.keys():
                left = [[run for run in stack.runs if run.id in waiting] for stack in stacks]
                return [Stack.of(runs) for runs in left if runs]
            if waiting and (names := sorted(set(holders.values()))) != said:
                said = names
                self.tell(f"waiting for {plural(len(waiting), 'run')} in training by {join_words(map(place, names))}")
            time.sleep(POLL if waiting else 0)
        return []
