"""What was measured of the layers at some steps of training, as figures need it."""

import numpy as np
import pandas as pd

from initbench.analysis.contests import Contests
from initbench.analysis.layer_names import kind, readable
from initbench.report.figures.quantities import OVER_TIME, QUANTITIES

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
    kinds = named.assign(kind=named["name"].astype("str").map(kind).map(readable))
    return "".join(
        f" The layers of {name}, from the input on: {'; '.join(several)}."
        for name, here in kinds.groupby("model", sort=False)["kind"]
        if len(several := list(dict.fromkeys(here))) > 1
    )


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
