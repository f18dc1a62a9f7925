"""A report: what the results say, for all sections to show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from initbench.analysis.cells import OUTCOMES
from initbench.analysis.contests import Contests
from initbench.analysis.headline import headline
from initbench.analysis.mitigations import MitigationEffects
from initbench.analysis.tuning import Tuning
from initbench.analysis.verdicts import Verdict
from initbench.report.figures.drawing import Drawing
from initbench.report.page.numbers import ranges


@dataclass(frozen=True)
class SweepLink:
    """A sweep of the same results folder that has a page of its own."""

    name: str
    href: str  # the address of its page, from this page
    asked: str  # its overrides
    created: str  # when it was asked for, in UTC
    runs: int


@dataclass(frozen=True)
class Report:
    """What several sections share; what only one section shows, it computes itself."""

    contests: Contests  # the runs; of tuned cells, those at their best rate
    command: list[str]  # that made the report; empty where a program did
    where: str | None  # the filter of the results
    seed: int  # of the bootstrap
    ranking: pd.DataFrame  # who may be the best in each contest: `analysis.contenders`
    summary: pd.DataFrame
    comparisons: pd.DataFrame
    verdicts: list[Verdict]
    rescues: list[MitigationEffects]
    tuning: Tuning | None
    frames: Mapping[str, pd.DataFrame] = field(default_factory=dict)  # of all sections, by the name of their CSV file
    drawings: Mapping[str, list[Drawing]] = field(default_factory=dict)  # by the name of their section
    others: Sequence[SweepLink] = ()  # the other sweeps of the results folder
    reference: pd.DataFrame | None = None  # every alternative against one that was named: `analysis.reference`
    home: str | None = None  # the address of the first page of the results folder, if this is another one
    stamp: str = ""  # a hash of what the page is made from
    notes: list[str] = field(default_factory=list)  # what limits the report: few seeds, pending and failed runs, ...

    @property
    def headline(self) -> str:
        """The answer in one line."""
        return headline(self.verdicts, self.contests.noun)

    @property
    def figures(self) -> list[Drawing]:
        """The figures of all sections."""
        return [drawing for drawn in self.drawings.values() for drawing in drawn]

    @property
    def outcomes(self) -> dict[str, int]:
        """The number of runs that ended in each way, where there are any."""
        return {name: int(self.summary[name].sum()) for name in OUTCOMES if self.summary[name].any()}

    @property
    def seeds(self) -> str:
        """ "3 (0–2)": the number of seeds, and which"""
        seeds = self.contests.runs["seed"].dropna().unique()
        return f"{len(seeds)} ({ranges(seeds)})"
