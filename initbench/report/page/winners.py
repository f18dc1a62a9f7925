"""Who wins, at a glance: how often each initializer may be the best, and a map of the winners."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from initbench.analysis.axes import value_text
from initbench.analysis.contests import contest_key, contest_title
from initbench.analysis.headline import standings
from initbench.analysis.mitigations import MitigationEffects
from initbench.analysis.verdicts import Verdict
from initbench.report.page.cards import Card
from initbench.report.page.names import Names
from initbench.text import join_words

MOST_COLUMNS = 12  # of the map of winners


@dataclass(frozen=True)
class Tally:
    """The contests that an initializer clearly wins, and those where it is among several that may be the best."""

    label: str
    name: Markup
    wins: int
    level: int


def tally(verdicts: Sequence[Verdict], names: Names) -> list[Tally]:
    """The initializers that may be the best in some contest, in the order of `standings`."""
    return [
        Tally(each.label, names.html(each.label), each.wins, each.may_be_best - each.wins)
        for each in standings(verdicts)
    ]


@dataclass(frozen=True)
class WinnerMap:
    """Winners by one axis (columns) and all other axes (rows), or the other way round."""

    caption: str
    corner: str
    columns: list[str]
    rows: list[tuple[str, list[Card | None]]]


def winner_map(found: list[Card], names: Names, axis: str = "depth") -> WinnerMap | None:
    """A table with one column per depth; for another axis, its values are the rows, and everything else the columns.

    None where there is no grid to show: the axis is what competes, one row, one column, or too many columns.
    """
    if axis not in names.contests:
        return None
    others = [name for name in names.contests if name != axis]
    values = {card.verdict.contest[axis] for card in found}
    order = sorted(values, key=lambda value: (pd.isna(value), value)) if axis == "depth" else names.runs[axis].unique()
    keys = {key: contest_title(others, key) for key in (contest_key(card.verdict.contest, others) for card in found)}
    place = {(contest_key(card.verdict.contest, [axis, *others])): card for card in found}
    mine = list(map(value_text, order))
    if min(len(mine), len(keys)) < 2 or len(mine if axis == "depth" else keys) > MOST_COLUMNS:
        return None
    measures = join_words(dict.fromkeys(card.verdict.measure.name for card in found))
    caption = f"First in each contest by {axis}, with its mean {measures}. ○ n: n others may be the best as well"
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
