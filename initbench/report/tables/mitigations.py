"""What each mitigation does, as a table for files and one for a terminal of 80 characters."""

import math
from collections.abc import Sequence
from typing import Any

from initbench.analysis.comparisons import ALPHA
from initbench.analysis.mitigations.effects import MitigationEffects
from initbench.analysis.mitigations.pairs import EFFECTS
from initbench.report.text_table import TextCell, TextColumn, TextTable

MOST = 20  # mitigations of an axis that a terminal shows


def mitigation_table(found: Sequence[MitigationEffects]) -> TextTable:
    """One row per mitigation, over all panels; the one that rescues most cells comes first."""
    columns = [
        TextColumn(("", "mitigation"), left=True),
        *(TextColumn(("cells", effect)) for effect in EFFECTS),
        *(TextColumn(("runs that learned (%)", name)) for name in ("without", "with")),
        *(TextColumn(("spread of accuracy (points)", name)) for name in ("without", "with", "change")),
        *(TextColumn(("spread of log10(steps to target)", name)) for name in ("without", "with", "change")),
    ]
    rows = [
        [
            TextCell(_name(rescue, row)),
            *(TextCell(str(row[effect])) for effect in EFFECTS),
            *(TextCell(_number(100 * row[f"learned_{side}"], 0)) for side in ("without", "with")),
            *_changes(row, "range", 100, 1),
            *_changes(row, "steps_range", 1, 2),
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
    columns = [
        TextColumn(("", "mitigation"), left=True),
        *(TextColumn(header) for header in (("", "rescued"), ("", "broken"), ("still", "failing"))),
        *(TextColumn(header) for header in (("spread", "without"), ("", "with"), ("", "change"))),
    ]
    rows = []
    for rescue in found:
        for row in rescue.overall.head(MOST).to_dict("records"):
            fates = (TextCell(str(row[effect])) for effect in ("rescued", "broken", "failing"))
            rows.append([TextCell(_name(rescue, row)), *fates, *_changes(row, "range", 100, 0)])
        if len(rescue.overall) > MOST:
            rows.append([TextCell(f"and {len(rescue.overall) - MOST} more"), *[TextCell("")] * (len(columns) - 1)])
    return TextTable(
        caption="Cells over all contests. Rescued: most seeds learn with it and not without. Broken: the reverse. "
        "Spread: test accuracy of the best minus the worst initializer under the same seed, in percentage points. "
        f"Bold: the adjusted p-value (Holm) is at most {ALPHA:.2g}.",
        columns=columns,
        stub=1,
        rows=rows,
    )


def _name(rescue: MitigationEffects, row: dict[str, Any]) -> str:
    """ "adam" of the axis `mitigation`, else "norm batch" """
    return row["value"] if rescue.axis == "mitigation" else f"{rescue.axis} {row['value']}"


def _changes(row: dict[str, Any], name: str, unit: float, digits: int) -> list[TextCell]:
    value, low, high = (unit * row[f"{name}_{part}"] for part in ("difference", "low", "high"))
    interval = f" [{_number(low, digits)}, {_number(high, digits)}]" if math.isfinite(high) else ""
    change = TextCell(_number(value, digits) + interval, bold=name == "range" and row["range_p_adjusted"] <= ALPHA)
    return [*(TextCell(_number(unit * row[f"{name}_{side}"], digits)) for side in ("without", "with")), change]


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "−") if math.isfinite(value) else "–"
