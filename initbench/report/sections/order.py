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

SECTIONS = [
    mitigations.SECTION,
    verdict.SECTION,
    failures.SECTION,
    tuning.SECTION,
    figures.SECTION,
    summary.SECTION,
    comparisons.SECTION,
    runs.SECTION,
    method.SECTION,
    made.SECTION,
]
