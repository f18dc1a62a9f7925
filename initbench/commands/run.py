"""`initbench run`: train a grid of runs."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from initbench.commands.options import AsJson, Request, takes_request
from initbench.commands.printing import duration, print_json, print_line, print_unread_files, stderr, stdout
from initbench.errors import InputError
from initbench.jobs.task import CHECKPOINT_EVERY
from initbench.text import join_words, plural

if TYPE_CHECKING:
    from initbench.planning.sweep import Sweep


@takes_request
def run(
    request: Request,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors", metavar="")] = False,
    timeout: Annotated[
        float | None,
        typer.Option(help="Give up a stack of runs after S seconds, to find the run that never ends", metavar="S"),
    ] = None,
    checkpoint_every: Annotated[
        float,
        typer.Option(
            help="Save runs in training every S seconds (default: 60): after an interruption they go on from there",
            metavar="S",
        ),
    ] = CHECKPOINT_EVERY,
) -> None:
    """Train every combination of the values you give. Finished runs are not repeated.

    [bold]initbench run init=he act=relu depth=20[/]

    [bold]initbench run init=he,xavier,lecun act=relu,tanh depth=5,20,50 --seeds 5[/]

    Names of PyTorch, Keras, JAX and Hydra are understood: a note or an error says what they are here.
    """
    if not checkpoint_every >= 0:  # nan is none either
        raise InputError(f"--checkpoint-every {checkpoint_every:g}: it takes a number of seconds, at least 0")
    silent = quiet or as_json
    trained = partial(train, quiet=silent, timeout=timeout, checkpoint_every=checkpoint_every)
    with nullcontext() if silent else stderr.status("Checking settings and measuring speed"):
        sweep = request.prepare()
    folder = sweep.save(["initbench", *sys.argv[1:]])
    if not silent:
        announce(sweep)
    failures = trained(sweep)
    while sweep.search and sweep.search.to_come:
        sweep = replace(request, retry_failed=False).prepare()
        folder = sweep.save(["initbench", *sys.argv[1:]])
        if not silent:
            stderr.print(announcement(sweep.facts()), highlight=False)
        failures += trained(sweep)
    print_results(folder, request.out, as_json=as_json, quiet=quiet)
    for failure in failures:
        print_line("failed:", failure)
    if failures or sweep.failed:
        raise typer.Exit(1)


def print_notes(notes: Sequence[str]) -> None:
    """Print in one line which names of the command line were read as others."""
    if notes:
        print_line("note:", ", ".join(notes), "yellow")


def print_start_costs(start_steps: Mapping[str, int]) -> None:
    """Print in one line which initializers work for long before their runs train."""
    if start_steps:
        costs = join_words([f"{name} {count:,}" for name, count in start_steps.items()])
        print_line("note:", f"per run, initializers work about as long as this many training steps: {costs}", "yellow")


def announce(sweep: "Sweep") -> None:
    """Print what will be trained, and what will not be."""
    facts = sweep.facts()
    print_notes(sweep.notes)
    print_start_costs(facts["start_steps"])
    stderr.print(announcement(facts), highlight=False)
    for entry in sweep.reasons:
        print_line("skipped:", f"{plural(entry['runs'], 'run')}: {entry['reason']}", "yellow")
    if count := len(sweep.without_weights):
        text = f"{plural(count, 'finished run')} have no saved weights; --fresh trains them again and saves the weights"
        stderr.print(text, highlight=False)


def announcement(facts: dict[str, Any]) -> str:
    """The plan in one sentence: how many runs, how many are finished, how long the others will take."""
    runs, done, failed = facts["runs"], facts["done"], facts["failed"]
    left = runs - done - failed
    text = f"[bold]{plural(runs, 'run')}[/]"
    if (search := facts.get("search")) and search["rounds"] > 1:
        text = f"Round {search['round']} of {search['rounds']}: {text}"
    if done:
        text += f", {done:,} already finished"
    if failed:
        text += f", {failed:,} failed before (--retry-failed tries again)"
    if not left:
        return text + ": nothing to train"
    where = "the GPU" if facts["device"] != "cpu" else f"{facts['workers']} process{'es' * (facts['workers'] > 1)}"
    what = f"{left:,} more" if left < runs else "them" if runs > 1 else "it"
    stacks = plural(facts["stacks"], "stack")
    return f"{text}; training {what} in {stacks} on {where}, about {duration(facts['seconds'])}"


def train(sweep: "Sweep", *, quiet: bool, timeout: float | None, checkpoint_every: float) -> list[str]:
    """Train a sweep and show its progress; returns one line for each reason for which runs failed."""
    from initbench.analysis.failures import failure_lines
    from initbench.commands.progress import Watch

    failed = []
    with Watch(stderr, sweep.stacks, sweep.under_way, quiet=quiet) as watch:
        tell = (lambda sentence: None) if quiet else partial(print_line, "note:", style="yellow")
        for status in sweep.train(watch.step, tell=tell, timeout=timeout, checkpoint_every=checkpoint_every):
            watch.finish(status.stack_id, [row.get("outcome") or row["status"] for row in status.rows])
            failed += [row for row in status.rows if row.get("error")]
    return failure_lines(failed, sweep.axes)


def print_results(folder: Path, root: Path, *, as_json: bool, quiet: bool) -> None:
    """Print the table that says which initializer won, and what to do next."""
    from initbench import load
    from initbench.analysis.contests import Contests
    from initbench.analysis.measure import scored
    from initbench.analysis.setting import together
    from initbench.analysis.summary import summarize
    from initbench.analysis.tuning import selected
    from initbench.report.terminal import rich_summary

    results = load(folder)
    if as_json:
        from initbench.report.compose import report_on
        from initbench.report.outputs import facts

        print_json(facts(report_on(results, drawn=False)))
    elif not quiet:
        contests = Contests.of(selected(replace(results, runs=scored(results.runs))))
        stdout.print(rich_summary(summarize(contests)))
        for sentence in together(contests):
            stdout.print(f"\n{sentence}", highlight=False, markup=False)
        stdout.print(
            f"\nNext: [bold]{escape(report_command(folder, root))}[/] explains who wins and why the others fail",
            highlight=False,
            soft_wrap=True,
        )
    print_unread_files(results)


def report_command(folder: Path, root: Path) -> str:
    """What to type for the report of a sweep. folder: the sweep's, in the results folder `root`."""
    from initbench.results.folders import latest_sweep

    command = ["initbench", "report", str(root)]
    return shlex.join(command if latest_sweep(root) == folder.name else [*command, "--sweep", folder.name])
