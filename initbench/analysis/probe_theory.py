"""What mean-field theory says of a probed cell, layer by layer, or why it says nothing."""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from initbench.config.registry import groups
from initbench.theory.activations import Phi
from initbench.theory.mean_field import Profile, WideLayer, propagate
from initbench.theory.network import check_covered, phi_of
from initbench.theory.nominal import NotCovered, Scheme


@dataclass(frozen=True)
class Predicted:
    """Of D hidden layers and the head, if `reason` is empty.

    q: mean square of the pre-activations. c: by the correlation at the input, that of the pre-activations. chi_1: the
    geometric mean of what the layers between the first and the last hidden one multiply the squared gradient by.
    grad_s: the gradient by the pre-activations of each hidden layer, in parts of that of the last one. phi, sigma_w,
    sigma_b: of the second hidden layer, or the only one; a constant bias has moved phi.
    """

    reason: str = ""
    q: Sequence[float] = ()
    c: Mapping[float, Sequence[float]] | None = None
    chi_1: float = math.nan
    grad_s: Sequence[float] = ()
    phi: Phi | None = None
    sigma_w: float = math.nan
    sigma_b: float = math.nan


def predicted(cell: Mapping[str, Any], facts: Mapping[str, str], starts: Sequence[float]) -> Predicted:
    """Of a cell of a plain MLP whose weights are drawn independently.

    cell: one of its runs as `Births.runs` has it, with `input_size`. facts: of the header of its initializer's YAML.
    starts: the correlations to follow, each of which takes a tenth of a second.
    """
    config = json.loads(cell["config"])
    try:
        layers, shift = _layers({group: cell[group] for group in groups()}, config, facts, cell)
    except NotCovered as reason:
        return Predicted(str(reason))
    q0 = cell["input_size"] ** 2
    profile = propagate(layers, q0)
    followed = {start: propagate(layers, q0, start) for start in starts}
    hidden = layers[min(1, config["depth"] - 1)]
    added = shift**2  # a constant bias adds its square to every product of two pre-activations
    return Predicted(
        q=profile.q + added,
        c={start: _with_bias(found, added) for start, found in followed.items()},
        chi_1=_geometric_mean(profile.chi[: config["depth"] - 1]),
        grad_s=np.sqrt(np.r_[profile.chi[: config["depth"] - 1], 1.0][::-1].cumprod())[::-1],
        phi=hidden.phi,
        sigma_w=hidden.sigma_w,
        sigma_b=hidden.sigma_b,
    )


def _layers(
    choices: Mapping[str, str], config: Mapping[str, Any], facts: Mapping[str, str], cell: Mapping[str, Any]
) -> tuple[list[WideLayer], float]:
    """The hidden layers and the head, each with its own fans, and the constant that their biases start at."""
    check_covered(choices, config)
    if config["model"].get("branch_scale") is not None:
        raise NotCovered("residual branches: `initbench theory` says how they grow, block by block")
    if math.isnan(cell["input_size"]):
        raise NotCovered(f"data={choices['data']}: tokens have no mean square")
    phi, scheme = phi_of(config["act"]), Scheme.of(choices["init"], facts, config["init"])
    keep = 1 - round(256 * (config["regularize"].get("dropout") or 0)) / 256  # as masks are drawn
    widths = config["width"] if isinstance(config["width"], list) else [config["width"]] * config["depth"]
    sizes = [int(cell["features"]), *widths, int(cell["classes"])]
    fans = itertools.pairwise(sizes)
    layers = [scheme.layer(phi, n, m, 1.0 if i == 0 else keep) for i, (n, m) in enumerate(fans)]
    return layers, scheme.bias(phi, widths[0], widths[0])[0]


def _with_bias(followed: Profile, added: float) -> np.ndarray:
    """The correlations, NaN where all pre-activations are 0."""
    with np.errstate(invalid="ignore"):
        return (followed.c * followed.q + added) / (followed.q + added)


def _geometric_mean(factors: np.ndarray) -> float:
    with np.errstate(divide="ignore"):
        return float(np.exp(np.log(factors).mean())) if len(factors) else math.nan
