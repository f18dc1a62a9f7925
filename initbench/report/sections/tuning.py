"""Learning rates, where they were tuned: the best of each cell, and the rates that work."""

from markupsafe import Markup

from initbench.analysis.tuning import frames
from initbench.report.figures.tuning import drawings
from initbench.report.page.context import Page
from initbench.report.sections.section import Section
from initbench.report.tables.tuning import tuning_table


def _html(page: Page) -> Markup | None:
    if page.report.tuning is None:
        return None
    table = Markup(tuning_table(page.report.tuning).html())
    return page.render("tuning", table=table, figures=page.figures("tuning"))


SECTION = Section(
    name="tuning",
    title="Learning rates",
    frames=lambda report: frames(report.tuning),
    tables=lambda report: {"tuning": tuning_table(report.tuning)} if report.tuning else {},
    draw=lambda report: drawings(report.tuning),
    html=_html,
)
