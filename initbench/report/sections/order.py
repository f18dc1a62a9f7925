"""All sections of a report, in the order of the page."""

from initbench.report.report import Report
from initbench.report.sections import (
    comparisons,
    failures,
    figures,
    made,
    mitigations,
    prediction,
    runs,
    summary,
    tuning,
    verdict,
)
from initbench.report.sections.section import Section

METHOD = Section(name="method", title="Method", html=lambda page: page.render("method"))
TOPICS = [mitigations, verdict, failures, tuning, prediction, figures, summary, comparisons, runs]
SECTIONS = [*(topic.SECTION for topic in TOPICS), METHOD, made.SECTION]
OF_INITIALIZERS = (mitigations.SECTION, tuning.SECTION)  # these compare initializers alone


def sections_of(report: Report) -> list[Section]:
    """The sections that fit what competes in this report."""
    return [each for each in SECTIONS if report.contests.over == "init" or each not in OF_INITIALIZERS]
