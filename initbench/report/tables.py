"""What the results say, as tables: a row a run, and a row a cell with its seeds put together."""

# pandas annotates nearly everything as "Series or DataFrame or unknown": these checks see only that.
# pyright: reportArgumentType=false, reportCallIssue=false, reportReturnType=false
# pyright: reportAttributeAccessIssue=false, reportGeneralTypeIssues=false

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from initbench.results import Results
from initbench.store import OUTCOME_TYPES, RUN_COLUMNS

CELL_AXES = ("init", "act", "depth")  # a cell always has these; the others where they vary
OUTCOMES = ("learned", "stuck", "diverged", "failed", "pending")
COLOURS = {"learned": "green", "stuck": "yellow", "diverged": "red", "failed": "magenta", "pending": "dim"}
# Keys that change what is recorded, or where data lies, but not the training: never an axis.
RECORDING = {"log_every", "eval_every", "save_weights", "metrics", "data.data_dir", "data.download"}
LONG = 60  # rows; a longer table shows the best of each group

_MEASURED = {*OUTCOME_TYPES, "sweep", "run_id", "seed", "stack_id", "stack_size", "stack_seconds", "stack_path"}


def runs(results: Results) -> pd.DataFrame:
    """One row a run: `store.RUN_COLUMNS` in that order, then every other swept key under its dotted name."""
    others = [axis for axis in axes(results.runs) if axis not in RUN_COLUMNS]
    return results.runs[[*RUN_COLUMNS, *others]]


def axes(runs: pd.DataFrame) -> list[str]:
    """What tells one cell from another: init, act, depth, and every other key but the seed that was swept.

    A key that differs only because another choice has it (`init.std` of `normal` and of `he`) was not swept.
    """
    keys = [key for key in runs if key not in _MEASURED | RECORDING and not str(key).endswith("_target_")]
    return [*CELL_AXES, *(key for key in keys if key not in CELL_AXES and _varies(runs, key))]


def _varies(runs: pd.DataFrame, key: str) -> bool:
    owner = key.split(".")[0]
    choices = {owner, "mitigation"} & set(runs.columns) - {"outcome", key}
    if not choices:
        return runs[key].nunique(dropna=False) > 1
    return bool((runs.groupby(sorted(choices), dropna=False)[key].nunique(dropna=False) > 1).any())


def initializer(cell: Any, axes: Iterable[str]) -> str:
    """An initializer and those of its parameters that were swept: "normal std=0.01"."""
    parameters = [axis for axis in axes if axis.startswith("init.") and not pd.isna(cell[axis])]
    return " ".join([str(cell["init"]), *(f"{axis[5:]}={value_text(cell[axis])}" for axis in parameters)])


def value_text(value: Any) -> str:
    """A value of an axis as a user would type it; null where it has none."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "null"
    return f"{value:g}" if isinstance(value, float) else str(value)


def contest_axes(axes: Iterable[str]) -> list[str]:
    """The axes within which initializers compete: act, depth, and what else varies but the initializer."""
    return [axis for axis in axes if axis.split(".")[0] != "init"]


# ---------------------------------------------------------------- one row a cell


def summary(results: Results) -> pd.DataFrame:
    """One row a cell: outcome counts, test accuracy (a fraction) and training loss (nats) over its seeds.

    A diverged run ranks below every finite one in the medians, which are null where they fall on one; means and
    sample deviations are over the `test_acc_count` finite runs; nothing is imputed. `best`: the highest median
    accuracy among the initializers of its contest that learned at least once; equals are all marked. Rows are
    sorted so that each contest's winner comes first.
    """
    cell_axes = axes(results.runs)
    cells = results.runs.groupby(cell_axes, dropna=False, sort=False)
    table = pd.DataFrame([dict(zip(cell_axes, key, strict=True)) | _cell(runs) for key, runs in cells])
    table = table.astype({axis: results.runs[axis].dtype for axis in cell_axes})

    contests = contest_axes(cell_axes)
    top = (
        table.assign(acc=table["test_acc_median"].where(table["learned"] > 0))
        .groupby(contests, dropna=False)["acc"]
        .transform("max")
    )
    table["best"] = (table["learned"] > 0) & (table["test_acc_median"] == top)
    seen = {act: position for position, act in enumerate(table["act"].drop_duplicates())}
    return (
        table.assign(_act=table["act"].map(seen), _acc=-table["test_acc_median"])
        .sort_values(
            ["_act", *contests[1:], "_acc", "diverged", "train_loss_median", "init"],
            kind="stable",
            ignore_index=True,
        )
        .drop(columns=["_act", "_acc"])
    )


def _cell(runs: pd.DataFrame) -> dict[str, Any]:
    fate = runs["outcome"].where(runs["status"] == "done", runs["status"])
    diverged = fate == "diverged"
    acc = runs["test_acc"].where(~diverged)
    finite = acc[np.isfinite(acc)]
    return {
        "runs": len(runs),
        **{outcome: int((fate == outcome).sum()) for outcome in OUTCOMES},
        "test_acc_median": ranked_median(acc, diverged, worst=-math.inf),
        "test_acc_mean": finite.mean() if len(finite) else math.nan,
        "test_acc_std": finite.std(ddof=1) if len(finite) > 1 else math.nan,
        "test_acc_count": len(finite),
        "train_loss_median": ranked_median(runs["train_loss"], diverged, worst=math.inf),
    }


def ranked_median(values: pd.Series, diverged: pd.Series, *, worst: float) -> float:
    """The median where each diverged run counts as `worst` and missing ones don't; NaN where it is not finite."""
    ranked = values.astype("float64").mask(diverged.astype(bool), worst).dropna()
    median = float(np.median(ranked)) if len(ranked) else math.nan
    return median if math.isfinite(median) else math.nan


# ---------------------------------------------------------------- for the eye


def rich_summary(summary: pd.DataFrame, *, top: int | None = None) -> Table:
    """The summary for a terminal: contests one below the other, the winner first and marked ★.

    top: at most so many initializers a contest; left out, all of them unless that is more than `LONG` rows.
    """
    cell_axes = _axes_of(summary)
    contests = contest_axes(cell_axes)
    if top is None and len(summary) > LONG:
        top = 3
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for axis in contests:
        table.add_column(axis, no_wrap=True, justify="left" if axis == "act" else "right")
    table.add_column("  init", no_wrap=True)
    table.add_column("test acc.\nmedian", justify="right", no_wrap=True)
    table.add_column("mean ± s.d.\n(finite runs)", justify="right", no_wrap=True)
    table.add_column("outcomes")
    for key, contest in summary.groupby(contests, dropna=False, sort=False):
        shown = contest if top is None else contest.head(top)
        for position, (_, cell) in enumerate(shown.iterrows()):
            where = [value_text(value) if position == 0 else "" for value in key]
            last = position == len(shown) - 1 and len(shown) == len(contest)
            table.add_row(*where, *_rich_cell(cell, cell_axes), end_section=last)
        if len(shown) < len(contest):
            more = Text(f"  and {len(contest) - len(shown)} more", style="dim")
            table.add_row(*[""] * len(contests), more, "", "", "", end_section=True)
    return table


def _rich_cell(cell: pd.Series, cell_axes: list[str]) -> list[Text]:
    style = "bold" if cell["best"] else ""
    mark = "★ " if cell["best"] else "  "
    outcomes = Text(" ").join(
        Text(f"{cell[outcome]} {outcome}".replace(" ", "\u00a0"), style=COLOURS[outcome])
        for outcome in OUTCOMES
        if cell[outcome]
    )
    return [
        Text(mark + initializer(cell, cell_axes), style=style),
        Text(_percent(cell["test_acc_median"], cell), style=style),
        Text(_mean(cell)),
        outcomes,
    ]


def markdown(summary: pd.DataFrame) -> str:
    """The summary as a Markdown table, every row of it, the winners in bold with a ★."""
    cell_axes = _axes_of(summary)
    contests = contest_axes(cell_axes)
    header = [*contests, "init", "test acc. median", "mean ± s.d. (finite runs)", "train loss median", "outcomes"]
    left = {"act", "init", "outcomes"}
    lines = [header, [":--" if name in left else "--:" for name in header]]
    for _, cell in summary.iterrows():
        name = _escaped(initializer(cell, cell_axes))
        lines.append(
            [
                *(_escaped(value_text(cell[axis])) for axis in contests),
                f"**{name}** ★" if cell["best"] else name,
                _percent(cell["test_acc_median"], cell),
                _mean(cell),
                _loss(cell["train_loss_median"]),
                ", ".join(f"{cell[outcome]} {outcome}" for outcome in OUTCOMES if cell[outcome]),
            ]
        )
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _axes_of(summary: pd.DataFrame) -> list[str]:
    return list(summary.columns[: summary.columns.get_loc("runs")])


def _percent(fraction: float, cell: pd.Series) -> str:
    if math.isnan(fraction):
        return "diverged" if cell["diverged"] else "–"
    return f"{100 * fraction:.1f} %"


def _mean(cell: pd.Series) -> str:
    """ "95.8 ± 0.4 % (5)"; without a deviation where there is one run only."""
    if not cell["test_acc_count"]:
        return "–"
    deviation = "" if math.isnan(cell["test_acc_std"]) else f" ± {100 * cell['test_acc_std']:.1f}"
    return f"{100 * cell['test_acc_mean']:.1f}{deviation} % ({cell['test_acc_count']})"


def _loss(loss: float) -> str:
    return "–" if math.isnan(loss) else f"{loss:.3g}"


def _escaped(text: str) -> str:
    return "".join("\\" + char if char in r"\|*_`<>[]" else char for char in text)
