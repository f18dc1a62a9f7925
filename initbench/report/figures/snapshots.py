"""What was measured of the layers at some steps of training, and its medians over seeds, one tile per cell."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from initbench.analysis.contests import Contests, title_words
from initbench.analysis.layer_names import is_numbered, kind, readable, spans
from initbench.report.figures.lines import median
from initbench.report.figures.quantities import OVER_TIME, QUANTITIES
from initbench.report.figures.sheet import deepest

STEPS = 16  # log steps of a run that are drawn
COLUMNS = [quantity.name for quantity in QUANTITIES]


def read_layers(contests: Contests) -> pd.DataFrame:
    """The metrics of the hidden layers at no more than `STEPS` steps per run, step 0 among them.

    run_id (categorical), step, layer (from 1, next to the input), its name, and one column per quantity; infinite or
    null where it is not a number. What a run measured after it had diverged is left out.
    """
    rows = _read(contests, "layers", ["name", *COLUMNS])
    if rows.empty:
        return rows
    run = rows["run_id"].cat.codes.to_numpy()
    last_layer = np.zeros(len(rows["run_id"].cat.categories), "int64")
    np.maximum.at(last_layer, run, rows["layer"].to_numpy())
    rows = rows[rows["layer"].to_numpy() < last_layer[run]]
    return rows.assign(layer=rows["layer"] + 1)


def read_times(contests: Contests) -> pd.DataFrame:
    """The gradient norms of each run's first recurrent layer at the same steps: run_id (categorical), step, layer,
    name (of the layer), time (from 0), pre_grad_norm. Empty where nothing is recurrent.
    """
    rows = _read(contests, "times", ["name", "time", OVER_TIME.name])
    if rows.empty:
        return rows
    first = rows.groupby("run_id", observed=True)["layer"].transform("min")
    return rows[rows["layer"] == first]


def _read(contests: Contests, table: str, columns: list[str]) -> pd.DataFrame:
    """What finished runs measured before they diverged, if they did: run_id (categorical), step, layer, columns."""
    rows = contests.results.read(table, columns=["step", "layer", *columns], filters=_wanted(contests.done))
    rows["run_id"] = rows["run_id"].astype("category")
    of_run = contests.runs.set_index("run_id").reindex(rows["run_id"].cat.categories)
    last_step = of_run["diverged_step"].astype("float64").fillna(np.inf).to_numpy()
    return rows[rows["step"].to_numpy() <= last_step[rows["run_id"].cat.codes.to_numpy()]]


def layer_names(contests: Contests, layers: pd.DataFrame) -> str:
    """A sentence on what is numbered as a layer, for models whose layers are of several kinds; else empty."""
    model = contests.runs.set_index("run_id")["model"].reindex(layers["run_id"].cat.categories)
    model = model.to_numpy()[layers["run_id"].cat.codes.to_numpy()]
    named = layers.assign(model=model)[["model", "layer", "name"]].drop_duplicates().sort_values("layer")
    names = named.assign(name=named["name"].astype("str")).groupby("model", sort=False)["name"]
    listed = {model: _listed(list(dict.fromkeys(here))) for model, here in names}
    return "".join(
        f" The layers of {model}, from the input on: {'; '.join(some)}." for model, some in listed.items() if some
    )


def _listed(names: list[str]) -> list[str]:
    """The kinds of layers, where there are several; of somebody's own model where each is."""
    if all(map(is_numbered, names)):
        return spans(names)
    kinds = list(dict.fromkeys(readable(kind(name)) for name in names))
    return kinds if len(kinds) > 1 else []


def _wanted(done: pd.DataFrame) -> list[tuple[str, str, list[int]]] | None:
    """pyarrow's filter for evenly spread steps; None, which is all steps, where the runs don't say when they logged."""
    if "log_every" not in done or done[["steps", "log_every"]].isna().to_numpy().any():
        return None
    steps: set[int] = set()
    for schedule in done[["steps", "log_every"]].drop_duplicates().itertuples():
        steps.update(evenly(np.arange(0, schedule.steps, max(int(schedule.log_every), 1))).tolist())
    return [("step", "in", sorted(steps))] if steps else None


def evenly(steps: np.ndarray) -> np.ndarray:
    """At most `STEPS` of the steps, evenly spread, with the first and the last among them."""
    return steps[np.unique(np.linspace(0, len(steps) - 1, STEPS).round().astype(int))]


@dataclass(frozen=True)
class Tiles:
    """Medians over seeds of one contest: values[name, label, row, step], NaN where no seed has a finite value."""

    names: list[str]
    title: str
    words: list[str]  # the title's parts
    labels: list[str]
    steps: np.ndarray
    rows: np.ndarray  # the layers, or time steps
    values: np.ndarray
    trained: np.ndarray  # whether any run of the label is finished

    def of(self, name: str) -> np.ndarray:
        """The medians of one quantity: (label, row, step)."""
        return self.values[self.names.index(name)]


def tiles_of(
    contests: Contests, labels: list[str], measured: pd.DataFrame, names: list[str], down: str
) -> tuple[list[Tiles], str]:
    """The tiles of at most `MOST` contests, and a sentence on the contests that are left out.

    labels: the initializers, one row of tiles each. measured: rows with run_id (categorical), step and the columns
    `names`, whose medians are taken. down: the column that the rows of a tile stand for.
    """
    groups, left_out = deepest(list(contests.done.groupby(contests.axes, dropna=False, sort=False)))
    place = pd.Series(-1, index=measured["run_id"].cat.categories)
    for number, (_, here) in enumerate(groups):
        place[place.index.isin(here["run_id"])] = number
    contest = place.to_numpy()[measured["run_id"].cat.codes.to_numpy()]
    order = np.argsort(contest, kind="stable")
    bounds = np.searchsorted(contest[order], np.arange(len(groups) + 1))
    values = measured[names].to_numpy("float32")
    found = []
    for (key, here), first, last in zip(groups, bounds[:-1], bounds[1:], strict=True):
        rows = order[first:last]
        words = title_words(contests.axes, key)
        medians = _medians(measured.iloc[rows], down, values[rows], here, labels)
        if medians is not None:
            found.append(Tiles(names, ", ".join(words), words, labels, *medians))
    return found, left_out


def _medians(
    measured: pd.DataFrame, down: str, values: np.ndarray, runs: pd.DataFrame, labels: list[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """Steps, rows, medians over the seeds of a contest as (name, label, row, step), which labels were trained."""
    if measured.empty:
        return None
    label = pd.Series(pd.Categorical(runs["label"], categories=labels).codes, index=runs["run_id"], dtype="int64")
    seed = label.groupby(label.to_numpy()).cumcount()
    categories = measured["run_id"].cat.categories
    run = measured["run_id"].cat.codes.to_numpy()
    steps, rows = evenly(np.unique(measured["step"])), np.unique(measured[down])
    step, row = measured["step"].to_numpy(), measured[down].to_numpy()
    shown = np.isin(step, steps)
    run, step, row, values = run[shown], step[shown], row[shown], values[shown]
    dense = np.full((len(labels), seed.max() + 1, len(rows), len(steps), values.shape[1]), np.nan, "float32")
    at = (
        label.reindex(categories).to_numpy()[run].astype(int),
        seed.reindex(categories).to_numpy()[run].astype(int),
        np.searchsorted(rows, row),
        np.searchsorted(steps, step),
    )
    dense[at] = np.where(np.isfinite(values), values, np.nan)
    trained = np.isin(np.arange(len(labels)), label.to_numpy())
    return steps, rows, np.moveaxis(median(dense, axis=1), -1, 0), trained
