"""Two folders side by side, as one sees them: in a terminal, in Markdown, CSV and HTML."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from rich.console import Group, RenderableType
from rich.text import Text

from initbench.analysis.axes import alternative, contest_axes, value_text
from initbench.analysis.cells import FINISHED
from initbench.analysis.comparisons import LEVEL
from initbench.analysis.folders import VERDICTS, Comparison
from initbench.analysis.measure import ERROR, MEASURES, Measure
from initbench.report import text_table
from initbench.report.page.document import document
from initbench.report.tables.outcomes import legend, short_outcomes
from initbench.report.text_table import TextCell, TextColumn, TextTable
from initbench.text import plural

MOST = 20  # rows of one verdict in a terminal
STYLES = {"worse": "bold red", "better": "bold green", "cannot be told": "bold yellow"}  # in a terminal


@dataclass(frozen=True)
class ComparisonTables:
    """A comparison of two folders as tables and documents."""

    comparison: Comparison

    def sheets(self, *, brief: bool = False) -> Iterator[TextTable]:
        """What was changed, the cells of each verdict, and the cells that only one folder has; brief: without p."""
        if len(self.comparison.changed):
            yield TextTable(
                caption="What was changed",
                columns=[TextColumn((name,), left=True) for name in ("", "before", "after")],
                stub=1,
                rows=[[TextCell(text) for text in row] for row in self.comparison.changed.to_numpy()],
            )
        columns = {self._score: _medians, "difference": _difference, "outcomes": _fates}
        for verdict in VERDICTS:
            cells = self.comparison.cells[self.comparison.cells["verdict"] == verdict]
            if len(cells):
                title = f"{verdict.capitalize()}: {plural(len(cells), 'cell')}"
                yield self._cells(title, cells, columns if brief else columns | {"p": _p})
        for place in ("before", "after"):
            cells = self.comparison.unmatched[self.comparison.unmatched["folder"] == place]
            if len(cells):
                title = f"Only {place}: {plural(len(cells), 'cell')}"
                yield self._cells(title, cells, {"runs": lambda cell: str(cell["runs"])})

    def _cells(
        self, caption: str, cells: pd.DataFrame, columns: dict[str, Callable[[dict[str, Any]], str]]
    ) -> TextTable:
        """One row per cell: its contest, its initializer where that is part of a cell, and the columns."""
        axes, contests = self.comparison.axes, contest_axes(self.comparison.axes)
        stub = [*contests, "init"] if len(axes) > len(contests) else contests
        rows = []
        for cell in cells.to_dict("records"):
            names = [value_text(cell[axis]) for axis in contests]
            if len(axes) > len(contests):  # "std=0.01" where the initializer itself was changed
                names.append(alternative({"init": ""} | cell, axes).strip())
            rows.append([*map(TextCell, names), *(TextCell(text(cell)) for text in columns.values())])
        headers = [TextColumn((name,), left=name in {"act", "init", "outcomes"}) for name in [*stub, *columns]]
        return TextTable(caption, headers, len(stub), rows)

    @property
    def _measures(self) -> list[Measure]:
        return [MEASURES[name] for name in self.comparison.cells["measure"].unique()]

    @property
    def _score(self) -> str:
        return " or ".join(f"{each.short} (%)" if each.share else each.name for each in self._measures)

    def _legend(self) -> str:
        better = "" if ERROR not in self._measures else " Above 0 the error fell."
        return (
            f"before: {self.comparison.before}; after: {self.comparison.after}. Numbers are medians over seeds; a "
            f"difference is the mean over pairs, in {' or '.join(each.unit for each in self._measures)}, with its "
            f"{LEVEL * 100:.0f} % interval.{better} {legend(FINISHED)}."
        )

    def rich(self) -> RenderableType:
        """For a terminal; of each verdict the first `MOST` cells."""
        summary, *others = self.comparison.sentences()
        parts: list[RenderableType] = [Text(summary, style="bold"), *map(Text, others)]
        for each in self.sheets(brief=True):
            style = STYLES.get(each.caption.split(":")[0].lower(), "bold")
            parts += ["", Text(each.caption, style=style), replace(each, caption="", rows=each.rows[:MOST])]
            if len(each.rows) > MOST:
                parts.append(Text(f"and {len(each.rows) - MOST} more", style="dim"))
        return Group(*parts, Text(self._legend(), style="dim"))

    def markdown(self) -> str:
        """A document with all cells."""
        parts = ["# What changed", *map(text_table.markdown_text, [*self.comparison.sentences(), self._legend()])]
        for each in self.sheets():
            parts += [f"## {text_table.markdown_text(each.caption)}", replace(each, caption="").markdown().rstrip()]
        return "\n\n".join(parts) + "\n"

    def csv(self) -> str:
        """The matched cells, one line each, with the columns of `cells`."""
        return self.comparison.cells.to_csv(index=False)

    def html(self) -> str:
        """A page that needs no other file."""
        summary, *others = self.comparison.sentences()
        return document(
            about=f"initbench comparison · {self.comparison.before} → {self.comparison.after}",
            headline=summary.removesuffix("."),
            sentences=[*others, self._legend()],
            tables=list(self.sheets()),
        )


def _medians(cell: dict[str, Any]) -> str:
    """ "95.1 → 97.3"; once where nothing changed."""
    texts, scored = [], MEASURES[cell["measure"]]
    for place in ("before", "after"):
        median = cell[f"{scored.column}_{place}"]
        texts.append(
            scored.number(median) if not math.isnan(median) else "diverged" if cell[f"diverged_{place}"] else "–"
        )
    return " → ".join(dict.fromkeys(texts))


def _difference(cell: dict[str, Any]) -> str:
    """ "+1.2 [0.3, 2.1]", of accuracies in percentage points; no number where a run diverged."""
    number = MEASURES[cell["measure"]].number
    if math.isnan(cell["difference"]) or cell["diverged_before"] or cell["diverged_after"]:
        return "–"
    interval = "" if math.isnan(cell["low"]) else f" [{number(cell['low'])}, {number(cell['high'])}]"
    text = f"{'+' if cell['difference'] >= 0 else ''}{number(cell['difference'])}{interval}"
    return "0" if text in ("+0.0 [0.0, 0.0]", "+0 [0, 0]") else text


def _fates(cell: dict[str, Any]) -> str:
    """ "5L → 3L 2S"; once where nothing changed."""
    before, after = (
        short_outcomes({outcome: cell[f"{outcome}_{place}"] for outcome in FINISHED}) or "–"
        for place in ("before", "after")
    )
    return before if before == after else f"{before} → {after}"


def _p(cell: dict[str, Any]) -> str:
    p = cell["p_adjusted"]
    return "<0.001" if p < 0.001 else f"{p:.3f}"
