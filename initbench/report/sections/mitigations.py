"""What mitigations do: the answers, a heatmap, and tables over all panels, for each panel, and of variances."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from markupsafe import Markup

from initbench.analysis import mitigations
from initbench.analysis.comparisons import ALPHA
from initbench.analysis.measure import MEASURES
from initbench.analysis.mitigations import MitigationEffects, verdicts
from initbench.report.figures.drawing import Drawing
from initbench.report.figures.mitigations import mitigation_heatmap
from initbench.report.figures.styled import StyledContests
from initbench.report.page.listing import HtmlCell, HtmlColumn, Listing, axis_columns, chips, number_cell
from initbench.report.page.numbers import hundredths, interval, minus, p_value, signed
from initbench.report.page.page import Page
from initbench.report.report import Report
from initbench.report.sections.section import Section
from initbench.report.tables.mitigations import mitigation_table, number_of, unit_of
from initbench.report.terminal import rescues_shown

Row = Mapping[Any, Any]
TONES = {  # how a verdict is coloured
    verdicts.NO_LONGER: "sure",
    verdicts.NEVER: "sure",
    verdicts.LESS: "sure",
    verdicts.MORE: "lost",
    verdicts.WORSE: "lost",
    verdicts.NOBODY: "lost",
}


def _part(found: MitigationEffects, number: int) -> dict[str, Any]:
    """What is said of one axis: sentences and tables."""
    suffix = number or ""
    return {
        "axis": found.axis,
        "answer": mitigations.answer(found),
        "overall": _overall(found, f"rescue{suffix}"),
        "panels": _panels(found, f"rescue-panels{suffix}"),
        "interaction": _interaction(found, f"interaction{suffix}") if len(found.components) else None,
    }


def _overall(found: MitigationEffects, name: str) -> Listing:
    unit, scores = unit_of(found.measures), " or ".join(each.name for each in found.measures)
    columns = [
        HtmlColumn("value", found.axis),
        *(HtmlColumn(effect, effect, numeric=True) for effect in mitigations.EFFECTS),
        HtmlColumn("learned_difference", "runs that learned (%), without → with", _learned, numeric=True),
        HtmlColumn("range_without", f"spread without ({unit})", partial(_spread, "range_without"), numeric=True),
        HtmlColumn("range_with", f"spread with ({unit})", partial(_spread, "range_with"), numeric=True),
        HtmlColumn("range_difference", f"change in {unit} (95 % interval)", partial(_change, "range"), numeric=True),
        HtmlColumn("std_difference", f"change of s.d. ({unit})", partial(_change, "std"), numeric=True),
        HtmlColumn("steps_range_difference", "change of spread of log10(steps to target)", _logarithms, numeric=True),
        HtmlColumn("panels_no_longer", "panels where the choice no longer matters", _no_longer, numeric=True),
    ]
    caption = (
        f"One row per {found.axis}, compared with {found.baseline} over all panels. Rescued: cells that learn only "
        f"with it. Broken: cells that learn only without it. Spread: {scores} of the best against the worst "
        f"initializer under the same seed, in {unit}; likewise for the base-10 logarithm of the steps to the "
        "target. ●: the change is resolved. Last column: panels in which the choice among sound initializers no longer "
        "matters."
    )
    return Listing(name, caption, columns, found.overall.to_dict("records"), file="rescue.csv")


def _panels(found: MitigationEffects, name: str) -> Listing:
    table, scores = found.panels, " or ".join(each.name for each in found.measures)
    others = list(table.columns[1 : table.columns.get_loc("value")])
    columns = [
        HtmlColumn("value", found.axis),
        *axis_columns(others, table),
        HtmlColumn("verdict", "the choice of initializer", _verdict),
        HtmlColumn("sentence", "in words", wide=True),
    ]
    buttons = chips(verdict=table["verdict"], **{other: table[other] for other in others})
    caption = (
        f"One row per {found.axis} and panel. Spread: {scores} of the best against the worst initializer under the "
        "same seed. Sound: most seeds of the initializer learn with it, and none diverges. All numbers: "
        "rescue_panels.csv."
    )
    return Listing(name, caption, columns, table.to_dict("records"), buttons, page=25, file="rescue_panels.csv")


def _interaction(found: MitigationEffects, name: str) -> Listing:
    table = found.components
    others = list(table.columns[1 : table.columns.get_loc("measure")])
    shares = {"init": "initializer", "value": found.axis, "interaction": "their combination", "seed": "seed"}
    shares["residual"] = "unexplained"
    columns = [
        *axis_columns(others, table),
        HtmlColumn("measure", "result"),
        *(
            HtmlColumn(f"share_{share}", f"{title} (%)", partial(_share, f"share_{share}"), numeric=True)
            for share, title in shares.items()
        ),
        HtmlColumn("p_interaction", "p-value of the combination", _p_interaction, numeric=True),
        HtmlColumn("initializers", "initializers", numeric=True),
        HtmlColumn("values", f"{found.axis} values", numeric=True),
        HtmlColumn("left_out", "left out", lambda row: HtmlCell(row["left_out"] or "–", row["left_out"]), wide=True),
    ]
    words = {each.column: each.name for each in MEASURES.values()} | {"learned": "learned or not"}
    caption = (
        f"Share of the variance of each result that comes from the initializer, the {found.axis}, their "
        "combination and the seed (two-way random effects, seeds as blocks). Left out: initializers that are symmetric "
        "or lack a seed, and, but for learning, those with a diverged run."
    )
    return Listing(
        name,
        caption,
        columns,
        table.assign(measure=table["measure"].map(words)).to_dict("records"),
        file="interaction.csv",
    )


def _share(name: str, row: Row) -> HtmlCell:
    return number_cell(row[name], hundredths(0))


def _spread(name: str, row: Row) -> HtmlCell:
    return number_cell(row[name], number_of(row))


def _change(name: str, row: Row) -> HtmlCell:
    resolved = name == "range" and row["range_p_adjusted"] <= ALPHA
    bounds = interval(row[f"{name}_low"], row[f"{name}_high"], number_of(row))
    mark = Markup('<span class="yes">● </span>') if resolved else ""
    return number_cell(row[f"{name}_difference"], lambda value: signed(value, number_of(row)), bounds, mark)


def _logarithms(row: Row) -> HtmlCell:
    bounds = interval(row["steps_range_low"], row["steps_range_high"], "{:.2f}".format)
    return number_cell(row["steps_range_difference"], lambda value: minus(f"{value:+.2f}"), bounds)


def _learned(row: Row) -> HtmlCell:
    without, with_ = (hundredths(0)(row[f"learned_{side}"]) for side in ("without", "with"))
    return HtmlCell(f"{without} → {with_}", row["learned_with"] - row["learned_without"])


def _no_longer(row: Row) -> HtmlCell:
    return HtmlCell(f"{row['panels_no_longer']} of {row['panels']}", row["panels_no_longer"])


def _p_interaction(row: Row) -> HtmlCell:
    return number_cell(row["p_interaction"], p_value)


def _verdict(row: Row) -> HtmlCell:
    verdict, html = row["verdict"], '<span class="state {}" title="{}">{}</span>'
    return HtmlCell(Markup(html).format(TONES.get(verdict, "open"), verdicts.MEANING[verdict], verdict), verdict)


def _html(page: Page) -> Markup | None:
    found = page.report.rescues
    if not found:
        return None
    parts = [_part(each, number) for number, each in enumerate(found)]
    return page.render("mitigations", parts=parts, figures=page.figures("rescue"))


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
