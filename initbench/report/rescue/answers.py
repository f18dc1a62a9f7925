"""What is read of it: the files, a table, and what somebody in a hurry wants to know."""

# pandas annotates nearly everything as "Series or DataFrame or unknown": these checks see only that.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from initbench.report.rescue.axes import Rescue
from initbench.report.rescue.interaction import COMPONENTS
from initbench.report.rescue.pairs import FATES
from initbench.report.sheet import Cell, Column, Sheet
from initbench.report.verdict import ALPHA
from initbench.words import percent, plural

MOST = 20  # mitigations of an axis that a terminal shows


def frames(found: Sequence[Rescue]) -> dict[str, pd.DataFrame]:
    """What is written as CSV and told as JSON, by name, over all axes; nothing where there is no axis."""
    if not found:
        return {}
    return {
        "rescue": pd.concat([rescue.overall for rescue in found], ignore_index=True),
        "rescue_panels": pd.concat([rescue.panels for rescue in found], ignore_index=True),
        "interaction": pd.concat([rescue.components for rescue in found], ignore_index=True),
    }


def rescue_sheet(found: Sequence[Rescue]) -> Sheet:
    """A row a mitigation over all panels, the one that rescues most cells first."""
    columns = [
        Column(("", "mitigation"), left=True),
        *(Column(("cells", fate)) for fate in FATES),
        *(Column(("runs that learned (%)", name)) for name in ("without", "with")),
        *(Column(("spread of accuracy (points)", name)) for name in ("without", "with", "change")),
        *(Column(("spread of log10 steps", name)) for name in ("without", "with", "change")),
    ]
    rows = []
    for rescue in found:
        for row in rescue.overall.to_dict("records"):
            rows.append(
                [
                    Cell(_name(rescue, row)),
                    *(Cell(str(row[fate])) for fate in FATES),
                    *(Cell(_number(100 * row[f"learned_{side}"], 0)) for side in ("without", "with")),
                    *_changes(row, "range", 100, 1),
                    *_changes(row, "steps_range", 1, 2),
                ]
            )
    return Sheet(
        caption="What each mitigation does over all contests. Cells: rescued, most seeds learn with it and not "
        "without; broken, the reverse; failing and learning, as without. Spread: best less worst initializer under a "
        "seed, over those that never diverge (of steps, that always reach the target) and are not symmetric (zeros, "
        "constant), and its change with a 95 % interval, "
        f"paired by seed. Bold: p, adjusted (Holm), is at most {ALPHA:.2g}.",
        columns=columns,
        stub=1,
        rows=rows,
    )


def brief_sheet(found: Sequence[Rescue]) -> Sheet:
    """What a terminal of 80 characters shows of `rescue_sheet`: of each axis the `MOST` most useful values."""
    columns = [
        Column(("", "mitigation"), left=True),
        *(Column(header) for header in (("", "rescued"), ("", "broken"), ("still", "failing"))),
        *(Column(header) for header in (("spread", "without"), ("", "with"), ("", "change"))),
    ]
    rows = []
    for rescue in found:
        for row in rescue.overall.head(MOST).to_dict("records"):
            fates = (Cell(str(row[fate])) for fate in ("rescued", "broken", "failing"))
            rows.append([Cell(_name(rescue, row)), *fates, *_changes(row, "range", 100, 1)])
        if len(rescue.overall) > MOST:
            rows.append([Cell(f"and {len(rescue.overall) - MOST} more"), *[Cell("")] * (len(columns) - 1)])
    return Sheet(
        caption="Cells over all contests: rescued, most seeds learn with it and not without; broken, the reverse. "
        "Spread: best less worst initializer under a seed, in points of accuracy. "
        f"Bold: p, adjusted (Holm), is at most {ALPHA:.2g}.",
        columns=columns,
        stub=1,
        rows=rows,
    )


def _name(rescue: Rescue, row: dict[str, Any]) -> str:
    """ "adam" of the axis `mitigation`, else "norm batch" """
    return row["value"] if rescue.axis == "mitigation" else f"{rescue.axis} {row['value']}"


def _changes(row: dict[str, Any], name: str, unit: float, digits: int) -> list[Cell]:
    value, high = unit * row[f"{name}_difference"], unit * row[f"{name}_high"]
    half = f" ± {_number(high - value, digits)}" if math.isfinite(high) else ""
    change = Cell(_number(value, digits) + half, bold=name == "range" and row["range_p_adjusted"] <= ALPHA)
    return [*(Cell(_number(unit * row[f"{name}_{side}"], digits)) for side in ("without", "with")), change]


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "−") if math.isfinite(value) else "–"


def answer(rescue: Rescue) -> list[str]:
    """What somebody in a hurry reads: the best mitigations, those that harm, and the interaction."""
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
        said.append(f"No {rescue.axis} rescues more cells than it breaks, of up to {failures} that fail without.")
    if len(harmful):
        names = [f"{row['value']} ({row['broken']})" for row in harmful.sort_values("broken").to_dict("records")[::-1]]
        more = f" and {len(names) - 6} more" if len(names) > 6 else ""
        said.append(f"More cells broken than rescued: {', '.join(names[:6])}{more}.")
    accuracy = rescue.components[rescue.components["measure"] == "test_acc"] if len(rescue.components) else []
    if len(accuracy):
        shares = {name: accuracy[f"share_{name}"].median() for name in COMPONENTS}
        said.append(
            f"Of the variance of accuracy within a panel {percent(shares['init'], 0)} is the initializer's, "
            f"{percent(shares['value'], 0)} the {rescue.axis}'s, {percent(shares['interaction'], 0)} their "
            f"interaction, {percent(shares['seed'], 0)} the seed's and {percent(shares['residual'], 0)} what is left "
            f"(median over {plural(len(accuracy), 'panel')})."
        )
    if rescue.lacking:
        few = rescue.lacking if len(rescue.lacking) <= 4 else [*rescue.lacking[:3], f"{len(rescue.lacking) - 3} more"]
        said.append(f"Not counted, since nobody has {rescue.axis} {rescue.baseline} there: {'; '.join(few)}.")
    return said
