"""Which sweeps of a results folder a report shows, and what it says of the others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from initbench.commands.printing import stderr
from initbench.text import join_words, plural

if TYPE_CHECKING:
    from initbench.report.report import SweepLink
    from initbench.results.load import ResultsFolder

MOST = 6  # names in one sentence


@dataclass(frozen=True)
class ShownSweeps:
    """What a report shows of a results folder. names: of the sweeps; None: everything."""

    folder: "ResultsFolder"
    names: list[str] | None

    @classmethod
    def of(cls, path: Path, asked: Sequence[str] | None) -> "ShownSweeps":
        """The sweeps asked for, else the latest one; everything where no sweep can be read."""
        from initbench.results.load import read_folder

        folder = read_folder(path)
        return cls(folder, folder.chosen(asked) if asked else list(folder.sweeps)[:1] or None)

    @cached_property
    def others(self) -> "list[SweepLink]":
        from initbench.report.sweeps import other_sweeps

        return other_sweeps(self.folder, self.names)

    @property
    def place(self) -> str:
        """ "results", with the sweep where there are several: "results (sweep demo)" """
        if len(self.folder.sweeps) < 2:
            return str(self.folder.path)
        names = self.names or []
        which = "all sweeps" if not names else f"sweep{'s' if len(names) > 1 else ''} {join_words(names)}"
        return f"{self.folder.path} ({which})"

    def sentences(self) -> Iterator[str]:
        """Which sweep the report shows, and which others there are; nothing where there is one."""
        sweeps, names, runs = list(self.folder.sweeps), self.names, self.folder.unasked
        if len(sweeps) > 1 and names is None:
            yield f"All {len(sweeps)} sweeps of {self.folder.path}, pooled. --sweep NAME shows one: {_listed(sweeps)}"
        elif len(sweeps) > 1 and names is not None:
            what = f"Sweep {names[0]}" if len(names) == 1 else f"Sweeps {join_words(names)}, pooled"
            yield f"{what}, {'the latest ' if names == sweeps[:1] else ''}of {len(sweeps)} in {self.folder.path}"
            others = [name for name in sweeps if name not in names]
            if others:
                yield f"Others: {_listed(others)} (--sweep NAME shows one, --sweep all pools them)"
        if names is not None and runs:
            belong = f"{plural(runs, 'run')} {'belongs' if runs == 1 else 'belong'} to no sweep"
            yield f"{belong} and {'is' if runs == 1 else 'are'} not shown; --sweep all shows everything"

    def write_others(self, to: Path) -> None:
        """Write the pages of the other sweeps; the first page, which is there already, links to them."""
        from initbench.report.sweeps import write_others

        if self.others:
            with stderr.status(f"Writing the pages of {plural(len(self.others), 'other sweep')}"):
                list(write_others(self.folder, to, self.others))


def _listed(names: list[str]) -> str:
    """The first names: "a, b, c and 9 more" """
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(names[:MOST]) + more
