"""The options that several commands share, each written once."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from initbench.planning.sweep import Sweep


def complete(ctx: typer.Context, incomplete: str) -> list[str]:
    """The ways to complete an override. Bash passes `init=he` as three words and completes the last one."""
    from initbench.config.completion import completion

    args = ctx.params.get("overrides") or []
    begun = [*args, incomplete]
    if not incomplete and args and "=" not in args[-1]:  # the cursor stands right behind `init=`
        begun = [*args, "=", ""]
    if begun[-2:-1] == ["="]:
        return [option.partition("=")[2] for option in completion("".join(begun[-3:]))]
    return completion(incomplete)


def complete_executor(ctx: typer.Context, incomplete: str) -> list[str]:
    from initbench.executors.choose import executor_files

    return [name for name in executor_files(ctx.params.get("config_dir")) if name.startswith(incomplete)]


ConfigDir = Annotated[
    Path | None,
    typer.Option(help="Also use your own YAML files: DIR/init/NAME.yaml, DIR/act/NAME.yaml, ...", metavar="DIR"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables and text", metavar="")]


Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        help="Set or vary keys: init=he,xavier act=relu depth=5,20 takes every combination "
        "([bold]initbench list keys[/] shows all keys)",
        metavar="KEY=VALUE,...",
        autocompletion=complete,
    ),
]
Seeds = Annotated[int | None, typer.Option(help="Repeat every combination with seeds 0 to N-1", metavar="N")]
Zipped = Annotated[
    list[str] | None,
    typer.Option(
        "--zip", help="Take the values of these keys together, not in every combination", metavar="KEY,KEY,..."
    ),
]
Tuner = Annotated[
    str | None,
    typer.Option(
        help="Choose the values of tuned keys (lr=tune init.gain=tune) from a grid, at random, or by tpe (Optuna)",
        metavar="grid|random|tpe",
    ),
]
Trials = Annotated[
    int | None,
    typer.Option(help="Try N settings of the tuned keys in each cell, with --tuner random or tpe", metavar="N"),
]
Device = Annotated[
    str, typer.Option(help="Compute on cpu or cuda; auto takes CUDA if there is a CUDA device", metavar="DEVICE")
]
Workers = Annotated[
    int | None, typer.Option(help="Start N worker processes (default: chosen automatically)", metavar="N")
]
Memory = Annotated[str | None, typer.Option(help="Limit the memory of runs at work, e.g. 4GiB", metavar="SIZE")]


@dataclass(frozen=True)
class Request:
    """A request to `run` or `plan`: one field per option of the command line."""

    overrides: Overrides = None
    out: Annotated[Path, typer.Option(help="Store the results in this folder", metavar="DIR")] = Path("results")
    name: Annotated[
        str | None, typer.Option(help="Give the sweep a name (default: made from its runs)", metavar="NAME")
    ] = None
    seeds: Seeds = None
    zipped: Zipped = None
    tuner: Tuner = None
    trials: Trials = None
    executor: Annotated[
        str,
        typer.Option(
            help="Choose where to train: local is this machine; NAME is your --config-dir's executor/NAME.yaml",
            metavar="NAME",
            autocompletion=complete_executor,
        ),
    ] = "local"
    device: Device = "auto"
    workers: Workers = None
    memory: Memory = None
    config_dir: ConfigDir = None
    fresh: Annotated[bool, typer.Option("--fresh", help="Retrain finished runs", metavar="")] = False
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Train runs again that failed before", metavar="")
    ] = False

    def prepare(self, *, timed: bool = True) -> "Sweep":
        """The planned sweep; see `planning.sweep.prepare`."""
        from initbench.config.tune import as_overrides
        from initbench.planning.sweep import prepare

        given = dict(vars(self))
        tuning = as_overrides(given.pop("tuner"), given.pop("trials"))
        given |= {"overrides": [*(self.overrides or []), *tuning], "zipped": self.zipped or []}
        return prepare(**given, timed=timed)


def takes_request(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `Request` in place of its first parameter, which is such a `Request`.

    typer makes one option of each parameter that `inspect.signature` shows.
    """
    shared = inspect.signature(Request).parameters
    _, *own = inspect.signature(command).parameters.values()
    parameters = [parameter.replace(kind=parameter.KEYWORD_ONLY) for parameter in (*shared.values(), *own)]

    @functools.wraps(command)
    def call(**given: Any) -> None:
        request = Request(**{name: given.pop(name) for name in shared})
        command(request, **given)

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call
