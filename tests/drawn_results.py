"""Results of a few runs, their figures, and what is seen in them."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from initbench.analysis.contenders import contenders
from initbench.analysis.contests import Contests
from initbench.report.figures.drawing import Drawing
from initbench.report.figures.style import STYLE
from initbench.report.sections.figures import drawings
from initbench.results.load import Results, load
from initbench.results.schema import OUTCOME_TYPES
from initbench.results.store import Store
from results_on_disk import curves_of, finished, joined, row


def results_of(root: Path, *runs: dict, **layer_columns) -> Results:
    """Results with these runs trained; layer_columns: functions of (seed, step, layer) that replace metrics."""
    store = Store(root)
    store.save_sweep("demo", info={}, runs=[{k: v for k, v in run.items() if k not in OUTCOME_TYPES} for run in runs])
    measured = [curves_of(run, np.random.default_rng(0), 0.9) for run in runs]
    for run, curve in zip(runs, measured, strict=True):
        for name, value in layer_columns.items():
            curve["layers"][name] = value(run["seed"], curve["layers"]["step"], curve["layers"]["layer"])
    store.save_stack("ab", runs=list(runs), **joined(measured), info={})
    return load(root)


def cell(init: str, *values: float | None, **settings) -> list[dict]:
    """Runs whose seeds got these accuracies: learned from 0.5 on, below it stuck; None diverged."""
    return [
        finished(row(init, seed=seed, **settings), "diverged", diverged_step=45)
        if value is None
        else finished(row(init, seed=seed, **settings), "learned" if value >= 0.5 else "stuck", test_acc=value)
        for seed, value in enumerate(values)
    ]


def drawn(results: Results, *, compared: bool = False) -> dict[str, Drawing]:
    """The figures by name. compared: with the initializers' ranking, which one figure needs."""
    contests = Contests.of(results)
    with matplotlib.rc_context(STYLE):
        found = drawings(contests, contenders(contests) if compared else pd.DataFrame())
    return {drawing.name: drawing for drawing in found}


def panel(figure: Figure, title: str) -> Any:
    (ax,) = [ax for ax in figure.axes if ax.get_title(loc="left") == title]
    return ax


def labels_in(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def titles_of(figure: Figure) -> list[str]:
    return [title for ax in figure.axes if (title := ax.get_title(loc="left"))]
