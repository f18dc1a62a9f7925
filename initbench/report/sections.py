"""The report: what `initbench report` writes and prints, from results alone (no torch)."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from initbench.analysis import ensembles, mitigations
from initbench.analysis.cells import OUTCOMES
from initbench.analysis.comparisons import compare_pairs
from initbench.analysis.contests import Contests
from initbench.analysis.diagnosis import diagnose
from initbench.analysis.mitigations import MitigationEffects
from initbench.analysis.summary import run_table, steps_to_target, summarize
from initbench.analysis.tuning import Tuning, frames, selected, tuning
from initbench.analysis.tuning import notes as tuning_notes
from initbench.analysis.verdicts import Verdict, notes, pooled, verdicts
from initbench.errors import InputError
from initbench.report import figures
from initbench.report.figures import tuning as tuning_figures
from initbench.report.figures.layout import Drawing, on_white, save, svg
from initbench.report.page import page
from initbench.report.tables.mitigations import mitigation_table
from initbench.report.tables.summary import summary_table
from initbench.report.tables.tuning import tuning_table
from initbench.report.text_table import TextTable
from initbench.results.load import Results

FORMATS = ("svg", "png", "pdf")


@dataclass(frozen=True)
class Report:
    """Everything that the tables, the figures and the page say."""

    contests: Contests  # of tuned cells the runs at their best rate
    command: list[str]  # what made the report; empty where a program did
    where: str | None  # the filter it was asked for
    runs: pd.DataFrame  # tables.runs
    summary: pd.DataFrame  # tables.summary
    comparisons: pd.DataFrame  # verdict.comparisons
    verdicts: list[Verdict]
    diagnoses: pd.DataFrame  # diagnosis.diagnose
    pooled: pd.DataFrame  # verdict.pooled
    rescues: list[MitigationEffects]  # rescue.rescues
    tuning: Tuning | None  # tuning.tuning, where rates were tried
    drawings: list[tuple[Drawing, str]]  # with the text of their SVG
    notes: list[str]  # what limits all of it: seeds, pending and failed runs, skipped files


def report_on(
    results: Results,
    *,
    command: Sequence[str] = (),
    where: str | None = None,
    target: float | None = None,
    seed: int = 0,
    drawn: bool = True,
) -> Report:
    """Work out everything there is to say; nothing is written.

    where: the filter that `results` went through, to be told. target: the training loss whose steps are counted, see
    `tables.steps_to_target`. seed: the bootstrap's. drawn: with its figures.
    Raises InputError when there is nothing to report.
    """
    if results.runs.empty:
        hint = f" ({len(results.skipped)} files can't be read)" if results.skipped else ""
        raise InputError(f"no sweeps under {results.path}{hint}; run `initbench run` first")
    tuned, contests = tuning(results), Contests.of(selected(results))
    steps = steps_to_target(contests.results, target)
    summary = ensembles.beside(summarize(contests, steps), contests)
    rescues = mitigations.mitigation_effects(contests, steps)
    comparisons = compare_pairs(contests, summary)
    drawings = [*figures.drawings(contests, comparisons, rescues), *tuning_figures.drawings(tuned)] if drawn else []
    return Report(
        contests=contests,
        command=list(command),
        where=where,
        runs=run_table(contests),
        summary=summary,
        comparisons=comparisons,
        verdicts=verdicts(contests, summary, comparisons),
        diagnoses=diagnose.diagnose(contests),
        pooled=pooled(contests, seed=seed),
        rescues=rescues,
        tuning=tuned,
        drawings=[(each, svg(each)) for each in drawings],
        notes=tuning_notes(tuned) + notes(contests, comparisons),  # last: to read curves may have skipped files
    )


def write(
    report: Report, to: str | Path, *, formats: Sequence[str] = ("svg",), table: TextTable | None = None
) -> dict[str, Path]:
    """Write a report to the folder `to`; returns its files by their names.

    index.html; the tables as CSV, the summary in Markdown, LaTeX and HTML as well, and so is `table`, one whose rows
    and columns were chosen; each figure in the `formats`. Raises InputError where the folder can't be written to.
    """
    to = Path(to)
    try:
        to.mkdir(parents=True, exist_ok=True)
        return {file.name: file for file in _write(report, to, formats, table)}
    except OSError as error:
        raise InputError(f"can't write the report to {to}: {error.strerror or error}") from error


def _write(report: Report, to: Path, formats: Sequence[str], table: TextTable | None) -> Iterator[Path]:
    csv = {name: getattr(report, name) for name in ("runs", "summary", "comparisons", "diagnoses", "pooled")}
    for name, rows in (csv | mitigations.frames(report.rescues) | frames(report.tuning)).items():
        file = to / f"{name}.csv"
        rows.to_csv(file, index=False)
        yield file
    sheets = {"summary": summary_table(report.summary), "table": table}
    sheets["tuning"] = tuning_table(report.tuning) if report.tuning else None
    sheets["rescue"] = mitigation_table(report.rescues) if report.rescues else None
    for name, sheet in sheets.items():
        if sheet is None:
            continue
        for suffix, text in {"md": sheet.markdown(), "tex": sheet.latex(), "html": sheet.html()}.items():
            file = to / f"{name}.{suffix}"
            file.write_text(text, encoding="utf-8")
            yield file
    for drawing, text in report.drawings:
        for kind in formats:
            file = to / f"{drawing.name}.{kind}"
            if kind == "svg":
                file.write_text(on_white(text), encoding="utf-8")
            else:
                save(drawing, file)
            yield file
    file = to / "index.html"
    file.write_text(page(report), encoding="utf-8")
    yield file


def facts(report: Report) -> dict[str, Any]:
    """What `--json` prints: the tables as lists of objects with their columns' names, outcome counts, verdicts.

    Strictly JSON: numbers that are missing or not finite are null.
    """
    return {
        "outcomes": report.summary[list(OUTCOMES)].sum().to_dict(),
        "verdicts": [
            {
                "contest": {axis: _json(value) for axis, value in verdict.contest.items()},
                "winner": verdict.winner,
                "tied": list(verdict.tied),
                "unresolved": verdict.unresolved,
                "sentences": verdict.sentences,
            }
            for verdict in report.verdicts
        ],
        "notes": report.notes,
        **{name: _records(rows) for name, rows in mitigations.frames(report.rescues).items()},
        **{name: _records(rows) for name, rows in frames(report.tuning).items()},
        **{name: _records(getattr(report, name)) for name in ("summary", "comparisons", "diagnoses", "pooled", "runs")},
        "skipped": [{"file": str(file), "reason": reason} for file, reason in report.contests.results.skipped],
    }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{name: _json(value) for name, value in row.items()} for row in table.to_dict("records")]


def _json(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value
