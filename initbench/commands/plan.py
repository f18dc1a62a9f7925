"""`initbench plan`: what `run` would do."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.markup import escape
from rich.table import Table

from initbench.commands.options import AsJson, Request, takes_request
from initbench.commands.printing import duration, print_json, print_text, size, stdout, value_text
from initbench.commands.run import print_notes, print_start_costs
from initbench.text import join_words, plural

if TYPE_CHECKING:
    from initbench.planning.sweep import Sweep

MOST = 12  # values of one key that a plan names
COMMENTS = 44  # characters at most before the comment behind a value


@takes_request
def plan(
    request: Request,
    config: Annotated[
        bool,
        typer.Option(
            "--config", help="Print the settings of the first run as YAML, and where each value comes from", metavar=""
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what `run` would train, and how long it would take. Nothing is trained.

    [bold]initbench plan init=he,xavier depth=5,20 --seeds 5[/]

    For models other than mlp, the time is a guess: `run` first measures what is fastest.
    """
    sweep = request.prepare(timed=False)
    if not as_json:
        print_notes(sweep.notes)
    if config:
        print_config(sweep, request.config_dir, as_json=as_json)
        return
    facts = sweep.facts()
    if as_json:
        print_json(facts)
    else:
        print_start_costs(facts["start_steps"])
        stdout.print(plan_table(facts))


def print_config(sweep: "Sweep", config_dir: Path | None, *, as_json: bool) -> None:
    """Print the configuration of the first run, and for each value the file or the override that sets it."""
    from initbench.config.origins import origins

    run = sweep.runs[0]
    found = origins(run, sweep.overrides, config_dir)
    if as_json:
        print_json({"run_id": run.id, "choices": run.choices, "config": run.config, "origins": found})
    else:
        print_text("\n".join(config_lines(sweep, found)))


def config_lines(sweep: "Sweep", origins: Mapping[str, str]) -> Iterator[str]:
    """The first run's configuration as YAML; the comment behind a value says where it comes from."""
    run, others = sweep.runs[0], len(sweep.runs) - 1
    if others:
        yield f"# The first of {others + 1:,} runs; the others differ in {join_words(sweep.axes)}."
    yield f"# run id {run.id}"
    empty = {group: {} for group in run.choices if group not in run.config}  # norm=none has no keys
    entries = list(_entries(run.config | empty, run.choices, origins))
    column = min(COMMENTS, max(len(setting) for setting, _ in entries))
    for setting, origin in entries:
        yield f"{setting:{column}}  # {origin}" if origin else setting


def _entries(
    config: Mapping[str, Any], choices: Mapping[str, str], origins: Mapping[str, str], parents: str = ""
) -> Iterator[tuple[str, str]]:
    """Each line of the YAML, and where it comes from. parents: the keys above, each with a dot."""
    indentation = "  " * parents.count(".")
    for key, value in config.items():
        origin = origins.get(parents + key, "")
        if not parents and key in choices:
            origin = f"{choices[key]} ({origin})"
        if isinstance(value, dict) and value:
            yield f"{indentation}{key}:", origin
            yield from _entries(value, choices, origins, f"{parents}{key}.")
        else:
            yield f"{indentation}{key}: {_scalar(value)}", origin


def _scalar(value: Any) -> str:
    """A value as YAML, in one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=math.inf).removesuffix("...\n").strip()


def plan_table(facts: dict[str, Any]) -> Table:
    """A plan as a table of two columns."""
    low, high = facts["parameters"]
    sizes = facts["stack_sizes"]
    runs_per_stack = " to ".join(map(str, dict.fromkeys([*sizes[:1], *sizes[-1:]])))
    rows = {
        "sweep": facts["sweep"],
        "runs": f"{facts['runs']:,}",
        "skipped": "\n".join(f"{plural(entry['runs'], 'run')}: {entry['reason']}" for entry in facts["left_out"]),
        "loaded": "\n".join(facts["loads"]),
        "already finished": f"{facts['done']:,}",
        "failed before": f"{facts['failed']:,}; --retry-failed trains them again" if facts["failed"] else "",
        "search": _search(facts["search"]) if "search" in facts else "",
        "varied": "\n".join(_axis(key, values, facts["tune"]) for key, values in facts["axes"].items()),
        "taken together": "\n".join(map(join_words, facts["zipped"])),
        "trained together": f"{runs_per_stack} runs at a time, in {plural(facts['stacks'], 'stack')}" if sizes else "",
        "parameters per run": f"{low:,}" if low == high else f"{low:,} to {high:,}",
        "memory": f"about {size(facts['memory_bytes'])}",
        "time": f"about {duration(facts['seconds'])}" + _later(facts),
        "device": f"{facts['device']}, {plural(facts['workers'], 'worker')}",
    }
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        if value:
            table.add_row(name, escape(value))
    return table


def _search(search: Mapping[str, Any]) -> str:
    """ "tpe, 16 trials of lr and init.gain in each of 60 cells: 4,800 runs in about 3 rounds, this is the first" """
    rounds = f" in {search['rounds']} rounds; this is round {search['round']}" if search["rounds"] > 1 else ""
    keys = "\n".join(f"{key}: {low:g} to {high:g}, {scale}" for key, (low, high, scale) in search["ranges"].items())
    cells = f"each of {plural(search['cells'], 'cell')}" if search["cells"] > 1 else "the cell"
    return f"{search['tuner']}, {search['trials']} trials in {cells}: {plural(search['runs'], 'run')}{rounds}\n{keys}"


def _later(facts: Mapping[str, Any]) -> str:
    """How long all rounds of a search take, where there are more than this one."""
    whole = facts.get("search", {}).get("seconds", 0.0)
    return f", and {duration(whole)} with the later rounds" if whole > facts["seconds"] else ""


def _axis(key: str, values: Sequence[Any], tune: Mapping[str, Any]) -> str:
    """ "depth: 5, 20", the first values of many."""
    if key == "lr" and tune["rates"]:
        return f"lr: tune, {len(values)} rates from {values[0]:g} to {values[-1]:g}"
    more = f" and {len(values) - MOST} more" if len(values) > MOST else ""
    return f"{key}: {', '.join(map(value_text, values[:MOST]))}{more}"
