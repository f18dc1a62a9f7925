"""The tables of what mitigations do, by file, and the answer in a few sentences."""

from collections.abc import Sequence

import pandas as pd

from initbench.analysis.mitigations.effects import MitigationEffects
from initbench.analysis.mitigations.interaction import COMPONENTS
from initbench.text import percent, plural


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
        said.append(f"No {rescue.axis} rescues more cells than it breaks, of up to {failures} that fail without.")
    if len(harmful):
        names = [f"{row['value']} ({row['broken']})" for row in harmful.sort_values("broken").to_dict("records")[::-1]]
        more = f" and {len(names) - 6} more" if len(names) > 6 else ""
        said.append(f"More cells broken than rescued, with the number broken: {', '.join(names[:6])}{more}.")
    accuracy = rescue.components[rescue.components["measure"] == "test_acc"] if len(rescue.components) else []
    if len(accuracy):
        shares = {name: accuracy[f"share_{name}"].median() for name in COMPONENTS}
        said.append(
            f"What accuracy depends on: initializer {percent(shares['init'], 0)}, {rescue.axis} "
            f"{percent(shares['value'], 0)}, their combination {percent(shares['interaction'], 0)}, seed "
            f"{percent(shares['seed'], 0)}, unexplained {percent(shares['residual'], 0)} (shares of its variance, "
            f"median over {plural(len(accuracy), 'panel')})."
        )
    if rescue.without_baseline:
        names = rescue.without_baseline
        few = names if len(names) <= 4 else [*names[:3], f"{len(names) - 3} more"]
        said.append(f"Not counted, because no run has {rescue.axis}={rescue.baseline} there: {'; '.join(few)}.")
    return said
