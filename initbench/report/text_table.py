"""A table made of texts, as a terminal, Markdown, LaTeX (booktabs) or HTML shows it; everything in it is escaped."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
from jinja2 import Environment

from initbench.report.terminal_table import TerminalTable, TextCell
from initbench.report.terminal_table import TextColumn as TextColumn  # for those who make tables

LONG = 40  # rows; a longer table breaks across pages in LaTeX


@dataclass(frozen=True)
class TextTable(TerminalTable):
    """A table that is printed, and written as Markdown, LaTeX and HTML, where all its columns are."""

    label: str = ""  # by which LaTeX refers to the table.

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
