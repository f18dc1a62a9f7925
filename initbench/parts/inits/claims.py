"""The claims of an initializer about its weights, which the header of a shipped one's YAML states:

    # Variance: 2 / ((1 + slope^2) * n)
    # Embedding: 1
    # Distribution: normal

`Variance` is a formula as `theory.nominal` has it, before `init.gain`. Kinds of weights that have another one follow
with theirs: `Convolution`, `Gate`, `Projection`, `Embedding`. `Distribution` is normal, uniform or truncated
(embeddings aside). `Orthogonal` says where rows or columns are orthonormal: in each `matrix`, or at the `centre` of
each kernel. `Symmetric: true`: all units of a layer start alike.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from initbench.errors import InputError
from initbench.parts.activations import Activation
from initbench.parts.checks import choice
from initbench.parts.inits.drawing import gain_factor
from initbench.parts.inits.matrix import Matrix
from initbench.parts.inits.signal import solved_sigma_w
from initbench.theory.nominal import evaluate


class Distribution(NamedTuple):
    """Of mean 0 and variance 1."""

    kurtosis: float  # E[z^4]
    bound: float  # of |z|


DISTRIBUTIONS = {
    "normal": Distribution(3, math.inf),
    "uniform": Distribution(9 / 5, math.sqrt(3)),
    "truncated": Distribution(2.3655367, 2 / 0.87962566103423978),  # a normal distribution cut at 2 deviations
}
ORTHOGONAL = ("matrix", "centre")
KINDS = ("convolution", "gate", "projection", "embedding")


@dataclass(frozen=True)
class Claims:
    """What an initializer claims; None where it claims nothing."""

    variance: str | None = None
    distribution: str | None = None
    orthogonal: str | None = None
    symmetric: bool = False
    of_kinds: Mapping[str, str] = field(default_factory=dict)  # the variances of kinds that have another one

    def __post_init__(self):
        if self.distribution is not None:
            choice("distribution", self.distribution, DISTRIBUTIONS)
        if self.orthogonal is not None:
            choice("orthogonal", self.orthogonal, ORTHOGONAL)

    @classmethod
    def of(cls, facts: Mapping[str, str]) -> "Claims":
        """Those of a YAML's header."""
        of_kinds = {kind: facts[kind.title()] for kind in KINDS if kind.title() in facts}
        words = (facts.get(name) for name in ("Variance", "Distribution", "Orthogonal"))
        return cls(*words, symmetric=facts.get("Symmetric") == "true", of_kinds=of_kinds)

    def variance_of(self, matrix: Matrix, act: Activation, parameters: Mapping[str, Any]) -> float | None:
        """The variance claimed of a matrix's entries; InputError where the formula can't be understood.

        Fans of a convolution and an embedding aren't rows and columns: where these are orthonormal, that says it all.
        """
        if self.orthogonal and matrix.kind in ("convolution", "embedding"):
            return None
        formula = self.of_kinds.get(matrix.kind, self.variance)
        if formula is None:
            return None
        sizes = {"n": matrix.n, "m": matrix.m, "fan_in": matrix.n, "fan_out": matrix.m}
        numbers = {name: value for name, value in parameters.items() if isinstance(value, int | float)}
        phi = {"phi0": act.value0, "dphi0": act.slope0} if "phi0" in formula else {}
        if "critical" in formula:
            phi["critical"] = solved_sigma_w(act, numbers["sigma_b"])
        value = evaluate(formula, {**numbers, **phi, **sizes, "slope": act.negative_slope}, "variance")
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"variance: {formula} is {value:g} for n={matrix.n}, m={matrix.m}")
        return gain_factor(parameters.get("gain", 1), act) ** 2 * value
