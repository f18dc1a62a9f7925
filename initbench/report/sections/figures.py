"""The figures of all contests, in groups: what came out before how it came about."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd
from markupsafe import Markup

from initbench.analysis.contests import Contests
from initbench.analysis.measure import ERROR
from initbench.analysis.mitigations import MitigationEffects
from initbench.report.figures.drawing import Drawing
from initbench.report.figures.gradient_norms import gradient_norms
from initbench.report.figures.layers import heatmap, over_time
from initbench.report.figures.learning_rate import learning_rate
from initbench.report.figures.loss_curves import loss_curves
from initbench.report.figures.margins import margins
from initbench.report.figures.outcomes import outcomes
from initbench.report.figures.profiles import profiles
from initbench.report.figures.quantities import QUANTITIES
from initbench.report.figures.seeds import seeds
from initbench.report.figures.styled import StyledContests
from initbench.report.figures.trainable_depth import trainable_depth
from initbench.report.page.page import Page
from initbench.report.sections.section import Section

Figure = Callable[[StyledContests], Drawing | None]
SCORED: tuple[Figure, ...] = (outcomes, learning_rate, margins, seeds, profiles)  # have a scale of accuracies or errors


@dataclass(frozen=True)
class FigureGroup:
    """Figures under one heading."""

    name: str  # the address of the heading on the page
    heading: str
    figures: list[Figure]


GROUPS = [
    FigureGroup("outcomes", "Outcomes", [outcomes, trainable_depth, learning_rate]),
    FigureGroup("seeds", "Seeds", [margins, seeds]),
    FigureGroup("pooled", "All contests together", [profiles]),
    FigureGroup("curves", "Training", [loss_curves]),
    FigureGroup(
        "layers",
        "Layers",
        [gradient_norms, *(partial(heatmap, quantity=quantity) for quantity in QUANTITIES), over_time],
    ),
]


def drawings(contests: Contests, ranking: pd.DataFrame, rescues: Sequence[MitigationEffects] = ()) -> list[Drawing]:
    """The figures that the results have something for, in the order of the page.

    ranking: the `contenders`; without several in a contest there is no figure of margins. rescues: what each
    mitigation does; where not all mitigations have room, the most useful ones are drawn.
    """
    if contests.done.empty:
        return []
    styled = StyledContests.of(contests, ranking=ranking).with_best_of(rescues)
    return [
        replace(drawing, caption=drawing.caption + styled.not_shown, group=group.name)
        for group in GROUPS
        for figure in group.figures
        for drawing in _drawn(figure, styled)
    ]


def _drawn(figure: Figure, contests: StyledContests) -> Iterator[Drawing]:
    """A figure; where some runs predict labels and others numbers, one of each if it has a scale of scores."""
    parts = contests.by_measure() if figure in SCORED else [contests]
    for part in parts:
        if (drawing := figure(part)) is not None:
            numbers = len(parts) > 1 and part.measure is ERROR
            yield replace(drawing, name=f"{drawing.name}_of_numbers") if numbers else drawing


def _groups(drawn: Sequence[Drawing]) -> list[FigureGroup]:
    """The groups that have figures."""
    return [group for group in GROUPS if any(drawing.group == group.name for drawing in drawn)]


def _html(page: Page) -> Markup | None:
    drawn = page.report.drawings.get("figures", [])
    groups = [
        (group.name, group.heading, [page.figure(each) for each in drawn if each.group == group.name])
        for group in _groups(drawn)
    ]
    return page.render("figures", groups=groups) if groups else None


SECTION = Section(
    name="figures",
    title="Figures",
    draw=lambda report: drawings(report.contests, report.ranking, report.rescues),
    html=_html,
    entries=lambda report: {group.name: group.heading for group in _groups(report.drawings.get("figures", []))},
)
