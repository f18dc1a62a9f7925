"""The cells of two folders: what each came to before and after, paired by seed, and the verdict."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from initbench.analysis import stats
from initbench.analysis.axes import contest_axes
from initbench.analysis.cells import FINISHED, is_done
from initbench.analysis.comparisons import ALPHA, LEVEL


def numbered(runs: pd.DataFrame, axes: list[str]) -> pd.Series:
    """The number of each run's cell, counted from 0 as they appear."""
    return runs.groupby(axes, dropna=False, sort=False).ngroup() if axes else pd.Series(0, index=runs.index)


def matched_cells(runs: pd.DataFrame, axes: list[str]) -> pd.DataFrame:
    """One row per cell that is in both folders. runs: columns `cell`, `folder`, `seed`, `score`, outcomes and axes."""
    pairs = list(_pairs(runs, contest_axes(axes)))
    adjusted = stats.holm([pair.p for pair in pairs])
    told = [
        {"p_adjusted": p, "verdict": _verdict(pair, p, len(pairs))} for pair, p in zip(pairs, adjusted, strict=True)
    ]
    statistics = pd.DataFrame([pair.columns() | row for pair, row in zip(pairs, told, strict=True)])
    first = runs.drop_duplicates("cell")[axes].reset_index(drop=True).infer_objects()
    return pd.concat([first, _outcomes(runs), statistics], axis="columns")


def _pairs(runs: pd.DataFrame, contests: list[str]) -> Iterator[stats.Paired]:
    """What the seeds say of each cell, after against before; runs of a contest stand together (`folders._in_order`)."""
    scores = runs.pivot(index=["cell", "folder"], columns="seed", values="score")
    before, after = (scores.xs(place, level="folder").to_numpy() for place in ("before", "after"))
    cells = runs.drop_duplicates("cell").reset_index(drop=True)
    for _, contest in cells.groupby(numbered(cells, contests)):
        here = contest.index.to_numpy()
        seed_effect = stats.largest_seed_effect(np.vstack([before[here], after[here]]))
        yield from (
            stats.paired(b, a, LEVEL, seed_effect=seed_effect) for a, b in zip(before[here], after[here], strict=True)
        )


def _outcomes(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs of each outcome and the median accuracy of each cell, before and after."""
    done = is_done(runs)
    cells = [runs["cell"], runs["folder"]]
    found = {fate: (done & (runs["outcome"] == fate)).groupby(cells).sum().unstack("folder") for fate in FINISHED}
    median = runs["score"].groupby(cells).median().unstack("folder")  # -inf where it falls on a diverged run
    found["test_acc"] = median.where(np.isfinite(median))
    return pd.DataFrame(
        {f"{name}_{place}": values[place].to_numpy() for place in ("before", "after") for name, values in found.items()}
    )


def _verdict(pair: stats.Paired, p_adjusted: float, cells: int) -> str:
    """One of VERDICTS; "cannot be told" where so few pairs would not resolve even the clearest difference."""
    if p_adjusted <= ALPHA:
        gain = pair.improvement.value - 0.5 if math.isnan(pair.difference.value) else pair.difference.value
        return "better" if gain > 0 else "worse"
    lowest_sign = pair.test == "sign" and 2.0 ** (1 - pair.pairs) * cells > ALPHA
    lowest_t = pair.test == "paired t" and pair.p == stats.p_floor_bimodal(pair.pairs)
    return "cannot be told" if pair.pairs < 2 or lowest_sign or lowest_t else "not distinguishable"


def unmatched_cells(runs: pd.DataFrame, axes: list[str]) -> pd.DataFrame:
    """One row per cell that only one folder has: its axes, the folder, how many runs."""
    counts = runs["cell"].value_counts()
    first = runs.drop_duplicates("cell")
    return first[[*axes, "folder"]].assign(runs=first["cell"].map(counts)).reset_index(drop=True).infer_objects()
