"""The command line: every command is a few lines, the work is done elsewhere."""

import gc
import json
import sys
from contextlib import nullcontext
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from initbench.errors import InputError, nearest
from initbench.executors.protocol import WorkerDied
from initbench.text import split_words

if TYPE_CHECKING:
    from initbench.planning.sweep import Sweep
    from initbench.results.load import Results

stdout, stderr = Console(), Console(stderr=True)


class Commands(TyperGroup):
    """Bad input is one line and exit code 2, Ctrl-C is 130, whatever the command."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except InputError as error:
            stderr.print(f"[bold red]error:[/] {escape(' '.join(str(error).split()))}", highlight=False, soft_wrap=True)
            raise typer.Exit(2) from error
        except KeyboardInterrupt as error:
            stderr.print("interrupted; what is finished is kept, and not trained again unless --fresh", highlight=False)
            raise typer.Exit(130) from error
        except OSError as error:
            stderr.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
            raise typer.Exit(1) from error
        except WorkerDied as error:
            stderr.print(f"[bold red]error:[/] {error}; the same command trains what is missing", highlight=False)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Which weight initialization should I use, and how do you know? Measure it.",
)


def complete(ctx: typer.Context, incomplete: str) -> list[str]:
    """What an override that was begun can become. Bash makes three words of `init=he`, and completes the last."""
    from initbench.config.completion import completion

    args = ctx.params.get("overrides") or []
    begun = [*args, incomplete]
    if not incomplete and args and "=" not in args[-1]:  # the cursor stands right behind `init=`
        begun = [*args, "=", ""]
    if begun[-2:-1] == ["="]:
        return [option.partition("=")[2] for option in completion("".join(begun[-3:]))]
    return completion(incomplete)


def complete_group(incomplete: str) -> list[str]:
    from initbench.config.registry import groups

    return [group for group in groups() if group.startswith(incomplete)]


Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="What to vary: init=he,xavier act=relu depth=5,20 (Hydra's grammar)", autocompletion=complete),
]
Out = Annotated[Path, typer.Option(help="The folder of the results.")]
Seeds = Annotated[int | None, typer.Option(help="Seeds 0 to N-1 for every cell.", metavar="N")]
ConfigDir = Annotated[Path | None, typer.Option(help="Your own YAMLs: DIR/init/NAME.yaml, DIR/act/NAME.yaml, ...")]
Name = Annotated[str | None, typer.Option(help="The sweep's name; by default one made from its runs.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda; auto takes CUDA where there is one.")]
Workers = Annotated[int | None, typer.Option(help="Worker processes; by default as many as pay.")]
Memory = Annotated[str | None, typer.Option(help="A bound on the stacks in work, such as 4GiB.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Train runs that are done already once more.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print facts as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no table.")]


def show_version(wanted: bool) -> None:
    if wanted:
        print(f"initbench {version('initbench')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="The version.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    overrides: Overrides = None,
    out: Out = Path("results"),
    name: Name = None,
    seeds: Seeds = None,
    device: Device = "auto",
    workers: Workers = None,
    memory: Memory = None,
    config_dir: ConfigDir = None,
    fresh: Fresh = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train a grid of runs; those that are done already are not trained again.

    [bold]initbench run init=he act=relu depth=20[/]

    [bold]initbench run init=he,xavier,lecun act=relu,tanh depth=5,20,50 --seeds 5[/]
    """
    from initbench.commands.console import announcement, left_out
    from initbench.planning.sweep import prepare

    with nullcontext() if quiet or as_json else stderr.status("checking, and trying what is fastest here"):
        sweep = prepare(
            overrides or [],
            seeds=seeds,
            config_dir=config_dir,
            out=out,
            name=name,
            device=device,
            workers=workers,
            memory=memory,
            fresh=fresh,
        )
    folder = sweep.save(["initbench", *sys.argv[1:]])
    if not (quiet or as_json):
        stderr.print(announcement(sweep.facts()), highlight=False)
        for entry in sweep.reasons:
            stderr.print(f"[yellow]left out:[/] {escape(left_out(entry))}", highlight=False, soft_wrap=True)
        if sweep.without_weights:
            count = len(sweep.without_weights)
            stderr.print(f"{count} done without weights; --fresh trains them again and saves them", highlight=False)
    failures = train(sweep, quiet=quiet or as_json)
    show_results(folder, out, as_json=as_json, quiet=quiet)
    for failure in failures:
        stderr.print(f"[bold red]failed:[/] {escape(failure)}", highlight=False, soft_wrap=True)
    if failures:
        raise typer.Exit(1)


def train(sweep: "Sweep", *, quiet: bool) -> list[str]:
    """Train a sweep under the eyes of the user; a line for each run that failed."""
    from initbench.commands.console import Watch

    failures = []
    with Watch(stderr, sweep.stacks, quiet=quiet) as watch:
        for status in sweep.train(watch.step):
            watch.finish(status.stack_id, [row.get("outcome") or row["status"] for row in status.rows])
            failures += [f"{row['run_id']}: {last_line(row['error'])}" for row in status.rows if row.get("error")]
    return failures


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def show_results(folder: Path, root: Path, *, as_json: bool, quiet: bool) -> None:
    """The table that says which initializer won, and what to do next."""
    from initbench import load
    from initbench.analysis.contests import Contests
    from initbench.analysis.summary import summarize
    from initbench.analysis.tuning import selected
    from initbench.report.terminal import rich_summary

    results = load(folder)
    if as_json:
        from initbench.report.compose import report_on
        from initbench.report.outputs import facts

        print(json.dumps(facts(report_on(results, drawn=False)), indent=1))
    elif not quiet:
        stdout.print(rich_summary(summarize(Contests.of(selected(results)))))
        stdout.print(
            f"who wins, is it real, and why did the others fail: [bold]initbench report {escape(str(root))}[/]",
            highlight=False,
        )
    show_skipped(results)


def show_skipped(results: "Results") -> None:
    for file, reason in results.skipped:
        stderr.print(f"[yellow]skipped[/] {escape(str(file))}: {escape(reason)}", highlight=False, soft_wrap=True)


@app.command()
def plan(
    overrides: Overrides = None,
    out: Out = Path("results"),
    name: Name = None,
    seeds: Seeds = None,
    device: Device = "auto",
    workers: Workers = None,
    memory: Memory = None,
    config_dir: ConfigDir = None,
    fresh: Fresh = False,
    as_json: AsJson = False,
) -> None:
    """What `run` would train, without training: runs, stacks, memory, time, what is done already.

    The stacks of models other than `mlp` are a guess: `run` tries what is fastest.
    """
    from initbench.commands.console import plan_table
    from initbench.planning.sweep import prepare

    facts = prepare(
        overrides or [],
        seeds=seeds,
        config_dir=config_dir,
        out=out,
        name=name,
        device=device,
        workers=workers,
        memory=memory,
        fresh=fresh,
        trials=False,
    ).facts()
    if as_json:
        print(json.dumps(facts, indent=1))
    else:
        stdout.print(plan_table(facts))


@app.command("list")
def list_(
    group: Annotated[
        str | None,
        typer.Argument(help="init, act, data, model, optim or mitigation.", autocompletion=complete_group),
    ] = None,
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
) -> None:
    """What there is to choose from: name, formula, source, parameters."""
    from initbench.commands.console import choices_table
    from initbench.config import registry

    groups = [group] if group else list(registry.groups())
    described = {name: registry.describe(name, config_dir) for name in groups}
    if as_json:
        print(
            json.dumps(
                {name: [asdict(choice) for choice in choices] for name, choices in described.items()},
                indent=1,
            )
        )
        return
    for name, choices in described.items():
        stdout.print(choices_table(name, choices))


@app.command()
def report(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="A results folder (by default results/), or two to compare.")
    ] = None,
    to: Annotated[Path | None, typer.Option(help="Where the report goes; by default PATH/report.")] = None,
    where: Annotated[
        str | None, typer.Option(help="Only these runs: \"depth >= 20 and act != 'sigmoid'\".", metavar="CONDITION")
    ] = None,
    rows: Annotated[str, typer.Option(help="A table of your own: the axes of its rows, such as init.")] = "",
    cols: Annotated[str, typer.Option(help="The axes of its columns, such as act,depth.")] = "",
    value: Annotated[str, typer.Option(help="What it shows: test_acc, train_loss, learned, ...")] = "",
    target: Annotated[
        float | None, typer.Option(help="Count the steps to this training loss; by default half a constant's.")
    ] = None,
    formats: Annotated[str, typer.Option("--format", help="Of the figures: svg, png, pdf.")] = "svg",
    seed: Annotated[int, typer.Option(min=0, help="The seed of the bootstrap that pools contests.")] = 0,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Who wins, by how much, is it real, and why did the others fail: a page, tables and figures.

    [bold]initbench report results/ --where "depth >= 20" --open[/]

    [bold]initbench report results/ --rows init --cols act,depth --value test_acc[/]

    [bold]initbench report before/ after/[/] says what changed beyond noise.
    """
    from initbench import load
    from initbench.analysis import filter as condition

    folders = paths or [Path("results")]
    if len(folders) > 2:
        raise InputError(f"{folders[2]}: a report is about one folder, or compares two")
    found = [load(folder) for folder in folders]
    if where:
        found = [condition.filtered(results, where) for results in found]
    if len(found) == 2:
        for option, given in {"--rows": rows, "--cols": cols, "--value": value, "--json": as_json}.items():
            if given:
                raise InputError(f"{option} is for the report of one folder")
        page = show_comparison(found[0], found[1], to or folders[1] / "report")
    else:
        asked = rows or cols or value
        table = (split_words(rows or "init"), split_words(cols), value or "test_acc") if asked else None
        page = show_report(
            found[0],
            to or folders[0] / "report",
            where=where,
            table=table,
            formats=split_words(formats),
            target=target,
            seed=seed,
            as_json=as_json,
        )
    if open_:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())


def show_report(
    results: "Results",
    to: Path,
    *,
    where: str | None,
    table: tuple[list[str], list[str], str] | None,
    formats: list[str],
    target: float | None,
    seed: int,
    as_json: bool,
) -> Path:
    """Write a report and print what it comes to; the page. table: the axes of rows and columns, and the value."""
    import math

    from initbench.analysis.tuning import selected
    from initbench.report.compose import report_on
    from initbench.report.outputs import FORMATS, facts, shown, write
    from initbench.report.tables.pivot import pivot_table

    if target is not None and not (math.isfinite(target) and target > 0):
        raise InputError(f"--target {target}: a loss above 0 is needed")
    if not formats:
        raise InputError(f"--format: nothing given; there is {', '.join(FORMATS)}")
    for kind in formats:
        if kind not in FORMATS:
            raise InputError(f"--format {kind}: there is {', '.join(FORMATS)}{nearest(kind, FORMATS)}")
    sheet = None
    if table:
        by_rate = "lr" in table[0] + table[1]
        sheet = pivot_table(results if by_rate else selected(results), *table)
    made = report_on(results, command=["initbench", *sys.argv[1:]], where=where, target=target, seed=seed)
    files = write(made, to, formats=formats, table=sheet)
    if as_json:
        print(json.dumps(facts(made), indent=1))
        return files["index.html"]
    for part in shown(made, sheet):
        stdout.print(part, highlight=False)
    show_skipped(results)
    others = len(files) - 1
    stdout.print(f"written: [bold]{escape(str(files['index.html']))}[/] and {others} files beside it", highlight=False)
    return files["index.html"]


def show_comparison(before: "Results", after: "Results", to: Path) -> Path:
    """Write and print what changed between two folders; the page."""
    from initbench.analysis.folders import compare
    from initbench.analysis.tuning import selected
    from initbench.report.tables.folders import ComparisonTables

    comparison = ComparisonTables(compare(selected(before, rate=False), selected(after, rate=False)))
    for suffix, text in {"md": comparison.markdown(), "csv": comparison.csv(), "html": comparison.html()}.items():
        try:
            to.mkdir(parents=True, exist_ok=True)
            (to / f"compare.{suffix}").write_text(text, encoding="utf-8")
        except OSError as error:
            raise InputError(f"can't write the report to {to}: {error.strerror or error}") from error
    stdout.print(comparison.rich())
    for results in (before, after):
        show_skipped(results)
    stdout.print(f"written: [bold]{escape(str(to / 'compare.html'))}[/], compare.csv and compare.md", highlight=False)
    return to / "compare.html"


def main() -> None:
    """The command `initbench`."""
    sys.path.append(str(Path.cwd()))  # last, so that one's own parts are found and nothing is shadowed
    gc.set_threshold(100_000)  # imports and grids make lasting objects: to look through them again and again is slow
    app()
