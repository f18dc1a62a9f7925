"""The verdicts as the page shows them: the headline, a map of the winners, a card a contest, a table of them all."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup

from initbench.analysis.axes import value_text
from initbench.analysis.contests import contest_key, contest_title
from initbench.report.page.listing import (
    HtmlCell,
    HtmlColumn,
    Listing,
    Names,
    accuracy,
    axis,
    axis_column,
    chips,
    finite,
    hundredths,
    interval,
    link,
    signed,
)
from initbench.text import join_words

if TYPE_CHECKING:
    from initbench.analysis.verdicts import Verdict

RIVALS = 8  # drawn in a card
FARTHEST = 0.2  # difference of accuracies that a card's scale may reach to; what is farther gets an arrow
FEW_CONTESTS = 12  # as many have their cards open
MOST_COLUMNS = 12  # of the map of winners
STATES = {  # how sure a verdict is: its mark, its tone, and what it means
    "beyond noise": ("●", "sure", "the winner is told apart from every rival"),
    "ahead of all that learned": ("◐", "sure", "rivals that never learned are not all told apart by a test"),
    "the only one to learn": ("◐", "sure", "rivals that never learned are not all told apart by a test"),
    "within noise": ("○", "open", "a rival that learned is not told apart from the winner"),
    "no rival": ("", "open", "one initializer has runs"),
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
    verdict: "Verdict"
    state: str  # a key of STATES
    winner: Markup | None  # those that tie
    accuracy: float | None  # the winner's median
    rivals: list[Rival]
    more: int  # rivals that are not drawn
    zero: float  # where the scale has 0, in percent
    runs: str  # address
    pairs: str  # address


def cards(verdicts: "list[Verdict]", summary: pd.DataFrame, names: Names) -> list[Card]:
    """A card a verdict, with an id of its own."""
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


def _card(verdict: "Verdict", slug: str, cells: dict[str, dict[Any, Any]], names: Names) -> Card:
    """cells: those of the contest, by label."""
    pairs = verdict.comparisons.head(RIVALS).to_dict("records")
    low, high = _scale(pairs)
    return Card(
        id=slug,
        verdict=verdict,
        state=state(verdict, {label for label, cell in cells.items() if cell["learned"]}),
        winner=_winners(verdict, names),
        accuracy=cells[verdict.winner]["test_acc_median"] if verdict.winner else None,
        rivals=[_rival(pair, low, high, names) for pair in pairs],
        more=len(verdict.comparisons) - len(pairs),
        zero=100 * -low / (high - low),
        runs=link("runs", verdict.contest),
        pairs=link("comparisons", verdict.contest),
    )


def _winners(verdict: "Verdict", names: Names) -> Markup | None:
    if not verdict.tied:
        return names.html(verdict.winner) if verdict.winner else None
    tied = Markup(" ").join(map(names.html, verdict.tied))
    return Markup('<span>{} <span class="interval">tie</span></span>').format(tied)


def state(verdict: "Verdict", learners: set[str]) -> str:
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


def state_html(name: str) -> Markup:
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


# ---------------------------------------------------------------- all of them at once


@dataclass(frozen=True)
class Tally:
    """In how many contests an initializer wins alone, and in how many more it ties or is not told apart from the
    winner."""

    label: str
    name: Markup
    wins: int
    level: int

    @property
    def either(self) -> int:
        return self.wins + self.level


def tally(verdicts: "list[Verdict]", names: Names) -> list[Tally]:
    """The initializers that are first, or not told apart from the first, in any contest; the most often first."""
    wins = Counter(verdict.winner for verdict in verdicts if verdict.winner and not verdict.tied)
    level = Counter(label for verdict in verdicts for label in {*verdict.unresolved, *verdict.tied})
    found = [Tally(label, names.html(label), wins[label], level[label]) for label in {**wins, **level}]
    return sorted(found, key=lambda entry: (-entry.either, -entry.wins, names.place[entry.label]))


def headline(verdicts: "list[Verdict]", found: list[Tally], finished: int) -> str:
    """The one sentence that somebody in a hurry reads. finished: runs that were trained."""
    if not finished:
        return "No run has finished yet"
    if not found:
        return "No initializer learned"
    if len(verdicts) == 1 and verdicts[0].tied:
        return f"{join_words(verdicts[0].tied)} tie"
    if len(verdicts) == 1:
        return f"{verdicts[0].winner} {'is ahead, but not beyond noise' if verdicts[0].unresolved else 'wins'}"
    first = [entry.label for entry in found if entry.either == found[0].either]
    often = "all" if found[0].either == len(verdicts) else f"{found[0].either} of"
    does = ("wins or ties" if found[0].level else "wins") if len(first) == 1 else "win or tie"
    who = " and ".join(first) if len(first) <= 2 else f"No single winner: {len(first)} initializers"
    return f"{who} {does} in {often} {len(verdicts)} contests"


@dataclass(frozen=True)
class WinnerMap:
    """Winners by one axis (columns) and everything else (rows), or the other way round."""

    caption: str
    corner: str
    columns: list[str]
    rows: list[tuple[str, list[Card | None]]]


def winner_map(found: list[Card], names: Names, axis: str = "depth") -> WinnerMap | None:
    """Columns are depths; of another axis its values are rows, and columns everything else.

    None where there is no grid to show, one row or one column, or too many columns.
    """
    others = [name for name in names.contests if name != axis]
    values = {card.verdict.contest[axis] for card in found}
    order = sorted(values, key=lambda value: (pd.isna(value), value)) if axis == "depth" else names.runs[axis].unique()
    keys = {key: contest_title(others, key) for key in (contest_key(card.verdict.contest, others) for card in found)}
    place = {
        (value_text(card.verdict.contest[axis]), contest_key(card.verdict.contest, others)): card for card in found
    }
    mine = list(map(value_text, order))
    columns = len(mine) if axis == "depth" else len(keys)
    if len(mine) < 2 or len(keys) < 2 or columns > MOST_COLUMNS:
        return None
    caption = f"Winners by {axis}; ○ with so many rivals it is within noise"
    if axis == "depth":
        rows = [(title, [place.get((value, key)) for value in mine]) for key, title in keys.items()]
        return WinnerMap(caption, ", ".join(others), [f"depth {value}" for value in mine], rows)
    rows = [(value, [place.get((value, key)) for key in keys]) for value in mine]
    return WinnerMap(caption, axis, list(keys.values()), rows)


def contests(found: list[Card], names: Names) -> Listing:
    """A row a contest."""
    first = pd.DataFrame([card.verdict.contest for card in found])
    columns = [
        *(axis_column(name, first[name]) for name in names.contests),
        HtmlColumn("winner", "winner"),
        HtmlColumn("accuracy", "median test accuracy", numeric=True),
        HtmlColumn("verdict", "verdict"),
        HtmlColumn("words", "in words", wide=True),
    ]
    rows = []
    for card in found:
        rows.append(
            [
                *(axis(card.verdict.contest[name]) for name in names.contests),
                HtmlCell(Markup('<a href="#{}">{}</a>').format(card.id, card.winner or "none"), card.verdict.winner),
                HtmlCell(accuracy(card.accuracy), card.accuracy),
                HtmlCell(state_html(card.state), card.state),
                HtmlCell(" ".join(card.verdict.sentences), " ".join(card.verdict.sentences)),
            ]
        )
    winners = (card.verdict.winner for card in found if card.verdict.winner)
    buttons = chips(winner=winners, verdict=[card.state for card in found], act=first["act"])
    caption = "One row a contest: the initializers that were trained on the same task in the same way."
    return Listing("contests", caption, columns, rows, buttons, page=25)
