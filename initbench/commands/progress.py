"""Live progress of a sweep in the terminal."""

import time
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from initbench.commands.printing import duration
from initbench.config.stacks import Stack
from initbench.report.tables.outcomes import COLOURS


class Watch:
    """Live progress of a sweep: runs done, run-steps per second, time left, outcomes so far."""

    def __init__(self, console: Console, stacks: Sequence[Stack], *, quiet: bool):
        self.sizes = {stack.id: len(stack.runs) for stack in stacks}
        self.steps = {stack.id: stack.runs[0].config["steps"] for stack in stacks}
        self.reached = dict.fromkeys(self.sizes, 0)
        self.outcomes: Counter[str] = Counter()
        self.started = time.monotonic()
        self.progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("runs  {task.fields[rate]}  {task.fields[left]}  {task.fields[outcomes]}"),
            console=console,
            disable=quiet,
            transient=True,
        )
        self.task = self.progress.add_task("", total=sum(self.sizes.values()), rate="", left="", outcomes="")

    def __enter__(self) -> "Watch":
        self.progress.start()
        return self

    def __exit__(self, *_) -> None:
        self.progress.stop()

    def step(self, stack_id: str, step: int) -> None:
        """A stack has made `step` steps."""
        self.reached[stack_id] = max(step, self.reached[stack_id])
        self.show()

    def finish(self, stack_id: str, outcomes: Sequence[str]) -> None:
        """A stack is done; `outcomes` has one word per run."""
        self.reached[stack_id] = self.steps[stack_id]
        self.outcomes.update(outcomes)
        self.progress.advance(self.task, len(outcomes))
        self.show()

    def show(self) -> None:
        done = sum(self.reached[stack] * size for stack, size in self.sizes.items())
        total = sum(self.steps[stack] * size for stack, size in self.sizes.items())
        elapsed = time.monotonic() - self.started
        if not done:
            return
        rate = done / elapsed
        counts = "  ".join(
            f"[{COLOURS[word]}]{self.outcomes[word]} {word}[/]" for word in COLOURS if self.outcomes[word]
        )
        self.progress.update(
            self.task,
            rate=f"{rate:,.0f} run-steps/s",
            left=f"{duration((total - done) / rate)} left",
            outcomes=counts,
        )
