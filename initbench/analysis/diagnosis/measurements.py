"""What was measured of runs at the start, on the way and at the end: one row per run, one column per number."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from initbench import outcomes
from initbench.analysis.layer_names import readable, stage
from initbench.results.load import Results

BLOCK = 20  # steps whose mean loss is looked at: one minibatch says little

# Of hidden layers at step 0, unless the name says otherwise. First and last are along the depth, where layers beside or
# inside each other (`layer_names.stage`) count as one, the last of them. The output is the last layer's, the head's.
# Losses are in the unit of the run's task.
NUMBERS = {
    "input_mean": "mean of the training inputs before they were standardized",
    "input_std": "their deviation",
    "input_size": "root mean square of the inputs as the network sees them",
    "seen_mean": "mean of the training inputs as the network sees them",
    "seen_std": "their deviation",
    "seen_mean_max": "largest absolute mean of a feature",
    "seen_std_min": "smallest deviation of a feature that varies",
    "seen_std_median": "the median of these deviations",
    "seen_std_max": "the largest",
    "seen_constant": "share of the features that never vary",
    "seen_distinct": "different training inputs",
    "neighbour_agreement": "training examples whose most similar other has the same label",
    "neighbour_chance": "the same for two examples at random",
    "classes": "how many labels there are",
    "constant_loss": "loss of the best constant prediction",
    "train_majority": "accuracy on the training part of always predicting its commonest label",
    "majority_acc": "accuracy of the same prediction on the test part",
    "hidden_layers": "how many",
    "inequality": "largest unit_spread in parts of the activation's root mean square; 0 where all weights are 0",
    "least_inequality": "the same in the layer where it is smallest, of those that give any signal",
    "rectifying": "share of the activations that are off on one side of 0",
    "dead": "dead, in the worst layer; where activations are of both kinds, of those that rectify",
    "saturated": "saturated, in the worst layer; where activations are of both kinds, of those that do not rectify",
    "saturated_mean": "saturated, mean over the layers where it is not 0: a layer without activation is never flat",
    "grad_first": "pre_grad_norm in the first layer",
    "grad_last": "pre_grad_norm in the last hidden layer",
    "grad_ratio": "grad_first / grad_last",
    "grad_growth": "its factor per layer towards the input",
    "signal_first": "example_spread in the first layer",
    "signal_last": "example_spread in the last hidden layer",
    "signal_ratio": "signal_last / signal_first",
    "signal_growth": "its factor per layer towards the output",
    "size_ratio": "root mean square of the activation in the last hidden layer over that in the first",
    "output_spread": "example_spread of the output",
    "output_size": "root mean square of the output",
    "nonfinite": "entries that are NaN or infinite, of all layers",
    "update_ratio": "of the layer that changes most; null where all weights are 0",
    "largest_update": "update_ratio of any layer at any step that was looked at",
    "distance": "update_ratio times the steps, over 1 - momentum: how far the layer gets at its first pace",
    "first_loss": "training loss at step 0",
    "peak_loss": f"highest mean training loss of {BLOCK} steps",
    "third_quarter_loss": "mean training loss over the third quarter of the steps",
    "last_quarter_loss": "over the last",
    "fall_errors": "standard errors by which it fell between these",
    "train_loss": "at the end",
    "full_train_loss": "over the whole training part at the end",
    "train_acc": "accuracy there",
    "test_loss": "over the test part",
    "test_acc": "accuracy there",
    "gradient_kept": "norm of the gradient after clipping and the like over that before, median over the log steps",
    "diverged_step": "the step whose loss was not finite",
    "dead_at_end": "dead at the last log step, in the worst layer",
    "saturated_at_end": "saturated at the last log step, in the worst layer",
    "output_spread_at_end": "example_spread of the output at the last log step",
    "time_steps": "how many the first recurrent layer reads",
    "time_first": "pre_grad_norm of that layer at its first time step",
    "time_last": "at its last",
    "time_ratio": "time_first / time_last",
    "time_growth": "its factor per time step towards the first",
    "time_ratio_at_end": "time_ratio at the last log step",
}
NAMES = {
    "activation": "of the hidden layers, the commonest",
    "equal_layer": "which layer least_inequality is of",
    "first_layer": "which layer grad_first and signal_first are of",
    "last_layer": "which grad_last and signal_last are of",
    "recurrent_layer": "which time_first and time_last are of",
}
# Of a run's row; older results lack some.
_KNOWN = [
    *("input_mean", "input_std", "neighbour_agreement", "neighbour_chance", "classes"),
    *("constant_loss", "train_majority", "majority_acc", "train_loss", "full_train_loss", "train_acc"),
    *("test_loss", "test_acc", "diverged_step", *(name for name in NUMBERS if name.startswith("seen_"))),
]
_START = [
    *("layer", "pre_grad_norm", "act_mean", "act_var", "unit_spread", "example_spread"),
    *("dead", "saturated", "update_ratio", "nonfinite"),
]

_ACTIVATION = ("activation", "rectifies")  # older results have neither
_OVER_EXAMPLES = ("example_spread", "dead")  # of one example they say nothing


def measured(results: Results, chosen: pd.Series) -> pd.DataFrame:
    """NUMBERS and NAMES of the runs that are chosen (truths), in their order; NaN where a thing wasn't measured or
    can't be read.

    Losses are read of all runs, and kept: the report's figures need them too.
    """
    runs = results.runs[chosen].reset_index(drop=True)
    losses, results = results.losses, dataclasses.replace(results, runs=runs)
    known = runs.reindex(columns=_KNOWN).astype("float64")
    last = (setting(runs, "steps", 1) - 1) // setting(runs, "log_every", 1) * setting(runs, "log_every", 1)
    first, end = _first_and_last(results, "layers", _START, last)
    updates = setting(runs, "metrics", "update_ratio").astype("str").str.contains("update_ratio").to_numpy()
    parts = [known, _input(runs, known), _start(first, updates[first["run"]]), _end(end), _over_time(results, last)]
    whole = [_largest_update(results), _kept(results), _losses(losses, runs)]
    table = pd.concat([*parts, *whole], axis=1).reindex(runs.index)
    momentum = setting(runs, "optim.momentum", 0.0).astype("float64").fillna(0)
    table["distance"] = table["update_ratio"] * setting(runs, "steps", 1) / (1 - momentum)
    return table.reindex(columns=[*NUMBERS, *NAMES])


def at_birth(runs: pd.DataFrame, layers: pd.DataFrame, times: pd.DataFrame) -> pd.DataFrame:
    """The NUMBERS and NAMES of networks that were not trained, one row per run; NaN for what training would show.

    runs: their configuration and data, with `first_loss`. layers, times: as a training logs them at step 0.
    """
    runs = runs.reset_index(drop=True)
    known = runs.reindex(columns=_KNOWN).astype("float64")
    looks = _placed(layers, runs, _START)
    recorded = np.ones(len(looks), dtype=bool)
    over_time = _along_time(_placed(times, runs, ["layer", "time", "pre_grad_norm"]))
    table = pd.concat([known, _input(runs, known), _start(looks, recorded), over_time], axis=1).reindex(runs.index)
    return table.assign(first_loss=runs["first_loss"].astype("float64")).reindex(columns=[*NUMBERS, *NAMES])


def at_step_0(results: Results, chosen: pd.Series) -> pd.DataFrame:
    """`at_birth` of the runs that are chosen (truths), from what their training logged at step 0."""
    runs = results.runs[chosen].reset_index(drop=True)
    at_0 = [("step", "=", 0)]
    layers = results.read("layers", columns=["step", "name", *_ACTIVATION, *_START], filters=at_0)
    times = results.read("times", columns=["step", "name", "layer", "time", "pre_grad_norm"], filters=at_0)
    return at_birth(runs.assign(first_loss=_first_loss(results, runs)), layers, times)


def of_rows(results: Results, chosen: pd.Series) -> pd.DataFrame:
    """The NUMBERS and NAMES that the rows of runs and their first losses tell; NaN elsewhere: cheap for many runs."""
    runs = results.runs[chosen].reset_index(drop=True)
    known = runs.reindex(columns=_KNOWN).astype("float64")
    found = pd.concat([known, _input(runs, known)], axis=1)
    return found.assign(first_loss=_first_loss(results, runs)).reindex(columns=[*NUMBERS, *NAMES])


def _first_loss(results: Results, runs: pd.DataFrame) -> pd.Series:
    """The training loss of step 0."""
    losses = results.losses
    first = losses[losses["step"] == 0].drop_duplicates("run_id").set_index("run_id")["train_loss"]
    return runs["run_id"].map(first).astype("float64")


def setting(runs: pd.DataFrame, key: str, default: Any) -> pd.Series:
    """A configuration key of every run; where no run has it, the default."""
    return runs[key] if key in runs else pd.Series(default, index=runs.index)


def _first_and_last(
    results: Results, table: str, columns: list[str], last: pd.Series
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of step 0 and of each run's last look, sorted by run and layer. last: its step."""
    steps = sorted({0, *last.astype(int)})
    words = ["name", *(_ACTIVATION if table == "layers" else ())]
    looks = results.read(table, columns=["step", *words, *columns], filters=[("step", "in", steps)])
    looks = _placed(looks, results.runs, columns)
    return looks[looks["step"] == 0], looks[looks["step"].to_numpy() == last.to_numpy()[looks["run"]]]


def _placed(looks: pd.DataFrame, runs: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The rows of these runs, sorted by run, step and layer, with the position of their run as `run`."""
    looks = looks.assign(run=_positions(looks["run_id"], runs)).query("run >= 0")
    looks = looks.sort_values(["run", "step", "layer"], kind="stable").astype(dict.fromkeys(columns, "float64"))
    alone = (setting(runs, "batch_size", 2) == 1).to_numpy()[looks["run"]]
    return looks.assign(**{name: looks[name].mask(alone) for name in _OVER_EXAMPLES if name in columns})


def _positions(ids: pd.Series, runs: pd.DataFrame) -> np.ndarray:
    """Each row's run as its position among the runs, -1 where it isn't there."""
    ids = ids.astype("category")
    places = pd.Index(runs["run_id"]).get_indexer(ids.cat.categories)
    return places[ids.cat.codes] if len(ids) else np.empty(0, dtype=int)


def _input(runs: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """The root mean square of the inputs as the network sees them.

    Older results have only the numbers before standardization, and not what `data.scale` and `data.spread` did.
    """
    raw = setting(runs, "data.standardize", "global") == "none"
    size = np.hypot(known["input_mean"], known["input_std"])
    of_old_results = size.where(raw | size.isna(), 1.0)
    return pd.DataFrame({"input_size": np.hypot(known["seen_mean"], known["seen_std"]).fillna(of_old_results)})


def _start(looks: pd.DataFrame, recorded: np.ndarray) -> pd.DataFrame:
    """The layers before the first update, one row per run; `looks` are sorted by run and layer.

    recorded: whether `update_ratio` was measured in the row's run.
    """
    size = np.hypot(looks["act_mean"], np.sqrt(looks["act_var"]))
    looks = looks.assign(size=size, inequality=_inequality(looks, size, recorded))
    hidden, output = _hidden_and_output(looks)
    hidden, rectifying = _flat_by_kind(hidden)
    layers, everything, stages = hidden.groupby("run"), looks.groupby("run"), _stages(hidden)
    grad_first, grad_last, grad_growth = _along(stages, "pre_grad_norm", "place")
    size_first, size_last, _ = _along(stages, "size", "place")
    signal_first, signal_last, signal_growth = _along(stages, "example_spread", "place")
    names = stages.groupby("run")["name"]
    # Of what is the same for every example, as behind a layer that is off, units are equal without being symmetric.
    signal = hidden[(hidden["size"] > 0) & (hidden["example_spread"] != 0)]
    equal = signal.sort_values("inequality", kind="stable").groupby("run").first()
    return pd.DataFrame(
        {
            "activation": _commonest(hidden["activation"].astype("object"), hidden["run"]),
            "rectifying": rectifying,
            "hidden_layers": names.size().astype("float64"),
            "inequality": layers["inequality"].max(),
            "least_inequality": equal["inequality"],
            "equal_layer": equal["name"].astype("object").map(readable, na_action="ignore"),
            "dead": layers["dead"].max(),
            "saturated": layers["saturated"].max(),
            "saturated_mean": _mean_above_0(hidden, "saturated"),
            "grad_first": grad_first,
            "grad_last": grad_last,
            "grad_ratio": grad_first / grad_last,
            "grad_growth": 1 / grad_growth,
            "signal_first": signal_first,
            "signal_last": signal_last,
            "signal_ratio": signal_last / signal_first,
            "signal_growth": signal_growth,
            "size_ratio": size_last / size_first,
            "output_spread": output["example_spread"],
            "output_size": output["size"],
            "nonfinite": everything["nonfinite"].sum(min_count=1),
            "update_ratio": everything["update_ratio"].max(),
            "first_layer": names.first().map(readable, na_action="ignore"),
            "last_layer": names.last().map(readable, na_action="ignore"),
        }
    )


def _stages(hidden: pd.DataFrame) -> pd.DataFrame:
    """The last layer of each stage, with its place along the depth: stages are in the order of their first layers."""
    names = hidden["name"].astype("object")
    where = names.map({name: stage(name) for name in names.dropna().unique()}).fillna(hidden["layer"])
    alike = [hidden["run"], where]
    first = hidden["layer"].groupby(alike).transform("min")
    stages = hidden.assign(name=names, first=first)[~pd.DataFrame(dict(enumerate(alike))).duplicated(keep="last")]
    stages = stages.sort_values(["run", "first"], kind="stable")
    return stages.assign(place=stages.groupby("run").cumcount())


def _mean_above_0(hidden: pd.DataFrame, column: str) -> pd.Series:
    """The mean over the layers where the column is above 0, one row per run; 0 where it is 0 in all of them."""
    there = hidden[column].mask(hidden[column] == 0).groupby(hidden["run"]).mean()
    return there.fillna(hidden.groupby("run")[column].max())


def _inequality(looks: pd.DataFrame, size: pd.Series, recorded: np.ndarray) -> pd.Series:
    """How far units differ, in parts of their size: 0 where all weights are 0.

    NaN where every unit is flat: units that are off, or saturated to the last digit, look equal and are not.
    """
    weightless = looks["update_ratio"].isna() & (looks["nonfinite"] == 0) & recorded
    silent = (size == 0) & (weightless | (looks["dead"] < 1))
    flat = (looks["dead"] == 1) & ~weightless
    return (looks["unit_spread"] / size).mask(np.isinf(size) | flat).mask(silent, 0.0)


def _hidden_and_output(looks: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of hidden layers, and those of each run's last layer with the run as their index."""
    output = ~looks["run"].duplicated(keep="last")
    return looks[~output], looks[output].set_index("run")


def _flat_by_kind(hidden: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Where a run has activations of both kinds, `dead` of those that rectify and `saturated` of the others alone.

    And the share of each run's activations that rectify.
    """
    rectifies = hidden["rectifies"].astype("boolean").astype("float64")
    share = rectifies.groupby(hidden["run"]).mean()
    mixed = hidden["run"].map(share).between(0, 1, inclusive="neither")
    dead, saturated = hidden["dead"].mask(mixed & (rectifies == 0)), hidden["saturated"].mask(mixed & (rectifies == 1))
    return hidden.assign(dead=dead, saturated=saturated), share


def _commonest(words: pd.Series, runs: pd.Series) -> pd.Series:
    """The commonest word of each run, of equals the first."""
    counts = words.groupby([runs, words], sort=False).size().reset_index(name="count")
    first = counts.sort_values("count", ascending=False, kind="stable").drop_duplicates(runs.name)
    return first.set_index(runs.name)[words.name]


def _along(rows: pd.DataFrame, column: str, place: str) -> tuple[pd.Series, pd.Series, pd.Series]:
    """A column at the first and at the last place (a layer, a time step), and its factor per place between.

    One row per run. What is NaN is taken from the nearest place where it isn't. The factor is between places with
    finite numbers above 0: a gradient too small for float32 is 0 in the first ones.
    """
    ends = rows.groupby("run")[column]
    there = rows[(rows[column] > 0) & np.isfinite(rows[column])].groupby("run")[[column, place]]
    first, last = there.first(), there.last()
    places = (last[place] - first[place]).where(lambda places: places > 0)
    return ends.first(), ends.last(), (last[column] / first[column]) ** (1 / places)


def _end(looks: pd.DataFrame) -> pd.DataFrame:
    """The layers at the last log step, one row per run."""
    hidden, output = _hidden_and_output(looks)
    layers = _flat_by_kind(hidden)[0].groupby("run")
    return pd.DataFrame(
        {
            "dead_at_end": layers["dead"].max(),
            "saturated_at_end": layers["saturated"].max(),
            "output_spread_at_end": output["example_spread"],
        }
    )


def _over_time(results: Results, last: pd.Series) -> pd.DataFrame:
    """Gradients over the time steps of each run's first recurrent layer, one row per run that has one."""
    looks = _first_and_last(results, "times", ["layer", "time", "pre_grad_norm"], last)
    start, end = map(_along_time, looks)
    return start.assign(time_ratio_at_end=end["time_ratio"])


def _along_time(looks: pd.DataFrame) -> pd.DataFrame:
    """The same at one log step; `looks` are the rows of its recurrent layers."""
    looks = looks[looks["layer"] == looks.groupby("run")["layer"].transform("min")].sort_values(["run", "time"])
    first, last, growth = _along(looks, "pre_grad_norm", "time")
    return pd.DataFrame(
        {
            "time_steps": looks.groupby("run").size().astype("float64"),
            "time_first": first,
            "time_last": last,
            "time_ratio": first / last,
            "time_growth": 1 / growth,
            "recurrent_layer": looks["name"]
            .astype("object")
            .groupby(looks["run"])
            .first()
            .map(readable, na_action="ignore"),
        }
    )


def _largest_update(results: Results) -> pd.Series:
    rows = results.read("layers", columns=["update_ratio"])
    run, ratio = _positions(rows["run_id"], results.runs), rows["update_ratio"].to_numpy(dtype="float64")
    largest = np.full(len(results.runs) + 1, np.nan)  # the last is for rows of other runs
    np.fmax.at(largest, run, ratio)
    return pd.Series(largest[:-1], name="largest_update")


def _kept(results: Results) -> pd.Series:
    rows = results.read("gradients", columns=["norm", "treated_norm"]).astype({"norm": float, "treated_norm": float})
    kept = (rows["treated_norm"] / rows["norm"]).groupby(_positions(rows["run_id"], results.runs)).median()
    return kept.drop(-1, errors="ignore").rename("gradient_kept")


def _losses(losses: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """What the training losses did, one row per run that has any."""
    run, step = _positions(losses["run_id"], runs), losses["step"].to_numpy(dtype="int64")
    wanted = run >= 0
    run, step, loss = run[wanted], step[wanted], losses["train_loss"].to_numpy(dtype="float64")[wanted]
    if not len(run):
        return pd.DataFrame()
    order = np.lexsort((step, run))
    run, step, loss = run[order], step[order], loss[order]
    starts = np.flatnonzero(np.r_[True, run[1:] != run[:-1]])
    counts = np.diff(np.r_[starts, len(loss)])
    blocks = np.flatnonzero(np.r_[True, (run[1:] != run[:-1]) | (step[1:] // BLOCK != step[:-1] // BLOCK)])
    means = np.add.reduceat(loss, blocks) / np.diff(np.r_[blocks, len(loss)])
    mean, error = outcomes.quarters(loss, starts, counts)
    return pd.DataFrame(
        {
            "first_loss": np.where(step[starts] == 0, loss[starts], np.nan),
            "peak_loss": np.maximum.reduceat(means, np.searchsorted(blocks, starts)),
            **outcomes.fall(mean, error),
        },
        index=run[starts],
    )
