"""Which axes can be off, what each of their other values does, and the answer in a few sentences."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from initbench.analysis.axes import value_text
from initbench.analysis.cells import is_done
from initbench.analysis.contests import Contests
from initbench.analysis.measure import MEASURES, SCORES, Measure
from initbench.analysis.mitigations.interaction import COMPONENTS, component_rows
from initbench.analysis.mitigations.pairs import Pair, Panel
from initbench.analysis.mitigations.panels import overall_rows, panel_rows
from initbench.config.keys import BY_NAME
from initbench.text import percent, plural


@dataclass(frozen=True)
class MitigationEffects:
    """What one axis does. Tables leave the baseline out and have the most useful value first.

    panels: one row per value and panel. overall: one row per value, over all panels. components: one row per panel and
    measure.
    without_baseline: the titles of panels that have no baseline.
    """

    axis: str
    baseline: str
    panels: pd.DataFrame
    overall: pd.DataFrame
    components: pd.DataFrame
    without_baseline: list[str]

    @property
    def values(self) -> list[str]:
        """The mitigations, the one that rescues most cells first."""
        return list(self.overall["value"])

    @property
    def measures(self) -> list[Measure]:
        """What the runs are ranked by, in some panel or other."""
        return [MEASURES[name] for name in self.panels["measure"].unique()]


def mitigation_effects(contests: Contests, steps: pd.Series) -> list[MitigationEffects]:
    """One record per axis that has a baseline and other values. steps: `summary.steps_to_target`."""
    runs = contests.runs
    runs = runs.assign(
        learned=(runs["outcome"] == "learned").astype("float64").where(is_done(runs)),
        log_steps=np.log10(runs["run_id"].map(steps).astype("float64")),
    )
    contests = dataclasses.replace(contests, runs=runs)
    axes = sorted(contests.axes, key=lambda axis: axis != "mitigation")
    without = {axis: off for axis in axes if (off := baseline(axis, runs[axis]))}
    return [found for axis, off in without.items() if (found := _effects(contests, axis, off))]


def baseline(axis: str, values: pd.Series) -> str | None:
    """The value of an axis that means "without", where it is among its values and not alone."""
    texts = set(map(value_text, values.unique()))
    off = BY_NAME[axis].without if axis in BY_NAME else ()
    return next((text for text in off if text in texts and len(texts) > 1), None)


def _effects(contests: Contests, axis: str, without: str) -> MitigationEffects | None:
    rows, measured, without_baseline, parts = [], [], [], {}
    for here in contests.grouped(contests.without(axis)):
        panel = Panel.of(here.runs, axis)
        where = {"axis": axis, **here.values}
        if without not in panel.values:
            without_baseline.append(here.title)
            continue
        found = [(value, Pair.of(panel, without, value)) for value in panel.values if value != without]
        found = [(value, pair) for value, pair in found if len(pair.labels)]
        rows += panel_rows(where, here.title, found)
        for value, pair in found:
            parts.setdefault(value, []).append(pair)
        measured += component_rows(where, panel, without)
    if not rows:
        return None
    panels = pd.DataFrame(rows)
    overall = pd.DataFrame(overall_rows(axis, panels, parts))
    order = overall.assign(net=overall["broken"] - overall["rescued"]).sort_values(
        ["net", "broken", "range_difference"], kind="stable"
    )
    place = {value: place for place, value in enumerate(order["value"])}
    return MitigationEffects(
        axis=axis,
        baseline=without,
        panels=panels.sort_values("value", key=lambda values: values.map(place), kind="stable", ignore_index=True),
        overall=overall.loc[order.index].reset_index(drop=True),
        components=pd.DataFrame(measured),
        without_baseline=without_baseline,
    )


def frames(found: Sequence[MitigationEffects]) -> dict[str, pd.DataFrame]:
    """The tables that are written as CSV and JSON, by name, over all axes; none where there is no axis."""
    if not found:
        return {}
    return {
        "rescue": pd.concat([rescue.overall for rescue in found], ignore_index=True),
        "rescue_panels": pd.concat([rescue.panels for rescue in found], ignore_index=True),
        "interaction": pd.concat([rescue.components for rescue in found], ignore_index=True),
    }


def answer(rescue: MitigationEffects) -> list[str]:
    """The few sentences at the top: the best mitigations, those that harm, and what accuracy depends on."""
    overall = rescue.overall
    useful = overall[overall["rescued"] > overall["broken"]]
    harmful = overall[overall["broken"] > overall["rescued"]]
    said = []
    failures = int((overall["rescued"] + overall["failing"]).max())
    if len(useful):
        said += list(useful.head(3)["sentence"])
        if len(useful) > 3:
            others = len(useful) - 3
            do = "rescues more cells than it breaks" if others == 1 else "rescue more cells than they break"
            said.append(f"{plural(others, 'other value')} of {rescue.axis} {do}.")
    elif failures:
        fail = f"{plural(failures, 'cell')} {'fails' if failures == 1 else 'fail'}"
        said.append(f"No {rescue.axis} rescues more cells than it breaks; up to {fail} without one.")
    if len(harmful):
        names = [f"{row['value']} ({row['broken']})" for row in harmful.sort_values("broken").to_dict("records")[::-1]]
        more = f" and {len(names) - 6} more" if len(names) > 6 else ""
        said.append(f"These break more cells than they rescue (cells broken): {', '.join(names[:6])}{more}.")
    words = {each.column: each.name.removeprefix("test ") for each in SCORES.values()} | {"test_error": "the error"}
    for column, word in words.items():
        scores = rescue.components[rescue.components["measure"] == column] if len(rescue.components) else []
        if not len(scores):
            continue
        shares = {name: scores[f"share_{name}"].median() for name in COMPONENTS}
        said.append(
            f"What {word} depends on: initializer {percent(shares['init'], 0)}, {rescue.axis} "
            f"{percent(shares['value'], 0)}, their combination {percent(shares['interaction'], 0)}, seed "
            f"{percent(shares['seed'], 0)}, unexplained {percent(shares['residual'], 0)} (shares of its variance, "
            f"median over {plural(len(scores), 'panel')})."
        )
    if rescue.without_baseline:
        names = rescue.without_baseline
        few = names if len(names) <= 4 else [*names[:3], f"{len(names) - 3} more"]
        said.append(f"Not counted, because no run has {rescue.axis}={rescue.baseline} there: {'; '.join(few)}.")
    return said
