"""What mitigations do: the answers, a heatmap, and tables over all panels, for each panel, and of variances."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from initbench.analysis import mitigations
from initbench.analysis.comparisons import ALPHA
from initbench.analysis.mitigations import MitigationEffects, verdicts
from initbench.report.figures.drawing import Drawing
from initbench.report.figures.mitigations import mitigation_heatmap
from initbench.report.figures.styled import StyledContests
from initbench.report.page.context import Page
from initbench.report.page.listing import HtmlCell, HtmlColumn, Listing, axis_cell, axis_column, chips
from initbench.report.page.numbers import finite, hundredths, interval, p_value, signed
from initbench.report.report import Report
from initbench.report.sections.section import Section
from initbench.report.tables.mitigations import mitigation_table
from initbench.report.terminal import rescues_shown

TONES = {  # how a verdict is coloured
    verdicts.NO_LONGER: "sure",
    verdicts.NEVER: "sure",
    verdicts.LESS: "sure",
    verdicts.MORE: "lost",
    verdicts.WORSE: "lost",
    verdicts.NOBODY: "lost",
}


@dataclass(frozen=True)
class MitigationPart:
    """What is said of one axis: sentences and tables."""

    axis: str
    answer: list[str]
    overall: Listing
    panels: Listing
    interaction: Listing | None


def _parts(found: Sequence[MitigationEffects]) -> list[MitigationPart]:
    return [
        MitigationPart(
            each.axis,
            mitigations.answer(each),
            _overall(each, f"rescue{number or ''}"),
            _panels(each, f"rescue-panels{number or ''}"),
            _interaction(each, f"interaction{number or ''}") if len(each.components) else None,
        )
        for number, each in enumerate(found)
    ]


def _overall(found: MitigationEffects, name: str) -> Listing:
    columns = [
        HtmlColumn("value", found.axis),
        *(HtmlColumn(effect, effect, numeric=True) for effect in mitigations.EFFECTS),
        HtmlColumn("learned_difference", "runs that learned (%), without → with", numeric=True),
        HtmlColumn("range_without", "spread without (points)", numeric=True),
        HtmlColumn("range_with", "spread with (points)", numeric=True),
        HtmlColumn("range_difference", "change in points (95 % interval)", numeric=True),
        HtmlColumn("std_difference", "change of s.d. (points)", numeric=True),
        HtmlColumn("steps_range_difference", "change of spread of log10(steps to target)", numeric=True),
        HtmlColumn("panels_no_longer", "panels where the choice no longer matters", numeric=True),
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
        f"One row per {found.axis}, compared with {found.baseline} over all panels. Rescued: cells that learn only "
        "with it. Broken: cells that learn only without it. Spread: test accuracy of the best minus the worst "
        "initializer under the same seed, in percentage points; likewise for the base-10 logarithm of the steps to the "
        "target. ●: the change is resolved. Last column: panels in which the choice among sound initializers no longer "
        "matters."
    )
    return Listing(name, caption, columns, rows, page=50)


def _panels(found: MitigationEffects, name: str) -> Listing:
    table = found.panels
    others = list(table.columns[1 : table.columns.get_loc("value")])
    columns = [
        HtmlColumn("value", found.axis),
        *(axis_column(other, table[other]) for other in others),
        HtmlColumn("verdict", "the choice of initializer"),
        HtmlColumn("sentence", "in words", wide=True),
    ]
    rows = [
        [
            HtmlCell(row["value"], row["value"]),
            *(axis_cell(row[other]) for other in others),
            _verdict(row["verdict"]),
            HtmlCell(row["sentence"], row["sentence"]),
        ]
        for row in table.to_dict("records")
    ]
    buttons = chips(verdict=table["verdict"], **{other: table[other] for other in others})
    caption = (
        f"One row per {found.axis} and panel. Spread: test accuracy of the best minus the worst initializer under the "
        "same seed. Sound: most seeds of the initializer learn with it, and none diverges. All numbers: "
        "rescue_panels.csv."
    )
    return Listing(name, caption, columns, rows, buttons, page=25)


def _interaction(found: MitigationEffects, name: str) -> Listing:
    table = found.components
    others = list(table.columns[1 : table.columns.get_loc("measure")])
    shares = {"init": "initializer", "value": found.axis, "interaction": "their combination", "seed": "seed"}
    shares["residual"] = "unexplained"
    columns = [
        *(axis_column(other, table[other]) for other in others),
        HtmlColumn("measure", "result"),
        *(HtmlColumn(f"share_{share}", f"{title} (%)", numeric=True) for share, title in shares.items()),
        HtmlColumn("p_interaction", "p-value of the combination", numeric=True),
        HtmlColumn("initializers", "initializers", numeric=True),
        HtmlColumn("values", f"{found.axis} values", numeric=True),
        HtmlColumn("left_out", "left out", wide=True),
    ]
    words = {"test_acc": "test accuracy", "learned": "learned or not"}
    rows = [
        [
            *(axis_cell(row[other]) for other in others),
            HtmlCell(words[row["measure"]], words[row["measure"]]),
            *(_share(row[f"share_{share}"]) for share in shares),
            HtmlCell(p_value(row["p_interaction"]), row["p_interaction"] if finite(row["p_interaction"]) else None),
            HtmlCell(str(row["initializers"]), row["initializers"]),
            HtmlCell(str(row["values"]), row["values"]),
            HtmlCell(row["left_out"] or "–", row["left_out"]),
        ]
        for row in table.to_dict("records")
    ]
    caption = (
        f"Share of the variance of each result that comes from the initializer, the {found.axis}, their "
        "combination and the seed (two-way random effects, seeds as blocks). Left out: initializers that are symmetric "
        "or lack a seed, and for accuracy those with a diverged run."
    )
    return Listing(name, caption, columns, rows)


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


def _html(page: Page) -> Markup | None:
    found = page.report.rescues
    return page.render("mitigations", parts=_parts(found), figures=page.figures("rescue")) if found else None


def _draw(report: Report) -> list[Drawing]:
    if report.contests.done.empty:
        return []
    contests = StyledContests.of(report.contests)
    return [mitigation_heatmap(contests, each) for each in report.rescues]


SECTION = Section(
    name="rescue",
    title="Mitigations",
    heading="What makes initialization stop mattering",
    frames=lambda report: mitigations.frames(report.rescues),
    tables=lambda report: {"rescue": mitigation_table(report.rescues)} if report.rescues else {},
    draw=_draw,
    html=_html,
    terminal=lambda report: [rescues_shown(report.rescues)] if report.rescues else [],
)
