"""What the sections of a page share: the report, how initializers are written, and the templates."""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from initbench.analysis import setting
from initbench.config.documentation import letters
from initbench.report.figures.drawing import Drawing
from initbench.report.page.listing import Listing
from initbench.report.page.names import Names
from initbench.report.page.numbers import accuracy
from initbench.report.page.packed import LARGE, packed
from initbench.report.page.svg import HEAD, inlined
from initbench.report.report import Report
from initbench.text import plural

HERE = Path(__file__).parent


class Page:
    """The page of a report, from which its sections are made."""

    def __init__(self, report: Report, formats: Sequence[str] = ("svg",)):
        self.report, self.formats = report, formats
        self.names = Names(report.contests)
        self.setting, self.meanings = setting.sentences(report.contests), setting.meanings(report.contests)
        self.letters = letters(self.meanings.values()) if report.contests.over == "init" else ""
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        compact = {"separators": (",", ":"), "allow_nan": False, "ensure_ascii": False}
        self._environment.policies["json.dumps_kwargs"] = compact
        self._environment.filters["percent"] = accuracy
        self._environment.globals |= {"report": report, "names": self.names, "page": self, "plural": plural}
        self._environment.globals |= {"packed": packed, "LARGE": LARGE}

    def render(self, template: str, **content: Any) -> Markup:
        """HTML from page/templates/NAME.html.jinja, which sees `report`, `names`, `page` and this content."""
        return Markup(self._environment.get_template(f"{template}.html.jinja").render(content))

    def text(self, name: str) -> Markup:
        """A file of this folder, put into the page as it is."""
        return Markup((HERE / name).read_text(encoding="utf-8"))

    def listing(self, table: Listing) -> Markup:
        """A table that a reader can sort and filter. Of a long one, the rows beyond the first are packed."""
        row = self._environment.get_template("row.html.jinja")
        rows = [row.render(cells=cells, columns=table.columns) for cells in table.rows]
        shown = len(rows) if sum(map(len, rows)) <= LARGE else _short(rows[: table.page])
        head, rest = (Markup("".join(part)) for part in (rows[:shown], rows[shown:]))
        return self.render("listing", table=table, head=head, rest=rest, shown=shown)

    def figures(self, section: str) -> list[Markup]:
        """The figures of a section, each with its caption."""
        return [self.figure(drawing) for drawing in self.report.drawings.get(section, ())]

    def figure(self, drawing: Drawing) -> Markup:
        """With what stays in sight where it scrolls: the names of its rows, or an axis's numbers."""
        name = f"figure-{drawing.name}"
        inches, tall = drawing.figure.get_size_inches()
        frozen = {
            "root": f"{name}-figure_1",
            "box": f"0 {HEAD} {72 * drawing.left:g} {72 * tall - HEAD:g}",
            "shape": f"{72 * inches:g} / {72 * tall - HEAD:g}",
            "share": f"{100 * drawing.left / inches:.2f}",
        }
        svg = inlined(drawing.svg, name, drawing.alt)
        return self.render("figure", drawing=drawing, svg=svg, frozen=frozen, width=round(96 * inches))


def _short(rows: Sequence[str]) -> int:
    """How many rows, from the first on, are not yet a large part of the page."""
    return sum(length <= LARGE for length in accumulate(map(len, rows)))
