"""The activation that was seen in a user's model that never asks for `act`, recorded in place of the default."""

import json
from typing import Any

import pandas as pd

from initbench.config.registry import choices

SHIPPED = "initbench."  # where a shipped model is defined


def own_models(runs: pd.DataFrame) -> list[str]:
    """The models that are somebody's own and have one activation in all runs, by their names.

    Where several were asked for, the model is taken to use what it was given, and is told apart by it.
    """
    if "config" not in runs:
        return []
    first = runs.dropna(subset="config").drop_duplicates("model")
    own = [name for name, config in zip(first["model"], first["config"], strict=True) if _is_own(config)]
    acts = runs.groupby("model")["act"].agg(["nunique", "first"])
    return [name for name in own if acts.loc[name, "nunique"] == 1 and acts.loc[name, "first"] in choices("act")]


def _is_own(config: Any) -> bool:
    config = json.loads(config) if isinstance(config, str) else config
    return not str((config.get("model") or {}).get("_target_", SHIPPED)).startswith(SHIPPED)


def replaced(runs: pd.DataFrame, layers: pd.DataFrame) -> pd.DataFrame:
    """The runs of own models with what was seen as their `act`, where that is not what they were given.

    "tanh", or "relu + tanh" in the order of the layers; null where the layers have none. layers: run_id, layer and
    activation, null where it was not recorded at all. Only runs whose activation is to be looked at.
    """
    model_of: Any = dict(zip(runs["run_id"], runs["model"], strict=True))
    models = layers["run_id"].astype("str").map(model_of)
    for model, here in layers.groupby(models):
        mine = runs["model"] == model
        seen = list(dict.fromkeys(here.sort_values("layer")["activation"].dropna().astype("str")))
        if runs.loc[mine, "act"].iloc[0] not in seen:
            runs = runs.assign(act=runs["act"].mask(mine, " + ".join(seen) or None))
    return runs
