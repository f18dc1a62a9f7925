"""What the results look like: every figure of a report, each a function of the runs in their contests.

In most figures a panel is one contest (an activation, a depth, and what else varies); an initializer has its colour
in all of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import matplotlib
import pandas as pd

from initbench.analysis.axes import value_text
from initbench.analysis.contests import Contests
from initbench.analysis.mitigations import MitigationEffects
from initbench.report.figures import curves, layers, mitigations, outcomes, seeds
from initbench.report.figures.layout import MOST, Drawing, Styled, save, svg
from initbench.report.figures.style import INK, MUTED, RULE, STYLE
from initbench.text import join_words

__all__ = ["INK", "MUTED", "RULE", "Drawing", "Styled", "drawings", "save", "svg"]


def drawings(
    contests: Contests, comparisons: pd.DataFrame | None = None, rescues: Sequence[MitigationEffects] = ()
) -> Iterator[Drawing]:
    """Every figure that the results have something for, in a report's order.

    comparisons: the pairs of initializers (`verdict.comparisons`); without them there is no figure of margins.
    rescues: what each mitigation does (`mitigations.rescues`), a heatmap each.
    """
    with matplotlib.rc_context(STYLE):
        made = list(_drawings(Styled.of(contests), comparisons, rescues))
    yield from made


def _drawings(
    contests: Styled, comparisons: pd.DataFrame | None, rescues: Sequence[MitigationEffects]
) -> Iterator[Drawing]:
    if contests.done.empty:
        return
    yield from mitigations.drawings(contests, rescues)
    contests, left_out = _with_the_best(contests, rescues)
    yield from (replace(each, caption=each.caption + left_out) for each in _of(contests, comparisons))


def _with_the_best(contests: Styled, rescues: Sequence[MitigationEffects]) -> tuple[Styled, str]:
    """The runs of those mitigations that rescue most, so few that every contest has a panel; a sentence on the others.

    All runs where all have room, or nothing is rescued.
    """
    if not rescues or len(contests) <= MOST:
        return contests, ""
    best = rescues[0]
    room = max(1, MOST // contests.runs.groupby(contests.without(best.axis), dropna=False).ngroups)
    shown = [best.baseline, *best.values][: max(2, room)]
    kept = contests.runs[best.axis].map(value_text).isin(shown)
    words = f" Of {len(best.values) + 1} values of {best.axis} {join_words(shown)} are shown: `--where` chooses others."
    return contests.where(kept), words


def _of(contests: Styled, comparisons: pd.DataFrame | None) -> Iterator[Drawing]:
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
