"""How the report was made: commands, versions, commits, devices, time, and files that can't be read."""

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from initbench.report.page.page import Page
from initbench.report.report import Report
from initbench.report.sections.section import Section
from initbench.results.load import Results


def _html(page: Page) -> Markup:
    report = page.report
    results = report.contests.results
    commits = _distinct(_both(results, "git_commit"), str)
    return page.render(
        "made",
        command=shlex.join(report.command),
        sweeps=[_sweep(sweep) for sweep in results.sweeps.to_dict("records")],
        versions=_distinct(_both(results, "versions"), _versions),
        commits=commits,
        changed=any(commit.endswith("+") for commit in commits),
        devices=Counter(map(str, said(results.stacks, "device"))).most_common(),
        stacks=len(results.stacks),
        seconds=float(sum(said(results.stacks, "stack_seconds"))),
        seeds=report.seeds,
        skipped=results.skipped,
    )


def _sweep(sweep: dict[str, Any]) -> dict[str, str]:
    command = sweep.get("command")
    return {
        "name": str(sweep["name"]),
        "created": str(sweep["created"])[:16].replace("T", " "),
        "command": shlex.join(map(str, command)) if isinstance(command, Sequence) else "",
    }


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def said(table: pd.DataFrame, column: str) -> list[Any]:
    """The values of a column that a table, or some of its rows, may lack."""
    return list(table[column].dropna()) if column in table else []


def _both(results: Results, column: str) -> list[Any]:
    return said(results.sweeps, column) + said(results.stacks, column)


def _distinct(values: Iterable[Any], text: Any) -> list[str]:
    return list(dict.fromkeys(map(text, values)))


def _facts(report: Report) -> dict[str, Any]:
    return {"skipped": [{"file": str(file), "reason": reason} for file, reason in report.contests.results.skipped]}


SECTION = Section(name="made", title="How it was made", html=_html, facts=_facts)
