"""What each mitigation does, as a table for files and one for a terminal of 80 characters."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from initbench.analysis.comparisons import ALPHA
from initbench.analysis.measure import ACCURACY, MEASURES, Measure
from initbench.analysis.mitigations.effects import MitigationEffects
from initbench.analysis.mitigations.pairs import EFFECTS
from initbench.report.page.numbers import minus
from initbench.report.text_table import TextCell, TextColumn, TextTable

MOST = 20  # mitigations of an axis that a terminal shows


def mitigation_table(found: Sequence[MitigationEffects]) -> TextTable:
    """One row per mitigation, over all panels; the one that rescues most cells comes first."""
    measures = _measures(found)
    spread = f"spread of {' or '.join(each.name.removeprefix('test ') for each in measures)} ({unit_of(measures)})"
    columns = [
        TextColumn(("", "mitigation"), left=True),
        *(TextColumn(("cells", effect)) for effect in EFFECTS),
        *(TextColumn(("runs that learned (%)", name)) for name in ("without", "with")),
        *(TextColumn((spread, name)) for name in ("without", "with", "change")),
        *(TextColumn(("spread of log10(steps to target)", name)) for name in ("without", "with", "change")),
    ]
    rows = [
        [
            TextCell(_name(rescue, row)),
            *(TextCell(str(row[effect])) for effect in EFFECTS),
            *(TextCell(f"{100 * row[f'learned_{side}']:.0f}") for side in ("without", "with")),
            *_changes(row, "range", number_of(row)),
            *_changes(row, "steps_range", _logarithm),
        ]
        for rescue in found
        for row in rescue.overall.to_dict("records")
    ]
    return TextTable(
        caption="What each mitigation does over all contests. Rescued: most seeds of the cell learn with it and not "
        "without. Broken: the reverse. Failing, learning: the same with and without. Spread: best minus worst "
        "initializer under the same seed, over initializers that never diverge (for steps: that always reach the "
        "target) and are not symmetric (zeros, constant). Change: with its 95 % interval, paired by seed. Bold: the "
        f"adjusted p-value (Holm) is at most {ALPHA:.2g}.",
        columns=columns,
        stub=1,
        rows=rows,
    )


def brief_mitigation_table(found: Sequence[MitigationEffects]) -> TextTable:
    """What a terminal of 80 characters shows of `mitigation_table`: of each axis the `MOST` most useful values."""
    measures = _measures(found)
    columns = [
        TextColumn(("", "mitigation"), left=True),
        *(TextColumn(header) for header in (("", "rescued"), ("", "broken"), ("still", "failing"))),
        *(TextColumn(header) for header in (("spread", "without"), ("", "with"), ("", "change"))),
    ]
    rows = []
    for rescue in found:
        for row in rescue.overall.head(MOST).to_dict("records"):
            fates = (TextCell(str(row[effect])) for effect in ("rescued", "broken", "failing"))
            rows.append([TextCell(_name(rescue, row)), *fates, *_changes(row, "range", _brief(row))])
        if len(rescue.overall) > MOST:
            rows.append([TextCell(f"and {len(rescue.overall) - MOST} more"), *[TextCell("")] * (len(columns) - 1)])
    return TextTable(
        caption="Cells over all contests. Rescued: most seeds learn with it and not without. Broken: the reverse. "
        f"Spread: {' or '.join(each.name for each in measures)} of the best against the worst initializer under the "
        f"same seed, in {' or '.join(each.unit for each in measures)}. "
        f"Bold: the adjusted p-value (Holm) is at most {ALPHA:.2g}.",
        columns=columns,
        stub=1,
        rows=rows,
    )


def _name(rescue: MitigationEffects, row: dict[str, Any]) -> str:
    """ "adam" of the axis `mitigation`, else "norm batch" """
    return row["value"] if rescue.axis == "mitigation" else f"{rescue.axis} {row['value']}"


def _changes(row: dict[str, Any], name: str, number: Callable[[float], str]) -> list[TextCell]:
    def text(part: str) -> str:
        return number(row[f"{name}_{part}"]) if math.isfinite(row[f"{name}_{part}"]) else "–"

    interval = f" [{text('low')}, {text('high')}]" if math.isfinite(row[f"{name}_high"]) else ""
    change = TextCell(text("difference") + interval, bold=name == "range" and row["range_p_adjusted"] <= ALPHA)
    return [TextCell(text("without")), TextCell(text("with")), change]


def number_of(row: Mapping[Any, Any]) -> Callable[[float], str]:
    """How a row's spreads are written, without their unit; a row over panels of both measures has none."""
    return MEASURES.get(row["measure"], ACCURACY).number


def unit_of(measures: Sequence[Measure]) -> str:
    """Of their spreads, for the head of a column: "points"."""
    return " or ".join(each.unit.removeprefix("percentage ") for each in measures)


def _measures(found: Sequence[MitigationEffects]) -> list[Measure]:
    return list({each.name: each for rescue in found for each in rescue.measures}.values())


def _brief(row: Mapping[Any, Any]) -> Callable[[float], str]:
    """As few digits as tell: whole percentage points, two digits of an error."""
    scored = MEASURES.get(row["measure"], ACCURACY)
    return lambda value: minus(f"{100 * value:.0f}" if scored.share else f"{value:.2g}")


def _logarithm(value: float) -> str:
    return minus(f"{value:.2f}")
