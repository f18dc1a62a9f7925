"""What the results look like: every figure of a report, each a function of the runs in their contests.

In most figures a panel is one contest (an activation, a depth, and what else varies); an initializer has its colour
in all of them.
"""

from collections.abc import Iterator

import matplotlib
import pandas as pd

from initbench.report.figures import curves, layers, outcomes, seeds
from initbench.report.figures.layout import Contests, Drawing, save, svg
from initbench.report.figures.style import INK, MUTED, RULE, STYLE
from initbench.results import Results

__all__ = ["INK", "MUTED", "RULE", "Contests", "Drawing", "drawings", "save", "svg"]


def drawings(results: Results, comparisons: pd.DataFrame | None = None) -> Iterator[Drawing]:
    """Every figure that the results have something for, in a report's order.

    comparisons: the pairs of initializers (`verdict.comparisons`); without them there is no figure of margins.
    """
    with matplotlib.rc_context(STYLE):
        made = list(_drawings(results, comparisons))
    yield from made


def _drawings(results: Results, comparisons: pd.DataFrame | None) -> Iterator[Drawing]:
    contests = Contests.of(results)
    if contests.done.empty:
        return
    looks = layers.read_looks(contests)
    each = [
        outcomes.outcomes(contests),
        seeds.margins(contests, comparisons),
        seeds.seeds(contests),
        outcomes.trainable_depth(contests),
        outcomes.learning_rate(contests),
        seeds.profiles(contests),
        curves.loss_curves(contests),
        curves.gradient_norms(contests, looks, layers.layer_names(contests, looks)),
    ]
    yield from (drawing for drawing in each if drawing is not None)
    yield from layers.heatmaps(contests, looks)
    if (times := layers.over_time(contests, layers.read_times(contests))) is not None:
        yield times
