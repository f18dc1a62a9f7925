"""What mitigations do, as the page shows it: the answers, a table of them all, of every panel, and whose variance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from initbench.analysis import mitigations
from initbench.analysis.comparisons import ALPHA
from initbench.analysis.mitigations import MitigationEffects, verdicts
from initbench.report.page.listing import (
    HtmlCell,
    HtmlColumn,
    Listing,
    axis,
    axis_column,
    chips,
    finite,
    hundredths,
    interval,
    signed,
)
from initbench.report.page.listing import p_value as p_text
from initbench.text import join_words

TONES = {  # how a verdict is coloured
    verdicts.NO_LONGER: "sure",
    verdicts.NEVER: "sure",
    verdicts.LESS: "sure",
    verdicts.MORE: "lost",
    verdicts.WORSE: "lost",
    verdicts.NOBODY: "lost",
}


@dataclass(frozen=True)
class MitigationSection:
    """One axis: sentences, its figure, and tables."""

    axis: str
    answer: list[str]
    overall: Listing
    panels: Listing
    interaction: Listing | None


def sections(found: Sequence[MitigationEffects]) -> list[MitigationSection]:
    return [
        MitigationSection(
            each.axis,
            mitigations.answer(each),
            _overall(each, f"rescue{number or ''}"),
            _panels(each, f"rescue-panels{number or ''}"),
            _interaction(each, f"interaction{number or ''}") if len(each.components) else None,
        )
        for number, each in enumerate(found)
    ]


def headline(found: Sequence[MitigationEffects]) -> str | None:
    """The one sentence on mitigations that somebody in a hurry reads; None where there is no such axis."""
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


# ---------------------------------------------------------------- tables


def _overall(found: MitigationEffects, name: str) -> Listing:
    columns = [
        HtmlColumn("value", found.axis),
        *(HtmlColumn(effect, effect, numeric=True) for effect in mitigations.EFFECTS),
        HtmlColumn("learned_difference", "% learned, without → with", numeric=True),
        HtmlColumn("range_without", "spread without", numeric=True),
        HtmlColumn("range_with", "with", numeric=True),
        HtmlColumn("range_difference", "change (interval)", numeric=True),
        HtmlColumn("std_difference", "change of s.d.", numeric=True),
        HtmlColumn("steps_range_difference", "change of log10 steps", numeric=True),
        HtmlColumn("panels_no_longer", "no longer matters", numeric=True),
    ]
    rows = [
        [
            HtmlCell(row["value"], row["value"]),
            *(HtmlCell(str(row[effect]), row[effect]) for effect in mitigations.EFFECTS),
            _learned(row),
            *(_points(row[f"range_{side}"]) for side in ("without", "with")),
            _change(row, "range", resolved=row["range_p_adjusted"] <= ALPHA),
            _change(row, "std"),
            _logarithms(row),
            HtmlCell(f"{row['panels_no_longer']} of {row['panels']}", row["panels_no_longer"]),
        ]
        for row in found.overall.to_dict("records")
    ]
    caption = (
        f"One row a {found.axis}, against {found.baseline}, over all panels: cells that most seeds learn with it and "
        "not without (rescued), the reverse (broken), or as without. Spread: best less worst initializer under a seed, "
        "in points of test accuracy; of log10 steps to the target likewise. ●: the change is resolved. No longer "
        "matters: in how many panels that is so of the choice among sound initializers."
    )
    return Listing(name, caption, columns, rows, page=50)


def _panels(found: MitigationEffects, name: str) -> Listing:
    table = found.panels
    others = list(table.columns[1 : table.columns.get_loc("value")])
    columns = [
        HtmlColumn("value", found.axis),
        *(axis_column(other, table[other]) for other in others),
        HtmlColumn("verdict", "the choice among initializers"),
        HtmlColumn("sentence", "in words", wide=True),
    ]
    rows = [
        [
            HtmlCell(row["value"], row["value"]),
            *(axis(row[other]) for other in others),
            _verdict(row["verdict"]),
            HtmlCell(row["sentence"], row["sentence"]),
        ]
        for row in table.to_dict("records")
    ]
    buttons = chips(verdict=table["verdict"], **{other: table[other] for other in others})
    caption = (
        f"One row a {found.axis} and panel. Spread: best less worst initializer under a seed. Sound: most of an "
        "initializer's seeds learn with it, and none diverges. All numbers: rescue_panels.csv."
    )
    return Listing(name, caption, columns, rows, buttons, page=25)


def _interaction(found: MitigationEffects, name: str) -> Listing:
    table = found.components
    others = list(table.columns[1 : table.columns.get_loc("measure")])
    shares = {"init": "initializer", "value": found.axis, "interaction": "interaction", "seed": "seed"}
    shares["residual"] = "left"
    columns = [
        *(axis_column(other, table[other]) for other in others),
        HtmlColumn("measure", "of"),
        *(HtmlColumn(f"share_{share}", f"{title}, %", numeric=True) for share, title in shares.items()),
        HtmlColumn("p_interaction", "p of no interaction", numeric=True),
        HtmlColumn("initializers", "initializers", numeric=True),
        HtmlColumn("values", f"{found.axis} values", numeric=True),
        HtmlColumn("left_out", "left out", wide=True),
    ]
    words = {"test_acc": "test accuracy", "learned": "learned or not"}
    rows = [
        [
            *(axis(row[other]) for other in others),
            HtmlCell(words[row["measure"]], words[row["measure"]]),
            *(_share(row[f"share_{share}"]) for share in shares),
            HtmlCell(p_text(row["p_interaction"]), row["p_interaction"] if finite(row["p_interaction"]) else None),
            HtmlCell(str(row["initializers"]), row["initializers"]),
            HtmlCell(str(row["values"]), row["values"]),
            HtmlCell(row["left_out"] or "–", row["left_out"]),
        ]
        for row in table.to_dict("records")
    ]
    caption = (
        "Whose variance it is: components of a two-way random-effects layout with seeds as blocks, in per cent of "
        "their sum. Left: what none of these explains. Left out: what is symmetric or lacks one of the seeds, or of "
        "accuracy what has a diverged run."
    )
    return Listing(name, caption, columns, rows)


# ---------------------------------------------------------------- cells


def _points(value: float, low: float | None = None, high: float | None = None) -> HtmlCell:
    if not finite(value):
        return HtmlCell("–")
    return HtmlCell(Markup("{}{}").format(hundredths()(value), interval(low, high, hundredths())), value)


def _change(row: Mapping[Any, Any], name: str, *, resolved: bool = False) -> HtmlCell:
    value = row[f"{name}_difference"]
    if not finite(value):
        return HtmlCell("–")
    bounds = interval(row[f"{name}_low"], row[f"{name}_high"], hundredths())
    mark = Markup('<span class="yes">● </span>') if resolved else ""
    return HtmlCell(Markup("{}{}{}").format(mark, signed(value), bounds), value)


def _logarithms(row: Mapping[Any, Any]) -> HtmlCell:
    value = row["steps_range_difference"]
    if not finite(value):
        return HtmlCell("–")
    bounds = interval(row["steps_range_low"], row["steps_range_high"], "{:.2f}".format)
    return HtmlCell(Markup("{}{}").format(f"{value:+.2f}".replace("-", "−"), bounds), value)


def _learned(row: Mapping[Any, Any]) -> HtmlCell:
    without, with_ = (f"{100 * row[f'learned_{side}']:.0f}" for side in ("without", "with"))
    return HtmlCell(f"{without} → {with_}", row["learned_with"] - row["learned_without"])


def _verdict(verdict: str) -> HtmlCell:
    html = '<span class="state {}" title="{}">{}</span>'
    return HtmlCell(Markup(html).format(TONES.get(verdict, "open"), verdicts.MEANING[verdict], verdict), verdict)


def _share(share: float) -> HtmlCell:
    return HtmlCell(f"{100 * share:.0f}", share) if finite(share) else HtmlCell("–")
