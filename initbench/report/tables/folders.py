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
from initbench.report import text_table
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
        columns = {"test acc. (%)": _medians, "difference": _difference, "outcomes": _fates}
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

    def _legend(self) -> str:
        return (
            f"before: {self.comparison.before}; after: {self.comparison.after}. Accuracies are medians over seeds; a "
            f"difference is the mean over pairs, in percentage points, with its {LEVEL * 100:.0f} % interval. "
            f"{legend(FINISHED)}."
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
        return text_table.page("What changed", [*self.comparison.sentences(), self._legend(), *self.sheets()])


def _medians(cell: dict[str, Any]) -> str:
    """ "95.1 → 97.3"; once where nothing changed."""
    texts = []
    for place in ("before", "after"):
        fraction, diverged = cell[f"test_acc_{place}"], cell[f"diverged_{place}"]
        texts.append(f"{100 * fraction:.1f}" if not math.isnan(fraction) else "diverged" if diverged else "–")
    return " → ".join(dict.fromkeys(texts))


def _difference(cell: dict[str, Any]) -> str:
    """ "+1.2 [0.3, 2.1]", in percentage points; no number where a run diverged."""
    if math.isnan(cell["difference"]) or cell["diverged_before"] or cell["diverged_after"]:
        return "–"
    interval = "" if math.isnan(cell["low"]) else f" [{100 * cell['low']:.1f}, {100 * cell['high']:.1f}]"
    return f"{100 * cell['difference']:+.1f}{interval}".replace("+0.0 [0.0, 0.0]", "0").replace("-", "−")


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
