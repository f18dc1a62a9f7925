"""The report as one page: a self-contained HTML file that opens from disk."""

import math
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from initbench.analysis.axes import value_text
from initbench.analysis.cells import OUTCOMES
from initbench.analysis.diagnosis import diagnose
from initbench.report.page import listing, mitigations, verdicts
from initbench.report.page.listing import Names, accuracy
from initbench.report.page.svg import inlined
from initbench.report.tables.tuning import tuning_table

if TYPE_CHECKING:
    from initbench.report.sections import Report

HERE = Path(__file__).parent
SECTIONS = {  # of figures: what came out before how it came about
    "outcomes": "Outcomes",
    "seeds": "Seeds",
    "pooled": "All contests together",
    "curves": "Training",
    "layers": "Layers",
}


def page(report: "Report") -> str:
    """The report as one self-contained HTML document; runs.csv, summary.csv and comparisons.csv stand next to it."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False, "ensure_ascii": False}
    environment.filters |= {"percent": accuracy, "state": verdicts.state_html}
    return environment.get_template("page.html.jinja").render(_content(report))


def _content(report: "Report") -> dict[str, Any]:
    """What the template fills in."""
    names = Names(report.contests)
    cards = verdicts.cards(report.verdicts, report.summary, names)
    found = verdicts.tally(report.verdicts, names)
    status = Counter(report.runs["status"])
    return {
        "css": _text("page.css"),
        "js": _text("page.js"),
        "report": report,
        "title": _title(report),
        "headline": mitigations.headline(report.rescues) or verdicts.headline(report.verdicts, found, status["done"]),
        "names": names,
        "seeds": ranges(report.runs["seed"].dropna().unique()),
        "outcomes": {name: int(report.summary[name].sum()) for name in OUTCOMES if report.summary[name].any()},
        "tally": found,
        "states": {name: sum(card.state == name for card in cards) for name in verdicts.STATES},
        "meanings": {name: meaning for name, (*_, meaning) in verdicts.STATES.items()},
        "cards": cards,
        "few": len(cards) <= verdicts.FEW_CONTESTS,
        "map": verdicts.winner_map(cards, names, report.rescues[0].axis if report.rescues else "depth"),
        "contests": verdicts.contests(cards, names) if len(cards) > verdicts.FEW_CONTESTS else None,
        "pooled": listing.pooled(report.pooled, names) if len(report.pooled) else None,
        "diagnoses": listing.diagnoses(report.diagnoses, names) if len(report.diagnoses) else None,
        "faults": Counter(report.diagnoses["fault"]) if len(report.diagnoses) else Counter(),
        "errors": errors(report.contests.results.runs),
        "rules": diagnose.RULES,
        "tuning": Markup(tuning_table(report.tuning).html()) if report.tuning else None,
        "rescues": mitigations.sections(report.rescues),
        "heatmaps": _drawn(report, "rescue"),
        "figures": _figures(report),
        "summary": listing.summary(report.summary, names),
        "comparisons": _comparisons(report, names),
        "runs": _runs(report, names),
        "made": _made(report),
    }


def _text(name: str) -> Markup:
    return Markup((HERE / name).read_text(encoding="utf-8"))


def _title(report: "Report") -> str:
    """What the results are called: their sweeps, or else their folder."""
    sweeps = _said(report.contests.results.sweeps, "name")
    return ", ".join(sweeps) if 0 < len(sweeps) <= 3 else report.contests.results.path.resolve().name


def ranges(numbers: Iterable[int]) -> str:
    """ "0–4, 7": whole numbers, neighbours drawn together."""
    parts: list[list[int]] = []
    for number in sorted(map(int, numbers)):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(f"{part[0]}–{part[-1]}" if len(part) > 1 else f"{part[0]}" for part in parts)


def errors(runs: pd.DataFrame) -> list[tuple[str, int]]:
    """What the failed runs said, the most frequent first."""
    if "error" not in runs:
        return []
    return Counter(runs.loc[runs["status"] == "failed", "error"].fillna("no message")).most_common()


def _figures(report: "Report") -> list[tuple[str, str, list[tuple[Any, Markup]]]]:
    """Sections of figures that have any: id, title, and each drawing with its SVG."""
    found = [(section, title, _drawn(report, section)) for section, title in SECTIONS.items()]
    return [(section, title, here) for section, title, here in found if here]


def _drawn(report: "Report", section: str) -> list[tuple[Any, Markup]]:
    """The figures of a section, each with its SVG."""
    return [
        (drawing, inlined(svg, f"figure-{drawing.name}", drawing.alt))
        for drawing, svg in report.drawings
        if drawing.section == section
    ]


def _comparisons(report: "Report", names: Names) -> listing.Listing | None:
    if not len(report.comparisons):
        return None
    with_winners = pd.concat([verdict.comparisons for verdict in report.verdicts])
    return listing.comparisons(report.comparisons, with_winners, names)


# ---------------------------------------------------------------- every run


def _runs(report: "Report", names: Names) -> dict[str, Any]:
    """All runs by column, for the script: what varies among them; what doesn't is said once.

    `cell` is the row of the summary that a run belongs to.
    """
    runs = report.runs.assign(cell=_cells(report.runs, report.summary, names.axes))
    if names.key != "init":
        runs.insert(0, "label", names.runs["label"])
    same = {name: value_text(runs[name].iloc[0]) for name in runs if _constant(name, runs)}
    shown = [name for name in runs if name not in same]
    return {
        "same": {name: value for name, value in same.items() if value != "null"},
        "data": {
            "count": len(runs),
            "init": names.key,
            "looks": names.place,
            "columns": {name: _column(runs[name]) for name in shown},
            "same": same,
        },
    }


def _constant(name: str, runs: pd.DataFrame) -> bool:
    always = ("run_id", "label", "init", "act", "depth", "seed", "outcome", "test_acc", "cell")
    return name not in always and runs[name].nunique(dropna=False) <= 1


def _cells(runs: pd.DataFrame, summary: pd.DataFrame, axes: list[str]) -> np.ndarray:
    """The row of the summary that each run is counted in. Raises ValueError where a run has none."""
    numbered = summary[axes].assign(cell=range(len(summary)))
    cells = runs[axes].merge(numbered, on=axes, how="left", validate="many_to_one")["cell"]
    if cells.isna().any():
        raise ValueError("the summary lacks cells of the runs")
    return cells.to_numpy().astype(int)


def _column(values: pd.Series) -> dict[str, Any]:
    """A column for JSON: numbers, or places in a list of texts; null where there is no value."""
    if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
        places, texts = pd.factorize(values.map(value_text, na_action="ignore"))
        return {"texts": list(texts), "places": places.tolist()}
    numbers = values.astype("float64").tolist()
    whole = pd.api.types.is_integer_dtype(values)
    return {"numbers": [_number(number, whole) for number in numbers]}


def _number(number: float, whole: bool) -> float | int | None:
    if not math.isfinite(number):
        return None
    return int(number) if whole else float(f"{number:.6g}")


# ---------------------------------------------------------------- how it was made


def _made(report: "Report") -> dict[str, Any]:
    """Where the numbers come from: commands, versions, commits, devices, time."""
    sweeps, stacks = report.contests.results.sweeps, report.contests.results.stacks
    commits = _distinct(_both(report, "git_commit"), str)
    return {
        "command": shlex.join(report.command),
        "sweeps": [_sweep(sweep) for sweep in sweeps.to_dict("records")],
        "versions": _distinct(_both(report, "versions"), _versions),
        "commits": commits,
        "changed": any(commit.endswith("+") for commit in commits),
        "devices": Counter(map(str, _said(stacks, "device"))).most_common(),
        "stacks": len(stacks),
        "seconds": float(sum(_said(stacks, "stack_seconds"))),
    }


def _sweep(sweep: dict[str, Any]) -> dict[str, str]:
    command = sweep.get("command")
    return {
        "name": str(sweep["name"]),
        "created": str(sweep["created"])[:16].replace("T", " "),
        "command": shlex.join(map(str, command)) if isinstance(command, Sequence) else "",
    }


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _said(table: pd.DataFrame, column: str) -> list[Any]:
    """The values of a column that its rows may lack."""
    return list(table[column].dropna()) if column in table else []


def _both(report: "Report", column: str) -> list[Any]:
    return _said(report.contests.results.sweeps, column) + _said(report.contests.results.stacks, column)


def _distinct(values: Iterable[Any], text: Any) -> list[str]:
    return list(dict.fromkeys(map(text, values)))
