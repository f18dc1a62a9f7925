"""The variance that an initializer is meant to have: a formula in its YAML, such as `# Variance: 2 / (n + m)`.

The one place that says it: theory predicts from it, `check` holds the weights that are drawn to it. A formula is
arithmetic in

    n, m             fan_in and fan_out
    NAME             a parameter of the initializer, such as std
    phi0, dphi0      phi(0) and phi'(0) of the activation, the slope at a kink as root mean square of both sides
    slope            the slope of leaky ReLU, 0 for all others
    critical         sigma_w at the edge of chaos, for the initializer's own sigma_b

`# Variance:` is that of a dense weight before `init.gain`; `# Bias:` that of the biases where the scheme draws them. A
scheme without independent weights says why theory leaves it out: `# Theory: the weights are all equal`.
"""

import ast
import math
import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from initbench.errors import InputError
from initbench.theory.activations import Phi
from initbench.theory.coverage import NotCovered
from initbench.theory.mean_field import WideLayer, critical_sigma_w
from initbench.theory.quadrature import gain

OPERATIONS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
}
FUNCTIONS = {"sqrt": math.sqrt, "min": min, "max": max, "log": math.log, "exp": math.exp}


@dataclass(frozen=True)
class Scheme:
    """An initializer whose weights are independent, or as good as independent in a wide network."""

    name: str
    weights: str  # formula of a weight's variance, without the gain
    biases: str  # formula of a drawn bias' variance; empty where biases are constant
    parameters: Mapping[str, Any]  # of the initializer, as in its configuration

    @classmethod
    def of(cls, name: str, facts: Mapping[str, str], parameters: Mapping[str, Any]) -> "Scheme":
        """From the facts in the header of its YAML; NotCovered where they give no variance."""
        if "Variance" not in facts:
            reason = facts.get("Theory", "no YAML of it states a variance ('# Variance: ...')")
            raise NotCovered(f"init={name}: {reason}")
        return cls(name, facts["Variance"], facts.get("Bias", ""), parameters)

    def weight_variance(self, phi: Phi, n: int, m: int) -> float:
        """Variance of the weights of a dense layer with n inputs and m units."""
        factor = self.parameters.get("gain", 1)
        factor = gain(phi) if factor == "auto" else float(factor)
        if factor <= 0:
            raise InputError(f"init.gain must be a number above 0, got {factor:g}")
        return factor**2 * self._evaluate(self.weights, phi, n, m)

    def bias(self, phi: Phi, n: int, m: int) -> tuple[float, float]:
        """Mean and variance of the biases of a dense layer."""
        if (std := self.parameters.get("bias_std")) is not None:
            return 0.0, float(std) ** 2
        constant = self.parameters.get("bias", 0)
        if constant is not None:
            return float(constant), 0.0
        return 0.0, self._evaluate(self.biases, phi, n, m)

    def layer(self, phi: Phi, n: int, m: int, keep: float = 1.0) -> WideLayer:
        """The layer that theory computes with. A constant bias moves the activation: phi(x + bias)."""
        mean, variance = self.bias(phi, n, m)
        sigma_w = math.sqrt(n * self.weight_variance(phi, n, m))
        return WideLayer(phi.shifted(mean), sigma_w, math.sqrt(variance), keep)

    def _evaluate(self, formula: str, phi: Phi, n: int, m: int) -> float:
        known = known_values(formula, self.parameters, phi)
        for name in self.parameters.keys() & known.keys():
            if known[name] < 0 and re.search(rf"\b{name}\b", formula):
                raise InputError(f"init.{name} must be a number of at least 0, got {known[name]!r}")
        known |= {"n": n, "m": m}
        value = evaluate(formula, known, f"init={self.name}")
        if not (math.isfinite(value) and value >= 0):
            raise NotCovered(f"init={self.name}: its variance, {formula}, is {value:g} for act={phi.name}")
        return value


def known_values(formula: str, parameters: Mapping[str, Any], phi: Phi) -> dict[str, int | float]:
    """What the names in a formula stand for, but n and m: parameters of the initializer, facts of the activation."""
    numbers = {name: value for name, value in parameters.items() if isinstance(value, int | float)}
    known = numbers | {"phi0": phi.value0, "dphi0": phi.slope0, "slope": phi.negative_slope}
    return known | ({"critical": critical_sigma_w(phi, numbers["sigma_b"])} if "critical" in formula else {})


def evaluate(formula: str, values: Mapping[str, float], where: str) -> float:
    """An arithmetic formula, with ^ for powers; InputError that begins with `where` if it can't be evaluated."""

    def value(node: ast.expr) -> float:
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name(id=name) if name in values:
                return float(values[name])
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATIONS:
                return OPERATIONS[type(op)](value(left), value(right))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -value(operand)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
                return FUNCTIONS[name](*map(value, args))
        raise InputError(f"{where}: {ast.unparse(node)!r} is unknown in the formula {formula!r}")

    try:
        return value(ast.parse(formula.replace("^", "**"), mode="eval").body)
    except SyntaxError:
        raise InputError(f"{where}: {formula!r} is no formula") from None
    except (ZeroDivisionError, OverflowError):
        return math.inf
