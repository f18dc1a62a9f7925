"""The input of every figure: the runs of a report in their contests, with colours, and what else figures show."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Self

import pandas as pd
from matplotlib.lines import Line2D

from initbench.analysis.axes import value_text
from initbench.analysis.contests import Contests
from initbench.analysis.mitigations import MitigationEffects
from initbench.report.figures import snapshots
from initbench.report.figures.sheet import MOST
from initbench.report.figures.snapshots import Tiles, tiles_of
from initbench.report.figures.style import Style, label_styles
from initbench.results.load import Results
from initbench.text import join_words


@dataclass(frozen=True)
class StyledContests(Contests):
    """Contests as figures need them."""

    ranking: pd.DataFrame = field(default_factory=pd.DataFrame)  # from `analysis.contenders.contenders`
    not_shown: str = ""  # a sentence on the runs that were left out so that the others have room

    @classmethod
    def of(cls, results: Results | Contests, over: str = "init", ranking: pd.DataFrame | None = None) -> Self:
        found = results if isinstance(results, Contests) else Contests.of(results, over)
        known = {each.name: getattr(found, each.name) for each in fields(Contests)}
        return cls(**known, ranking=pd.DataFrame() if ranking is None else ranking)

    @cached_property
    def styles(self) -> dict[str, Style]:
        """The colour, dashes and marker of each label, in the order of the legend."""
        return label_styles(self.runs, self.over)

    @property
    def handles(self) -> list[Line2D]:
        """The legend's entries of all labels."""
        return [style.handle(label) for label, style in self.styles.items()]

    @cached_property
    def layers(self) -> pd.DataFrame:
        """What was measured of the hidden layers: `snapshots.read_layers`."""
        return snapshots.read_layers(self)

    @cached_property
    def layer_names(self) -> str:
        """A sentence on what is numbered as a layer; empty where all layers are of one kind."""
        return snapshots.layer_names(self, self.layers)

    @cached_property
    def layer_tiles(self) -> tuple[list[Tiles], str]:
        """The medians over seeds of `layers`, and a sentence on the contests that are left out."""
        if self.layers.empty:
            return [], ""
        return tiles_of(self, list(self.styles), self.layers, snapshots.COLUMNS, "layer")

    def with_best_of(self, rescues: Sequence[MitigationEffects]) -> Self:
        """Only the runs of those mitigations that rescue most, so few that every contest has a panel.

        All runs where all have room, or where there are no mitigations.
        """
        if not rescues or len(self) <= MOST:
            return self
        best = rescues[0]
        room = max(1, MOST // self.runs.groupby(self.without(best.axis), dropna=False).ngroups)
        shown = [best.baseline, *best.values][: max(2, room)]
        kept = self.where(self.runs[best.axis].map(value_text).isin(shown))
        sentence = f" {len(shown)} of {len(best.values) + 1} values of {best.axis} are shown: {join_words(shown)}."
        return replace(kept, not_shown=f"{sentence} Choose others with `--where`.")
