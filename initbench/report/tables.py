"""What the results say, as tables: a row a run, a row a cell with its seeds put together, and cells in a grid."""

# pandas annotates nearly everything as "Series or DataFrame or unknown": these checks see only that.
# pyright: reportArgumentType=false, reportCallIssue=false, reportReturnType=false
# pyright: reportAttributeAccessIssue=false, reportGeneralTypeIssues=false

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from initbench.errors import InputError, nearest
from initbench.report import stats
from initbench.report.sheet import Cell, Column, Sheet
from initbench.results import Results
from initbench.store import OUTCOME_TYPES, RUN_COLUMNS
from initbench.words import percent, plural

CELL_AXES = ("init", "act", "depth")  # a cell always has these; the others where they vary
OUTCOMES = ("learned", "stuck", "diverged", "failed", "pending")
SHARES = ("learned", "stuck", "diverged")  # of the finished runs
COLOURS = {"learned": "green", "stuck": "yellow", "diverged": "red", "failed": "magenta", "pending": "dim"}
# Keys that change what is recorded, or where data lies, but not the training: never an axis.
RECORDING = {"log_every", "eval_every", "save_weights", "save_predictions", "metrics", "data.data_dir", "data.download"}
RECORDING |= {"tune.low", "tune.high", "tune.rates"}  # nor which other rates were tried
# Keys that a choice of another group may bring: its own learning rate, say.
BROUGHT = {"lr": "optim", "width": "model", "outcome.learned_ratio": "data"}
LEARNED_RATIO = 0.5  # where the configuration doesn't say
UNITS = {"labels": "nats", "numbers": "squared error"}  # of the losses of each task
WINDOW = 20  # losses whose mean is held against a target
LONG = 60  # rows; a longer table shows the best of each group
MANY = 30  # groups, of which a terminal shows no more

# What pandas.read_csv needs to read runs.csv and summary.csv with the types they had: names and ids are text, a whole
# number stays one beside a missing one, and only an empty field is missing.
_TEXTS = ("run_id", "sweep", "init", "act", "data", "model", "mitigation", "optim", "status", "outcome", "stack_id")
_FRACTIONS = ("train_acc", "val_acc", "test_acc", "test_acc_median", "test_acc_mean", "test_acc_std")
_FLOATS = ("lr", "train_loss", "test_loss", "train_loss_median", "first_last_grad_ratio", "stack_seconds", *_FRACTIONS)
READ_CSV: dict[str, Any] = {
    "dtype": dict.fromkeys(_TEXTS, "string") | dict.fromkeys(_FLOATS, "Float64") | {"diverged_step": "Int64"},
    "dtype_backend": "numpy_nullable",
    "keep_default_na": False,
    "na_values": [""],
}

_MEASURED = {*OUTCOME_TYPES, "sweep", "run_id", "seed", "stack_id", "stack_size", "stack_seconds", "stack_path"}


def runs(results: Results) -> pd.DataFrame:
    """One row a run: `store.RUN_COLUMNS` in that order, then every other swept key under its dotted name."""
    others = [axis for axis in axes(results.runs) if axis not in RUN_COLUMNS]
    return results.runs[[*RUN_COLUMNS, *others]]


def axes(runs: pd.DataFrame) -> list[str]:
    """What tells one cell from another: init, act, depth, and every other key but the seed that was swept.

    A key that differs only because another choice has it (`init.std` of `normal` and of `he`) or brings it (`lr` of
    `adam`) was not swept, nor was the rate of `tuned` runs, which was chosen (`tuning.selected`).
    """
    keys = [key for key in configuration(runs) if not key.endswith("_target_") and key not in CELL_AXES]
    untuned = runs[~runs["tuned"]] if "tuned" in runs else runs
    where = {"lr": untuned, "eval_every": _stopped_early(runs)}
    return [*CELL_AXES, *(key for key in keys if _varies(where.get(key, runs), key))]


def configuration(runs: pd.DataFrame) -> list[str]:
    """The keys of the configuration that affect a training, but for the seed."""
    recording = RECORDING if _stopped_early(runs).empty else RECORDING - {"eval_every"}
    return [key for key in runs if key not in _MEASURED | recording]


def _stopped_early(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that evaluations may stop: on others `eval_every` has no effect."""
    return runs[runs["regularize.patience"].notna()] if "regularize.patience" in runs else runs[:0]


def loss_unit(runs: pd.DataFrame) -> str:
    """The unit of these runs' losses: "nats", "squared error", or "nats or squared error" where tasks are mixed."""
    return " or ".join(unit for task, unit in UNITS.items() if (runs["task"] == task).any()) or UNITS["labels"]


def _varies(runs: pd.DataFrame, key: str) -> bool:
    """Whether a key differs within one value of the choices that may bring it."""
    choices = {key.split(".")[0], "mitigation", BROUGHT.get(key)} & set(runs.columns) - {"outcome", key}
    if not choices:
        return runs[key].nunique(dropna=False) > 1
    return bool((runs.groupby(sorted(choices), dropna=False)[key].nunique(dropna=False) > 1).any())


def initializer(cell: Any, axes: Iterable[str]) -> str:
    """An initializer and those of its parameters that were swept: "normal std=0.01"."""
    parameters = [axis for axis in axes if axis.startswith("init.") and not pd.isna(cell[axis])]
    return " ".join([str(cell["init"]), *(f"{axis[5:]}={value_text(cell[axis])}" for axis in parameters)])


def labelled(runs: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The runs with a column `label`, what their initializer is called; and the axes of a contest."""
    cell_axes = axes(runs)
    labels = [initializer(run, cell_axes) for run in runs[cell_axes].to_dict("records")]
    return runs.assign(label=pd.Series(labels, index=runs.index, dtype="str")), contest_axes(cell_axes)


def score(runs: pd.DataFrame) -> pd.Series:
    """Test accuracy (a fraction) by which runs are ranked: -inf for a diverged one, NaN where it is not done."""
    done = runs["status"] == "done"
    accuracy = runs["test_acc"].astype("float64").where(done)
    return accuracy.mask(done & (runs["outcome"] == "diverged"), -math.inf).rename("score")


def value_text(value: Any) -> str:
    """A value of an axis as a user would type it; null where it has none."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "null"
    if not isinstance(value, float):
        return str(value)
    return short if float(short := f"{value:g}") == value else repr(value)


def contest_axes(axes: Iterable[str]) -> list[str]:
    """The axes within which initializers compete: act, depth, and what else varies but the initializer."""
    return [axis for axis in axes if axis.split(".")[0] != "init"]


# ---------------------------------------------------------------- one row a cell


def summary(results: Results, steps: pd.Series | None = None) -> pd.DataFrame:
    """One row a cell: outcome counts, test accuracy (a fraction) and training loss over its seeds.

    A diverged run ranks below every finite one in the medians, which are null where they fall on one; means and
    sample deviations are over the `test_acc_count` finite runs; nothing is imputed. Names that end in `_low` and
    `_high` are 95 % intervals: `stats.wilson` of the outcomes' shares of the finished runs, `stats.median` and
    `stats.interquartile_mean`. steps: `steps_to_target` by run id, which adds their median, null where more than half
    never got there, and how many did. `best`: the highest median accuracy among the initializers of its contest that
    learned at least once; equals are all marked. Rows are sorted so that each contest's winner comes first, and those
    that never learned last.
    """
    cell_axes = axes(results.runs)
    done = results.runs["status"] == "done"
    runs = pd.DataFrame(
        {
            "fate": results.runs["outcome"].where(done, results.runs["status"]),
            "acc": score(results.runs),
            "loss": results.runs["train_loss"].astype("float64").where(done),
            "steps": math.nan if steps is None else results.runs["run_id"].map(steps),
        }
    )
    runs["loss"] = runs["loss"].mask(runs["fate"] == "diverged", math.inf)
    columns = {name: column.to_numpy() for name, column in runs.items()}
    cells = results.runs.groupby(cell_axes, dropna=False, sort=False)
    number = cells.ngroup().to_numpy()
    order = np.argsort(number, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(number[order])) + 1)
    keys = results.runs[cell_axes].iloc[[part[0] for part in parts]].to_dict("records")
    table = pd.DataFrame(
        [
            key | _cell(*(column[part] for column in columns.values()), timed=steps is not None)
            for key, part in zip(keys, parts, strict=True)
        ]
    )
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
        table.assign(_act=table["act"].map(seen), _never=table["learned"] == 0, _acc=-table["test_acc_median"])
        .sort_values(
            ["_act", *contests[1:], "_never", "_acc", "diverged", "train_loss_median", "init"],
            kind="stable",
            ignore_index=True,
        )
        .drop(columns=["_act", "_never", "_acc"])
    )


def _cell(fate: np.ndarray, acc: np.ndarray, loss: np.ndarray, steps: np.ndarray, *, timed: bool) -> dict[str, Any]:
    finite = acc[np.isfinite(acc)]
    counts = {outcome: int((fate == outcome).sum()) for outcome in OUTCOMES}
    finished = sum(counts[outcome] for outcome in SHARES)
    row: dict[str, Any] = {"runs": len(fate), **counts}
    for outcome in SHARES:
        share = stats.wilson(counts[outcome], finished)
        row |= {f"{outcome}_low": share.low, f"{outcome}_high": share.high}
    row |= _estimate("test_acc_median", stats.median(acc))
    row |= {
        "test_acc_mean": finite.mean() if len(finite) else math.nan,
        "test_acc_std": finite.std(ddof=1) if len(finite) > 1 else math.nan,
        "test_acc_count": len(finite),
    }
    row |= _estimate("test_acc_iqm", stats.interquartile_mean(acc))
    row |= _estimate("train_loss_median", stats.median(loss))
    if timed:
        row |= _estimate("steps_to_target", stats.median(steps))
        row["reached_target"] = int(np.isfinite(steps).sum())
    return row


def _estimate(name: str, estimate: stats.Estimate) -> dict[str, float]:
    """Null where it falls on a run that diverged or never got there."""
    values = {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return {key: value if math.isfinite(value) else math.nan for key, value in values.items()}


def steps_to_target(results: Results, target: float | None = None) -> pd.Series:
    """By run id, the first step at which the mean of the last 20 losses is `target` or less; inf: never.

    Of finished runs. target: a loss; left out, the one at which a run has learned: `outcome.learned_ratio` of the best
    constant prediction's.
    """
    done = results.runs[results.runs["status"] == "done"].set_index("run_id")
    ratio = done["outcome.learned_ratio"].fillna(LEARNED_RATIO) if "outcome.learned_ratio" in done else LEARNED_RATIO
    targets = done["constant_loss"] * ratio if target is None else pd.Series(target, index=done.index)
    steps = pd.Series(math.inf, index=done.index)
    losses = results.losses.sort_values("step", kind="stable")
    for run_id, curve in losses.groupby("run_id", observed=True, sort=False)["train_loss"]:
        if run_id in steps.index:
            steps[run_id] = stats.steps_to(curve.to_numpy(), targets[run_id], WINDOW)
    return steps


# ---------------------------------------------------------------- for the eye


def rich_summary(summary: pd.DataFrame, *, top: int | None = None) -> Table:
    """The summary for a terminal: contests one below the other, the winner first and marked ★.

    top: at most so many initializers a contest; left out, all of them unless that is more than `LONG` rows. Of more
    than `MANY` contests the first.
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
    groups = list(summary.groupby(contests, dropna=False, sort=False))
    for key, contest in groups[:MANY]:
        shown = contest if top is None else contest.head(top)
        for position, (_, cell) in enumerate(shown.iterrows()):
            where = [value_text(value) if position == 0 else "" for value in key]
            last = position == len(shown) - 1 and len(shown) == len(contest)
            table.add_row(*where, *_rich_cell(cell, cell_axes), end_section=last)
        if len(shown) < len(contest):
            more = Text(f"  and {len(contest) - len(shown)} more", style="dim")
            table.add_row(*[""] * len(contests), more, "", "", "", end_section=True)
    if len(groups) > MANY:
        rest = Text(f"  and {plural(len(groups) - MANY, 'other contest')}", style="dim")
        table.add_row(*[""] * len(contests), rest, "", "", "")
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
    return replace(summary_sheet(summary), caption="").markdown()


def summary_sheet(summary: pd.DataFrame) -> Sheet:
    """The summary as it is printed: contests one below the other, the winners in bold with a ★."""
    cell_axes = _axes_of(summary)
    contests = contest_axes(cell_axes)
    numbers = ["test acc. median", "mean ± s.d. (finite runs)", "train loss median"]
    names = [*contests, "init", *numbers, "outcomes"]
    return Sheet(
        caption="Test accuracy and training loss (nats, or squared error where numbers are predicted) of each "
        "initializer over its seeds. ★: the highest median accuracy of its contest among the initializers that "
        "learned; a diverged run ranks below every finite one.",
        columns=[Column((name,), left=name in {"act", "init", "outcomes"}) for name in names],
        stub=len(contests) + 1,
        rows=[_summary_row(cell, cell_axes) for cell in summary.to_dict("records")],
    )


def _summary_row(cell: dict[str, Any], cell_axes: list[str]) -> list[Cell]:
    name = Cell(initializer(cell, cell_axes), bold=bool(cell["best"]), mark=" ★" if cell["best"] else "")
    outcomes = ", ".join(f"{cell[outcome]} {outcome}" for outcome in OUTCOMES if cell[outcome])
    return [
        *(Cell(value_text(cell[axis])) for axis in contest_axes(cell_axes)),
        name,
        Cell(_percent(cell["test_acc_median"], cell)),
        Cell(_mean(cell)),
        Cell(_loss(cell["train_loss_median"])),
        Cell(outcomes),
    ]


def _axes_of(summary: pd.DataFrame) -> list[str]:
    return list(summary.columns[: summary.columns.get_loc("runs")])


def _percent(fraction: float, cell: Any) -> str:
    if math.isnan(fraction):
        return "diverged" if cell["diverged"] else "–"
    return percent(fraction)


def _mean(cell: Any) -> str:
    """ "95.8 ± 0.4 % (5)"; without a deviation where there is one run only."""
    if not cell["test_acc_count"]:
        return "–"
    deviation = "" if math.isnan(cell["test_acc_std"]) else f" ± {100 * cell['test_acc_std']:.1f}"
    return f"{100 * cell['test_acc_mean']:.1f}{deviation} % ({cell['test_acc_count']})"


def _loss(loss: float) -> str:
    return "–" if math.isnan(loss) else f"{loss:.3g}"


# ---------------------------------------------------------------- cells in a grid


@dataclass(frozen=True)
class Value:
    """What a grid can show of a cell."""

    words: str  # with the unit; a loss has its task's
    worst: float | None  # how a diverged run ranks: -inf where higher is better, inf where lower is; None: not at all
    digits: str  # the format of the number
    unit: float = 1.0  # what is shown as 1


PERCENT = 0.01

VALUES = {
    "test_acc": Value("test accuracy (%)", -math.inf, ".1f", PERCENT),
    "train_acc": Value("training accuracy (%)", -math.inf, ".1f", PERCENT),
    "val_acc": Value("validation accuracy (%)", -math.inf, ".1f", PERCENT),
    "test_loss": Value("test loss", math.inf, ".3g"),
    "train_loss": Value("training loss", math.inf, ".3g"),
    "first_last_grad_ratio": Value("gradient norm at step 0, first hidden layer over last", None, ".2g"),
    "diverged_step": Value("step at which the diverged runs diverged", None, ".0f"),
    "learned": Value("share of runs that learned (%)", -math.inf, ".0f", PERCENT),
    "stuck": Value("share of runs that were stuck (%)", math.inf, ".0f", PERCENT),
    "diverged": Value("share of runs that diverged (%)", math.inf, ".0f", PERCENT),
}


def pivot(results: Results, rows: Sequence[str], cols: Sequence[str], value: str) -> pd.DataFrame:
    """A number for each cell of the grid that the axes `rows` and `cols` span; NaN where nothing is finished.

    value: one of `VALUES`. Accuracies (fractions) and losses are medians over the finished runs of a cell,
    where a diverged run ranks below every finite one: -inf (inf for losses) where the median falls on one. `learned`,
    `stuck` and `diverged` are fractions of the finished runs. An axis is `label` (the initializer with its swept
    parameters), `seed` or a key of the configuration. The index has the levels `rows`, the columns the levels `cols`.
    Raises InputError for unknown axes and values, and where an axis that is not among them varies within a cell.
    """
    runs = _pivotable(results, rows, cols)
    _check_value(runs, value)
    return _grid(_numbers(runs, [*rows, *cols], value), runs, rows, cols)


def _check_value(runs: pd.DataFrame, value: str) -> None:
    if value not in VALUES:
        raise InputError(f"--value {value}: not something a table can show{nearest(value, VALUES)}")
    alive = runs[(runs["status"] == "done") & (runs["outcome"] != "diverged")]
    if value not in (*SHARES, "diverged_step") and len(alive) and alive[value].isna().all():
        raise InputError(f"--value {value}: no run has it")


def _pivotable(results: Results, rows: Sequence[str], cols: Sequence[str]) -> pd.DataFrame:
    """The labelled runs, once it is known that the axes exist and tell all cells apart."""
    runs, _ = labelled(results.runs)
    chosen = [*rows, *cols]
    if not rows:
        raise InputError("--rows: no axis given; name one, such as init")
    for axis in chosen:
        option = "--rows" if axis in rows else "--cols"
        if axis not in (*configuration(runs), "seed"):
            raise InputError(f"{option} {axis}: no such axis{nearest(axis, [*axes(results.runs), 'label', 'seed'])}")
        if chosen.count(axis) > 1:
            raise InputError(f"{option} {axis}: given {chosen.count(axis)} times; once is enough")
    _check_apart(runs, axes(results.runs), rows, cols)
    measured = ["status", "outcome", *(value for value in VALUES if value in runs)]
    return runs[[*dict.fromkeys([*chosen, *measured])]]


def _check_apart(runs: pd.DataFrame, cell_axes: list[str], rows: Sequence[str], cols: Sequence[str]) -> None:
    cells = runs.groupby([*rows, *cols], dropna=False)
    mixed = [axis for axis in cell_axes if axis not in (*rows, *cols)]
    mixed = [axis for axis in mixed if (cells[axis].nunique(dropna=False) > 1).any()]
    if mixed:
        asked = f"--rows {','.join(rows)}" + (f" --cols {','.join(cols)}" if cols else "")
        label = "; `label` is init with its parameters" if any(axis.startswith("init.") for axis in mixed) else ""
        raise InputError(
            f"{asked}: a cell would mix values of {', '.join(mixed)}; add to --rows or --cols, "
            f"or choose one with --where{label}"
        )


def _grid(cells: pd.Series, runs: pd.DataFrame, rows: Sequence[str], cols: Sequence[str]) -> pd.DataFrame:
    """A number a cell, laid out in rows and columns; NaN where there is no such cell."""
    numbers = {_key(key): number for key, number in zip(_keys(cells.index), cells, strict=True)}
    order = [places(runs[axis]) for axis in (*rows, *cols)]
    row_keys = sorted({key[: len(rows)] for key in numbers}, key=lambda key: _order(key, order))
    col_keys = sorted({key[len(rows) :] for key in numbers}, key=lambda key: _order(key, order[len(rows) :]))
    table = [[numbers.get(row + col, math.nan) for col in col_keys] for row in row_keys]
    columns = _index(col_keys, cols) if cols else pd.Index([cells.name])
    return pd.DataFrame(table, index=_index(row_keys, rows), columns=columns, dtype="float64")


def _key(key: tuple[Any, ...]) -> tuple[Any, ...]:
    """A cell's values, None where one is missing."""
    return tuple(None if pd.isna(part) else part for part in key)


def places(values: pd.Series) -> dict[Any, int]:
    """Where each value of an axis stands: numbers ascending, others as they appear, none at all last."""
    there = values.dropna().drop_duplicates()
    if pd.api.types.is_numeric_dtype(there):
        there = there.sort_values()
    return {value: place for place, value in enumerate([*there, None])}


def _order(key: tuple[Any, ...], places: list[dict[Any, int]]) -> list[int]:
    return [place[part] for place, part in zip(places, key, strict=False)]


def _index(keys: list[tuple[Any, ...]], axes: Sequence[str]) -> pd.Index:
    if len(axes) == 1:
        return pd.Index([key[0] for key in keys], name=axes[0])
    return pd.MultiIndex.from_tuples(keys, names=list(axes))


def _numbers(runs: pd.DataFrame, axes: Sequence[str], value: str) -> pd.Series:
    """What a grid shows of each cell, by the values of its axes."""
    done = runs["status"] == "done"
    diverged = runs["outcome"] == "diverged"
    if value in SHARES:
        return _cells((runs["outcome"] == value).astype("float64").where(done), runs, axes).mean().rename(value)
    numbers = runs[value].astype("float64").where(done)
    worst = VALUES[value].worst
    if worst is None:
        return _cells(numbers, runs, axes).median()
    alive = _cells((done & ~diverged).astype("float64"), runs, axes).sum()
    measured = _cells(numbers.mask(diverged), runs, axes).count()
    ranked = _cells(numbers.mask(done & diverged, worst), runs, axes).median()
    return ranked.mask((alive > 0) & (measured == 0))  # such as val_acc of data without a validation part


def _cells(values: pd.Series, runs: pd.DataFrame, axes: Sequence[str]) -> Any:
    """Values of the runs, grouped by cell."""
    return values.groupby([runs[axis] for axis in axes], dropna=False, sort=False)


def flat(pivot: pd.DataFrame) -> pd.DataFrame:
    """A grid with one line of header, as in its CSV: the axes of the rows, then a column such as `act=relu depth=5`."""
    names = [name for name in pivot.columns.names if name is not None]
    if names:
        keys = _keys(pivot.columns)
        texts = [[f"{name}={value_text(part)}" for name, part in zip(names, key, strict=True)] for key in keys]
        pivot = pivot.set_axis([" ".join(text) for text in texts], axis=1)
    return pivot.reset_index()


def pivot_sheet(results: Results, rows: Sequence[str], cols: Sequence[str], value: str) -> Sheet:
    """`pivot` as it is printed; the best of each column in bold, among the cells where a run learned.

    Where no axis is better at one end, or all of a column is equal, nothing is bold.
    """
    runs = _pivotable(results, rows, cols)
    numbers = pivot(results, rows, cols, value)
    learned = _grid(_numbers(runs, [*rows, *cols], "learned").rename(value), runs, rows, cols)
    finished = _cells((runs["status"] == "done").astype("int64"), runs, [*rows, *cols]).sum()
    best = _best(numbers, learned, VALUES[value].worst)
    titles = [tuple(map(_axis_text, cols, key)) or (value,) for key in _keys(numbers.columns)]
    above = ("",) * (len(titles[0]) - 1)
    lines = zip(_keys(numbers.index), numbers.to_numpy(), best.to_numpy(), strict=True)
    return Sheet(
        caption=_caption(value, finished, loss_unit(results.runs), bold=bool(best.to_numpy().any())),
        columns=[*(Column((*above, axis), left=True) for axis in rows), *map(Column, titles)],
        stub=len(rows),
        rows=[
            [
                *(Cell(value_text(part)) for part in key),
                *(Cell(_shown(number, value), bold=bool(top)) for number, top in zip(line, tops, strict=True)),
            ]
            for key, line, tops in lines
        ],
    )


def _keys(index: pd.Index) -> list[tuple[Any, ...]]:
    return [key if isinstance(key, tuple) else (key,) for key in index]


def _best(numbers: pd.DataFrame, learned: pd.DataFrame, worst: float | None) -> pd.DataFrame:
    """Which cells are the best of their column."""
    if worst is None:
        return numbers.notna() & False
    able = numbers.where(np.isfinite(numbers) & (learned > 0))
    top = able.max() if worst < 0 else able.min()
    return able.eq(top, axis="columns") & (numbers.nunique() > 1)


def _caption(value: str, finished: pd.Series, unit: str, *, bold: bool) -> str:
    """finished: the number of finished runs of each cell. unit: of losses."""
    words = VALUES[value].words + (f" ({unit})" if value.endswith("_loss") else "")
    counts = finished.to_numpy()[finished.to_numpy() > 0]
    if not len(counts):
        return f"{words[0].upper()}{words[1:]}: no run has finished."
    few, many = int(counts.min()), int(counts.max())
    runs = plural(few, "finished run") if few == many else f"{few} to {many} finished runs"
    if value in SHARES:
        parts = [f"{words[0].upper()}{words[1:]}, of {runs} a cell."]
    else:
        parts = [f"Median {words}, of {runs} a cell."]
    if value not in SHARES and VALUES[value].worst is not None:
        parts.append("A diverged run ranks below every finite one.")
    if bold:
        parts.append("Bold: the best of its column.")
    return " ".join(parts)


def _axis_text(axis: str, value: Any) -> str:
    """A value in a header: "relu", "depth 20"."""
    return value_text(value) if axis in ("init", "label", "act") else f"{axis} {value_text(value)}"


def _shown(number: float, value: str) -> str:
    shown = VALUES[value]
    if math.isnan(number):
        return "–"
    if number == shown.worst:
        return "diverged"
    return f"{number / shown.unit:{shown.digits}}"
