"""Who wins, at a glance: the headline, how often each initializer wins, and a map of the winners."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from initbench.analysis.axes import value_text
from initbench.analysis.contests import contest_key, contest_title
from initbench.analysis.mitigations import MitigationEffects
from initbench.analysis.verdicts import Verdict
from initbench.report.page.cards import Card
from initbench.report.page.names import Names
from initbench.text import join_words

MOST_COLUMNS = 12  # of the map of winners


@dataclass(frozen=True)
class Tally:
    """The contests that an initializer wins alone, and those that it ties or that are too close to call."""

    label: str
    name: Markup
    wins: int
    level: int
    either: int  # wins + level


def tally(verdicts: list[Verdict], names: Names) -> list[Tally]:
    """The initializers that win a contest, or are too close to the winner to call; those with most contests first."""
    wins = Counter(verdict.winner for verdict in verdicts if verdict.winner and not verdict.tied)
    level = Counter(label for verdict in verdicts for label in {*verdict.unresolved, *verdict.tied})
    either = wins + level
    found = [Tally(label, names.html(label), wins[label], level[label], either[label]) for label in either]
    return sorted(found, key=lambda entry: (-entry.either, -entry.wins, names.place[entry.label]))


def headline(verdicts: list[Verdict], found: list[Tally], finished: int) -> str:
    """The one sentence for a reader in a hurry. finished: the number of runs that were trained."""
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
    """A table with one column per depth; for another axis, its values are the rows, and everything else the columns.

    None where there is no grid to show: one row, one column, or too many columns.
    """
    others = [name for name in names.contests if name != axis]
    values = {card.verdict.contest[axis] for card in found}
    order = sorted(values, key=lambda value: (pd.isna(value), value)) if axis == "depth" else names.runs[axis].unique()
    keys = {key: contest_title(others, key) for key in (contest_key(card.verdict.contest, others) for card in found)}
    place = {(contest_key(card.verdict.contest, [axis, *others])): card for card in found}
    mine = list(map(value_text, order))
    if min(len(mine), len(keys)) < 2 or len(mine if axis == "depth" else keys) > MOST_COLUMNS:
        return None
    caption = f"Winner by {axis}, with median test accuracy. ○ n: n rivals are too close to call"
    if axis == "depth":
        rows = [(title, [place.get((value, *key)) for value in mine]) for key, title in keys.items()]
        return WinnerMap(caption, ", ".join(others), [f"depth {value}" for value in mine], rows)
    rows = [(value, [place.get((value, *key)) for key in keys]) for value in mine]
    return WinnerMap(caption, axis, list(keys.values()), rows)


def mitigation_headline(found: Sequence[MitigationEffects]) -> str | None:
    """The same about mitigations; None where none was varied."""
    if not found or found[0].axis != "mitigation":
        return None
    overall = found[0].overall
    best = overall[overall["rescued"] - overall["broken"] == (overall["rescued"] - overall["broken"]).max()]
    first = best.iloc[0]
    if first["rescued"] <= first["broken"]:
        return "No mitigation rescues more than it breaks"
    who = join_words(list(best["value"])) if len(best) <= 3 else f"{first['value']} and {len(best) - 1} more"
    does = "rescues" if len(best) == 1 else "rescue"
    least, most = best["rescued"].min(), best["rescued"].max()
    count = f"{least}" if least == most else f"{least} to {most}"
    totals = set(best["rescued"] + best["failing"])
    return f"{who} {does} {count}{f' of {totals.pop()}' if len(totals) == 1 else ''} failing cells"
