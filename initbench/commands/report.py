"""`initbench report`: the report of one results folder, or what changed between two."""

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from initbench.commands.options import AsJson
from initbench.commands.printing import print_json, print_unread_files, stdout
from initbench.commands.sweeps import ShownSweeps
from initbench.errors import InputError, nearest
from initbench.text import split_words

if TYPE_CHECKING:
    from initbench.report.tables.pivot import TableRequest

OWN_TABLE = "A table of your own, instead of the summary"  # a panel of the help


def report(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Read this results folder (default: results), or compare two folders", metavar="DIR"),
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(help="Show this sweep (default: the latest); several, or --sweep all, are pooled", metavar="NAME"),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="Write the report to this folder (default: DIR/report)", metavar="DIR")
    ] = None,
    where: Annotated[
        str | None, typer.Option(help="Read only these runs: \"depth >= 20 and act != 'sigmoid'\"", metavar="CONDITION")
    ] = None,
    rows: Annotated[
        str, typer.Option(help="Put these keys in rows, e.g. init", metavar="KEY,...", rich_help_panel=OWN_TABLE)
    ] = "",
    cols: Annotated[
        str,
        typer.Option(help="Put these keys in columns, e.g. act,depth", metavar="KEY,...", rich_help_panel=OWN_TABLE),
    ] = "",
    value: Annotated[
        str,
        typer.Option(
            help="Fill the cells with these values: test_acc, test_acc_mean_std, train_loss, learned, ...",
            metavar="VALUE,...",
            rich_help_panel=OWN_TABLE,
        ),
    ] = "",
    names: Annotated[
        str,
        typer.Option(
            help="Write names as you like: he=He,relu=ReLU,normal=N(0, 1)",
            metavar="NAME=TEXT,...",
            rich_help_panel=OWN_TABLE,
        ),
    ] = "",
    caption: Annotated[
        str,
        typer.Option(
            help="Write this caption (default: says what the values are)", metavar="TEXT", rich_help_panel=OWN_TABLE
        ),
    ] = "",
    label: Annotated[
        str,
        typer.Option(help="Set this label in LaTeX, e.g. tab:accuracy", metavar="LABEL", rich_help_panel=OWN_TABLE),
    ] = "",
    target: Annotated[
        float | None,
        typer.Option(
            help="Count the steps until the training loss reaches this value "
            "(default: half the loss of the best constant prediction)",
            metavar="LOSS",
        ),
    ] = None,
    charge_init: Annotated[
        bool,
        typer.Option("--charge-init", help="Count the initializer's time as steps to that loss, too", metavar=""),
    ] = False,
    contest: Annotated[
        str,
        typer.Option(help="Compare the values of this key: init, act, mitigation, lr or another", metavar="KEY"),
    ] = "init",
    reference: Annotated[
        str, typer.Option(help="Compare all others with this one: he, torch_default, ...", metavar="NAME")
    ] = "",
    score: Annotated[
        str,
        typer.Option(
            help="Rank runs by this score: test_acc, balanced or f1 "
            "(default: test_acc; balanced where training classes are unbalanced)",
            metavar="SCORE",
        ),
    ] = "",
    formats: Annotated[
        str, typer.Option("--format", help="Save the figures in these formats: svg, png, pdf", metavar="FORMAT,...")
    ] = "svg",
    seed: Annotated[
        int, typer.Option(min=0, help="Set the seed of the bootstrap that pools contests", metavar="N")
    ] = 0,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser", metavar="")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a report: who wins, by how much, whether it is real, why the others failed.

    [bold]initbench report results/ --where "depth >= 20" --open[/]

    [bold]initbench report results/ --rows init --cols act,depth --value test_acc[/]

    [bold]initbench report results/ --contest mitigation[/] compares mitigations instead of initializers.

    [bold]initbench report before/ after/[/] says what changed between two folders beyond noise.
    """
    folders = paths or [Path("results")]
    if len(folders) > 2:
        raise InputError(f"{folders[2]}: too many folders; give one for a report, or two to compare")
    if len(folders) == 2:
        tables = {"--rows": rows, "--cols": cols, "--value": value, "--names": names, "--caption": caption}
        for option, given in (tables | {"--label": label, "--json": as_json}).items():
            if given:
                raise InputError(f"{option} works with one folder, not with two")
        page = show_comparison(
            folders[0], folders[1], to or folders[1] / "report", sweep=sweep, where=where, score=score or None
        )
        show(page, open_)
        return
    from initbench.config.aliases import read_key

    shown = ShownSweeps.of(folders[0], sweep)
    table = None
    if rows or cols or value or names or caption or label:
        from initbench.report.tables.pivot import TableRequest

        given = rows or ("init" if cols else ""), cols
        down, across = ([read_key(word) for word in split_words(words)] for words in given)
        table = TableRequest(down, across, split_words(value), names, caption, label)
    page = show_report(
        shown,
        to or folders[0] / "report",
        where=where,
        table=table,
        formats=split_words(formats),
        target=target,
        charge_init=charge_init,
        over=read_key(contest),
        reference=reference or None,
        score=score or None,
        seed=seed,
        as_json=as_json,
    )
    if not as_json:
        stdout.print(*shown.sentences(), sep="\n", highlight=False, markup=False, soft_wrap=True)
    show(page, open_)
    shown.write_others(page.parent)


def show(page: Path, wanted: bool) -> None:
    """Open a page in the browser, if that is wanted."""
    if wanted:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())


def show_report(
    sweeps: ShownSweeps,
    to: Path,
    *,
    where: str | None,
    table: "TableRequest | None",
    formats: list[str],
    target: float | None,
    charge_init: bool,
    over: str,
    reference: str | None,
    score: str | None,
    seed: int,
    as_json: bool,
) -> Path:
    """Write a report and print what it comes to; the page."""
    from initbench.analysis.filter import filtered
    from initbench.analysis.measure import of_labels
    from initbench.analysis.pivot import may_be_best
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
    results = sweeps.folder.results(sweeps.names)
    if where:
        results = filtered(results, where)
    command = ["initbench", *sys.argv[1:]]
    asked = {"where": where, "target": target, "over": over, "reference": reference, "seed": seed}
    asked |= {"charge_init": charge_init, "score": score}
    made = report_on(results, command=command, others=sweeps.others, **asked)
    sheet = None
    if table:
        table = replace(table, values=table.values or [made.contests.measure.column])
        if not table.rows:
            plain = made.contests.runs["label"].equals(made.contests.runs["init"])
            table = replace(table, rows=["init" if plain else "label"], cols=made.contests.varied)
        by_rate = "lr" in [*table.rows, *table.cols]
        marks, ranked_by = may_be_best(made.contests, made.summary), of_labels(made.contests.runs).column
        sheet = pivot_table(results if by_rate else selected(results), table, marks, ranked_by)
    files = write(made, to, formats=formats, table=sheet)
    if as_json:
        print_json(facts(made))
        return files["index.html"]
    for part in shown(made, sheet):
        stdout.print(part, highlight=False)
    print_unread_files(results)
    others = len(files) - 1
    text = f"Wrote [bold]{escape(str(files['index.html']))}[/] and {others} other files in its folder"
    stdout.print(text, highlight=False, soft_wrap=True)
    return files["index.html"]


def show_comparison(
    first: Path, second: Path, to: Path, *, sweep: list[str] | None, where: str | None, score: str | None
) -> Path:
    """Write and print what changed between two folders; the page. sweep: those that are compared, by default the latest
    of each."""
    from initbench.analysis.filter import filtered
    from initbench.analysis.folders import compare
    from initbench.analysis.tuning import selected
    from initbench.report.tables.folders import ComparisonTables

    shown = [ShownSweeps.of(folder, sweep) for folder in (first, second)]
    before, after = (each.folder.results(each.names) for each in shown)
    if where:
        before, after = filtered(before, where), filtered(after, where)
    try:
        found = compare(selected(before, rate=False), selected(after, rate=False), score)
    except InputError as error:
        if any(each.others for each in shown):
            raise InputError(f"{error}; the latest sweeps were compared, --sweep all compares all") from error
        raise
    comparison = ComparisonTables(replace(found, before=shown[0].place, after=shown[1].place))
    for suffix, text in {"md": comparison.markdown(), "csv": comparison.csv(), "html": comparison.html()}.items():
        try:
            to.mkdir(parents=True, exist_ok=True)
            (to / f"compare.{suffix}").write_text(text, encoding="utf-8")
        except OSError as error:
            raise InputError(f"can't write the report to {to}: {error.strerror or error}") from error
    stdout.print(comparison.rich())
    for each in shown:
        stdout.print(*each.sentences(), sep="\n", highlight=False, markup=False)
    for results in (before, after):
        print_unread_files(results)
    text = f"Wrote [bold]{escape(str(to / 'compare.html'))}[/], compare.csv and compare.md"
    stdout.print(text, highlight=False, soft_wrap=True)
    return to / "compare.html"
