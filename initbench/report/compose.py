"""Work out a report from results, without torch."""

from collections.abc import Sequence
from dataclasses import replace

import matplotlib

from initbench.analysis import ensembles, mitigations
from initbench.analysis.comparisons import compare_pairs
from initbench.analysis.contenders import contenders
from initbench.analysis.contests import Contests
from initbench.analysis.loaded import loaded
from initbench.analysis.measure import scored
from initbench.analysis.picks import picks
from initbench.analysis.reference import against
from initbench.analysis.summary import steps_to_target, summarize
from initbench.analysis.tuning import selected, tuning
from initbench.analysis.tuning_notes import notes as tuning_notes
from initbench.analysis.verdicts import notes, verdicts
from initbench.errors import InputError
from initbench.report.figures.style import STYLE
from initbench.report.report import Report, SweepLink
from initbench.report.sections.order import sections_of
from initbench.results.load import Results


def report_on(
    results: Results,
    *,
    command: Sequence[str] = (),
    where: str | None = None,
    target: float | None = None,
    over: str = "init",
    reference: str | None = None,
    seed: int = 0,
    charge_init: bool = False,
    score: str | None = None,
    drawn: bool = True,
    others: Sequence[SweepLink] = (),
    home: str | None = None,
    stamp: str = "",
) -> Report:
    """Work out everything that a report says; nothing is written.

    where: the filter that `results` went through, which the report names. target: the training loss up to which steps
    are counted, see `analysis.summary.steps_to_target`. seed: of the bootstrap. drawn: whether to draw the figures.
    score: by which runs are ranked, see `analysis.measure.scored`. charge_init: count the time of the initializer as
    steps too.
    over: the axis whose values compete. reference: the label with which all others are compared, if one is named.
    others, home, stamp: see `Report`. Raises InputError where there is nothing to report.
    """
    if results.runs.empty:
        hint = f" ({len(results.skipped)} files can't be read)" if results.skipped else ""
        raise InputError(f"no sweeps under {results.path}{hint}; run `initbench run` first")
    results = replace(results, runs=scored(results.runs, score))
    tuned, contests = tuning(results), Contests.of(selected(results), over)
    steps = steps_to_target(contests.results, target, charge_init=charge_init)
    ranking = contenders(contests)
    summary = ensembles.beside(summarize(contests, ranking, steps), contests)
    comparisons = compare_pairs(contests, summary)
    report = Report(
        contests=contests,
        command=list(command),
        where=where,
        seed=seed,
        ranking=ranking,
        summary=summary,
        comparisons=comparisons,
        verdicts=verdicts(contests, summary, ranking),
        rescues=mitigations.mitigation_effects(contests, steps) if over == "init" else [],
        tuning=tuned,
        reference=against(contests, reference) if reference else None,
        others=others,
        home=home,
        stamp=stamp,
    )
    frames = {name: frame for section in sections_of(report) for name, frame in section.frames(report).items()}
    report = replace(report, frames=frames)
    if drawn:
        with matplotlib.rc_context(STYLE):
            found = {section.name: [each for each in section.draw(report) if each] for section in sections_of(report)}
        report = replace(report, drawings={name: drawings for name, drawings in found.items() if drawings})
    limits = notes(contests, report.verdicts)  # last: reading the curves may have skipped files
    return replace(report, notes=[*picks(contests.runs), *loaded(contests.runs), *tuning_notes(tuned), *limits])
