"""How the report was made: commands, versions, commits, devices, time, and files that can't be read."""

import shlex
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from initbench.analysis import setting
from initbench.report.page.page import Page
from initbench.report.report import Report
from initbench.report.sections.section import Section
from initbench.results.load import Results


def _html(page: Page) -> Markup:
    results = page.report.contests.results
    commits = list(dict.fromkeys(map(str, _recorded(results, "git_commit"))))
    versions = [", ".join(map(" ".join, each.items())) for each in _recorded(results, "versions")]
    return page.render(
        "made",
        command=shlex.join(page.report.command),
        sweeps=[_sweep(sweep) for sweep in results.sweeps.to_dict("records")],
        versions=list(dict.fromkeys(versions)),
        commits=commits,
        changed=any(commit.endswith("+") for commit in commits),
        devices=Counter(map(str, said(results.stacks, "device"))).most_common(),
        stacks=len(results.stacks),
        seconds=float(sum(said(results.stacks, "stack_seconds"))),
        seeds=page.report.seeds,
        skipped=results.skipped,
    )


def _sweep(sweep: dict[str, Any]) -> dict[str, str]:
    command = sweep.get("command")
    return {
        "name": str(sweep["name"]),
        "created": str(sweep["created"])[:16].replace("T", " "),
        "command": shlex.join(map(str, command)) if isinstance(command, Sequence) else "",
    }


def said(table: pd.DataFrame, column: str) -> list[Any]:
    """The values of a column that a table, or some of its rows, may lack."""
    return list(table[column].dropna()) if column in table else []


def _recorded(results: Results, column: str) -> list[Any]:
    """What sweeps and stacks say of how they were made."""
    return said(results.sweeps, column) + said(results.stacks, column)


def _facts(report: Report) -> dict[str, Any]:
    results = report.contests.results
    return {
        "setting": setting.sentences(report.contests),
        "meanings": setting.meanings(report.contests),
        "sweep": said(results.sweeps, "name"),
        "other_sweeps": [other.name for other in report.others],
        "skipped": [{"file": str(file), "reason": reason} for file, reason in results.skipped],
    }


SECTION = Section(name="made", title="How it was made", html=_html, facts=_facts)
