"""`initbench probe`: measure networks at birth, without training."""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from initbench.commands.options import AsJson, ConfigDir, Device, Memory, Overrides, Seeds, Workers, Zipped
from initbench.commands.printing import print_json, print_line, stderr, stdout
from initbench.commands.run import print_notes
from initbench.errors import InputError
from initbench.text import last_line, plural

if TYPE_CHECKING:
    from initbench.analysis.probe import ProbedCells
    from initbench.planning.sweep import Sweep
    from initbench.results.births import Births


def probe(
    overrides: Overrides = None,
    seeds: Seeds = None,
    zipped: Zipped = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Also measure what takes long: the gradient quotient, initializers that look at data",
            metavar="",
        ),
    ] = False,
    steps: Annotated[
        int,
        typer.Option(
            help="Also make N steps of training, to see how far they move each layer; with several widths, how that "
            "goes with the width",
            metavar="N",
        ),
    ] = 1,
    to: Annotated[
        Path | None, typer.Option(help="Also write a page with figures and the tables to this folder", metavar="DIR")
    ] = None,
    device: Device = "auto",
    workers: Workers = None,
    memory: Memory = None,
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
) -> None:
    """Measure networks at birth, without training: what happens to signals and gradients, and a verdict.

    [bold]initbench probe init=he,xavier act=relu,tanh depth=50 --seeds 5[/]

    [bold]initbench probe 'init=glob(*)' data=gaussian depth=20 --to birth[/] also writes a page with figures

    [bold]initbench probe init=mup,lecun width=32,64,128,256 --steps 4[/] does the coordinate check
    """
    from initbench.analysis.probe import SHOWN_START, ProbedCells
    from initbench.planning.probe import without_slow_initializers
    from initbench.planning.sweep import prepare

    if steps < 1:
        raise InputError(f"--steps {steps}: must be a whole number of at least 1")
    with nullcontext() if as_json else stderr.status("Checking settings"):
        sweep = prepare(
            overrides or [],
            seeds=seeds,
            config_dir=config_dir,
            device=device,
            workers=workers,
            memory=memory,
            fresh=True,
            timed=False,
            zipped=zipped or [],
        )
    sweep = sweep if full else without_slow_initializers(sweep)
    if steps > (fewest := min(run.config["steps"] for run in sweep.runs)):
        raise InputError(f"--steps {steps}: more than the steps={fewest} of a training")
    found = measured(sweep, full=full, steps=steps, quiet=as_json)
    starts = None if as_json else [SHOWN_START] if to else ()
    probed = ProbedCells.of(found, starts=starts, config_dir=config_dir)
    if as_json:
        print_json(as_facts(probed, sweep))
    else:
        print_cells(probed, sweep)
    if to:
        write_page(probed, sweep, to, quiet=as_json)
    if len(probed.failed):
        raise typer.Exit(1)


def as_facts(probed: "ProbedCells", sweep: "Sweep") -> dict[str, Any]:
    """What `--json` prints."""
    from initbench.analysis.coordinate_check import moved_by_width, width_exponents
    from initbench.report.outputs import json_values

    exponents = width_exponents(moved_by_width(probed)).to_dict("records")
    found = {"cells": probed.json(), "left_out": sweep.reasons, "failed": failures(probed)}
    return json_values(found | ({"width_exponents": exponents} if exponents else {}))


def measured(sweep: "Sweep", *, full: bool, steps: int, quiet: bool) -> "Births":
    """Measure the stacks of a sweep and show the progress."""
    from initbench.planning.probe import births
    from initbench.results.births import Births

    done, total = 0, sum(len(stack.runs) for stack in sweep.stacks)
    parts = []
    with nullcontext() if quiet else stderr.status("") as status:
        for part in births(sweep, lambda stack, runs: None, full=full, steps=steps):
            parts.append(part)
            done += len(part.runs)
            if status is not None:
                status.update(f"Measuring: {done:,} of {plural(total, 'network')}")
    order = {run.id: place for place, run in enumerate(sweep.runs)}
    return Births.joined(parts).in_order(order)


def print_cells(probed: "ProbedCells", sweep: "Sweep") -> None:
    """Print one row per cell, what was left out and what failed."""
    from initbench.analysis.coordinate_check import moved_by_width, sentences
    from initbench.report.tables.probe import probe_table, verdict_counts

    print_notes(sweep.notes)
    stdout.print(probe_table(probed))
    stdout.print(verdict_counts(probed), highlight=False)
    for sentence in sentences(moved_by_width(probed)):
        stdout.print(f"over the width: {escape(sentence)}", highlight=False)
    for entry in sweep.reasons:
        print_line("skipped:", f"{plural(entry['runs'], 'run')}: {entry['reason']}", "yellow")
    for failure in failures(probed):
        print_line("failed:", f"{failure['run_id']}: {failure['error']}")


def write_page(probed: "ProbedCells", sweep: "Sweep", to: Path, *, quiet: bool) -> None:
    """Write the page of a probe, and say where it is."""
    from initbench.report.page.probe_page import write_probe

    skipped = [f"{plural(entry['runs'], 'run')}: {entry['reason']}" for entry in sweep.reasons]
    page, *others = write_probe(probed, to, command=["initbench", *sys.argv[1:]], left_out=skipped)
    if not quiet:
        stdout.print(f"written: [bold]{escape(str(page))}[/] and {len(others)} files beside it", highlight=False)


def failures(probed: "ProbedCells") -> list[dict[str, str]]:
    """The runs that could not be built, with the last line of the error."""
    rows = probed.failed.to_dict("records")
    return [{"run_id": row["run_id"], "error": last_line(row["error"])} for row in rows]
