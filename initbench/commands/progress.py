"""Progress of a sweep: a live bar in a terminal, a plain line every few seconds elsewhere."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from initbench.commands.printing import duration
from initbench.config.stacks import Stack
from initbench.report.tables.outcomes import COLOURS
from initbench.text import plural

SECONDS = 5  # between two lines where there is no terminal
SURE = 0.05  # of the run-steps; before that, processes are starting and the time left is anybody's guess


class Watch:
    """Progress of a sweep: runs done, run-steps per second, time left, outcomes so far.

    A terminal shows it live, and nothing of it afterwards. A file or a pipe gets plain lines.
    under_way: the steps that stacks have made before, by their ids.
    """

    def __init__(self, console: Console, stacks: Sequence[Stack], under_way: Mapping[str, int], *, quiet: bool):
        self.sizes = {stack.id: len(stack.runs) for stack in stacks}
        self.steps = {stack.id: stack.runs[0].config["steps"] for stack in stacks}
        self.reached = dict.fromkeys(self.sizes, 0) | dict(under_way)
        self.before = self.run_steps
        self.outcomes: Counter[str] = Counter()
        self.started = self.printed = time.monotonic()
        live = console.is_terminal and not console.is_dumb_terminal
        self.console = None if quiet or live else console
        self.progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("runs  {task.fields[rate]}  {task.fields[left]}  {task.fields[outcomes]}"),
            console=console,
            disable=quiet or not live,
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

    @property
    def run_steps(self) -> int:
        """Steps made by all runs, before an interruption too."""
        return sum(self.reached[stack] * size for stack, size in self.sizes.items())

    def show(self) -> None:
        """Bring the bar up to date, or print a line if the last one is `SECONDS` old or all is done."""
        done = self.run_steps
        total = sum(self.steps[stack] * size for stack, size in self.sizes.items())
        now = time.monotonic()
        if done == self.before:
            return
        rate = (done - self.before) / max(now - self.started, 1e-9)
        left = f"{duration((total - done) / rate)} left" if done >= SURE * total else ""
        self.progress.update(self.task, rate=f"{rate:,.0f} run-steps/s", left=left, outcomes=self.counts())
        last = self.outcomes.total() == sum(self.sizes.values())
        if self.console and (last or now - self.printed >= SECONDS):
            self.printed = now
            runs = f"{self.outcomes.total():,} of {plural(sum(self.sizes.values()), 'run')} finished"
            took = f"in {duration(now - self.started)}" if last else f"about {left}" if left else ""
            text = "  ".join(filter(None, [", ".join(filter(None, [runs, took])), self.counts()]))
            self.console.print(text, highlight=False, soft_wrap=True)

    def counts(self) -> str:
        """The outcomes so far, in their colours: "5 learned  1 stuck"."""
        return "  ".join(
            f"[{colour}]{self.outcomes[word]} {word}[/]" for word, colour in COLOURS.items() if self.outcomes[word]
        )
