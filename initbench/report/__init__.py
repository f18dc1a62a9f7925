"""The report: what `initbench report` writes and prints, from results alone (no torch)."""

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

from initbench.errors import InputError
from initbench.report import figures, tables
from initbench.results import Results


def write(results: Results, to: str | Path, command: str | Sequence[str] | None = None) -> dict[str, Path]:
    """Write the tables and figures to the folder `to`; returns the files by their names.

    command: what made the report, said in the Markdown. Raises InputError when there is nothing to report or the
    folder can't be written to.
    """
    to = Path(to)
    if results.runs.empty:
        hint = f" ({len(results.skipped)} files can't be read)" if results.skipped else ""
        raise InputError(f"no sweeps under {results.path}{hint}; run `initbench run` first")
    try:
        to.mkdir(parents=True, exist_ok=True)
        return _write(results, to, command)
    except OSError as error:
        raise InputError(f"can't write the report to {to}: {error.strerror or error}") from error


def _write(results: Results, to: Path, command: str | Sequence[str] | None) -> dict[str, Path]:
    summary = tables.summary(results)
    drawings = {"loss_curves": figures.loss_curves(results), "gradient_norms": figures.gradient_norms(results)}
    files = {name: to / name for name in ("runs.csv", "summary.csv", "summary.md")}
    tables.runs(results).to_csv(files["runs.csv"], index=False)
    summary.to_csv(files["summary.csv"], index=False)
    files["summary.md"].write_text(_markdown(results, summary, command), encoding="utf-8")
    for name, figure in drawings.items():
        files |= {f"{name}.{kind}": to / f"{name}.{kind}" for kind in ("svg", "png")}
        with matplotlib.rc_context({"svg.hashsalt": "initbench"}):  # the same results give the same file
            figure.savefig(files[f"{name}.svg"], metadata={"Date": None})
        figure.savefig(files[f"{name}.png"], dpi=_dpi(figure))
    return files


def _dpi(figure: Any) -> float:
    """Dots an inch that keep a picture below 20,000 pixels either way."""
    return min(130.0, 20_000 / max(figure.get_size_inches()))


def _markdown(results: Results, summary: pd.DataFrame, command: str | Sequence[str] | None) -> str:
    lines = [
        "# Which initialization won\n",
        "★ marks the highest median test accuracy among the initializers that learned, where a diverged run ranks "
        "below every finite one. Means and sample standard deviations (s.d.) are over the finite runs, whose number "
        "stands in brackets. Losses are in nats.\n",
        tables.markdown(summary),
        "Training loss over the steps\n\n![Training loss](loss_curves.svg)\n",
        "Gradient norms at the start\n\n![Gradient norm by layer](gradient_norms.svg)\n",
    ]
    if results.skipped:
        lines.append("Files that could not be read, and are left out:\n")
        lines.append("".join(f"- `{file}`: {reason}\n" for file, reason in results.skipped))
    if command:
        words = command if isinstance(command, str) else shlex.join(command)
        lines.append(f"Made by `{words}`; every run is a row of [runs.csv](runs.csv).\n")
    return "\n".join(lines)


def facts(results: Results, summary: pd.DataFrame) -> dict[str, Any]:
    """What `--json` prints: runs and summary with the columns' names, outcome counts, skipped files.

    Strictly JSON: numbers that are missing or not finite are null.
    """
    return {
        "outcomes": summary[list(tables.OUTCOMES)].sum().to_dict(),
        "summary": _records(summary),
        "runs": _records(tables.runs(results)),
        "skipped": [{"file": str(file), "reason": reason} for file, reason in results.skipped],
    }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{name: _json(value) for name, value in row.items()} for row in table.to_dict("records")]


def _json(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value
