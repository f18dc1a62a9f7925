"""All sections of a report, in the order of the page."""

from initbench.report.sections import (
    comparisons,
    failures,
    figures,
    made,
    method,
    mitigations,
    runs,
    summary,
    tuning,
    verdict,
)

TOPICS = [mitigations, verdict, failures, tuning, figures, summary, comparisons, runs, method, made]
SECTIONS = [topic.SECTION for topic in TOPICS]
