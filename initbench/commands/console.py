"""What a person sees in the terminal."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from initbench.config.registry import Choice
from initbench.config.stacks import Stack
from initbench.text import plural


def duration(seconds: float) -> str:
    """12 s, 3 min 20 s, 2 h 5 min."""
    whole = max(0, round(seconds))
    if whole < 100:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(count: float) -> str:
    """Bytes as 312 MiB, 1.4 GiB."""
    return f"{count / 2**20:.0f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"


def announcement(facts: dict[str, Any]) -> str:
    """The plan in a sentence: how many runs, how many are done, how long it will take."""
    runs, done = facts["runs"], facts["done"]
    text = f"[bold]{plural(runs, 'run')}[/]"
    if done:
        text += f", {done:,} done already"
    if done == runs:
        return text + ": nothing to train"
    where = "the GPU" if facts["device"] != "cpu" else f"{facts['workers']} process{'es' * (facts['workers'] > 1)}"
    left = f" on {where}, about {duration(facts['seconds'])}"
    return text + f"; {runs - done:,} to train in {plural(facts['stacks'], 'stack')}" + left


def plan_table(facts: dict[str, Any]) -> Table:
    """A plan as two columns."""
    low, high = facts["parameters"]
    sizes = facts["stack_sizes"]
    rows = {
        "sweep": facts["sweep"],
        "runs": f"{facts['runs']:,}",
        "left out": "\n".join(map(left_out, facts["left_out"])),
        "already done": f"{facts['done']:,}",
        "stacks": f"{facts['stacks']:,}" + (f", of {sizes[0]} to {sizes[-1]} runs" if sizes else ""),
        "shapes": f"{facts['shapes']:,}",
        "parameters of a run": f"{low:,}" if low == high else f"{low:,} to {high:,}",
        "memory": f"about {size(facts['memory_bytes'])}",
        "time": f"about {duration(facts['seconds'])}",
        "device": f"{facts['device']}, {facts['workers']} at once",
    }
    for axis, values in facts["axes"].items():
        text = ", ".join(map(str, values[:12])) + (f", ... ({len(values)})" if len(values) > 12 else "")
        if axis == "lr" and facts["tune"]["rates"]:
            text = f"tune: {len(values)} rates, {values[0]:g} to {values[-1]:g}"
        rows[f"axis {axis}"] = text
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, value in rows.items():
        if value:
            table.add_row(name, escape(value))
    return table


def left_out(entry: dict[str, Any]) -> str:
    """Runs that a sweep does without, with the reason."""
    return f"{plural(entry['runs'], 'run')}: {entry['reason']}"


def choices_table(group: str, choices: Sequence[Choice]) -> Table:
    """A group's choices: name, formula or sentence, source, parameters."""
    table = Table(title=f"{group}=...", title_justify="left", box=None, padding=(0, 2, 1, 0), header_style="dim")
    table.add_column("name", style="bold cyan", no_wrap=True)
    table.add_column("what it is", ratio=3)
    table.add_column("source", ratio=2, style="dim")
    table.add_column("parameters", ratio=2)
    for choice in choices:
        named = choice.root | {f"{group}.{key}": value for key, value in choice.parameters.items()}
        parameters = "\n".join(f"{key}={word(value)}" for key, value in named.items())
        table.add_row(choice.name, escape(choice.sentence), escape(choice.source), escape(parameters))
    return table


def word(value: Any) -> str:
    """A value as one would type it in an override."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


class Watch:
    """Live progress of a sweep: runs done, run-steps a second, time left, outcomes so far."""

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
        """A stack has made so many steps."""
        self.reached[stack_id] = max(step, self.reached[stack_id])
        self.show()

    def finish(self, stack_id: str, outcomes: Sequence[str]) -> None:
        """A stack is done; `outcomes` has a word a run."""
        self.reached[stack_id] = self.steps[stack_id]
        self.outcomes.update(outcomes)
        self.progress.advance(self.task, len(outcomes))
        self.show()

    def show(self) -> None:
        from initbench.report.terminal import COLOURS  # here: `plan` and `list` need not wait for pandas

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
