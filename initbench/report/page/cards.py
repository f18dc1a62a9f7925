"""One card per contest: the verdict, and how far each rival is behind the first."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from initbench.analysis.best_set import LEVEL
from initbench.analysis.contests import contest_key
from initbench.analysis.verdicts import ALONE, AT_CHANCE, CLEAR, NONE_LEARNED, ONE_SEED, OPEN, Verdict
from initbench.report.page.names import Names, link
from initbench.report.page.numbers import finite, interval, minus
from initbench.text import percent

RIVALS = 8  # that a card draws
FARTHEST = 0.2  # the greatest difference of scores on the scale of a card; greater ones get an arrow
STATES = {  # of a verdict: its mark, its tone, and what it means
    CLEAR: ("●", "sure", "only the winner may be the best"),
    OPEN: ("○", "open", "others may be the best as well"),
    AT_CHANCE: ("×", "lost", "on test data the first is no better than the best constant prediction"),
    ONE_SEED: ("○", "open", "one seed cannot tell luck from merit"),
    ALONE: ("", "open", "only one has runs"),
    NONE_LEARNED: ("×", "lost", "none learned"),
}


@dataclass(frozen=True)
class Rival:
    """One alternative against the best of the others, as a bar: positions in percent of the scale."""

    name: Markup
    text: str
    interval: Markup
    ruled_out: bool
    place: float | None  # None where there is no difference to draw
    low: float | None
    high: float | None
    beyond: bool  # farther than the scale


@dataclass(frozen=True)
class Card:
    """One contest."""

    id: str
    verdict: Verdict
    winner: Markup | None
    score: str  # the winner's mean
    chance: str  # the best constant prediction's; "" if unknown
    compared: str  # all others against the reference, if one was named
    others: list[str]  # labels beside the winner that may be the best
    rivals: list[Rival]
    more: int  # rivals that are not drawn
    zero: float  # where the scale has 0, in percent
    scale: str  # its ends: "−0.5 to 12.3 points"
    runs: str  # address
    pairs: str  # address

    @property
    def badge(self) -> Markup:
        return state_badge(self.verdict.state)

    @property
    def level(self) -> str:
        """ "95 %": the confidence of the bounds that are drawn"""
        return percent(LEVEL, 0)


def cards(verdicts: list[Verdict], names: Names, compared: Mapping[tuple[str, ...], str]) -> list[Card]:
    """One card per verdict, each with its own id. compared: by contest, all others against a reference."""
    taken: Counter[str] = Counter()
    found = []
    for verdict in verdicts:
        slug = "contest-" + re.sub(r"[^a-z0-9.]+", "-", verdict.title.lower()).strip("-")
        taken[slug] += 1
        said = compared.get(contest_key(verdict.contest, names.contests), "")
        found.append(_card(verdict, slug if taken[slug] == 1 else f"{slug}-{taken[slug]}", names, said))
    return found


def _card(verdict: Verdict, slug: str, names: Names, compared: str) -> Card:
    behind = verdict.contenders.iloc[1:] if verdict.winner else verdict.contenders.iloc[:0]
    behind = behind[(behind["same_as"] == "") & (behind["learned"] > 0)]
    rows = behind.head(RIVALS)
    low, high = _scale(rows)
    gap = verdict.measure.gap
    return Card(
        id=slug,
        verdict=verdict,
        winner=names.html(verdict.winner) if verdict.winner else None,
        score=verdict.measure.text(verdict.contenders["mean"].iloc[0]) if verdict.winner else "",
        chance=verdict.measure.text(verdict.chance) if finite(verdict.chance) else "",
        compared=compared,
        others=[label for label in verdict.may_be_best if label != verdict.winner],
        rivals=[_rival(row, low, high, verdict, names) for _, row in rows.iterrows()],
        more=len(behind) - len(rows),
        zero=100 * -low / (high - low),
        scale=minus(f"{gap(low)} to {gap(high)}"),
        runs=link("runs", verdict.contest),
        pairs=link("comparisons", verdict.contest),
    )


def state_badge(name: str) -> Markup:
    mark, tone, meaning = STATES[name]
    return Markup('<span class="state {}" title="{}">{} {}</span>').format(tone, meaning, mark, name)


def _scale(rows: pd.DataFrame) -> tuple[float, float]:
    """A little more than the bounds of the near rivals, with 0 inside: the far ones would squeeze them."""
    near = rows[rows["behind"] <= FARTHEST]
    ends = [value for name in ("behind", "low", "high") for value in near[name] if finite(value)]
    high = min(max([0.01, *ends]), FARTHEST) if len(near) else FARTHEST
    low = max(min([0.0, *ends]), -high)
    return low - 0.06 * (high - low), high + 0.06 * (high - low)


def _rival(row: pd.Series, low: float, high: float, verdict: Verdict, names: Names) -> Rival:
    def place(value: float) -> float:
        return round(100 * (min(max(value, low), high) - low) / (high - low), 2)

    drawn, bounded = finite(row["behind"]), finite(row["low"]) and finite(row["high"])
    gap = verdict.measure.gap
    share = Markup("") if row["learned"] == row["runs"] else Markup(" ({} of {})").format(row["learned"], row["runs"])
    text = gap(row["behind"]) if drawn else f"{row['learned']} of {row['runs']} learned"
    return Rival(
        name=names.html(row["label"]) + share,
        text=text,
        interval=interval(row["low"], row["high"], lambda value: gap(value).split(" ")[0]),
        ruled_out=not row["may_be_best"],
        place=place(row["behind"]) if drawn else None,
        low=place(row["low"]) if bounded else None,
        high=place(row["high"]) if bounded else None,
        beyond=drawn and row["behind"] > high,
    )
