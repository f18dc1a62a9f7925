"""One card per contest: the verdict, and how far each rival is behind the winner."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from initbench.analysis.contests import contest_key
from initbench.analysis.verdicts import Verdict
from initbench.report.page.names import Names, link
from initbench.report.page.numbers import finite, hundredths, interval, minus, signed

RIVALS = 8  # that a card draws
FARTHEST = 0.2  # the greatest difference of accuracies on the scale of a card; greater ones get an arrow
PARTLY_SURE = "beyond noise among those that learned; a test cannot tell all others apart"
STATES = {  # how sure a verdict is: its mark, its tone, and what it means
    "beyond noise": ("●", "sure", "the winner is ahead of every rival, beyond noise"),
    "ahead of all that learned": ("◐", "sure", PARTLY_SURE),
    "the only one to learn": ("◐", "sure", PARTLY_SURE),
    "within noise": ("○", "open", "too close to call: noise could explain the lead over a rival that learned"),
    "no rival": ("", "open", "only one initializer has runs"),
    "no winner": ("×", "lost", "no initializer learned"),
}


@dataclass(frozen=True)
class Rival:
    """One comparison with the winner, as a bar: positions in percent of the scale."""

    name: Markup
    text: str
    interval: Markup
    resolved: bool
    place: float | None  # None where there is no difference to draw
    low: float | None
    high: float | None
    beyond: bool  # farther than the scale


@dataclass(frozen=True)
class Card:
    """One contest."""

    id: str
    verdict: Verdict
    state: str  # a key of STATES
    winner: Markup | None  # those that tie
    accuracy: float | None  # the winner's median
    rivals: list[Rival]
    more: int  # rivals that are not drawn
    zero: float  # where the scale has 0, in percent
    scale: str  # its ends in percentage points: "−0.5 to 12.3"
    runs: str  # address
    pairs: str  # address

    @property
    def badge(self) -> Markup:
        return state_badge(self.state)


def cards(verdicts: list[Verdict], summary: pd.DataFrame, names: Names) -> list[Card]:
    """One card per verdict, each with its own id."""
    cells: dict[tuple[str, ...], dict[str, dict[Any, Any]]] = {}
    for cell in summary.to_dict("records"):
        cells.setdefault(contest_key(cell, names.contests), {})[names.label(cell)] = cell
    taken: Counter[str] = Counter()
    found = []
    for verdict in verdicts:
        slug = "contest-" + re.sub(r"[^a-z0-9.]+", "-", verdict.title.lower()).strip("-")
        taken[slug] += 1
        here = cells[contest_key(verdict.contest, names.contests)]
        found.append(_card(verdict, slug if taken[slug] == 1 else f"{slug}-{taken[slug]}", here, names))
    return found


def _card(verdict: Verdict, slug: str, cells: dict[str, dict[Any, Any]], names: Names) -> Card:
    """cells: those of the contest, by label."""
    pairs = verdict.comparisons.head(RIVALS).to_dict("records")
    low, high = _scale(pairs)
    winner = names.html(verdict.winner) if verdict.winner else None
    if verdict.tied:
        tied = Markup(" ").join(map(names.html, verdict.tied))
        winner = Markup('<span>{} <span class="interval">tie</span></span>').format(tied)
    return Card(
        id=slug,
        verdict=verdict,
        state=state(verdict, {label for label, cell in cells.items() if cell["learned"]}),
        winner=winner,
        accuracy=cells[verdict.winner]["test_acc_median"] if verdict.winner else None,
        rivals=[_rival(pair, low, high, names) for pair in pairs],
        more=len(verdict.comparisons) - len(pairs),
        zero=100 * -low / (high - low),
        scale=minus(f"{100 * low:.1f} to {100 * high:.1f}"),
        runs=link("runs", verdict.contest),
        pairs=link("comparisons", verdict.contest),
    )


def state(verdict: Verdict, learners: set[str]) -> str:
    """Which of STATES a verdict is in. learners: the initializers that learned at least once."""
    if not verdict.winner:
        return "no winner"
    if verdict.comparisons.empty:
        return "no rival"
    if verdict.unresolved:
        return "within noise"
    if verdict.comparisons["resolved"].all():
        return "beyond noise"
    return "the only one to learn" if learners == {verdict.winner} else "ahead of all that learned"


def state_badge(name: str) -> Markup:
    mark, tone, meaning = STATES[name]
    return Markup('<span class="state {}" title="{}">{} {}</span>').format(tone, meaning, mark, name)


def _scale(pairs: list[dict[str, Any]]) -> tuple[float, float]:
    """A little more than the intervals of the near rivals, with 0 inside: the far ones would squeeze them."""
    near = [pair for pair in pairs if finite(pair["difference"]) and pair["difference"] <= FARTHEST]
    ends = [pair[name] for pair in near for name in ("difference", "low", "high") if finite(pair[name])]
    high = min(max([0.01, *ends]), FARTHEST) if near else FARTHEST
    low = max(min([0.0, *ends]), -high)
    return low - 0.06 * (high - low), high + 0.06 * (high - low)


def _rival(pair: dict[str, Any], low: float, high: float, names: Names) -> Rival:
    def place(value: float) -> float:
        return round(100 * (min(max(value, low), high) - low) / (high - low), 2)

    drawn, bounded = finite(pair["difference"]), finite(pair["low"]) and finite(pair["high"])
    return Rival(
        name=names.html(pair["label_b"]),
        text=signed(pair["difference"]) if drawn else ("diverged" if pair["pairs"] else "no pair"),
        interval=interval(pair["low"], pair["high"], hundredths()),
        resolved=bool(pair["resolved"]),
        place=place(pair["difference"]) if drawn else None,
        low=place(pair["low"]) if bounded else None,
        high=place(pair["high"]) if bounded else None,
        beyond=drawn and pair["difference"] > high,
    )
