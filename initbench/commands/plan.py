"""`initbench plan`: what `run` would do."""

from typing import Any

from rich.markup import escape
from rich.table import Table

from initbench.commands.options import AsJson, Request, takes_request
from initbench.commands.printing import duration, print_json, size, stdout
from initbench.commands.run import print_notes
from initbench.text import plural


@takes_request
def plan(request: Request, as_json: AsJson = False) -> None:
    """Show what `run` would train, and how long it would take. Nothing is trained.

    [bold]initbench plan init=he,xavier depth=5,20 --seeds 5[/]

    For models other than mlp, the time is a guess: `run` first measures what is fastest.
    """
    facts = request.prepare(trials=False).facts()
    if as_json:
        print_json(facts)
    else:
        print_notes(facts["notes"])
        stdout.print(plan_table(facts))


def plan_table(facts: dict[str, Any]) -> Table:
    """A plan as a table of two columns."""
    low, high = facts["parameters"]
    sizes = facts["stack_sizes"]
    runs_per_stack = " to ".join(map(str, dict.fromkeys([*sizes[:1], *sizes[-1:]])))
    rows = {
        "sweep": facts["sweep"],
        "runs": f"{facts['runs']:,}",
        "skipped": "\n".join(f"{plural(entry['runs'], 'run')}: {entry['reason']}" for entry in facts["left_out"]),
        "already finished": f"{facts['done']:,}",
        "stacks": f"{facts['stacks']:,}" + (f" of {runs_per_stack} runs" if sizes else ""),
        "shapes": f"{facts['shapes']:,}",
        "parameters per run": f"{low:,}" if low == high else f"{low:,} to {high:,}",
        "memory": f"about {size(facts['memory_bytes'])}",
        "time": f"about {duration(facts['seconds'])}",
        "device": f"{facts['device']}, {plural(facts['workers'], 'worker')}",
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
