"""A table made of texts, as a terminal, Markdown, LaTeX (booktabs) or HTML shows it; everything in it is escaped."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from jinja2 import Environment
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

LONG = 40  # rows; a longer table breaks across pages in LaTeX


@dataclass(frozen=True)
class TextColumn:
    header: tuple[str, ...]  # the uppermost first; neighbours that share an upper one stand under it together
    left: bool = False  # text; numbers stand to the right

    @property
    def title(self) -> str:
        """The headers in one line."""
        return ", ".join(filter(None, self.header))


@dataclass(frozen=True)
class TextCell:
    """A text; `bold` for the best, with a `mark` behind it, and a colour (rich's) where the terminal has one."""

    text: str
    bold: bool = False
    mark: str = ""
    colour: str = ""


@dataclass(frozen=True)
class TextTable:
    """Rows of texts under columns, the first `stub` of which name the row. rich prints it as it is.

    Where a terminal is too narrow for all columns, further blocks with the same stub show the others. label: by which
    LaTeX refers to the table.
    """

    caption: str
    columns: Sequence[TextColumn]
    stub: int
    rows: Sequence[Sequence[TextCell]]
    label: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for block in self._blocks(options.max_width):
            table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
            for place in block:
                column = self.columns[place]
                header = Text("\n".join(filter(None, column.header)))
                table.add_column(header, justify="left" if column.left else "right", vertical="bottom")
            above: list[TextCell] = []
            for row in self.rows:
                known = _alike(above, row, self.stub - 1)  # a stub that goes on is said once
                table.add_row(*("" if place < known else _rich(row[place]) for place in block))
                above = list(row)
            yield table
        if self.caption:
            yield Text(self.caption, style="dim")

    def _blocks(self, width: int) -> Iterator[list[int]]:
        """The places of the columns that stand beside each other in so many characters."""
        widths = [self._width(place) for place in range(len(self.columns))]
        stub = list(range(self.stub))
        block = stub.copy()
        for place in range(self.stub, len(self.columns)):
            if len(block) > len(stub) and sum(widths[each] for each in [*block, place]) > width:
                yield block
                block = stub.copy()
            block.append(place)
        yield block

    def _width(self, place: int) -> int:
        texts = [*self.columns[place].header, *(row[place].text + row[place].mark for row in self.rows)]
        return 2 + max(cell_len(text) for text in texts)

    def markdown(self) -> str:
        """The caption, and a pipe table with a header of one line."""
        lines = [
            [markdown_text(column.title) for column in self.columns],
            [":--" if column.left else "--:" for column in self.columns],
            *([_markdown(cell) for cell in row] for row in self.rows),
        ]
        caption = f"{markdown_text(self.caption)}\n\n" if self.caption else ""
        return caption + "".join(f"| {' | '.join(line)} |\n" for line in lines)

    def latex(self) -> str:
        """A booktabs table, or a longtable where it has more than `LONG` rows; compiles with pdfLaTeX."""
        headers = [tuple(latex_text(text) for text in column.header) for column in self.columns]
        columns = pd.MultiIndex.from_tuples(headers) if len(headers[0]) > 1 else pd.Index([text for (text,) in headers])
        frame = pd.DataFrame([[_latex(cell) for cell in row] for row in self.rows], columns=columns)
        environment = "longtable" if len(self.rows) > LONG else "table"
        packages = ["booktabs"] + ["longtable"] * (environment == "longtable")
        style: Any = frame.style.hide(axis="index")
        table = style.to_latex(
            column_format="".join("l" if column.left else "r" for column in self.columns),
            hrules=True,
            multicol_align="c",
            caption=latex_text(self.caption) if self.caption else None,
            label=self.label or None,
            environment=environment,
            position_float=None if environment == "longtable" else "centering",
        )
        return "".join(rf"% \usepackage{{{package}}}" + "\n" for package in packages) + table

    def html(self) -> str:
        """A `table` element; numbers have the class `number`."""
        lowest = [column.header[-1] for column in self.columns]
        return _TABLE.render(sheet=self, spans=list(self._spans()), lowest=lowest)

    def _spans(self) -> Iterator[list[tuple[str, int]]]:
        """Each line of the header but the last: texts, and how many columns stand under them."""
        for level in range(len(self.columns[0].header) - 1):
            groups = itertools.groupby(column.header[: level + 1] for column in self.columns)
            yield [(header[-1], len(list(columns))) for header, columns in groups]


def _alike(one: Sequence[TextCell], other: Sequence[TextCell], most: int) -> int:
    """How many cells from the left are the same in both rows, `most` at most."""
    pairs = zip(one[:most], other[:most], strict=False)
    return len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)))


def _rich(cell: TextCell) -> Text:
    return Text(cell.text + cell.mark, style=f"{'bold ' if cell.bold else ''}{cell.colour}".strip(), no_wrap=True)


def _markdown(cell: TextCell) -> str:
    text = markdown_text(cell.text)
    return (f"**{text}**" if cell.bold and text else text) + cell.mark


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, in one line."""
    return "".join("\\" + char if char in r"\|*_`<>[]&~$" else char for char in " ".join(text.split()))


_LATEX = {
    **{char: rf"\{char}" for char in "%_&#${}"},
    **{"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\symbol{34}"},
    **{"`": r"\symbol{18}", "'": "{'}"},
    **{"-": "{-}", "[": "{[}", "]": "{]}", "*": "{*}"},  # no ligature, and no argument of the line break before it
    **{"–": "--", "—": "---", "−": "$-$", "±": r"$\pm$", "×": r"$\times$"},
    **{"→": r"$\to$", "★": r"$\star$", "…": r"\ldots{}"},
    **{"\u00a0": "~", "\n": " ", "\t": " ", "\r": " "},
}
_LATIN = {chr(code) for code in range(0xC0, 0x100)} - set("ÐÞðþ×÷")  # letters that pdfLaTeX has without a package


def latex_text(text: str) -> str:
    """Text that pdfLaTeX sets as it is; a character that it lacks is named by its code, U+4E2D."""
    return "".join(map(_latex_character, text))


def _latex_character(char: str) -> str:
    if char in _LATEX:
        return _LATEX[char]
    return char if " " <= char <= "}" or char in _LATIN else f"U+{ord(char):04X}"


def _latex(cell: TextCell) -> str:
    text = latex_text(cell.text)
    return (rf"\textbf{{{text}}}" if cell.bold else text) + latex_text(cell.mark)


_HTML = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
_TABLE = _HTML.from_string("""\
{% macro number(place) %}{% if not sheet.columns[place].left %} class="number"{% endif %}{% endmacro %}
<table>
{% if sheet.caption %}
<caption>{{ sheet.caption }}</caption>
{% endif %}
<thead>
{% for line in spans %}
<tr>{% for text, span in line %}<th scope="colgroup" colspan="{{ span }}">{{ text }}</th>{% endfor %}</tr>
{% endfor %}
<tr>{% for text in lowest %}<th scope="col"{{ number(loop.index0) }}>{{ text }}</th>{% endfor %}</tr>
</thead>
<tbody>
{% for row in sheet.rows %}
<tr>{% for cell in row %}
{% set tag = "th" if loop.index0 < sheet.stub else "td" %}
<{{ tag }}{% if tag == "th" %} scope="row"{% endif %}{{ number(loop.index0) }}>
{%- if cell.bold %}<strong>{{ cell.text }}</strong>{% else %}{{ cell.text }}{% endif %}{{ cell.mark }}</{{ tag }}>
{%- endfor %}</tr>
{% endfor %}
</tbody>
</table>
""")
