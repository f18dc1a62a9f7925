"""A page of paragraphs and tables, in the style of the report's page; it needs no other file."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from initbench.report.text_table import TextTable

HERE = Path(__file__).parent


def document(*, about: str, headline: str, sentences: Sequence[str], tables: Sequence[TextTable]) -> str:
    """A page. about: what it is, above its headline. tables: each under its caption, which the contents list."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("document.html.jinja").render(
        css=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        about=about,
        headline=headline,
        sentences=sentences,
        tables=[(table.caption, Markup(replace(table, caption="").html())) for table in tables],
    )
