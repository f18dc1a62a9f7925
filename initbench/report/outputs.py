"""Where a report goes: a page, other files, JSON and the terminal. Each walks over the sections."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from rich.console import RenderableType

from initbench.errors import InputError
from initbench.report.page.page import Page
from initbench.report.page.winners import mitigation_headline
from initbench.report.report import Report
from initbench.report.sections.made import said
from initbench.report.sections.order import sections_of
from initbench.report.text_table import TextTable

FORMATS = ("svg", "png", "pdf")
SCRIPTS = ("listings.js", "runs.js", "figures.js", "page.js")  # in this order: each uses those before it


def write(
    report: Report, to: str | Path, *, formats: Sequence[str] = ("svg",), table: TextTable | None = None
) -> dict[str, Path]:
    """Write a report to the folder `to`; returns its files by their names.

    index.html; the frames of all sections as CSV; their tables, and `table`, whose rows and columns a user chose, in
    Markdown, LaTeX and HTML; their figures in the `formats`. Raises InputError where the folder can't be written to.
    """
    to = Path(to)
    try:
        to.mkdir(parents=True, exist_ok=True)
        return {file.name: file for file in _write(report, to, formats, table)}
    except OSError as error:
        raise InputError(f"can't write the report to {to}: {error.strerror or error}") from error


def _write(report: Report, to: Path, formats: Sequence[str], table: TextTable | None) -> Iterator[Path]:
    def written(name: str, text: str) -> Path:
        (to / name).write_text(text, encoding="utf-8")
        return to / name

    for name, rows in report.frames.items():
        rows.to_csv(to / f"{name}.csv", index=False)
        yield to / f"{name}.csv"
    tables = {name: each for section in sections_of(report) for name, each in section.tables(report).items()}
    for name, each in (tables | ({"table": table} if table else {})).items():
        for suffix, text in {"md": each.markdown(), "tex": each.latex(), "html": each.html()}.items():
            yield written(f"{name}.{suffix}", text)
    for drawing in report.figures:
        for kind in formats:
            file = to / f"{drawing.name}.{kind}"
            drawing.save(file)
            yield file
    yield written("index.html", page(report, formats))


def page(report: Report, formats: Sequence[str] = ("svg",)) -> str:
    """The report as one HTML document that needs no network; the files that it links to stand next to it.

    formats: of the figures' files.
    """
    whole, verdicts, results = Page(report, formats), report.verdicts, report.contests.results
    sweeps = said(results.sweeps, "name")
    html = whole.render(
        "page",
        css=whole.text("page.css"),
        js=Markup("\n").join(map(whole.text, SCRIPTS)),
        title=", ".join(sweeps) if 0 < len(sweeps) <= 3 else results.path.resolve().name,
        headline=mitigation_headline(report.rescues) or report.headline,
        facts={f"{report.contests.noun}s": len(whole.names.styles), "contests": len(verdicts), "seeds": report.seeds},
        outcomes=report.outcomes,
        sections=[(section, html) for section in sections_of(report) if (html := section.html(whole)) is not None],
    )
    return str(html)


def shown(report: Report, table: TextTable | None = None) -> list[RenderableType]:
    """What the terminal shows, from the last section to the first: people read a terminal from its end.

    table: one whose rows and columns a user chose, instead of the summary.
    """
    parts: list[RenderableType] = []
    for section in reversed(sections_of(report)):
        parts += [table] if table and section.name == "summary" else section.terminal(report)
    return parts


def facts(report: Report) -> dict[str, Any]:
    """What `--json` prints: the frames as lists of objects, outcome counts, verdicts, notes, and skipped files.

    Strictly JSON: numbers that are missing or not finite are null.
    """
    beside = {name: fact for section in sections_of(report) for name, fact in section.facts(report).items()}
    return json_values(beside | {name: frame.to_dict("records") for name, frame in report.frames.items()})


def json_values(value: Any) -> Any:
    """A value as JSON has it: numbers that are missing or not finite are null."""
    if isinstance(value, dict):
        return {name: json_values(each) for name, each in value.items()}
    if isinstance(value, list):
        return [json_values(each) for each in value]
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value
