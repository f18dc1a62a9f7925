"""What a mitigation does, in a sentence."""

import math
from typing import Any

from initbench.analysis.comparisons import ALPHA
from initbench.analysis.measure import MEASURES
from initbench.analysis.mitigations import verdicts
from initbench.text import join_words, percent, plural


def sentence(row: dict[str, Any], title: str) -> str:
    """What a mitigation does in one panel."""
    name, at = row["value"], f"at {title}"
    rescued, broken, failing = (row[f"{effect}_names"].split(", ") for effect in ("rescued", "broken", "failing"))
    match row["verdict"]:
        case verdicts.NOBODY:
            start = f"With {name} no initializer is sound {at}"
        case verdicts.WORSE:
            start = (
                f"{name} makes it worse {at} ({percent(row['learned_with'], 0)} of runs learn, "
                f"{percent(row['learned_without'], 0)} without)"
            )
        case verdicts.ALONE:
            start = f"With {name} only {row['sound_names']} is sound {at}"
        case verdicts.NO_LONGER:
            start = (
                f"With {name} the choice among {_sound_ones(row)} initializers no longer matters {at} "
                f"({_sound_words(row)})"
            )
        case verdicts.NEVER:
            start = (
                f"With {name} the choice among {_sound_ones(row)} initializers does not matter {at}, "
                f"nor without it ({_sound_words(row)})"
            )
        case verdicts.LESS:
            start = f"With {name} the initializers lie closer together {at} ({_range_words(row)}){_still(row)}"
        case verdicts.MORE:
            start = f"With {name} the initializers lie farther apart {at} ({_range_words(row)})"
        case verdicts.SAME:
            start = f"With {name} the initializers lie as far apart as without {at} ({_range_words(row)})"
        case _:
            start = f"With {name} it is unclear whether the spread changes {at} ({_range_words(row)})"
    changed = [
        f"rescues {join_words(rescued)}" if row["rescued"] else "",
        f"breaks {join_words(broken)}" if row["broken"] else "",
    ]
    moved = " and ".join(filter(None, changed))
    parts = [start, f"it {moved}" if moved else ""]
    if row["failing"]:
        everyone = row["failing"] == row["initializers"]
        who = f"all {row['failing']}" if everyone and row["failing"] > 1 else join_words(failing)
        parts.append(f"{who} {'' if everyone else 'still '}{'fails' if row['failing'] == 1 else 'fail'}")
    return "; ".join(filter(None, parts)) + "."


def _sound_ones(row: dict[str, Any]) -> str:
    """ "5 sound", or "4 of 5 sound" where one has other seeds"""
    some = f" of {row['sound']}" if row["sound_paired"] < row["sound"] else ""
    return f"{row['sound_paired']}{some} sound"


def _sound_words(row: dict[str, Any]) -> str:
    """ "spread 0.4 [0.1, 0.7] points, where seeds alone make 0.5; 31.2 without it" """
    number, unit = MEASURES[row["measure"]].number, " points" if MEASURES[row["measure"]].share else ""
    spread_ = f"spread {_with_interval(row, 'sound_range', 'sound_range')}{unit}"
    by_seeds = f", where seeds alone make {number(row['sound_range_by_seeds'])}"
    lost = "all" if row["sound_failing_without"] == row["sound_paired"] else row["sound_failing_without"]
    if math.isnan(row["sound_range_without"]):
        return f"{spread_}{by_seeds}; without it {lost} of them fail"
    some = f", where {lost} of them fail" if row["sound_failing_without"] else ""
    return f"{spread_}{by_seeds}; {number(row['sound_range_without'])} without it{some}"


def _range_words(row: dict[str, Any]) -> str:
    if math.isnan(row["range_with"]):
        lacking = ", lack seeds" if row["paired"] < row["initializers"] else ""
        some = f"{row['compared']} of {row['initializers']}"
        return f"only {some} initializers can be compared: the others diverge{lacking} or are symmetric"
    change = (
        f", a change of {_with_interval(row, 'range_difference', 'range')}"
        if not math.isnan(row["range_difference"])
        else ""
    )
    some = f", over {row['compared']} of {row['initializers']} initializers"
    number = MEASURES[row["measure"]].number
    return (
        f"spread {MEASURES[row['measure']].gap(row['range_with'])} with it, {number(row['range_without'])} without"
        f"{change}"
        f"{some if row['compared'] < row['initializers'] else ''}"
    )


def _still(row: dict[str, Any]) -> str:
    """Whether those that are sound still differ."""
    if row["sound_p"] <= ALPHA:
        scored = MEASURES[row["measure"]]
        return (
            f", and the {_sound_ones(row)} ones still differ: by {scored.gap(row['sound_range'])} "
            f"where seeds alone would make {scored.number(row['sound_range_by_seeds'])}"
        )
    return f"; whether the {_sound_ones(row)} ones still differ is unclear"


def overall_sentence(row: dict[str, Any], failing: dict[str, int], broken: dict[str, int]) -> str:
    """What a mitigation does over all panels."""
    failures = row["rescued"] + row["failing"]
    parts = [
        f"{row['value']} rescues {row['rescued']} of {plural(failures, 'failing cell')}"
        if failures
        else f"{row['value']} has nothing to rescue"
    ]
    parts[0] += f" and breaks {row['broken']} of {row['broken'] + row['learning']} that learn" if row["broken"] else ""
    if not math.isnan(row["range_with"]):
        change = _with_interval(row, "range_difference", "range")
        told = "" if row["range_p_adjusted"] <= ALPHA else ", not resolved"
        scored = MEASURES[row["measure"]]
        parts.append(
            f"the spread between initializers is {scored.gap(row['range_with'])} with it, "
            f"{scored.number(row['range_without'])} without (a change of {change}{told})"
        )
    if row["panels_no_longer"]:
        parts.append(
            f"in {row['panels_no_longer']} of {plural(row['panels'], 'panel')} the choice among sound initializers "
            "no longer matters"
        )
    if failing:
        parts.append(f"still failing: {join_words(_counted(failing, row['panels']))}")
    if broken:
        parts.append(f"broken: {join_words(_counted(broken, row['panels']))}")
    return "; ".join(parts) + "."


def _counted(counts: dict[str, int], panels: int) -> list[str]:
    """ "zeros in all 6", "normal in 2" """
    return [
        label if panels == 1 else f"{label} in {'all ' if count == panels else ''}{count}"
        for label, count in counts.items()
    ]


def _with_interval(row: dict[str, Any], name: str, bounds: str) -> str:
    """ "0.4 [0.1, 0.7]": a value and its 95 % interval, if it has one; of accuracies in percentage points."""
    low, high, number = row[f"{bounds}_low"], row[f"{bounds}_high"], MEASURES[row["measure"]].number
    return f"{number(row[name])} [{number(low)}, {number(high)}]" if math.isfinite(high) else number(row[name])
