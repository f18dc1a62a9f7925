"""How the numbers are worked out, in words."""

from initbench.report.sections.section import Section

SECTION = Section(name="method", title="Method", html=lambda page: page.render("method"))
