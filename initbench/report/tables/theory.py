"""How theory's numbers look in the terminal: a table, and what they mean in plain words."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from initbench.theory.network import WideNetwork

HEADINGS = {
    "sigma_w": "σ_w",
    "sigma_b": "σ_b",
    "q_star": "q*",
    "chi_1": "χ₁",
    "c_star": "c*",
    "phase": "phase",
    "trainable_depth": "depth",
    "critical_sigma_w": "crit.",
}
PRECISE = ("sigma_w", "critical_sigma_w")  # are compared with each other
LEGEND = """q*     variance of pre-activations that deep layers approach
χ₁     factor by which each layer multiplies the mean square of the gradient
c*     correlation that two inputs approach
depth  greatest depth that trains, about
crit.  σ_w at which χ₁ is 1"""
GROWTH = {"blocks": "blocks", "signal": "signal ×", "gradient": "gradient ×"}

Row = tuple[Mapping[str, Any], Mapping[str, Any]]  # a cell's axes, and its numbers as `theory.prediction` has them


def numbers_table(rows: Sequence[Row]) -> Table:
    """One row per plain network."""
    return _table(rows, HEADINGS)


def growth_table(rows: Sequence[Row]) -> Table:
    """One row per residual network: what all blocks together multiply the mean squares of signal and gradient by."""
    flat = [(axes, numbers["growth"] | {key: numbers[key] for key in ("sigma_w", "sigma_b")}) for axes, numbers in rows]
    return _table(flat, {key: HEADINGS[key] for key in ("sigma_w", "sigma_b")} | GROWTH)


def _table(rows: Sequence[Row], headings: Mapping[str, str]) -> Table:
    axes = list(dict.fromkeys(key for cell, _ in rows for key in cell))
    axes = [key for key in axes if key.removeprefix("init.") not in headings]
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for key in axes:
        table.add_column(key, style="bold cyan", no_wrap=True)
    for heading in headings.values():
        table.add_column(heading, justify="left" if heading == "phase" else "right", no_wrap=True)
    for cell, numbers in rows:
        table.add_row(
            *(escape(str(cell.get(key, ""))) for key in axes),
            *(text_of(numbers[key], 4 if key in PRECISE else 3) for key in headings),
        )
    return table


def text_of(value: Any, digits: int = 3) -> str:
    """A number in so many digits, "∞", "–" where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, str):
        return value
    if math.isinf(value):
        return "∞"
    return f"{value:,.0f}" if 100 <= value < 1e5 else f"{value:.{digits}g}"


def layers_table(name: str, rows: Sequence[Mapping[str, float]]) -> Table:
    """One row per layer."""
    table = Table(title=escape(name), title_justify="left", box=None, padding=(0, 2, 0, 0), header_style="dim")
    for key in rows[0] if rows else ():
        table.add_column(key.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*map(text_of, row.values()))
    return table


def sentences(network: WideNetwork, numbers: Mapping[str, Any]) -> list[str]:
    """What the numbers mean, in plain words."""
    if network.growth is not None:
        return sentences_on_growth(numbers["growth"])
    if network.layer.sigma_w == 0:
        return ["All weights are 0: the output does not depend on the input, and no gradient passes."]
    return [
        on_variance(numbers),
        on_gradient(network, numbers),
        on_correlation(network, numbers),
        on_trainable_depth(network, numbers),
        *on_critical_line(network, numbers),
        *on_finite_width(network, numbers),
    ]


def sentences_on_growth(found: Mapping[str, Any]) -> list[str]:
    """What residual blocks do."""
    if not found["blocks"]:
        return ["The network has no residual block at this depth."]
    return [
        f"Residual branches add variance: over {found['blocks']} blocks the mean square of the signal is multiplied by "
        f"{text_of(found['signal'])} (by {text_of(found['signal_last_block'])} in the last block), and that of the "
        f"gradient, on its way back, by {text_of(found['gradient'])}.",
        "There is no fixed point, so there is no phase and no critical sigma_w.",
    ]


def on_variance(numbers: Mapping[str, Any]) -> str:
    q, xi = numbers["q_star"], numbers["xi_q"]
    if q == 0:
        return "The variance of pre-activations shrinks to 0" + (
            "." if math.isinf(xi) else f", by a factor e every {text_of(xi)} layers."
        )
    if math.isinf(q):
        return "The variance of pre-activations grows without bound" + (
            "." if math.isinf(xi) else f", by a factor e every {text_of(xi)} layers."
        )
    if math.isinf(xi):
        return f"The variance of pre-activations stays where it starts, at {text_of(q)}."
    pace = f"the distance to it shrinks by a factor e every {text_of(xi)} layers"
    return f"The variance of pre-activations settles at {text_of(q)}; {pace}."


def on_gradient(network: WideNetwork, numbers: Mapping[str, Any]) -> str:
    factor = numbers["chi_1"] / network.layer.keep
    whole = factor**network.depth if factor < 1e30 else math.inf
    if abs(factor - 1) < 1e-6:
        return "The gradient keeps its size from layer to layer."
    return (
        f"Each layer multiplies the mean square of the gradient by {text_of(factor)} on its way back: over "
        f"{network.depth} layers by {text_of(whole)}."
    )


def on_correlation(network: WideNetwork, numbers: Mapping[str, Any]) -> str:
    c, xi, q = numbers["c_star"], numbers["xi_c"], numbers["q_star"]
    if math.isnan(c):
        return "The correlation of two inputs has no limit that theory here can give."
    left, right = network.mean_field.limit.phi.sides or (0.0, 0.0)
    if (q == 0 or math.isinf(q)) and left == right:
        return "The activation is linear at that size: the correlation of two inputs no longer changes."
    if q == 0 or math.isinf(q):
        return "Two different inputs become the same in direction; the distance shrinks as a power of the depth."
    pace = "as a power of the depth" if math.isinf(xi) else f"by a factor e every {text_of(xi)} layers"
    goal = "become the same" if c > 1 - 1e-9 else f"approach the correlation {text_of(c)}"
    return f"Two different inputs {goal}; the distance shrinks {pace}."


def on_trainable_depth(network: WideNetwork, numbers: Mapping[str, Any]) -> str:
    depth = numbers["trainable_depth"]
    if math.isnan(depth):
        return "No trainable depth can be given."
    if math.isinf(depth):
        return "Wide networks train at any depth; what limits it is the width."
    side = "within" if network.depth <= depth else "beyond"
    return f"Networks train to a depth of about {text_of(depth)} (6 xi_c); {network.depth} layers are {side} it."


def on_critical_line(network: WideNetwork, numbers: Mapping[str, Any]) -> list[str]:
    critical = numbers["critical_sigma_w"]
    if network.layer.keep < 1:
        return ["With dropout no sigma_w is critical: two copies of one input never stay the same."]
    if numbers["phase"] == "critical":
        return []
    if math.isnan(critical):
        return [f"With sigma_b {text_of(numbers['sigma_b'])} no sigma_w is critical for {numbers['act']}."]
    return [f"The critical sigma_w for sigma_b {text_of(numbers['sigma_b'])} is {critical:.4g}."]


def on_finite_width(network: WideNetwork, numbers: Mapping[str, Any]) -> list[str]:
    found = numbers["finite_width"]
    if found is None:
        return []
    return [
        f"At width {network.width} the log of the signal's growth over {network.depth} layers has mean "
        f"{text_of(found['log_mean'])} and standard deviation {text_of(math.sqrt(found['log_variance']))} over seeds."
    ]
