"""The pages of a results folder: the first shows one sweep or several, and every other sweep has its own page."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from urllib.parse import quote

from initbench.errors import InputError
from initbench.report.compose import report_on
from initbench.report.outputs import write
from initbench.report.report import SweepLink
from initbench.results.load import ResultsFolder

OTHERS = "others"  # the folder, beside the first page, that has the pages of the other sweeps
PAGE = "index.html"
_STAMP = re.compile(r'<meta name="made-from" content="(\w+)">')
_HEAD = 4000  # characters at the top of a page among which its stamp stands


def other_sweeps(folder: ResultsFolder, shown: list[str] | None) -> list[SweepLink]:
    """The sweeps to link to, the latest first: all but the one that the first page shows.

    shown: the names of the sweeps on the first page; None: everything. A page of several links to each of them.
    """
    return [
        SweepLink(
            name=name,
            href=f"{OTHERS}/{quote(name)}/{PAGE}",
            asked=" ".join(map(str, sweep.info.get("overrides") or [])),
            created=str(sweep.info["created"])[:16].replace("T", " "),
            runs=len(sweep.runs),
        )
        for name, sweep in folder.sweeps.items()
        if [name] != shown and len(folder.sweeps) > 1
    ]


def write_others(folder: ResultsFolder, to: Path, others: Iterable[SweepLink]) -> Iterator[Path]:
    """Write the page of each other sweep to `to/others/NAME/`, unless the one that is there is up to date.

    A page says what `initbench report PATH --sweep NAME` says. Yields the pages, also those that were up to date.
    """
    for sweep in others:
        place = to / OTHERS / sweep.name
        stamp = _stamp(folder, sweep.name)
        if _stamp_of(place / PAGE) != stamp:
            results = folder.results([sweep.name])
            command = ["initbench", "report", str(folder.path), "--sweep", sweep.name]
            home = "../" * len(place.relative_to(to).parts) + PAGE
            write(report_on(results, command=command, home=home, stamp=stamp), place)
        yield place / PAGE


def _stamp(folder: ResultsFolder, name: str) -> str:
    """A hash of all that the page of a sweep is made from: its runs, the stacks that trained them, and the code."""
    asked = set(folder.sweeps[name].run_ids)
    stacks = sorted(stack.path.name for stack in folder.stacks if not asked.isdisjoint(stack.info["run_ids"]))
    facts = [_code(), str(folder.path), name, sorted(asked), stacks, folder.skipped]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


@cache
def _code() -> str:
    """A hash of initbench's own files."""
    files = sorted(
        file for file in Path(__file__).parent.parent.rglob("*") if file.suffix in (".py", ".jinja", ".js", ".css")
    )
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _stamp_of(page: Path) -> str | None:
    """The stamp of a page; None where there is no such page, or it has none."""
    try:
        with page.open(encoding="utf-8") as text:
            found = _STAMP.search(text.read(_HEAD))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"can't write the report to {page.parent}: {error}") from error
    return found and found[1]
