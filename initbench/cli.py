"""The command line: its commands, one line per error, and exit codes."""

import gc
import os
import signal
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from initbench.commands.check import check
from initbench.commands.clean import clean
from initbench.commands.habits import instead_of_command, instead_of_option
from initbench.commands.list import ListCommand, list_
from initbench.commands.merge import merge
from initbench.commands.plan import plan
from initbench.commands.printing import accept_all_characters, print_line, print_text, stderr
from initbench.commands.probe import probe
from initbench.commands.report import report
from initbench.commands.run import run
from initbench.commands.status import status
from initbench.commands.theory import theory
from initbench.errors import InputError, Terminated
from initbench.executors.protocol import WorkerDied

UsageError: type[Exception] = typer.BadParameter.__bases__[0]  # click's; where typer has click depends on its version
WORDS = "initbench.words"  # of a context's `meta`: the command line


class OneLinePerError(TyperGroup):
    """Bad input ends with exit code 2, Ctrl-C with 130, SIGTERM with 143, other errors with 1; each is one line."""

    def parse_args(self, ctx, args):
        ctx.meta[WORDS] = list(args)
        if not args:
            return super().parse_args(ctx, args)  # and print the help
        try:
            return super().parse_args(ctx, args)
        except UsageError as error:
            print_line("error:", said_of(error, ctx))
            raise typer.Exit(2) from error

    def resolve_command(self, ctx, args):
        if self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing:
            raise InputError(instead_of_command(args[0], self.commands))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except UsageError as error:
            print_line("error:", said_of(error, ctx))
            raise typer.Exit(2) from error
        except InputError as error:
            print_line("error:", " ".join(str(error).split()))
            raise typer.Exit(2) from error
        except KeyboardInterrupt as error:
            text = "Interrupted. Finished runs and checkpoints are kept: run the same command again to go on."
            stderr.print(text, highlight=False, soft_wrap=True)
            raise typer.Exit(128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)) from error
        except OSError as error:
            print_line("error:", str(error))
            raise typer.Exit(1) from error
        except WorkerDied as error:
            print_line("error:", f"{error}; run the same command again to train the rest")
            raise typer.Exit(1) from error


def said_of(error: Exception, ctx: Any) -> str:
    """What is wrong with a command line that the parser refuses."""
    option, at = getattr(error, "option_name", None), getattr(error, "ctx", None) or ctx
    if option is None or not hasattr(error, "possibilities"):  # not an unknown option
        return error.format_message()  # type: ignore[attr-defined]
    options = [name for parameter in at.command.params for name in parameter.opts if name.startswith("--")]
    return instead_of_option(option, ctx.meta[WORDS], options, overrides=at.command.name not in ("list", "report"))


app = typer.Typer(
    cls=OneLinePerError,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Which weight initialization should I use, and how do you know? Measure it.

    [bold]initbench run init=he,xavier depth=5,20 --seeds 5[/], then [bold]initbench report results[/]
    """,
)
app.command()(run)
app.command()(plan)
app.command()(probe)
app.command("list", cls=ListCommand)(list_)
app.command()(report)
app.command()(status)
app.command()(clean)
app.command()(merge)
app.command()(theory)
app.command()(check)


def show_version(wanted: bool) -> None:
    if wanted:
        print_text(f"initbench {version('initbench')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version", metavar="")
    ] = False,
) -> None:
    pass


def terminate(number: int, frame: Any) -> None:
    """The handler of SIGTERM."""
    raise Terminated


def main() -> None:
    """The command `initbench`."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads wait for each other by spinning: minutes on a busy machine
    sys.path.append(str(Path.cwd()))  # last, so that a user's own parts are found and shadow nothing
    accept_all_characters()
    signal.signal(signal.SIGTERM, terminate)
    gc.set_threshold(100_000)  # imports and grids make lasting objects; searching them again and again is slow
    app()
