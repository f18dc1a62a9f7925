"""The failed runs in words: which settings, and why."""

from collections.abc import Iterable, Mapping
from typing import Any

from initbench.text import last_line, plural


def failure_lines(rows: Iterable[Mapping[str, Any]], axes: Iterable[str]) -> list[str]:
    """ "init=he seed=1 and 3 more runs: RuntimeError: ...", one line per reason. axes: what the sweep varies."""
    named: dict[str, list[str]] = {}
    keys = [axis for axis in axes if axis != "seed"] or ["init", "act", "depth"]
    for row in rows:
        settings = " ".join(f"{key}={row[key]}" for key in [*keys, "seed"] if row.get(key) is not None)
        named.setdefault(last_line(row["error"]), []).append(f"{settings} ({row['run_id']})")
    more = {reason: len(runs) - 1 for reason, runs in named.items()}
    return [
        runs[0] + (f" and {plural(more[reason], 'more run')}" if more[reason] else "") + f": {reason}"
        for reason, runs in named.items()
    ]
