"""Variance components of accuracy: initializer, mitigation, their interaction, seed and residual."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from initbench.analysis import variance
from initbench.analysis.mitigations.pairs import Panel, largest, symmetric

COMPONENTS = ("init", "value", "interaction", "seed", "residual")


def component_rows(where: dict[str, Any], panel: Panel, without: str) -> Iterator[dict[str, Any]]:
    """Variance components of accuracy or error, and of having learned (1 or 0), over the panel's largest complete grid.

    Its seeds come first: those that most cells share, so that more seeds of a few cells cost the others nothing.
    """
    alike = symmetric(panel.labels)
    seeds = largest(~np.isnan(panel.score[~alike]).reshape(-1, len(panel.seeds)), least=(4, 2))
    score = panel.measure.column
    for measure, values in {score: panel.score[..., seeds], "learned": panel.learned[..., seeds]}.items():
        complete = np.array(np.isfinite(values).all(axis=2))
        complete[alike] = False
        rows, columns = balanced(complete, panel.values.index(without))
        if len(rows) < 2 or len(columns) < 2 or len(seeds) < 2:
            continue
        found = variance.components(values[rows][:, columns])
        variances = (found.rows, found.columns, found.interaction, found.blocks, found.residual)
        yield {
            **where,
            "measure": measure,
            "initializers": len(rows),
            "values": len(columns),
            "seeds": len(seeds),
            **{f"variance_{name}": variance for name, variance in zip(COMPONENTS, variances, strict=True)},
            **{f"share_{name}": share for name, share in zip(COMPONENTS, found.shares, strict=True)},
            "p_interaction": found.p,
            "left_out": ", ".join(
                [panel.labels[row] for row in range(len(panel.labels)) if row not in rows]
                + [panel.values[column] for column in range(len(panel.values)) if column not in columns]
            ),
        }


def balanced(complete: np.ndarray, keep: int) -> tuple[list[int], list[int]]:
    """Rows and columns of a grid without gaps: the one with the largest share of gaps goes until there is none.

    complete: (rows, columns) truths. keep: a column that stays.
    """
    rows, columns = list(range(complete.shape[0])), list(range(complete.shape[1]))
    while rows and not (here := complete[np.ix_(rows, columns)]).all():
        gaps = [(1 - here[place].mean(), 0, row) for place, row in enumerate(rows)]
        gaps += [(1 - here[:, place].mean(), 1, column) for place, column in enumerate(columns) if column != keep]
        _, which, name = max(gaps)
        (columns if which else rows).remove(name)
    return rows, columns
