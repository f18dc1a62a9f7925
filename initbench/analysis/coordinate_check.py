"""The coordinate check of Yang et al. 2021: how far the first steps move a network's layers, as its width grows."""

from numbers import Integral

import numpy as np
import pandas as pd

from initbench.analysis.axes import value_text
from initbench.analysis.probe import ProbedCells
from initbench.text import rough

PLACES = ("first hidden layer", "last hidden layer", "output")
KEYS = ["setting", "place", "step"]


def moved_by_width(probed: ProbedCells) -> pd.DataFrame:
    """One row per setting, place, step and width: `moved` and `moved_se`, where a setting has two widths at least.

    setting: the values of all axes but the width. place: one of PLACES; of a single hidden layer the first alone.
    """
    axes = [axis for axis in probed.axes if axis != "width"]
    if "width" not in probed.axes:
        return pd.DataFrame(columns=[*KEYS, "width", "moved", "moved_se"])
    cells = probed.cells[probed.cells["width"].map(lambda width: isinstance(width, Integral))]
    shown = [axis for axis in axes if axis == "init" or probed.cells[axis].nunique(dropna=False) > 1]
    settings = cells[shown].map(value_text).agg(", ".join, axis=1)
    moves = probed.moves if len(probed.moves) else probed.layers.assign(step=1)
    moves = moves[moves["cell"].isin(cells.index)]
    last = moves.groupby("cell")["layer"].transform("max")
    places = [moves["layer"] == last, moves["layer"] == 0, moves["layer"] == last - 1]
    place = np.select(places, [PLACES[2], PLACES[0], PLACES[1]], "")
    rows = moves.assign(
        place=place, setting=moves["cell"].map(settings), width=moves["cell"].map(cells["width"]).astype("int64")
    )
    rows = rows[rows["place"] != ""]
    several = rows.groupby("setting")["width"].transform("nunique") > 1
    return rows.loc[several, [*KEYS, "width", "moved", "moved_se"]].sort_values("width", kind="stable")


def width_exponents(moved: pd.DataFrame) -> pd.DataFrame:
    """One row per setting, place and step: `exponent` e, where the movement goes as width^e, by least squares of logs.

    0: the width makes no difference, as a learning rate that is to suit all widths needs. NaN where something did not
    move, or is not finite. moved: as `moved_by_width` has it.
    """

    def of(rows: pd.DataFrame) -> float:
        values = rows["moved"].to_numpy("float64")
        if not (np.isfinite(values) & (values > 0)).all():
            return float("nan")
        return float(np.polyfit(np.log(rows["width"].to_numpy("float64")), np.log(values), 1)[0])

    found = [
        dict(zip(KEYS, key, strict=True)) | {"exponent": of(rows)} for key, rows in moved.groupby(KEYS, sort=False)
    ]
    return pd.DataFrame(found, columns=[*KEYS, "exponent"])


def sentences(moved: pd.DataFrame) -> list[str]:
    """One per setting: how the movement of its outputs in all steps goes with the width, in numbers."""
    found = []
    exponents = width_exponents(moved).set_index(KEYS)["exponent"]
    for setting, rows in moved[moved["place"] == "output"].groupby("setting", sort=False):
        step = rows["step"].max()
        ends = rows[rows["step"] == step]
        first, last = ends.iloc[0], ends.iloc[-1]
        steps = "1 step" if step == 1 else f"{step} steps"
        power = exponents[setting, "output", step]
        law = "" if np.isnan(power) else f", about as width^{power:.2f}"
        found.append(
            f"{setting}: {steps} move the outputs by {rough(first['moved'])} at width {first['width']} and by "
            f"{rough(last['moved'])} at width {last['width']}{law}"
        )
    return found
