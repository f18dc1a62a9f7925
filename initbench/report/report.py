"""A report: what the results say, worked out once, from results alone (no torch)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import matplotlib
import pandas as pd

from initbench.analysis import ensembles, mitigations
from initbench.analysis.cells import OUTCOMES
from initbench.analysis.comparisons import compare_pairs
from initbench.analysis.contests import Contests
from initbench.analysis.mitigations import MitigationEffects
from initbench.analysis.summary import steps_to_target, summarize
from initbench.analysis.tuning import Tuning, selected, tuning
from initbench.analysis.tuning import notes as tuning_notes
from initbench.analysis.verdicts import Verdict, notes, verdicts
from initbench.errors import InputError
from initbench.report.figures.drawing import Drawing
from initbench.report.figures.style import STYLE
from initbench.report.page.numbers import ranges
from initbench.report.sections.order import SECTIONS
from initbench.results.load import Results


@dataclass(frozen=True)
class Report:
    """What several sections share; what one section alone shows, it works out itself.

    contests: the runs; of tuned cells, those at their best rate. command: what made the report; empty where a program
    did. where: the filter that the results went through. seed: of the bootstrap. frames: the tables of numbers of all
    sections, by the name of their CSV file. drawings: the figures of each section, by its name. notes: sentences on
    what limits the report: few seeds, pending and failed runs, skipped files.
    """

    contests: Contests
    command: list[str]
    where: str | None
    seed: int
    summary: pd.DataFrame
    comparisons: pd.DataFrame
    verdicts: list[Verdict]
    rescues: list[MitigationEffects]
    tuning: Tuning | None
    frames: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    drawings: Mapping[str, list[Drawing]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

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


def report_on(
    results: Results,
    *,
    command: Sequence[str] = (),
    where: str | None = None,
    target: float | None = None,
    seed: int = 0,
    drawn: bool = True,
) -> Report:
    """Work out everything that a report says; nothing is written.

    where: the filter that `results` went through, which the report names. target: the training loss up to which steps
    are counted, see `analysis.summary.steps_to_target`. seed: of the bootstrap. drawn: whether to draw the figures.
    Raises InputError where there is nothing to report.
    """
    if results.runs.empty:
        hint = f" ({len(results.skipped)} files can't be read)" if results.skipped else ""
        raise InputError(f"no sweeps under {results.path}{hint}; run `initbench run` first")
    tuned, contests = tuning(results), Contests.of(selected(results))
    steps = steps_to_target(contests.results, target)
    summary = ensembles.beside(summarize(contests, steps), contests)
    comparisons = compare_pairs(contests, summary)
    report = Report(
        contests=contests,
        command=list(command),
        where=where,
        seed=seed,
        summary=summary,
        comparisons=comparisons,
        verdicts=verdicts(contests, summary, comparisons),
        rescues=mitigations.mitigation_effects(contests, steps),
        tuning=tuned,
    )
    frames = {name: frame for section in SECTIONS for name, frame in section.frames(report).items()}
    report = replace(report, frames=frames, drawings=_drawings(report) if drawn else {})
    said = tuning_notes(tuned) + notes(contests, comparisons)  # last: reading the curves may have skipped files
    return replace(report, notes=said)


def _drawings(report: Report) -> dict[str, list[Drawing]]:
    """The figures of each section that has any."""
    with matplotlib.rc_context(STYLE):
        found = {section.name: [each for each in section.draw(report) if each] for section in SECTIONS}
    return {name: drawn for name, drawn in found.items() if drawn}
