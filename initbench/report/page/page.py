"""The report as one page: what stands at its top, and its sections."""

from pathlib import Path

from markupsafe import Markup

from initbench.report.page.context import Page
from initbench.report.page.winners import headline, mitigation_headline, tally
from initbench.report.report import Report
from initbench.report.sections.made import said
from initbench.report.sections.order import SECTIONS

HERE = Path(__file__).parent


def page(report: Report) -> str:
    """The report as one HTML document that needs no network; the CSV files that it links to stand next to it."""
    context = Page(report)
    sections = [(section, html) for section in SECTIONS if (html := section.html(context)) is not None]
    html = context.render(
        "page",
        css=_text("page.css"),
        js=_text("page.js"),
        title=_title(report),
        headline=_headline(context),
        facts={"initializers": len(context.names), "contests": len(report.verdicts), "seeds": report.seeds},
        outcomes=report.outcomes,
        sections=sections,
    )
    return str(html)


def _text(name: str) -> Markup:
    return Markup((HERE / name).read_text(encoding="utf-8"))


def _title(report: Report) -> str:
    """The names of the sweeps, or of the folder where there are many."""
    sweeps = said(report.contests.results.sweeps, "name")
    return ", ".join(sweeps) if 0 < len(sweeps) <= 3 else report.contests.results.path.resolve().name


def _headline(context: Page) -> str:
    verdicts = context.report.verdicts
    wins = headline(verdicts, tally(verdicts, context.names), finished=len(context.report.contests.done))
    return mitigation_headline(context.report.rescues) or wins
